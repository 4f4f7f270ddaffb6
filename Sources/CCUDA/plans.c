// From operations to plans: what cuDNN proposes, what of it is taken, and how a plan is queued.
#define _GNU_SOURCE
#include "plans.h"
#include "compile.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int dnn_type_of(ccuda_type type) { return type == CCUDA_F32 ? DNN_FLOAT : type == CCUDA_F16 ? DNN_HALF : DNN_BFLOAT16; }

// MARK: - Descriptors

void *dnn_make(dnn_graph *g, int kind) {
    void *descriptor = NULL;
    if (g->madeCount == (int)(sizeof g->made / sizeof g->made[0])) g->status = -1;
    if (g->status == 0) g->status = cuda.dnn_createDescriptor(kind, &descriptor);
    if (descriptor) g->made[g->madeCount++] = descriptor;
    return descriptor;
}

void dnn_set(dnn_graph *g, void *descriptor, int attribute, int type, int64_t count, const void *values) {
    if (g->status == 0) g->status = cuda.dnn_setAttribute(descriptor, attribute, type, count, values);
}

void dnn_finish(dnn_graph *g, void *descriptor) {
    if (g->status == 0) g->status = cuda.dnn_finalize(descriptor);
}

void dnn_add(dnn_graph *g, void *operation) {
    dnn_finish(g, operation);
    g->operations[g->operationCount++] = operation;
}

void dnn_clear(dnn_graph *g) {
    while (g->madeCount > 0) cuda.dnn_destroyDescriptor(g->made[--g->madeCount]);
}

enum {
    TENSOR_ALIGNMENT = 900, TENSOR_TYPE, TENSOR_EXTENTS, TENSOR_STRIDES, TENSOR_NUMBER = 906, TENSOR_IS_VIRTUAL, TENSOR_IS_VALUE
};

void *dnn_tensor(dnn_graph *g, int64_t number, int type, const int64_t extents[4], const int64_t strides[4], dnn_storage storage, int64_t alignment) {
    const bool yes = true;
    void *tensor = dnn_make(g, DNN_TENSOR);
    dnn_set(g, tensor, TENSOR_NUMBER, DNN_TYPE_INT64, 1, &number);
    dnn_set(g, tensor, TENSOR_TYPE, DNN_TYPE_DATA_TYPE, 1, &type);
    dnn_set(g, tensor, TENSOR_EXTENTS, DNN_TYPE_INT64, 4, extents);
    dnn_set(g, tensor, TENSOR_STRIDES, DNN_TYPE_INT64, 4, strides);
    dnn_set(g, tensor, TENSOR_ALIGNMENT, DNN_TYPE_INT64, 1, &alignment);
    if (storage == DNN_VIRTUAL) dnn_set(g, tensor, TENSOR_IS_VIRTUAL, DNN_TYPE_BOOLEAN, 1, &yes);
    if (storage == DNN_VALUE) dnn_set(g, tensor, TENSOR_IS_VALUE, DNN_TYPE_BOOLEAN, 1, &yes);
    dnn_finish(g, tensor);
    return tensor;
}

// MARK: - Engines

enum { GRAPH_HANDLE = 800, GRAPH_OPERATIONS = 801, HEURISTICS_MODE = 200, HEURISTICS_GRAPH = 201, HEURISTICS_RESULTS = 202, HEURISTICS_DEVICE = 204 };
enum { CONFIGURATION_ENGINE = 300, ENGINE_NUMERICAL_NOTE = 1303, ENGINE_BEHAVIOR_NOTE = 1305 };
enum { PLAN_HANDLE = 400, PLAN_CONFIGURATION = 401, PLAN_WORKSPACE = 402, PLAN_JSON = 405, PLAN_DEVICE = 407 };
/// The modes of its heuristics: A is the considered one, FALLBACK names what works always.
enum { MODE_FALLBACK = 2, MODE_A = 3 };

/// Notes on an engine, as bits.
static unsigned notes(void *configuration, int attribute, int type) {
    void *engine = NULL;
    int64_t count = 0;
    int values[16] = {0};
    unsigned bits = 0;
    if (cuda.dnn_createDescriptor(DNN_ENGINE, &engine)) return 0;
    if (!cuda.dnn_getAttribute(configuration, CONFIGURATION_ENGINE, DNN_TYPE_DESCRIPTOR, 1, &count, &engine)
        && !cuda.dnn_getAttribute(engine, attribute, type, 16, &count, values))
        for (int64_t i = 0; i < count && i < 16; i++) bits |= 1u << values[i];
    cuda.dnn_destroyDescriptor(engine);
    return bits;
}

/// Numerical notes: tensor cores (TF32 with float32), operands or sums made shorter, transforms.
enum { NOTE_TENSOR_CORE = 1 << 0, NOTE_SHORT_INPUTS = 1 << 1, NOTE_SHORT_SUMS = 1 << 2, NOTE_FFT = 1 << 3, NOTE_WINOGRAD = 15 << 5 };
/// Behaviour notes: kernels that are compiled when the plan is made.
enum { NOTE_COMPILED = 1 << 0 };

static bool acceptable(void *configuration, dnn_wishes wishes) {
    unsigned never = NOTE_SHORT_INPUTS | NOTE_SHORT_SUMS;
    if (wishes.exact) never |= NOTE_TENSOR_CORE | NOTE_FFT | NOTE_WINOGRAD;
    if (notes(configuration, ENGINE_NUMERICAL_NOTE, DNN_TYPE_NUMERICAL_NOTE) & never) return false;
    return wishes.compiled || !(notes(configuration, ENGINE_BEHAVIOR_NOTE, DNN_TYPE_BEHAVIOR_NOTE) & NOTE_COMPILED);
}

static void *make_plan(dnn_graph *g, void *configuration) {
    dnn_graph attempt = {.target = g->target};
    void *plan = dnn_make(&attempt, DNN_PLAN);
    if (g->target.handle) dnn_set(&attempt, plan, PLAN_HANDLE, DNN_TYPE_HANDLE, 1, &g->target.handle);
    else dnn_set(&attempt, plan, PLAN_DEVICE, DNN_TYPE_DESCRIPTOR, 1, &g->target.device);
    dnn_set(&attempt, plan, PLAN_CONFIGURATION, DNN_TYPE_DESCRIPTOR, 1, &configuration);
    dnn_finish(&attempt, plan);
    if (attempt.status == 0) return plan;
    dnn_clear(&attempt);
    return NULL;
}

/// Adds plans of the configurations that one mode of the heuristics proposes.
static int add_plans(dnn_graph *g, void *graph, int mode, dnn_wishes wishes, int wanted, void *plans[DNN_CANDIDATES], int found) {
    enum { MOST = 32 };
    void *configurations[MOST] = {NULL}, *heuristics = dnn_make(g, DNN_HEURISTICS);
    int64_t count = 0;
    dnn_set(g, heuristics, HEURISTICS_GRAPH, DNN_TYPE_DESCRIPTOR, 1, &graph);
    dnn_set(g, heuristics, HEURISTICS_MODE, DNN_TYPE_HEURISTICS_MODE, 1, &mode);
    if (g->target.device) dnn_set(g, heuristics, HEURISTICS_DEVICE, DNN_TYPE_DESCRIPTOR, 1, &g->target.device);
    dnn_finish(g, heuristics);
    for (int i = 0; i < MOST; i++) configurations[i] = dnn_make(g, DNN_CONFIGURATION);
    if (g->status == 0) g->status = cuda.dnn_getAttribute(heuristics, HEURISTICS_RESULTS, DNN_TYPE_DESCRIPTOR, MOST, &count, configurations);
    for (int64_t i = 0; g->status == 0 && i < count && i < MOST && found < wanted; i++) {
        void *plan = acceptable(configurations[i], wishes) ? make_plan(g, configurations[i]) : NULL;
        if (plan) g->made[g->madeCount++] = plans[found++] = plan;
    }
    return found;
}

int dnn_plans(dnn_graph *g, dnn_wishes wishes, int wanted, void *plans[DNN_CANDIDATES]) {
    void *graph = dnn_make(g, DNN_GRAPH);
    dnn_set(g, graph, GRAPH_OPERATIONS, DNN_TYPE_DESCRIPTOR, g->operationCount, g->operations);
    if (g->target.handle) dnn_set(g, graph, GRAPH_HANDLE, DNN_TYPE_HANDLE, 1, &g->target.handle);
    dnn_finish(g, graph);
    int found = add_plans(g, graph, MODE_A, wishes, wanted, plans, 0);
    if (found > 0) return found;
    g->status = 0;
    return add_plans(g, graph, MODE_FALLBACK, wishes, wanted, plans, 0);
}

static int64_t workspace_of(void *plan) {
    int64_t bytes = 0, count = 0;
    cuda.dnn_getAttribute(plan, PLAN_WORKSPACE, DNN_TYPE_INT64, 1, &count, &bytes);
    return bytes;
}

// MARK: - Plans by shape

static void destroy_plan(void *pointer) {
    dnn_plan *plan = pointer;
    dnn_clear(&plan->graph);
    free(plan);
}

bool cuda_plans_open(ccuda_context *context, ccuda_error *error) {
    int status = cuda.dnn_create(&context->dnn);
    if (status == 0) status = cuda.dnn_setStream(context->dnn, context->stream);
    if (status) cuda_set_error(error, CCUDA_LIBRARY, "cuDNN does not start: %s.", cuda.dnn_errorString(status));
    return status == 0;
}

void cuda_plans_close(ccuda_context *context) {
    table_clear(&context->plans, destroy_plan);
    if (context->dnn) cuda.dnn_destroy(context->dnn);
}

enum { PACK_NUMBERS = 1000, PACK_POINTERS = 1001, PACK_WORKSPACE = 1003 };

/// Queues a plan; returns cuDNN's status.
static int execute(ccuda_context *context, const dnn_plan *plan, const dnn_operands *operands) {
    void *workspace = plan->workspace > 0 ? cuda_block(context, &context->workspace, (size_t)plan->workspace) : NULL;
    if (plan->workspace > 0 && !workspace) return 0;  // the failure is kept already
    dnn_graph g = {0};
    void *pack = dnn_make(&g, DNN_VARIANT_PACK);
    dnn_set(&g, pack, PACK_NUMBERS, DNN_TYPE_INT64, operands->count, operands->numbers);
    dnn_set(&g, pack, PACK_POINTERS, DNN_TYPE_POINTER, operands->count, operands->pointers);
    dnn_set(&g, pack, PACK_WORKSPACE, DNN_TYPE_POINTER, 1, &workspace);
    dnn_finish(&g, pack);
    if (g.status == 0) g.status = cuda.dnn_execute(context->dnn, plan->descriptor, pack);
    dnn_clear(&g);
    return g.status;
}

bool dnn_run(ccuda_context *context, const dnn_plan *plan, const dnn_operands *operands, const char *doing) {
    int status = execute(context, plan, operands);
    if (status == 0) return true;
    char why[1024] = "";
    cuda.dnn_lastError(why, sizeof why);
    cuda_fail(context, CCUDA_LIBRARY, "cuDNN refused %s: %s. %s", doing, cuda.dnn_errorString(status), why);
    return false;
}

/// A plan with operands, to be timed.
typedef struct trial { dnn_plan plan; const dnn_operands *operands; } trial;
static bool run_trial(ccuda_context *context, void *job) {
    trial *t = job;
    return execute(context, &t->plan, t->operands) == 0;
}

/// The fastest of several plans.
static void *fastest(ccuda_context *context, void *const *plans, int count, const dnn_operands *operands) {
    void *best = plans[0];
    float least = -1;
    for (int i = 0; i < count; i++) {
        trial t = {{.descriptor = plans[i], .workspace = workspace_of(plans[i])}, operands};
        float time = cuda_time(context, run_trial, &t);
        if (time >= 0 && (least < 0 || time < least)) least = time, best = plans[i];
    }
    return best;
}

/// Where a compiled plan is kept: by shape, card and versions.
static bool plan_path(ccuda_context *context, char path[PATH_MAX], const void *key, size_t length) {
    int versions[] = {cuda_dnn_version(), context->properties.capability, context->properties.multiprocessors};
    const void *const parts[] = {key, versions, context->properties.name};
    const size_t lengths[] = {length, sizeof versions, strlen(context->properties.name)};
    return cuda_cache_path(path, "plan", parts, lengths, 3);
}

/// A plan as it was written.
static void *read_plan(ccuda_context *context, dnn_graph *g, const char *path) {
    void *text, *plan = NULL;
    size_t bytes = cuda_cache_read(path, &text);
    if (bytes == 0) return NULL;
    plan = dnn_make(g, DNN_PLAN);
    dnn_set(g, plan, PLAN_HANDLE, DNN_TYPE_HANDLE, 1, &context->dnn);
    dnn_set(g, plan, PLAN_JSON, DNN_TYPE_CHAR, (int64_t)bytes, text);
    dnn_finish(g, plan);
    free(text);
    if (g->status == 0) return plan;
    dnn_clear(g);
    g->status = 0;
    return NULL;
}

static void write_plan(void *plan, char *path) {
    int64_t bytes = 0;
    if (cuda.dnn_getAttribute(plan, PLAN_JSON, DNN_TYPE_CHAR, 0, &bytes, NULL) || bytes <= 0) return;
    char *text = malloc((size_t)bytes);
    if (cuda.dnn_getAttribute(plan, PLAN_JSON, DNN_TYPE_CHAR, bytes, &bytes, text) == 0) cuda_cache_write(path, text, (size_t)bytes);
    free(text);
}

/// Builds the graph, has plans made and takes one.
static void *build_plan(ccuda_context *context, dnn_graph *g, dnn_builder *build, const void *shape, dnn_wishes wishes,
                        const dnn_operands *operands) {
    void *plans[DNN_CANDIDATES];
    bool tuning = context->tuning && !context->recording;
    build(g, shape);
    int found = g->status == 0 ? dnn_plans(g, wishes, tuning ? DNN_CANDIDATES : 1, plans) : 0;
    return found > 1 ? fastest(context, plans, found, operands) : found == 1 ? plans[0] : NULL;
}

dnn_plan *dnn_find_plan(ccuda_context *context, const void *key, size_t length, dnn_builder *build, const void *shape, dnn_wishes wishes,
                        const dnn_operands *operands) {
    dnn_plan *plan = table_find(&context->plans, key, length);
    if (plan) return plan->descriptor ? plan : NULL;
    char path[PATH_MAX];
    bool kept = wishes.compiled && plan_path(context, path, key, length);
    plan = calloc(1, sizeof *plan);
    plan->graph.target.handle = context->dnn;
    if (kept) plan->descriptor = read_plan(context, &plan->graph, path);
    if (!plan->descriptor) {
        plan->descriptor = build_plan(context, &plan->graph, build, shape, wishes, operands);
        if (kept && plan->descriptor) write_plan(plan->descriptor, path);
    }
    if (plan->descriptor) plan->workspace = workspace_of(plan->descriptor);
    table_insert(&context->plans, key, length, plan);
    return plan->descriptor ? plan : NULL;
}

// MARK: - Without a card

/// A card of an architecture: multiprocessors, and kilobytes of shared memory a block may ask for.
typedef struct model { int architecture, multiprocessors, shared; const char *name; } model;
static const model models[] = {
    {80, 108, 163, "NVIDIA A100-SXM4-80GB"}, {86, 82, 99, "NVIDIA GeForce RTX 3090"}, {89, 128, 99, "NVIDIA GeForce RTX 4090"},
    {90, 132, 227, "NVIDIA H100 80GB HBM3"}, {100, 148, 227, "NVIDIA B200"}, {120, 170, 99, "NVIDIA GeForce RTX 5090"},
};

static const char deviceFormat[] =
    "{\"deviceName\":\"%s\",\"deviceVer\":%d,\"driverVer\":13000,\"cudaDeviceId\":0,\"pciDeviceId\":0,\"isTccDriver\":0,\"supportCoopLaunch\":1,"
    "\"multiProcessorCount\":%d,\"maxSharedMemoryPerBlockOptin\":%d,\"maxSharedMemoryPerBlock\":49152,\"reservedSharedMemoryPerBlock\":1024,"
    "\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],\"regsPerBlock\":65536,\"maxRegistersPerSM\":65536,\"warpSize\":32,"
    "\"maxCtasPerSM\":24,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":1536,\"smClockRateKHz\":1800000,\"memClockRateKHz\":2600000,"
    "\"l2CacheSize\":52428800,\"totalGlobalMem\":25000000000}";

bool dnn_describe(dnn_graph *g, int architecture, ccuda_error *error) {
    enum { DEVICE_JSON = 2702 };
    *error = (ccuda_error){.kind = CCUDA_OK};
    if (!cuda_open_library(LIBRARY_blas, error) || !cuda_open_library(LIBRARY_dnn, error)) return false;
    const model *m = NULL;
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        if (models[i].architecture == architecture) m = &models[i];
    if (!m) cuda_set_error(error, CCUDA_MISUSE, "No card of architecture %d is described.", architecture);
    if (!m) return false;
    char text[1024];
    int length = snprintf(text, sizeof text, deviceFormat, m->name, 10 * architecture, m->multiprocessors, m->shared << 10);
    g->target.device = dnn_make(g, DNN_DEVICE);
    dnn_set(g, g->target.device, DEVICE_JSON, DNN_TYPE_CHAR, length, text);
    dnn_finish(g, g->target.device);
    return true;
}
