// Kernels' source to machine code, and files kept between runs.
#pragma once
#include "context.h"
#include <limits.h>

/// Machine code of a source for an architecture (90), from the cache if it is there and not wanted `anew`, else by NVRTC, which is open.
/// Returns its length, to be freed from `*code`, or 0 and the error.
size_t cuda_machine_code(const ccuda_source *source, int architecture, bool anew, void **code, ccuda_error *error);

/// The path in the cache for what depends on `parts`; false where there is no home for a cache.
bool cuda_cache_path(char path[PATH_MAX], const char *kind, const void *const *parts, const size_t *lengths, int count);
/// The contents of a file, to be freed; 0 if there is none.
size_t cuda_cache_read(const char *path, void **contents);
/// Writes a file whole or not at all. A cache that cannot be written is no error.
void cuda_cache_write(char *path, const void *contents, size_t bytes);
