// How many blocks of how many threads each kernel is run with, and what it is given. The kernels are CUDADevice/kernels/*.cu.
// The tests read this file as C++ too.
#include "CCUDA.h"
#include "CCUDALaunch.h"
#include <math.h>
#include <stdlib.h>

enum { BLOCK = 256, WARP = 32, MOST_AXES = 8 };

static inline ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static inline ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }
static inline ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }

/// How many neighbouring elements a thread takes when `type` is the widest it touches: 16 bytes.
static inline ptrdiff_t run_length(ccuda_type type) { return (ptrdiff_t)(16 / ccuda_type_size(type)); }

/// Queues `blocks` blocks of `block` threads.
static void launch(ccuda_context *context, const char *name, ccuda_type type, ptrdiff_t blocks, unsigned block, unsigned sharedBytes, void **params) {
    if (blocks <= 0) return;
    if (blocks > INT32_MAX) { ccuda_fail(context, CCUDA_MISUSE, "A tensor has more elements than one launch can cover."); return; }
    ccuda_launch(context, name, type, (unsigned)blocks, 1, 1, block, sharedBytes, params);
}

/// A thread for each run of `n` elements.
static void launch_elements(ccuda_context *context, const char *name, ccuda_type type, ccuda_type widest, ptrdiff_t n, void **params) {
    launch(context, name, type, ceil_div(n, BLOCK * run_length(widest)), BLOCK, 0, params);
}

/// A thread for each run of the rows `[rows, n]`.
static void launch_rows(ccuda_context *context, const char *name, ccuda_type type, ccuda_type widest, ptrdiff_t rows, ptrdiff_t n, void **params) {
    launch(context, name, type, ceil_div(rows * ceil_div(n, run_length(widest)), BLOCK), BLOCK, 0, params);
}

/// A warp for each of `rows` rows.
static void launch_warps(ccuda_context *context, const char *name, ccuda_type type, ptrdiff_t rows, void **params) {
    enum { warps = 4 };
    launch(context, name, type, ceil_div(rows, warps), warps * WARP, 0, params);
}

/// Scratch memory for `count` numbers that are added up later; NULL after a failure. Never empty, so that NULL has one meaning.
static void *scratch(ccuda_context *context, ptrdiff_t count, size_t size) { return ccuda_scratch(context, (size_t)larger(1, count) * size); }

// MARK: - Number formats

void ccuda_convert(ccuda_context *context, ptrdiff_t n, const void *x, ccuda_type from, void *y, ccuda_type to) {
    static const char *const names[] = {"convert_f32", "convert_f16", "convert_bf16"};
    void *params[] = {&n, &x, &y};
    launch_elements(context, names[from], to, from == CCUDA_F32 || to == CCUDA_F32 ? CCUDA_F32 : CCUDA_BF16, n, params);
}

void ccuda_fill(ccuda_context *context, ccuda_type type, ptrdiff_t n, float value, const float *factor, void *y) {
    void *params[] = {&n, &value, &factor, &y};
    launch_elements(context, "fill", type, type, n, params);
}

// MARK: - Element-wise

void ccuda_apply(ccuda_context *context, ccuda_type type, int function, ptrdiff_t n, const void *x, void *y) {
    void *params[] = {&function, &n, &x, &y};
    launch_elements(context, "apply", type, type, n, params);
}

void ccuda_apply_backward(ccuda_context *context, ccuda_type type, int function, ptrdiff_t n, const void *x, const void *y, const void *dy,
                          void *dx) {
    enum { expOf = 0, sqrtOf = 2, reciprocalOf = 6, sigmoidOf = 7, tanhOf = 8 };  // cc_function's numbers: these are told by their outputs
    bool byOutput = function == expOf || function == sqrtOf || function == reciprocalOf || function == sigmoidOf || function == tanhOf;
    const void *kept = byOutput ? y : x;
    void *params[] = {&function, &n, &kept, &dy, &dx};
    launch_elements(context, "apply_backward", type, type, n, params);
}

void ccuda_clamp(ccuda_context *context, ccuda_type type, ptrdiff_t n, const void *x, float low, float high, void *y) {
    void *params[] = {&n, &x, &low, &high, &y};
    launch_elements(context, "clamp", type, type, n, params);
}

void ccuda_clamp_backward(ccuda_context *context, ccuda_type type, ptrdiff_t n, const void *x, float low, float high, const void *dy, void *dx) {
    void *params[] = {&n, &x, &low, &high, &dy, &dx};
    launch_elements(context, "clamp_backward", type, type, n, params);
}

void ccuda_combine(ccuda_context *context, ccuda_type type, int op, ptrdiff_t n, const void *a, const void *b, void *y) {
    void *params[] = {&op, &n, &a, &b, &y};
    launch_elements(context, "combine", type, type, n, params);
}

void ccuda_combine_scalar(ccuda_context *context, ccuda_type type, int op, ptrdiff_t n, const void *a, float s, const float *factor, void *y) {
    void *params[] = {&op, &n, &a, &s, &factor, &y};
    launch_elements(context, "combine_scalar", type, type, n, params);
}

/// As the kernels know it.
typedef struct { int rank; long long extent[MOST_AXES], aStride[MOST_AXES], bStride[MOST_AXES]; } broadcast_t;

void ccuda_combine_broadcast(ccuda_context *context, ccuda_type type, int op, int rank, const ptrdiff_t *shape, const void *a,
                             const ptrdiff_t *aStrides, const void *b, const ptrdiff_t *bStrides, void *y) {
    broadcast_t t;
    ptrdiff_t n = 1;
    t.rank = 0;
    for (int i = 0; i < rank; i++) {
        n *= shape[i];
        if (shape[i] == 1) continue;
        // An axis joins the one before it when both operands step through the two as through one.
        int last = t.rank - 1;
        if (last >= 0 && t.aStride[last] == aStrides[i] * shape[i] && t.bStride[last] == bStrides[i] * shape[i]) t.extent[last] *= shape[i];
        else { last = t.rank++; t.extent[last] = shape[i]; }
        t.aStride[last] = aStrides[i];
        t.bStride[last] = bStrides[i];
    }
    if (t.rank == 0) { t.rank = 1; t.extent[0] = 1; t.aStride[0] = t.bStride[0] = 0; }
    void *params[] = {&op, &n, &t, &a, &b, &y};
    launch_elements(context, "combine_broadcast", type, type, n, params);
}

void ccuda_axpy(ccuda_context *context, ptrdiff_t n, float alpha, const void *x, ccuda_type xType, void *y, ccuda_type yType) {
    void *params[] = {&n, &alpha, &x, &y};
    launch_elements(context, xType == CCUDA_F32 ? "axpy_f32" : "axpy_bf16", yType, yType, n, params);
}

void ccuda_add_bias(ccuda_context *context, ccuda_type type, ptrdiff_t rows, ptrdiff_t pixels, ptrdiff_t n, const void *h, const void *bias,
                    const void *shift, const void *addend, void *y) {
    void *params[] = {&rows, &pixels, &n, &h, &bias, &shift, &addend, &y};
    launch_rows(context, "add_bias", type, type, rows, n, params);
}

void ccuda_geglu(ccuda_context *context, ccuda_type type, ptrdiff_t rows, ptrdiff_t N, const void *x, const void *bias, void *y) {
    void *params[] = {&rows, &N, &x, &bias, &y};
    launch_rows(context, "geglu", type, type, rows, N, params);
}

void ccuda_geglu_backward(ccuda_context *context, ccuda_type type, ptrdiff_t rows, ptrdiff_t N, const void *x, const void *bias, const void *dy,
                          void *dx) {
    void *params[] = {&rows, &N, &x, &bias, &dy, &dx};
    launch_rows(context, "geglu_backward", type, type, rows, N, params);
}

// MARK: - Reductions

enum { PIECE_ROUNDS = 8 };  // the kernels' pieceRounds

static ptrdiff_t pieces_of(ccuda_type type, ptrdiff_t n) { return ceil_div(n, BLOCK * run_length(type) * PIECE_ROUNDS); }

/// One block: `result = factor · Σ partial`.
static void finish_sum(ccuda_context *context, ptrdiff_t count, const double *partial, double factor, float *result) {
    void *params[] = {&count, &partial, &factor, &result};
    launch(context, "sum_finish", CCUDA_F32, 1, BLOCK, 0, params);
}

void ccuda_sum(ccuda_context *context, ccuda_type type, ptrdiff_t n, const void *x, double factor, float *result) {
    ptrdiff_t pieces = pieces_of(type, n);
    double *partial = (double *)scratch(context, pieces, sizeof(double));
    if (!partial) return;
    void *params[] = {&n, &x, &partial};
    launch(context, "sum_pieces", type, pieces, BLOCK, 0, params);
    finish_sum(context, pieces, partial, factor, result);
}

void ccuda_dot(ccuda_context *context, ccuda_type type, ptrdiff_t n, const void *a, const void *b, double factor, float *result) {
    ptrdiff_t pieces = pieces_of(type, n);
    double *partial = (double *)scratch(context, pieces, sizeof(double));
    if (!partial) return;
    void *params[] = {&n, &a, &b, &partial};
    launch(context, "dot_pieces", type, pieces, BLOCK, 0, params);
    finish_sum(context, pieces, partial, factor, result);
}

void ccuda_max_abs(ccuda_context *context, ccuda_type type, ptrdiff_t n, const void *x, float *result) {
    ptrdiff_t pieces = pieces_of(type, n);
    void *partial = scratch(context, pieces, sizeof(unsigned));
    if (!partial) return;
    void *params[] = {&n, &x, &partial};
    launch(context, "max_abs_pieces", type, pieces, BLOCK, 0, params);
    void *finish[] = {&pieces, &partial, &result};
    launch(context, "max_abs_finish", CCUDA_F32, 1, BLOCK, 0, finish);
}

/// `y[o, i] (+)= Σ_piece partial[o, piece, i]`, whose pieces are `stride` apart.
static void finish_axis(ccuda_context *context, ccuda_type result, ptrdiff_t outer, ptrdiff_t pieces, ptrdiff_t inner, ptrdiff_t stride,
                        const float *partial, void *y, bool accumulate) {
    int adds = accumulate;
    void *params[] = {&outer, &pieces, &inner, &stride, &partial, &y, &adds};
    launch(context, "sum_axis_finish", result, ceil_div(outer * inner, BLOCK), BLOCK, 0, params);
}

void ccuda_sum_axis(ccuda_context *context, ccuda_type type, ccuda_type result, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner, const void *x, void *y,
                    bool accumulate) {
    enum { mostPieces = 256, shortestRow = 2048, fewestRows = 64 };
    bool rows = inner == 1;
    ptrdiff_t length = larger(rows ? shortestRow : fewestRows, ceil_div(n, mostPieces)), pieces = ceil_div(n, length);
    if (outer == 0 || inner == 0) return;
    float *partial = (float *)scratch(context, outer * pieces * inner, sizeof(float));
    if (!partial) return;
    if (rows) {
        void *params[] = {&outer, &n, &pieces, &length, &x, &partial};
        launch_warps(context, "sum_rows", type, outer * pieces, params);
    } else {
        void *params[] = {&n, &inner, &pieces, &length, &x, &partial};
        launch(context, "sum_columns", type, outer * pieces * ceil_div(inner, WARP), BLOCK, 0, params);
    }
    finish_axis(context, result, outer, pieces, inner, inner, partial, y, accumulate);
}

// MARK: - Softmax and normalisation

void ccuda_softmax(ccuda_context *context, ccuda_type type, ptrdiff_t rows, ptrdiff_t n, const void *x, void *y) {
    void *params[] = {&rows, &n, &x, &y};
    launch_warps(context, "softmax", type, rows, params);
}

void ccuda_softmax_backward(ccuda_context *context, ccuda_type type, ptrdiff_t rows, ptrdiff_t n, const void *y, const void *dy, void *dx) {
    void *params[] = {&rows, &n, &y, &dy, &dx};
    launch_warps(context, "softmax_backward", type, rows, params);
}

void ccuda_log_softmax(ccuda_context *context, ccuda_type type, ptrdiff_t rows, ptrdiff_t n, const void *x, void *y) {
    void *params[] = {&rows, &n, &x, &y};
    launch_warps(context, "log_softmax", type, rows, params);
}

void ccuda_log_softmax_backward(ccuda_context *context, ccuda_type type, ptrdiff_t rows, ptrdiff_t n, const void *y, const void *dy, void *dx) {
    void *params[] = {&rows, &n, &y, &dy, &dx};
    launch_warps(context, "log_softmax_backward", type, rows, params);
}

void ccuda_layer_norm(ccuda_context *context, ccuda_type type, ptrdiff_t rows, ptrdiff_t n, float epsilon, const void *x, const float *scale,
                      const float *shift, void *y, float *mean, float *rstd) {
    void *params[] = {&rows, &n, &epsilon, &x, &scale, &shift, &y, &mean, &rstd};
    if (n > 0) launch_warps(context, "layer_norm", type, rows, params);
}

void ccuda_layer_norm_backward(ccuda_context *context, ccuda_type type, ptrdiff_t rows, ptrdiff_t n, const void *x, const float *scale,
                               const float *mean, const float *rstd, const void *dy, void *dx, float *dscale, float *dshift) {
    enum { fewestRows = 64, mostPieces = 256 };
    if (n == 0) return;
    void *params[] = {&rows, &n, &x, &scale, &mean, &rstd, &dy, &dx};
    launch_warps(context, "layer_norm_backward", type, rows, params);
    if (!dscale && !dshift) return;
    ptrdiff_t length = larger(fewestRows, ceil_div(rows, mostPieces)), pieces = ceil_div(rows, length);
    float *partial = (float *)scratch(context, pieces * 2 * n, sizeof(float));  // [pieces, 2, n]
    if (!partial) return;
    void *columns[] = {&rows, &n, &length, &x, &mean, &rstd, &dy, &partial};
    launch(context, "layer_norm_columns", type, pieces * ceil_div(n, WARP), BLOCK, 0, columns);
    if (dscale) finish_axis(context, CCUDA_F32, 1, pieces, n, 2 * n, partial, dscale, false);
    if (dshift) finish_axis(context, CCUDA_F32, 1, pieces, n, 2 * n, partial + n, dshift, false);
}

/// As the kernels know it.
typedef struct { long long pixels, channels, groups, pieces, length; float epsilon; int silu; } group_norm_t;

/// Cuts pictures into pieces: large enough that reading the other pieces' sums is little work, small enough that there are many.
static group_norm_t group_norm_plan(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t groups, float epsilon, bool silu) {
    enum { pieceElements = 32768, mostPieces = 128 };
    ptrdiff_t wanted = smaller(mostPieces, ceil_div(pixels * channels, pieceElements)), length = ceil_div(pixels, larger(1, wanted));
    group_norm_t t;
    t.pixels = pixels;
    t.channels = channels;
    t.groups = groups;
    t.length = length;
    t.pieces = ceil_div(pixels, larger(1, length));
    t.epsilon = epsilon;
    t.silu = silu;
    return t;
}

/// Bytes of shared memory for two numbers per group.
static unsigned group_bytes(const group_norm_t *t) { return (unsigned)(2 * t->groups * (long long)sizeof(float)); }

void ccuda_group_norm(ccuda_context *context, ccuda_type type, ptrdiff_t batch, ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t groups, float epsilon,
                      bool silu, const void *x, const float *scale, const float *shift, void *y, float *mean, float *rstd) {
    if (batch == 0 || pixels == 0 || channels == 0) return;
    group_norm_t t = group_norm_plan(pixels, channels, groups, epsilon, silu);
    ptrdiff_t blocks = batch * (ptrdiff_t)t.pieces;
    float *partial = (float *)scratch(context, blocks * groups * 2, sizeof(float));  // [B, pieces, groups, 2]
    if (!partial) return;
    void *sums[] = {&t, &x, &partial};
    launch(context, "group_norm_sums", type, blocks, BLOCK, 0, sums);
    void *params[] = {&t, &x, &partial, &scale, &shift, &y, &mean, &rstd};
    launch(context, "group_norm", type, blocks, BLOCK, group_bytes(&t), params);
}

void ccuda_group_norm_backward(ccuda_context *context, ccuda_type type, ptrdiff_t batch, ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t groups,
                               bool silu, const void *x, const float *scale, const float *shift, const float *mean, const float *rstd, const void *dy,
                               void *dx, float *dscale, float *dshift) {
    group_norm_t t = group_norm_plan(pixels, channels, groups, 0, silu);
    ptrdiff_t blocks = batch * (ptrdiff_t)t.pieces, sumsOfGroups = blocks * groups * 2;
    bool wantsChannels = dscale || dshift;
    float *partial = (float *)scratch(context, sumsOfGroups + (wantsChannels ? blocks * 2 * channels : 0), sizeof(float));
    if (!partial) return;
    float *channelPartial = wantsChannels ? partial + sumsOfGroups : NULL;  // [B · pieces, 2, C]
    if (channels == 0) return;
    void *sums[] = {&t, &x, &scale, &shift, &mean, &rstd, &dy, &partial, &channelPartial};
    launch(context, "group_norm_backward_sums", type, blocks, BLOCK, 0, sums);
    void *params[] = {&t, &x, &partial, &scale, &shift, &mean, &rstd, &dy, &dx};
    launch(context, "group_norm_backward", type, blocks, BLOCK, group_bytes(&t), params);
    if (dscale) finish_axis(context, CCUDA_F32, 1, blocks, channels, 2 * channels, channelPartial, dscale, false);
    if (dshift) finish_axis(context, CCUDA_F32, 1, blocks, channels, 2 * channels, channelPartial + channels, dshift, false);
}

// MARK: - Moving data

void ccuda_copy_rows(ccuda_context *context, ccuda_type type, ptrdiff_t rows, ptrdiff_t n, const void *x, ptrdiff_t xRow, void *y, ptrdiff_t yRow) {
    if (xRow == n && yRow == n) { n *= rows; rows = 1; xRow = yRow = n; }
    void *params[] = {&rows, &n, &x, &xRow, &y, &yRow};
    launch_rows(context, "copy_rows", type, type, rows, n, params);
}

void ccuda_add_rows(ccuda_context *context, ccuda_type type, ptrdiff_t rows, ptrdiff_t n, const void *x, ptrdiff_t xRow, void *y, ptrdiff_t yRow) {
    if (xRow == n && yRow == n) { n *= rows; rows = 1; xRow = yRow = n; }
    void *params[] = {&rows, &n, &x, &xRow, &y, &yRow};
    launch_rows(context, "add_rows", type, type, rows, n, params);
}

/// As the kernels know it.
typedef struct { int rank; long long extent[MOST_AXES], xStride[MOST_AXES], yStride[MOST_AXES]; } axes_t;

/// The axes of `y`, unit axes left out and neighbours merged.
static axes_t merged_axes(int rank, const ptrdiff_t *shape, const int *axes) {
    ptrdiff_t strides[MOST_AXES], step = 1;
    axes_t t;
    t.rank = 0;
    for (int i = rank - 1; i >= 0; i--) { strides[i] = step; step *= shape[i]; }
    for (int i = 0; i < rank; i++) {
        ptrdiff_t extent = shape[axes[i]], stride = strides[axes[i]];
        if (extent == 1) continue;
        int last = t.rank - 1;
        if (last >= 0 && t.xStride[last] == stride * extent) t.extent[last] *= extent;
        else { last = t.rank++; t.extent[last] = extent; }
        t.xStride[last] = stride;
    }
    step = 1;
    for (int i = t.rank - 1; i >= 0; i--) { t.yStride[i] = step; step *= (ptrdiff_t)t.extent[i]; }
    return t;
}

static ptrdiff_t product_of_extents(const axes_t *t) {
    ptrdiff_t product = 1;
    for (int i = 0; i < t->rank; i++) product *= (ptrdiff_t)t->extent[i];
    return product;
}

static void remove_axis(axes_t *t, int axis) {
    t->rank--;
    for (int i = axis; i < t->rank; i++) { t->extent[i] = t->extent[i + 1]; t->xStride[i] = t->xStride[i + 1]; t->yStride[i] = t->yStride[i + 1]; }
}

void ccuda_transpose(ccuda_context *context, ccuda_type type, int rank, const ptrdiff_t *shape, const int *axes, const void *x, void *y) {
    axes_t outer = merged_axes(rank, shape, axes);
    ptrdiff_t n = product_of_extents(&outer);
    if (n == 0) return;
    if (outer.rank <= 1) { ccuda_copy_rows(context, type, 1, n, x, n, y, n); return; }
    long long columns = outer.extent[outer.rank - 1], xColumn = outer.xStride[outer.rank - 1];
    remove_axis(&outer, outer.rank - 1);
    if (xColumn == 1) {
        ptrdiff_t rows = product_of_extents(&outer);
        void *params[] = {&rows, &columns, &outer, &x, &y};
        launch_rows(context, "permute_rows", type, type, rows, (ptrdiff_t)columns, params);
        return;
    }
    int along = 0;  // the axis whose elements are neighbours in x: the last one that x has
    while (outer.xStride[along] != 1) along++;
    long long rows = outer.extent[along], yRow = outer.yStride[along];
    remove_axis(&outer, along);
    void *params[] = {&rows, &columns, &yRow, &xColumn, &outer, &x, &y};
    ptrdiff_t tiles = ceil_div((ptrdiff_t)rows, WARP) * ceil_div((ptrdiff_t)columns, WARP);
    launch(context, "transpose_tiles", type, product_of_extents(&outer) * tiles, BLOCK, 0, params);
}

void ccuda_gather_rows(ccuda_context *context, ccuda_type type, ptrdiff_t count, ptrdiff_t n, const void *table, ccuda_type tableType,
                       const int64_t *indices, void *y) {
    static const char *const names[] = {"gather_rows_f32", "gather_rows_f16", "gather_rows_bf16"};
    void *params[] = {&count, &n, &table, &indices, &y};
    launch_rows(context, names[tableType], type, type == CCUDA_F32 || tableType == CCUDA_F32 ? CCUDA_F32 : CCUDA_BF16, count, n, params);
}

void ccuda_scatter_add_rows(ccuda_context *context, ccuda_type type, ptrdiff_t count, ptrdiff_t n, const void *x, const int64_t *indices,
                            float *table) {
    void *params[] = {&count, &n, &x, &indices, &table};
    launch(context, "scatter_add_rows", type, count, BLOCK, 0, params);
}

void ccuda_upsample2(ccuda_context *context, ccuda_type type, ptrdiff_t batch, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels, const void *x,
                     void *y) {
    ptrdiff_t rows = batch * height;
    void *params[] = {&rows, &width, &channels, &x, &y};
    launch_rows(context, "upsample2", type, type, rows * width, channels, params);
}

void ccuda_upsample2_backward(ccuda_context *context, ccuda_type type, ptrdiff_t batch, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels,
                              const void *dy, void *dx) {
    ptrdiff_t rows = batch * height;
    void *params[] = {&rows, &width, &channels, &dy, &dx};
    launch_rows(context, "upsample2_backward", type, type, rows * width, channels, params);
}

// MARK: - Training

void ccuda_clip_factor(ccuda_context *context, const float *squaredNorm, float maximum, float *norm, float *factor) {
    void *params[] = {&squaredNorm, &maximum, &norm, &factor};
    launch(context, "clip_factor", CCUDA_F32, 1, WARP, 0, params);
}

/// As the kernels know it.
typedef struct { float decay, beta1, beta2, rate, root, epsilon, gradientScale; } adamw_t;

void ccuda_adamw(ccuda_context *context, ptrdiff_t n, float *p, const float *g, float *m, float *v, void *mirror, float lr, float beta1, float beta2,
                 float epsilon, float weightDecay, ptrdiff_t step, float gradientScale, const float *factor) {
    double correction1 = 1 - pow(beta1, (double)step), correction2 = 1 - pow(beta2, (double)step);
    adamw_t t = {(float)(1 - (double)lr * weightDecay), beta1, beta2, (float)(lr / correction1), (float)sqrt(correction2), epsilon, gradientScale};
    void *params[] = {&n, &p, &g, &m, &v, &mirror, &t, &factor};
    launch_elements(context, "adamw", CCUDA_F32, CCUDA_F32, n, params);
}

/// As the kernels know it.
typedef struct { float *start; long long count; } piece_t;

static ptrdiff_t piece_count(const ccuda_run *run) {
    enum { pieceElements = 16384 };
    return ceil_div(run->count, pieceElements);
}

/// Sends the pieces of all runs to scratch memory of the card, with room for a sum of each behind them; returns how many.
static ptrdiff_t send_pieces(ccuda_context *context, ptrdiff_t count, const ccuda_run *runs, void **onCard, double **sums) {
    ptrdiff_t pieces = 0, next = 0;
    for (ptrdiff_t i = 0; i < count; i++) pieces += piece_count(&runs[i]);
    size_t bytes = (size_t)pieces * sizeof(piece_t);
    char *block = (char *)scratch(context, pieces, sizeof(piece_t) + sizeof(double));
    *onCard = block;
    *sums = block ? (double *)(block + bytes) : NULL;
    if (!block || pieces == 0) return 0;
    piece_t *table = (piece_t *)malloc(bytes);
    for (ptrdiff_t i = 0; i < count; i++) {
        ptrdiff_t parts = piece_count(&runs[i]), length = 4 * ceil_div(ceil_div(runs[i].count, larger(1, parts)), 4);
        for (ptrdiff_t first = 0; first < runs[i].count; first += length) {
            table[next].start = runs[i].start + first;
            table[next++].count = smaller(length, runs[i].count - first);
        }
    }
    ccuda_upload(context, block, table, (size_t)next * sizeof(piece_t));
    free(table);
    return next;
}

void ccuda_norm(ccuda_context *context, ptrdiff_t count, const ccuda_run *runs, float *norm) {
    void *onCard;
    double *sums;
    ptrdiff_t pieces = send_pieces(context, count, runs, &onCard, &sums);
    if (!sums) return;
    void *squares[] = {&onCard, &sums}, *finish[] = {&pieces, &sums, &norm};
    launch(context, "squares_of_runs", CCUDA_F32, pieces, BLOCK, 0, squares);
    launch(context, "norm_of_runs", CCUDA_F32, 1, BLOCK, 0, finish);
}

void ccuda_clip(ccuda_context *context, ptrdiff_t count, const ccuda_run *runs, const float *norm, float limit) {
    void *onCard;
    double *sums;
    ptrdiff_t pieces = send_pieces(context, count, runs, &onCard, &sums);
    void *params[] = {&onCard, &norm, &limit};
    launch(context, "clip_runs", CCUDA_F32, pieces, BLOCK, 0, params);
}

void ccuda_cross_entropy(ccuda_context *context, ptrdiff_t rows, ptrdiff_t classes, const float *logs, const int64_t *targets, int64_t ignored,
                         float smoothing, ptrdiff_t counted, float *result) {
    double *partial = (double *)scratch(context, rows, sizeof(double));
    if (!partial) return;
    void *params[] = {&rows, &classes, &logs, &targets, &ignored, &smoothing, &partial};
    launch_warps(context, "cross_entropy", CCUDA_F32, rows, params);
    finish_sum(context, rows, partial, 1 / (double)counted, result);
}

void ccuda_cross_entropy_backward(ccuda_context *context, ptrdiff_t rows, ptrdiff_t classes, const float *logs, const int64_t *targets,
                                  int64_t ignored, float smoothing, ptrdiff_t counted, const float *dy, float *dx) {
    float number = (float)counted;
    void *params[] = {&rows, &classes, &logs, &targets, &ignored, &smoothing, &number, &dy, &dx};
    launch_rows(context, "cross_entropy_backward", CCUDA_F32, CCUDA_F32, rows, classes, params);
}

void ccuda_mix(ccuda_context *context, ccuda_type type, ptrdiff_t batch, ptrdiff_t n, const float *signal, const float *x, float sign,
               const float *deviation, const float *e, void *y) {
    void *params[] = {&batch, &n, &signal, &x, &sign, &deviation, &e, &y};
    launch_rows(context, "mix", type, CCUDA_F32, batch, n, params);
}

/// As the kernels know it.
typedef struct { long long batch, n, pieces, channels; int kind; } loss_shape;

void ccuda_loss(ccuda_context *context, ccuda_type type, ccuda_loss_kind kind, ptrdiff_t batch, ptrdiff_t n, ptrdiff_t channels,
                const void *prediction, const float *target, const float *weights, const float *mask, const float *widths,
                const float *upstream, void *gradient, float *loss) {
    enum { lossRounds = 4 };  // the kernels'
    ptrdiff_t pieces = ceil_div(n, BLOCK * run_length(CCUDA_F32) * lossRounds), count = batch * pieces;
    double *partial = (double *)scratch(context, count, sizeof(double));
    if (!partial) return;
    loss_shape s = {batch, n, pieces, channels, (int)kind};
    void *params[] = {&s, &prediction, &target, &weights, &mask, &widths, &upstream, &gradient, &partial};
    launch(context, "loss_pieces", type, count, BLOCK, 0, params);
    finish_sum(context, count, partial, count > 0 ? 1 / ((double)batch * (double)n) : 0, loss);
}

// MARK: - Attention

/// As the kernels know it.
typedef struct {
    long long batch, queries, keys, heads, width, qRow, kvRow, outRow;
    float scale;
    int causal;
    long long causalOffset;
    const int32_t *keyLengths;
} attention_t;

static attention_t attention_of(const ccuda_attention *a) {
    attention_t t = {a->batch, a->queries, a->keys, a->heads, a->width, a->qRow, a->kvRow, a->outRow, a->scale, a->causal, a->causalOffset,
                     a->keyLengths};
    return t;
}

/// A warp for four of `rows` rows of each head, which keeps `keptRows` rows and `weights` numbers in shared memory: as many warps to a block
/// as 48 KiB have room for, up to four.
static void launch_tiles(ccuda_context *context, const char *name, const ccuda_attention *a, ptrdiff_t rows, int keptRows, int weights,
                         void **params) {
    ptrdiff_t bytes = (keptRows * a->width + weights) * (ptrdiff_t)sizeof(float), warps = larger(1, smaller(4, (48 << 10) / bytes));
    launch(context, name, a->type, ceil_div(a->batch * a->heads * ceil_div(rows, 4), warps), (unsigned)(warps * WARP), (unsigned)(warps * bytes),
           params);
}

void ccuda_plain_attention(ccuda_context *context, const ccuda_attention *a, const void *q, const void *k, const void *v, void *out, float *lse) {
    attention_t t = attention_of(a);
    void *params[] = {&t, &q, &k, &v, &out, &lse};
    launch_tiles(context, "attention", a, a->queries, 8, 256, params);
}

void ccuda_plain_attention_backward(ccuda_context *context, const ccuda_attention *a, const void *q, const void *k, const void *v, const void *out,
                                    const float *lse, const void *dout, void *dq, void *dk, void *dv) {
    attention_t t = attention_of(a);
    ptrdiff_t rows = a->batch * a->heads * a->queries;
    float *delta = (float *)scratch(context, rows, sizeof(float));  // [B, heads, T]
    if (!delta) return;
    void *sums[] = {&t, &out, &dout, &delta};
    launch_warps(context, "attention_delta", a->type, rows, sums);
    void *queries[] = {&t, &q, &k, &v, &lse, &delta, &dout, &dq};
    launch_tiles(context, "attention_backward_queries", a, a->queries, 12, 256, queries);
    void *keys[] = {&t, &q, &k, &v, &lse, &delta, &dout, &dk, &dv};
    launch_tiles(context, "attention_backward_keys", a, a->keys, 16, 512, keys);
}

// MARK: - Convolution

/// As the kernels know it.
typedef struct {
    long long batch, height, width, channels, outChannels, kernelHeight, kernelWidth, stride, padTop, padLeft, outHeight, outWidth;
} conv_t;

static conv_t conv_of(const ccuda_conv *c) {
    conv_t t = {c->batch, c->height, c->width, c->channels, c->outChannels, c->kernelHeight, c->kernelWidth, c->stride, c->padTop, c->padLeft,
                (c->height + c->padTop + c->padBottom - c->kernelHeight) / c->stride + 1,
                (c->width + c->padLeft + c->padRight - c->kernelWidth) / c->stride + 1};
    return t;
}

/// A block for each 16×16 of the result `[M, N]`.
static void launch_product(ccuda_context *context, const char *name, ccuda_type type, long long M, long long N, void **params) {
    enum { side = 16 };
    launch(context, name, type, ceil_div((ptrdiff_t)M, side) * ceil_div((ptrdiff_t)N, side), side * side, 0, params);
}

void ccuda_plain_convolve(ccuda_context *context, const ccuda_conv *c, const void *x, const void *w, const void *bias, const void *addend, void *y) {
    conv_t t = conv_of(c);
    void *params[] = {&t, &x, &w, &bias, &addend, &y};
    launch_product(context, "convolve", c->type, t.batch * t.outHeight * t.outWidth, t.outChannels, params);
}

void ccuda_plain_convolve_backward_input(ccuda_context *context, const ccuda_conv *c, const void *w, const void *dy, void *dx, bool accumulate) {
    conv_t t = conv_of(c);
    int adds = accumulate;
    void *params[] = {&t, &w, &dy, &dx, &adds};
    launch_product(context, "convolve_backward_input", c->type, t.batch * t.height * t.width, t.channels, params);
}

void ccuda_plain_convolve_backward_weight(ccuda_context *context, const ccuda_conv *c, const void *x, const void *dy, float *dw, bool accumulate) {
    conv_t t = conv_of(c);
    int adds = accumulate;
    void *params[] = {&t, &x, &dy, &dw, &adds};
    launch_product(context, "convolve_backward_weight", c->type, t.outChannels, t.kernelHeight * t.kernelWidth * t.channels, params);
}

void ccuda_depthwise(ccuda_context *context, ptrdiff_t batch, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels, ptrdiff_t kernel,
                     const float *x, const float *taps, const float *shift, float *y) {
    ptrdiff_t pixels = batch * height * width;
    void *params[] = {&pixels, &height, &width, &channels, &kernel, &x, &taps, &shift, &y};
    launch(context, "depthwise", CCUDA_F32, ceil_div(pixels * channels, BLOCK), BLOCK, 0, params);
}
