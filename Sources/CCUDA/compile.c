// Kernels' source to machine code: NVRTC, and a cache of what it made.
#define _GNU_SOURCE
#include "compile.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// MARK: - NVRTC

/// The compiler's messages, to be freed.
static char *take_log(void *program) {
    size_t bytes = 0;
    if (!program || cuda.nvrtc_logSize(program, &bytes) || bytes == 0) return strdup("");
    char *text = calloc(bytes, 1);
    cuda.nvrtc_log(program, text);
    return text;
}

/// The machine code of a compiled program; returns NVRTC's status.
static int take_code(void *program, void **code, size_t *bytes) {
    int status = cuda.nvrtc_codeSize(program, bytes);
    if (status) return status;
    *code = malloc(*bytes + 1);
    return cuda.nvrtc_code(program, *code);
}

/// The options of every kernel: no fast mathematics, registers and spills in the log.
static const char *const commonOptions[] = {"--std=c++17", "--ptxas-options=--verbose"};

/// Machine code of a source for an architecture; NVRTC is open. Returns its length, or 0 and the error. Code and log are to be freed.
static size_t compile(const ccuda_source *source, int architecture, void **code, char **log, ccuda_error *error) {
    void *program = NULL;
    char target[40];
    snprintf(target, sizeof target, "--gpu-architecture=sm_%d", architecture);
    const char *options[] = {target, commonOptions[0], commonOptions[1]};
    size_t bytes = 0;
    *code = NULL;
    *error = (ccuda_error){.kind = CCUDA_OK};
    int status = cuda.nvrtc_createProgram(&program, source->text, source->name, 0, NULL, NULL);
    if (status == 0) status = cuda.nvrtc_compileProgram(program, 3, options);
    if (status == 0) status = take_code(program, code, &bytes);
    *log = take_log(program);
    if (program) cuda.nvrtc_destroyProgram(&program);
    if (status == 0) return bytes;
    cuda_set_error(error, CCUDA_COMPILER, "NVRTC does not compile %s for sm_%d: %s.\n%s", source->name, architecture, cuda.nvrtc_errorString(status),
                   *log);
    free(*code);
    *code = NULL;
    return 0;
}

size_t ccuda_compile(const ccuda_source *source, int architecture, void **code, char **log, ccuda_error *error) {
    *code = NULL;
    *log = NULL;
    return cuda_open_library(LIBRARY_nvrtc, error) ? compile(source, architecture, code, log, error) : 0;
}

// MARK: - Cache

/// `mkdir -p`, for the folder that `path` lies in.
static bool make_folders(char *path) {
    for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        bool there = mkdir(path, 0700) == 0 || errno == EEXIST;
        *slash = '/';
        if (!there) return false;
    }
    return true;
}

bool cuda_cache_path(char path[PATH_MAX], const char *kind, const void *const *parts, const size_t *lengths, int count) {
    uint64_t hash[2] = {0xcbf29ce484222325, 0x6c62272e07bb0142};
    for (int i = 0; i < count; i++)
        for (int h = 0; h < 2; h++) {
            hash[h] = table_hash(hash[h], &lengths[i], sizeof lengths[i]);
            hash[h] = table_hash(hash[h], parts[i], lengths[i]);
        }
    const char *folder = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    bool given = folder && *folder == '/';
    if (!given && !(home && *home)) return false;
    return snprintf(path, PATH_MAX, "%s%s/loralab/cuda/%016llx%016llx.%s", given ? folder : home, given ? "" : "/.cache", (unsigned long long)hash[0],
                    (unsigned long long)hash[1], kind) < PATH_MAX;
}

size_t cuda_cache_read(const char *path, void **contents) {
    FILE *file = fopen(path, "rb");
    struct stat status;
    size_t bytes = 0;
    *contents = NULL;
    if (file && fstat(fileno(file), &status) == 0 && status.st_size > 0) {
        *contents = malloc((size_t)status.st_size);
        bytes = fread(*contents, 1, (size_t)status.st_size, file);
    }
    if (file) fclose(file);
    if (bytes == 0) free(*contents), *contents = NULL;
    return bytes;
}

void cuda_cache_write(char *path, const void *contents, size_t bytes) {
    char beside[PATH_MAX];
    if (!make_folders(path) || snprintf(beside, sizeof beside, "%s.XXXXXX", path) >= (int)sizeof beside) return;
    int descriptor = mkstemp(beside);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "wb");
    if (!file) return;
    bool written = fwrite(contents, 1, bytes, file) == bytes;
    written = fclose(file) == 0 && written;
    if (!written || rename(beside, path)) unlink(beside);
}

/// Where the machine code of a source is kept.
static bool code_path(char path[PATH_MAX], const ccuda_source *source, int architecture) {
    int version = cuda_compiler_version();
    const void *const parts[] = {source->text, &architecture, &version, commonOptions[0], commonOptions[1]};
    const size_t lengths[] = {strlen(source->text), sizeof architecture, sizeof version, strlen(commonOptions[0]), strlen(commonOptions[1])};
    return cuda_cache_path(path, "cubin", parts, lengths, 5);
}

size_t cuda_machine_code(const ccuda_source *source, int architecture, bool anew, void **code, ccuda_error *error) {
    char path[PATH_MAX];
    char *log;
    bool cached = code_path(path, source, architecture);
    *error = (ccuda_error){.kind = CCUDA_OK};
    size_t bytes = cached && !anew ? cuda_cache_read(path, code) : 0;
    if (bytes) return bytes;
    bytes = compile(source, architecture, code, &log, error);
    free(log);
    if (bytes && cached) cuda_cache_write(path, *code, bytes);
    return bytes;
}
