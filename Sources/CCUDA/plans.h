// cuDNN's backend interface: operations put together from numbered descriptors, and plans that run them.
#pragma once
#include "context.h"

/// cuDNN's number formats.
enum { DNN_FLOAT = 0, DNN_HALF = 2, DNN_BFLOAT16 = 9 };
int dnn_type_of(ccuda_type type);

/// Kinds of descriptors.
enum {
    DNN_POINTWISE = 0, DNN_CONVOLUTION = 1, DNN_ENGINE = 2, DNN_CONFIGURATION = 3, DNN_HEURISTICS = 4, DNN_PLAN = 5, DNN_CONVOLVE = 10,
    DNN_CONVOLVE_BACKWARD_WEIGHT = 11, DNN_CONVOLVE_BACKWARD_INPUT = 12, DNN_POINTWISE_OPERATION = 13, DNN_GRAPH = 15, DNN_VARIANT_PACK = 16,
    DNN_TENSOR = 17, DNN_MATMUL = 18, DNN_MATMUL_OPERATION = 19, DNN_REDUCTION = 21, DNN_REDUCTION_OPERATION = 22, DNN_RESHAPE_OPERATION = 31,
    DNN_DEVICE = 38, DNN_ATTENTION_OPERATION = 41
};

/// Types of attributes.
enum {
    DNN_TYPE_HANDLE = 0, DNN_TYPE_DATA_TYPE = 1, DNN_TYPE_BOOLEAN = 2, DNN_TYPE_INT64 = 3, DNN_TYPE_FLOAT = 4, DNN_TYPE_POINTER = 6,
    DNN_TYPE_CONVOLUTION_MODE = 7, DNN_TYPE_HEURISTICS_MODE = 8, DNN_TYPE_NUMERICAL_NOTE = 11, DNN_TYPE_POINTWISE_MODE = 14, DNN_TYPE_DESCRIPTOR = 15,
    DNN_TYPE_REDUCTION_OPERATOR = 18, DNN_TYPE_BEHAVIOR_NOTE = 19, DNN_TYPE_CHAR = 24
};

/// What plans are made for: an open card, or the description of one.
typedef struct dnn_target { void *handle, *device; } dnn_target;

/// Operations on their way to a plan. The first call that cuDNN refuses sets `status`; the rest do nothing.
typedef struct dnn_graph {
    dnn_target target;
    void *made[192], *operations[24];
    int madeCount, operationCount, status;
} dnn_graph;

void *dnn_make(dnn_graph *g, int kind);
void dnn_set(dnn_graph *g, void *descriptor, int attribute, int type, int64_t count, const void *values);
void dnn_finish(dnn_graph *g, void *descriptor);
/// Finishes an operation and adds it.
void dnn_add(dnn_graph *g, void *operation);
/// Gives all descriptors back.
void dnn_clear(dnn_graph *g);

/// A tensor is memory, a value given on the host, or only passed from one operation to the next.
typedef enum dnn_storage { DNN_REAL, DNN_VALUE, DNN_VIRTUAL } dnn_storage;
/// A tensor of four axes under a number that is its own.
void *dnn_tensor(dnn_graph *g, int64_t number, int type, const int64_t extents[4], const int64_t strides[4], dnn_storage storage, int64_t alignment);

/// A graph's way to run.
typedef struct dnn_plan {
    dnn_graph graph;
    void *descriptor;
    int64_t workspace;
} dnn_plan;

/// What is asked of a plan's engine.
typedef struct dnn_wishes {
    /// No TF32, no transforms that round more than plain sums.
    bool exact;
    /// Engines that compile kernels at run time are welcome.
    bool compiled;
} dnn_wishes;

enum { DNN_CANDIDATES = 4 };
/// Up to `wanted` finished plans for a graph, cuDNN's favourite first; returns how many. They share the graph's descriptors.
int dnn_plans(dnn_graph *g, dnn_wishes wishes, int wanted, void *plans[DNN_CANDIDATES]);

/// A plan's operands: numbers of tensors and their addresses.
typedef struct dnn_operands { int64_t numbers[16]; void *pointers[16]; int count; } dnn_operands;
static inline void dnn_bind(dnn_operands *o, int64_t number, const void *pointer) {
    o->numbers[o->count] = number;
    o->pointers[o->count++] = (void *)pointer;
}

/// Makes the graph of what `shape` describes.
typedef void dnn_builder(dnn_graph *g, const void *shape);

/// The plan for a shape, from the table, the cache of files (of compiled plans) or newly made; NULL if cuDNN has none, which is remembered.
/// `trial` has operands to time candidates with.
dnn_plan *dnn_find_plan(ccuda_context *context, const void *key, size_t length, dnn_builder *build, const void *shape, dnn_wishes wishes,
                        const dnn_operands *trial);
/// Queues a plan.
bool dnn_run(ccuda_context *context, const dnn_plan *plan, const dnn_operands *operands, const char *doing);

/// Starts a graph for an architecture without a card, its device described to cuDNN in words.
bool dnn_describe(dnn_graph *g, int architecture, ccuda_error *error);
