// Loading our kernels, and queueing one by its name.
#define _GNU_SOURCE
#include "compile.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// MARK: - Loading

/// Sources that several threads compile, each taking the next.
typedef struct batch {
    const ccuda_source *sources;
    int count, architecture;
    atomic_int next;
    void **codes;
    ccuda_error *logs;
} batch;

static void *compile_some(void *pointer) {
    batch *b = pointer;
    for (int i; (i = atomic_fetch_add(&b->next, 1)) < b->count;)
        cuda_machine_code(&b->sources[i], b->architecture, false, &b->codes[i], &b->logs[i]);
    return NULL;
}

static void compile_all(batch *b) {
    enum { MOST = 15 };
    pthread_t helpers[MOST];
    int count = 0, wanted = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (wanted > b->count) wanted = b->count;
    while (count < MOST && count < wanted - 1 && pthread_create(&helpers[count], NULL, compile_some, b) == 0) count++;
    compile_some(b);
    while (count > 0) pthread_join(helpers[--count], NULL);
}

/// Loads machine code; what the cache gave and the driver does not take is compiled once more.
static bool load(ccuda_context *context, const ccuda_source *source, void **code, ccuda_error *log) {
    void *module = NULL;
    int status = *code ? cuda.driver_moduleLoadData(&module, *code) : 0;
    if (status && status != 2) {
        free(*code);
        cuda_machine_code(source, context->properties.capability, true, code, log);
        status = *code ? cuda.driver_moduleLoadData(&module, *code) : 0;
    }
    if (!*code) cuda_fail(context, log->kind, "%s", log->text);
    if (!*code || !cuda_check(context, status, "loading kernels")) return false;
    context->modules = realloc(context->modules, (size_t)(context->moduleCount + 1) * sizeof *context->modules);
    context->modules[context->moduleCount++] = module;
    return true;
}

bool ccuda_load_kernels(ccuda_context *context, const ccuda_source *sources, int count) {
    if (!cuda_enter(context)) return false;
    batch b = {.sources = sources, .count = count, .architecture = context->properties.capability,
               .codes = calloc((size_t)count + 1, sizeof(void *)), .logs = calloc((size_t)count + 1, sizeof(ccuda_error))};
    compile_all(&b);
    bool loaded = true;
    for (int i = 0; i < count; i++) {
        loaded = loaded && load(context, &sources[i], &b.codes[i], &b.logs[i]);
        free(b.codes[i]);
    }
    free(b.codes);
    free(b.logs);
    cuda_leave(context);
    return loaded;
}

void cuda_kernels_close(ccuda_context *context) {
    table_clear(&context->functions, free);
    for (int i = 0; i < context->moduleCount; i++) cuda.driver_moduleUnload(context->modules[i]);
    free(context->modules);
}

// MARK: - Launching

/// A kernel that was launched before.
typedef struct kernel {
    void *function;
    /// Dynamic shared memory it may have without asking: the driver's limit until more is asked for.
    unsigned sharedLimit;
} kernel;

enum { FUNCTION_SHARED_BYTES = 8, SHARED_WITHOUT_ASKING = 48 << 10 };
static const char *const suffixes[] = {"f32", "f16", "bf16"};

/// Looks a kernel up in all modules, the first time it is launched.
static kernel *resolve(ccuda_context *context, const char *name) {
    void *function = NULL;
    for (int i = 0; i < context->moduleCount && !function; i++) {
        int status = cuda.driver_moduleGetFunction(&function, context->modules[i], name);
        if (status == 500) function = NULL;  // not found
        else if (!cuda_check(context, status, "looking up a kernel")) return NULL;
    }
    if (!function) {
        cuda_fail(context, CCUDA_MISUSE, "There is no kernel %s in the %d files of kernels that are loaded.", name, context->moduleCount);
        return NULL;
    }
    kernel *k = malloc(sizeof *k);
    *k = (kernel){function, SHARED_WITHOUT_ASKING};
    table_insert(&context->functions, name, strlen(name), k);
    return k;
}

/// Raises the limit of a kernel's shared memory if it needs more than every kernel may have.
static bool allow_shared(ccuda_context *context, kernel *k, unsigned bytes) {
    if (bytes <= k->sharedLimit) return true;
    if (!cuda_check(context, cuda.driver_funcSetAttribute(k->function, FUNCTION_SHARED_BYTES, (int)bytes), "asking for shared memory")) return false;
    k->sharedLimit = bytes;
    return true;
}

/// With LORALAB_CUDA_CHECK set, each kernel is waited for, so that a fault is told with the kernel's name.
static void check_kernel(ccuda_context *context, const char *name) {
    if (!context->checking || context->recording) return;
    char doing[160];
    snprintf(doing, sizeof doing, "running kernel %s", name);
    cuda_check(context, cuda.driver_streamSynchronize(context->stream), doing);
}

void ccuda_launch(ccuda_context *context, const char *name, ccuda_type type, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned block,
                  unsigned sharedBytes, void *params[]) {
    if (gridX == 0 || gridY == 0 || gridZ == 0 || block == 0 || !cuda_enter(context)) return;
    char full[128], doing[160];
    int length = snprintf(full, sizeof full, "%s_%s", name, suffixes[type]);
    kernel *k = table_find(&context->functions, full, (size_t)length) ?: resolve(context, full);
    if (k && allow_shared(context, k, sharedBytes)) {
        int status = cuda.driver_launchKernel(k->function, gridX, gridY, gridZ, block, 1, 1, sharedBytes, context->stream, params, NULL);
        if (status) {
            snprintf(doing, sizeof doing, "launching kernel %s, grid %u × %u × %u, block %u, %u bytes shared", full, gridX, gridY, gridZ, block,
                     sharedBytes);
            cuda_check(context, status, doing);
        } else {
            check_kernel(context, full);
        }
    }
    cuda_leave(context);
}
