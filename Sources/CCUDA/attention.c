// Attention by cuDNN: forward as one operation, backward as a graph that its engine for flash attention takes as a whole.
#include "plans.h"
#include <string.h>

/// What a plan depends on; no padding, since it is hashed.
typedef struct attention_shape { int64_t backward, type, batch, queries, keys, heads, width, qRow, kvRow, outRow; } attention_shape;

/// Numbers of the tensors in memory, and of the values from the host; those in between follow.
enum { Q = 1, K, V, OUT, LSE, SCALE, DOUT, DQ, DK, DV, SUM, ACCUMULATOR, ONE, BETWEEN };
enum { ALIGNMENT = 16 };

/// A graph being written: the shape, and the number of the next tensor in between.
typedef struct writer { dnn_graph *graph; const attention_shape *shape; int64_t next; } writer;

// MARK: - Tensors

/// Rows of tokens `[B, tokens, heads·D]`, `row` apart, as axes `[B, heads, tokens, D]`; turned: `[B, heads, D, tokens]`.
static void *token_tensor(writer *w, int64_t number, int64_t tokens, int64_t row, bool turned, dnn_storage storage) {
    const attention_shape *s = w->shape;
    const int64_t upright[] = {s->batch, s->heads, tokens, s->width}, across[] = {s->batch, s->heads, s->width, tokens};
    const int64_t strides[] = {tokens * row, s->width, row, 1}, turnedStrides[] = {tokens * row, s->width, 1, row};
    return dnn_tensor(w->graph, number, (int)s->type, turned ? across : upright, turned ? turnedStrides : strides, storage, ALIGNMENT);
}

/// A value per query, `[B, heads, T, 1]`, float32.
static void *query_tensor(writer *w, int64_t number, dnn_storage storage) {
    const attention_shape *s = w->shape;
    const int64_t extents[] = {s->batch, s->heads, s->queries, 1}, strides[] = {s->heads * s->queries, s->queries, 1, 1};
    return dnn_tensor(w->graph, number, DNN_FLOAT, extents, strides, storage, ALIGNMENT);
}

/// A contiguous tensor of queries by `columns`, float32.
static void *query_rows(writer *w, int64_t number, int64_t columns, dnn_storage storage) {
    const attention_shape *s = w->shape;
    const int64_t extents[] = {s->batch, s->heads, s->queries, columns};
    const int64_t strides[] = {s->heads * s->queries * columns, s->queries * columns, columns, 1};
    return dnn_tensor(w->graph, number, DNN_FLOAT, extents, strides, storage, ALIGNMENT);
}

/// Scores in between, `[B, heads, T, S]`, float32.
static void *scores(writer *w) { return query_rows(w, w->next++, w->shape->keys, DNN_VIRTUAL); }

/// Scores turned, `[B, heads, S, T]`, in the operands' type.
static void *turned_scores(writer *w) {
    const attention_shape *s = w->shape;
    const int64_t extents[] = {s->batch, s->heads, s->keys, s->queries};
    const int64_t strides[] = {s->heads * s->queries * s->keys, s->queries * s->keys, 1, s->keys};
    return dnn_tensor(w->graph, w->next++, (int)s->type, extents, strides, DNN_VIRTUAL, ALIGNMENT);
}

static void *host_value(writer *w, int64_t number) {
    const int64_t ones[] = {1, 1, 1, 1};
    return dnn_tensor(w->graph, number, DNN_FLOAT, ones, ones, DNN_VALUE, ALIGNMENT);
}

// MARK: - Operations

typedef enum pointwise { ADD = 0, MULTIPLY = 1, SUBTRACT = 9, EXPONENTIAL = 13, IDENTITY = 21 } pointwise;

/// An operation of two or three tensors with a descriptor of its own, by the numbers of their attributes.
static void *operate(writer *w, int kind, const int *attributes, void *descriptor, void *a, void *b, void *result) {
    dnn_graph *g = w->graph;
    void *operation = dnn_make(g, kind);
    if (descriptor) dnn_set(g, operation, attributes[0], DNN_TYPE_DESCRIPTOR, 1, &descriptor);
    dnn_set(g, operation, attributes[1], DNN_TYPE_DESCRIPTOR, 1, &a);
    if (b) dnn_set(g, operation, attributes[2], DNN_TYPE_DESCRIPTOR, 1, &b);
    dnn_set(g, operation, attributes[3], DNN_TYPE_DESCRIPTOR, 1, &result);
    dnn_add(g, operation);
    return result;
}

/// What is computed in float32: a descriptor with its mode (or none) and precision.
static void *in_float(dnn_graph *g, int kind, int modeAttribute, int modeType, int mode, int precisionAttribute) {
    const int precision = DNN_FLOAT;
    void *descriptor = dnn_make(g, kind);
    if (modeType) dnn_set(g, descriptor, modeAttribute, modeType, 1, &mode);
    dnn_set(g, descriptor, precisionAttribute, DNN_TYPE_DATA_TYPE, 1, &precision);
    dnn_finish(g, descriptor);
    return descriptor;
}

static void *pointwise_to(writer *w, pointwise mode, void *a, void *b, void *result) {
    static const int attributes[] = {750, 751, 752, 753};
    return operate(w, DNN_POINTWISE_OPERATION, attributes, in_float(w->graph, DNN_POINTWISE, 0, DNN_TYPE_POINTWISE_MODE, mode, 1), a, b, result);
}

static void *multiply_to(writer *w, void *a, void *b, void *result) {
    static const int attributes[] = {1523, 1520, 1521, 1522};
    return operate(w, DNN_MATMUL_OPERATION, attributes, in_float(w->graph, DNN_MATMUL, 0, 0, 0, 1500), a, b, result);
}

static void *sum_to(writer *w, void *a, void *result) {
    static const int attributes[] = {1612, 1610, 0, 1611};
    return operate(w, DNN_REDUCTION_OPERATION, attributes, in_float(w->graph, DNN_REDUCTION, 1600, DNN_TYPE_REDUCTION_OPERATOR, ADD, 1601), a, NULL,
                   result);
}

static void *turn_to(writer *w, void *a, void *result) {
    static const int attributes[] = {0, 2200, 0, 2201};
    return operate(w, DNN_RESHAPE_OPERATION, attributes, NULL, a, NULL, result);
}

// MARK: - Graphs

/// `out = softmax(scale · Q Kᵀ) V` and the logarithms of the sums.
static void build_forward(dnn_graph *g, const void *shape) {
    enum { Q_ATTRIBUTE = 2800, K_ATTRIBUTE, V_ATTRIBUTE, OUT_ATTRIBUTE, LSE_ATTRIBUTE, SCALE_ATTRIBUTE };
    const attention_shape *s = shape;
    writer w = {g, s, BETWEEN};
    void *tensors[] = {
        token_tensor(&w, Q, s->queries, s->qRow, false, DNN_REAL), token_tensor(&w, K, s->keys, s->kvRow, false, DNN_REAL),
        token_tensor(&w, V, s->keys, s->kvRow, false, DNN_REAL), token_tensor(&w, OUT, s->queries, s->outRow, false, DNN_REAL),
        query_tensor(&w, LSE, DNN_REAL), host_value(&w, SCALE),
    };
    void *operation = dnn_make(g, DNN_ATTENTION_OPERATION);
    for (int i = 0; i < 6; i++) dnn_set(g, operation, Q_ATTRIBUTE + i, DNN_TYPE_DESCRIPTOR, 1, &tensors[i]);
    dnn_add(g, operation);
}

/// `Σ_d dO ⊙ O`, a number per query.
static void *products_with_output(writer *w, void *dout) {
    const attention_shape *s = w->shape;
    void *out = token_tensor(w, OUT, s->queries, s->outRow, false, DNN_REAL);
    void *product = pointwise_to(w, MULTIPLY, dout, out, query_rows(w, w->next++, s->width, DNN_VIRTUAL));
    void *sum = sum_to(w, product, query_tensor(w, w->next++, DNN_VIRTUAL));
    return pointwise_to(w, MULTIPLY, sum, host_value(w, ONE), query_tensor(w, SUM, DNN_REAL));
}

/// `P = exp(scale · Q Kᵀ − lse)` and `dV = Pᵀ dO`.
static void *probabilities(writer *w, void *q, void *turnedK, void *scale, void *dout) {
    const attention_shape *s = w->shape;
    void *score = pointwise_to(w, MULTIPLY, multiply_to(w, q, turnedK, scores(w)), scale, scores(w));
    void *p = pointwise_to(w, EXPONENTIAL, pointwise_to(w, SUBTRACT, score, query_tensor(w, LSE, DNN_REAL), scores(w)), NULL, scores(w));
    multiply_to(w, turn_to(w, p, turned_scores(w)), dout, token_tensor(w, DV, s->keys, s->kvRow, false, DNN_REAL));
    return p;
}

/// `dS = scale · P ⊙ (dO Vᵀ − Σ)` and `dK = dSᵀ Q`.
static void *score_gradients(writer *w, void *q, void *scale, void *dout, void *p, void *sum) {
    const attention_shape *s = w->shape;
    void *turnedV = token_tensor(w, V, s->keys, s->kvRow, true, DNN_REAL);
    void *dp = pointwise_to(w, SUBTRACT, multiply_to(w, dout, turnedV, scores(w)), sum, scores(w));
    void *ds = pointwise_to(w, MULTIPLY, pointwise_to(w, MULTIPLY, dp, p, scores(w)), scale, scores(w));
    multiply_to(w, turn_to(w, ds, turned_scores(w)), q, token_tensor(w, DK, s->keys, s->kvRow, false, DNN_REAL));
    return ds;
}

static void build_backward(dnn_graph *g, const void *shape) {
    const attention_shape *s = shape;
    writer w = {g, s, BETWEEN};
    void *q = token_tensor(&w, Q, s->queries, s->qRow, false, DNN_REAL), *turnedK = token_tensor(&w, K, s->keys, s->kvRow, true, DNN_REAL);
    void *scale = host_value(&w, SCALE), *dout = token_tensor(&w, DOUT, s->queries, s->outRow, false, DNN_REAL);
    void *sum = products_with_output(&w, dout);
    void *p = probabilities(&w, q, turnedK, scale, dout);
    void *ds = score_gradients(&w, q, scale, dout, p, sum);
    void *k = turn_to(&w, turnedK, token_tensor(&w, w.next++, s->keys, s->kvRow, false, DNN_VIRTUAL));
    void *accumulator = multiply_to(&w, ds, k, query_rows(&w, ACCUMULATOR, s->width, DNN_REAL));
    pointwise_to(&w, IDENTITY, accumulator, NULL, token_tensor(&w, DQ, s->queries, s->qRow, false, DNN_REAL));
}

// MARK: - Calls

static attention_shape shape_of(const ccuda_attention *a, bool backward) {
    return (attention_shape){backward, dnn_type_of(a->type), a->batch, a->queries, a->keys, a->heads, a->width, a->qRow, a->kvRow, a->outRow};
}

/// What the engines have in common: 16-bit operands, no masks, rows of whole 16 bytes.
static bool takes(const ccuda_attention *a) {
    return a->type != CCUDA_F32 && !a->causal && !a->keyLengths && a->width % 8 == 0 && a->qRow % 8 == 0 && a->kvRow % 8 == 0 && a->outRow % 8 == 0;
}

static bool aligned(const dnn_operands *o) {
    uintptr_t bits = 0;
    for (int i = 0; i < o->count; i++)
        if (o->numbers[i] != SCALE && o->numbers[i] != ONE) bits |= (uintptr_t)o->pointers[i];
    return bits % ALIGNMENT == 0;
}

static bool empty(const ccuda_attention *a) { return a->batch * a->queries * a->heads * a->width == 0; }

/// Finds the plan and queues it; false if there is none.
static bool attend(ccuda_context *context, const attention_shape *shape, dnn_builder *build, const dnn_operands *operands) {
    const dnn_wishes wishes = {.compiled = true};
    dnn_plan *plan = aligned(operands) ? dnn_find_plan(context, shape, sizeof *shape, build, shape, wishes, operands) : NULL;
    if (plan) dnn_run(context, plan, operands, shape->backward ? "attention's gradients" : "attention");
    return plan;
}

bool ccuda_fused_attention(ccuda_context *context, const ccuda_attention *a, const void *q, const void *k, const void *v, void *out, float *lse) {
    if (!takes(a)) return false;
    if (empty(a) || !cuda_enter(context)) return true;
    const attention_shape shape = shape_of(a, false);
    dnn_operands operands = {.numbers = {Q, K, V, OUT, LSE, SCALE}, .pointers = {(void *)q, (void *)k, (void *)v, out, lse, (void *)&a->scale},
                             .count = 6};
    bool taken = attend(context, &shape, build_forward, &operands);
    cuda_leave(context);
    return taken;
}

bool ccuda_fused_attention_backward(ccuda_context *context, const ccuda_attention *a, const void *q, const void *k, const void *v, const void *out,
                                    const float *lse, const void *dout, void *dq, void *dk, void *dv) {
    if (!takes(a)) return false;
    if (empty(a) || !cuda_enter(context)) return true;
    static const float one = 1;
    const attention_shape shape = shape_of(a, true);
    size_t sums = ((size_t)(a->batch * a->heads * a->queries) * sizeof(float) + 255) & ~(size_t)255;
    uint8_t *between = cuda_block(context, &context->between, sums + (size_t)(a->batch * a->heads * a->queries * a->width) * sizeof(float));
    dnn_operands operands = {
        .numbers = {Q, K, V, OUT, LSE, SCALE, DOUT, DQ, DK, DV, SUM, ACCUMULATOR, ONE},
        .pointers = {(void *)q, (void *)k, (void *)v, (void *)out, (void *)lse, (void *)&a->scale, (void *)dout, dq, dk, dv, between, between + sums,
                     (void *)&one},
        .count = 13,
    };
    bool taken = !between || attend(context, &shape, build_backward, &operands);
    cuda_leave(context);
    return taken;
}

int ccuda_count_attention_plans(const ccuda_attention *a, bool backward, int architecture, ccuda_error *error) {
    dnn_graph g = {.status = 0};
    void *plans[DNN_CANDIDATES];
    if (!dnn_describe(&g, architecture, error)) return 0;
    const attention_shape shape = shape_of(a, backward);
    (backward ? build_backward : build_forward)(&g, &shape);
    int found = g.status == 0 ? dnn_plans(&g, (dnn_wishes){.compiled = true}, DNN_CANDIDATES, plans) : 0;
    if (g.status) cuda_set_error(error, CCUDA_LIBRARY, "%s", cuda.dnn_errorString(g.status));
    dnn_clear(&g);
    return found;
}
