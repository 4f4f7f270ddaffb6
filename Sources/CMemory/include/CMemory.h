/// The process's own memory where only the system's C interfaces say enough: pages of loaded programs, and files that are cut while they
/// are read.
#pragma once
#include <stdbool.h>
#include <stddef.h>

/// Lets go of the pages of the program and its libraries that nothing has written to; what is asked for again comes back from the file.
///
/// Only segments of loaded objects are touched, and only while the loader may not unload them: other threads may map, unmap and fill
/// whatever they like meanwhile. Does nothing where the system does not tell which pages were written to.
void cm_release_program_pages(void);

// MARK: - Mapped files

/// A file's bytes, mapped for reading. Where they can no longer be read (the file was cut, its disk failed) they read as zeros and the mapping
/// counts as damaged; the system would end the process (SIGBUS). Any number of threads may read.
typedef struct cm_mapping cm_mapping;

/// Maps the first `count` bytes of an open file, one at least. NULL when the system refuses; `errno` says why.
cm_mapping *_Nullable cm_mapping_open(int descriptor, size_t count);
/// Where the bytes lie.
const void *_Nonnull cm_mapping_bytes(const cm_mapping *_Nonnull mapping);
/// Whether zeros have been read where the file had something else. Once true it stays so.
bool cm_mapping_is_damaged(const cm_mapping *_Nonnull mapping);
/// Unmaps it. Nobody may read any longer.
void cm_mapping_close(cm_mapping *_Nonnull mapping);
