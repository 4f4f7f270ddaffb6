// NVIDIA's driver as far as CCUDA uses it, on the processor: memory from malloc, work done at once, kernels that a test brings.
#include "emulated.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// MARK: - Steering

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, NOT_FOUND = 500 };

static int driverVersion = 13000, devices = 1, capability = 90;
static size_t memory = (size_t)1 << 30, used;
static struct { char symbol[64]; int status, after; } planned;
static emulated_kernels kernels;

void emulated_configure(int version, int deviceCount, int computeCapability, size_t bytes) {
    driverVersion = version, devices = deviceCount, capability = computeCapability, memory = bytes;
}
void emulated_fail(const char *symbol, int status, int after) {
    snprintf(planned.symbol, sizeof planned.symbol, "%s", symbol);
    planned.status = status, planned.after = after;
}
void emulated_set_kernels(emulated_kernels k) { kernels = k; }
size_t emulated_memory_used(void) { return used; }

/// The status that a call of this name answers.
int emulated_answer(const char *symbol) {
    if (planned.status == 0) return SUCCESS;
    bool spoils = planned.status >= 700 && planned.status < 800;
    if (spoils && planned.after < 0) return planned.status;
    if (strcmp(planned.symbol, symbol) || planned.after-- > 0) return SUCCESS;
    int status = planned.status;
    if (!spoils) planned.status = 0;
    return status;
}


// MARK: - Driver and device

int cuInit(unsigned flags) {
    (void)flags;
    ANSWER;
    return devices ? SUCCESS : NO_DEVICE;
}
int cuDriverGetVersion(int *version) { return *version = driverVersion, SUCCESS; }
int cuGetErrorString(int error, const char **text) {
    *text = error == OUT_OF_MEMORY ? "out of memory" : error == NO_DEVICE ? "no CUDA-capable device is detected"
        : error == 700 ? "an illegal memory access was encountered" : "an emulated error";
    return SUCCESS;
}
int cuGetErrorName(int error, const char **text) { return (void)error, *text = "CUDA_ERROR_EMULATED", SUCCESS; }
int cuDeviceGetCount(int *count) { return *count = devices, SUCCESS; }
int cuDeviceGet(int *device, int ordinal) { return *device = ordinal, ordinal < devices ? SUCCESS : 101; }
int cuDeviceGetName(char *name, int length, int device) { return snprintf(name, (size_t)length, "Emulated card %d", device), SUCCESS; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { return (void)device, *bytes = memory, SUCCESS; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    (void)device;
    *value = attribute == 75 ? capability / 10 : attribute == 76 ? capability % 10 : attribute == 16 ? 4 : attribute == 97 ? 227 << 10 : 0;
    return SUCCESS;
}
static int theContext;
int cuDevicePrimaryCtxRetain(void **context, int device) { ANSWER; return (void)device, *context = &theContext, SUCCESS; }
static _Thread_local void *currentContext;
int cuCtxSetCurrent(void *context) { return currentContext = context, SUCCESS; }

// MARK: - Memory: before each block lies a header of 256 bytes

typedef struct header { size_t bytes; struct header *next, **link; } header;
static header *blocks;

static void release(header *h) {
    used -= h->bytes;
    if ((*h->link = h->next)) h->next->link = h->link;
    free(h);
}

/// With its context a card's memory goes.
int cuDevicePrimaryCtxRelease_v2(int device) {
    (void)device;
    while (blocks) release(blocks);
    return SUCCESS;
}

int cuMemGetInfo_v2(size_t *free, size_t *total) { ANSWER; return *free = memory - used, *total = memory, SUCCESS; }
int cuMemAlloc_v2(uintptr_t *address, size_t bytes) {
    ANSWER;
    if (!currentContext) return 201;
    if (used + bytes > memory) return OUT_OF_MEMORY;
    size_t whole = (bytes + 511) & ~(size_t)255;
    header *h = aligned_alloc(256, whole);
    memset(h, 0xff, whole);  // NaN: what is read before it is written shows
    *h = (header){bytes, blocks, &blocks};
    if (blocks) blocks->link = &h->next;
    blocks = h;
    used += bytes;
    return *address = (uintptr_t)h + 256, SUCCESS;
}
int cuMemFree_v2(uintptr_t address) {
    ANSWER;
    return release((header *)(address - 256)), SUCCESS;
}
int cuMemAllocHost_v2(void **pointer, size_t bytes) { ANSWER; return *pointer = malloc(bytes), SUCCESS; }
int cuMemFreeHost(void *pointer) { return free(pointer), SUCCESS; }

// MARK: - The stream: everything is done at once, or, while captured, put into a list

typedef struct node {
    enum { COPY, SET, KERNEL, CALL } kind;
    void *to;
    const void *from;
    size_t bytes;
    void (*call)(void *job);
    void *kernel;
    unsigned grid[3], block, shared;
    void **params;
} node;
typedef struct graph { node nodes[16384]; size_t count; } graph;
static graph *capture;

static int run(const node *n) {
    switch (n->kind) {
    case COPY: memmove(n->to, n->from, n->bytes); break;
    case SET: memset(n->to, (int)n->block & 255, n->bytes); break;
    case CALL: n->call(n->to); break;
    case KERNEL: return kernels.run(n->kernel, n->grid, n->block, n->shared, n->params) ? 719 : SUCCESS;  // 719: the launch failed
    }
    return SUCCESS;
}
static int queue(node n) {
    if (!capture) return run(&n);
    if (capture->count == sizeof capture->nodes / sizeof capture->nodes[0]) return INVALID_VALUE;
    return capture->nodes[capture->count++] = n, SUCCESS;
}
int emulated_queue(void (*call)(void *job), const void *job, size_t bytes) {
    bool kept = capture;
    void *copy = kept ? memcpy(malloc(bytes), job, bytes) : (void *)job;
    return queue((node){.kind = CALL, .call = call, .to = copy});
}

static int theStream;
int cuStreamCreate(void **stream, unsigned flags) { ANSWER; return (void)flags, *stream = &theStream, SUCCESS; }
int cuStreamDestroy_v2(void *stream) { return (void)stream, SUCCESS; }
int cuStreamSynchronize(void *stream) { ANSWER; return (void)stream, capture ? 900 : SUCCESS; }
int cuMemcpyHtoDAsync_v2(uintptr_t to, const void *from, size_t bytes, void *stream) {
    ANSWER;
    return (void)stream, queue((node){.to = (void *)to, .from = from, .bytes = bytes});
}
int cuMemcpyDtoHAsync_v2(void *to, uintptr_t from, size_t bytes, void *stream) {
    ANSWER;
    return (void)stream, queue((node){.to = to, .from = (void *)from, .bytes = bytes});
}
int cuMemcpyDtoDAsync_v2(uintptr_t to, uintptr_t from, size_t bytes, void *stream) {
    ANSWER;
    return (void)stream, queue((node){.to = (void *)to, .from = (void *)from, .bytes = bytes});
}
int cuMemsetD8Async(uintptr_t to, unsigned char value, size_t bytes, void *stream) {
    ANSWER;
    return (void)stream, queue((node){.kind = SET, .to = (void *)to, .bytes = bytes, .block = value});
}

int cuEventCreate(void **event, unsigned flags) { ANSWER; return (void)flags, *event = calloc(1, sizeof(struct timespec)), SUCCESS; }
int cuEventDestroy_v2(void *event) { return free(event), SUCCESS; }
int cuEventRecord(void *event, void *stream) { ANSWER; return (void)stream, clock_gettime(CLOCK_MONOTONIC, event), SUCCESS; }
int cuEventSynchronize(void *event) { ANSWER; return (void)event, SUCCESS; }
int cuEventElapsedTime(float *milliseconds, void *from, void *to) {
    const struct timespec *a = from, *b = to;
    return *milliseconds = (float)((double)(b->tv_sec - a->tv_sec) * 1e3 + (double)(b->tv_nsec - a->tv_nsec) * 1e-6), SUCCESS;
}

// MARK: - Kernels and graphs

int cuModuleLoadData(void **module, const void *image) { ANSWER; return *module = (void *)image, SUCCESS; }
int cuModuleUnload(void *module) { return (void)module, SUCCESS; }
int cuModuleGetFunction(void **function, void *module, const char *name) {
    (void)module;
    ANSWER;
    *function = kernels.find ? kernels.find(name) : NULL;
    return *function ? SUCCESS : NOT_FOUND;
}
int cuFuncSetAttribute(void *function, int attribute, int value) {
    return (void)function, (void)attribute, value <= 227 << 10 ? SUCCESS : INVALID_VALUE;
}
int cuLaunchKernel(void *function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX, unsigned blockY, unsigned blockZ,
                   unsigned sharedBytes, void *stream, void **params, void **extra) {
    (void)stream, (void)extra;
    ANSWER;
    if (blockX * blockY * blockZ > 1024 || gridY > 65535 || gridZ > 65535) return INVALID_VALUE;
    if (capture) params = kernels.copy(function, params);  // the arguments outlive the call
    return queue((node){.kind = KERNEL, .kernel = function, .grid = {gridX, gridY, gridZ}, .block = blockX, .shared = sharedBytes, .params = params});
}

int cuStreamBeginCapture_v2(void *stream, int mode) { ANSWER; return (void)stream, (void)mode, capture = calloc(1, sizeof *capture), SUCCESS; }
int cuStreamEndCapture(void *stream, void **recorded) { return (void)stream, *recorded = capture, capture = NULL, SUCCESS; }
int cuGraphGetNodes(void *recorded, void **nodes, size_t *count) { return (void)nodes, *count = ((graph *)recorded)->count, SUCCESS; }
int cuGraphInstantiateWithFlags(void **executable, void *recorded, unsigned long long flags) {
    (void)flags;
    ANSWER;
    return *executable = memcpy(malloc(sizeof(graph)), recorded, sizeof(graph)), SUCCESS;
}
int cuGraphLaunch(void *executable, void *stream) {
    (void)stream;
    ANSWER;
    int status = SUCCESS;
    for (size_t i = 0; i < ((graph *)executable)->count && status == SUCCESS; i++) status = run(&((graph *)executable)->nodes[i]);
    return status;
}
int cuGraphDestroy(void *recorded) { return free(recorded), SUCCESS; }
int cuGraphExecDestroy(void *executable) { return free(executable), SUCCESS; }
