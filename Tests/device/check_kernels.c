// Our kernels against CCompute's functions of the same name.
#include "check.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const ccuda_type types[] = {CCUDA_F32, CCUDA_BF16};
#define EACH_TYPE(type) for (int type##_ = 0; type##_ < 2; type##_++) for (ccuda_type type = types[type##_], *once_ = &type; once_; once_ = NULL)
#define TIME(work) for (repeat r_ = timing(); more(&r_);) work

/// A UNet's largest activation: 64 × 64 × 320 for a batch of 4.
enum { MANY = 4 * 4096 * 320 };
static double bytes_of(ccuda_type type, double values) { return values * (double)ccuda_type_size(type); }

// MARK: - Element-wise

static void check_functions(ccuda_type type) {
    static const char *const names[] = {
        "exp", "log", "sqrt", "square", "abs", "negate", "reciprocal", "sigmoid", "tanh", "relu", "silu", "gelu", "gelu_tanh", "gelu_quick", "sin",
            "cos",
    };
    enum { n = 100003 };
    for (int f = CC_EXP; f <= CC_COS; f++) {
        bool positive = f == CC_LOG || f == CC_SQRT || f == CC_RECIPROCAL;
        tensor x = input_between(type, n, positive ? 0.1f : -4, 4), dy = input(type, n, 1), y = output(type, n), dx = output(type, n);
        begin(names[f], type, "%d, and its gradient", n);
        cc_apply((cc_function)f, n, x.host, y.host);
        ccuda_apply(card, type, f, n, x.card, y.card);
        expect(&y);
        tensor kept = copy_of(&y);  // both sides go on from the same rounded output
        cc_apply_backward((cc_function)f, n, x.host, kept.host, dy.host, dx.host);
        ccuda_apply_backward(card, type, f, n, x.card, kept.card, dy.card, dx.card);
        expect(&dx);
        end();
    }
}

static void check_operators(ccuda_type type) {
    static const char *const names[] = {"add", "subtract", "multiply", "divide", "maximum", "minimum"};
    const ptrdiff_t shape[] = {4, 33, 5, 40}, aStrides[] = {6600, 200, 40, 1}, bStrides[] = {40, 0, 0, 1};
    enum { n = 4 * 33 * 5 * 40 };
    const float s = 1.5f;
    for (int op = CC_ADD; op <= CC_MINIMUM; op++) {
        tensor a = input(type, n, 1), b = input_between(type, n, 0.5, 2), y = output(type, n);
        tensor factor = input_between(CCUDA_F32, 1, 2, 3);
        begin(names[op], type, "%d; with a number; [4, 33, 5, 40] and [4, 1, 1, 40]", n);
        cc_combine((cc_operator)op, n, a.host, b.host, y.host);
        ccuda_combine(card, type, op, n, a.card, b.card, y.card);
        expect(&y);
        cc_combine_scalar((cc_operator)op, n, a.host, s * factor.host[0], y.host);
        ccuda_combine_scalar(card, type, op, n, a.card, s, factor.card, y.card);
        expect(&y);
        cc_combine_broadcast((cc_operator)op, 4, shape, a.host, aStrides, b.host, bStrides, y.host);
        ccuda_combine_broadcast(card, type, op, 4, shape, a.card, aStrides, b.card, bStrides, y.card);
        expect(&y);
        end();
    }
}

static void check_streams(ccuda_type type) {
    tensor a = input(type, MANY, 1), b = input(type, MANY, 1), y = output(type, MANY);
    begin("add", type, "%d", MANY);
    cc_combine(CC_ADD, MANY, a.host, b.host, y.host);
    ccuda_combine(card, type, CC_ADD, MANY, a.card, b.card, y.card);
    expect(&y);
    costs(0, bytes_of(type, 3.0 * MANY));
    TIME(ccuda_combine(card, type, CC_ADD, MANY, a.card, b.card, y.card));
    end();
    begin("clamp", type, "%d, and its gradient", MANY);
    cc_clamp(MANY, a.host, -0.5f, 0.8f, y.host);
    ccuda_clamp(card, type, MANY, a.card, -0.5f, 0.8f, y.card);
    expect(&y);
    cc_clamp_backward(MANY, a.host, -0.5f, 0.8f, b.host, y.host);
    ccuda_clamp_backward(card, type, MANY, a.card, -0.5f, 0.8f, b.card, y.card);
    expect(&y);
    end();
    begin("axpy", type, "%d", MANY);
    tensor sum = copy_of(&b);
    cc_axpy(MANY, 0.25f, a.host, sum.host);
    ccuda_axpy(card, MANY, 0.25f, a.card, type, sum.card, type);
    expect(&sum);
    end();
    begin("fill", type, "%d", MANY);
    cc_fill(MANY, 0.375f, y.host);
    ccuda_fill(card, type, MANY, 0.375f, NULL, y.card);
    expect(&y);
    end();
}

static void check_conversions(ccuda_type type) {
    tensor x = input(type, MANY, 1), wide = output(CCUDA_F32, MANY), narrow = output(CCUDA_BF16, MANY);
    begin("convert", type, "%d to float32 and bfloat16", MANY);
    memcpy(wide.host, x.host, sizeof(float) * MANY);
    memcpy(narrow.host, x.host, sizeof(float) * MANY);
    ccuda_convert(card, MANY, x.card, type, wide.card, CCUDA_F32);
    ccuda_convert(card, MANY, x.card, type, narrow.card, CCUDA_BF16);
    expect(&wide);
    expect(&narrow);
    end();
}

static void check_add_bias(ccuda_type type) {
    enum { batch = 4, pixels = 4096, n = 320, rows = batch * pixels };
    tensor h = input(type, rows * n, 1), bias = input(type, n, 1), shift = input(type, batch * n, 1), addend = input(type, rows * n, 1);
    tensor y = output(type, rows * n);
    for (ptrdiff_t i = 0; i < (ptrdiff_t)rows * n; i++)
        y.host[i] = h.host[i] + bias.host[i % n] + shift.host[i / n / pixels * n + i % n] + addend.host[i];
    begin("add_bias", type, "[%d, %d, %d], bias, shift, addend", batch, pixels, n);
    ccuda_add_bias(card, type, rows, pixels, n, h.card, bias.card, shift.card, addend.card, y.card);
    expect(&y);
    costs(0, bytes_of(type, 3.0 * rows * n));
    TIME(ccuda_add_bias(card, type, rows, pixels, n, h.card, bias.card, shift.card, addend.card, y.card));
    end();
}

static void check_geglu(ccuda_type type) {
    enum { rows = 4096, N = 1280 };
    tensor x = input(type, rows * 2 * N, 1), bias = input(type, 2 * N, 1), dy = input(type, rows * N, 1), y = output(type, rows * N);
    tensor dx = output(type, rows * 2 * N);
    float *biased = malloc(sizeof(float) * rows * 2 * N);
    for (ptrdiff_t i = 0; i < (ptrdiff_t)rows * 2 * N; i++) biased[i] = x.host[i] + bias.host[i % (2 * N)];
    begin("geglu", type, "[%d, 2 × %d] with bias", rows, N);
    cc_geglu(rows, N, biased, y.host);
    ccuda_geglu(card, type, rows, N, x.card, bias.card, y.card);
    expect(&y);
    costs(0, bytes_of(type, 3.0 * rows * N));
    TIME(ccuda_geglu(card, type, rows, N, x.card, bias.card, y.card));
    end();
    begin("geglu_backward", type, "[%d, 2 × %d] with bias", rows, N);
    cc_geglu_backward(rows, N, biased, dy.host, dx.host);
    ccuda_geglu_backward(card, type, rows, N, x.card, bias.card, dy.card, dx.card);
    expect(&dx);
    costs(0, bytes_of(type, 5.0 * rows * N));
    TIME(ccuda_geglu_backward(card, type, rows, N, x.card, bias.card, dy.card, dx.card));
    end();
    free(biased);
}

void check_elementwise(void) {
    EACH_TYPE(type) {
        check_functions(type);
        check_operators(type);
        check_streams(type);
        check_conversions(type);
        check_add_bias(type);
        check_geglu(type);
    }
}

// MARK: - Reductions

static void check_numbers(ccuda_type type, ptrdiff_t n) {
    tensor a = input_between(type, (size_t)n, -1, 1.5f), b = input_between(type, (size_t)n, -1, 1.5f), result = output(CCUDA_F32, 1);
    begin("sum", type, "%td", n);
    result.host[0] = (float)(cc_sum(n, a.host) * 0.5);
    ccuda_sum(card, type, n, a.card, 0.5, result.card);
    expect(&result);
    costs(0, bytes_of(type, (double)n));
    TIME(ccuda_sum(card, type, n, a.card, 0.5, result.card));
    end();
    begin("dot", type, "%td", n);
    result.host[0] = (float)cc_dot(n, a.host, b.host);
    ccuda_dot(card, type, n, a.card, b.card, 1, result.card);
    expect(&result);
    costs(0, bytes_of(type, 2.0 * (double)n));
    TIME(ccuda_dot(card, type, n, a.card, b.card, 1, result.card));
    end();
    begin("max_abs", type, "%td", n);
    result.host[0] = cc_max_abs(n, a.host);
    ccuda_max_abs(card, type, n, a.card, result.card);
    expect(&result);
    end();
}

static void check_axis(ccuda_type type, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner) {
    tensor x = input(type, (size_t)(outer * n * inner), 1), y = input(CCUDA_F32, (size_t)(outer * inner), 1);
    begin("sum_axis", type, "[%td, %td, %td], added", outer, n, inner);
    cc_sum_axis(outer, n, inner, x.host, y.host, true);
    ccuda_sum_axis(card, type, CCUDA_F32, outer, n, inner, x.card, y.card, true);
    expect(&y);
    costs(0, bytes_of(type, (double)(outer * n * inner)));
    TIME(ccuda_sum_axis(card, type, CCUDA_F32, outer, n, inner, x.card, y.card, true));
    end();
}

void check_reductions(void) {
    EACH_TYPE(type) {
        check_numbers(type, MANY);
        check_numbers(type, 7);
        check_axis(type, 1, 16384, 320);
        check_axis(type, 4, 77, 33);
        check_axis(type, 64, 5000, 1);
    }
}

// MARK: - Norms

static void check_softmax(ccuda_type type, ptrdiff_t rows, ptrdiff_t n) {
    size_t all = (size_t)(rows * n);
    tensor x = input(type, all, 2), dy = input(type, all, 1), y = output(type, all), dx = output(type, all);
    begin("softmax", type, "[%td, %td], and its gradient", rows, n);
    cc_softmax(rows, n, x.host, y.host);
    ccuda_softmax(card, type, rows, n, x.card, y.card);
    expect(&y);
    tensor kept = copy_of(&y);
    cc_softmax_backward(rows, n, kept.host, dy.host, dx.host);
    ccuda_softmax_backward(card, type, rows, n, kept.card, dy.card, dx.card);
    expect(&dx);
    costs(0, bytes_of(type, 2.0 * (double)all));
    TIME(ccuda_softmax(card, type, rows, n, x.card, y.card));
    end();
    begin("log_softmax", type, "[%td, %td], and its gradient", rows, n);
    cc_log_softmax(rows, n, x.host, y.host);
    ccuda_log_softmax(card, type, rows, n, x.card, y.card);
    expect(&y);
    tensor logarithms = copy_of(&y);
    cc_log_softmax_backward(rows, n, logarithms.host, dy.host, dx.host);
    ccuda_log_softmax_backward(card, type, rows, n, logarithms.card, dy.card, dx.card);
    expect(&dx);
    end();
}

static void check_layer_norm(ccuda_type type, ptrdiff_t rows, ptrdiff_t n) {
    size_t all = (size_t)(rows * n), width = (size_t)n, count = (size_t)rows;
    tensor x = input(type, all, 1), dy = input(type, all, 1), scale = input(CCUDA_F32, width, 1), shift = input(CCUDA_F32, width, 1);
    tensor y = output(type, all), mean = output(CCUDA_F32, count), rstd = output(CCUDA_F32, count), dx = output(type, all);
    tensor dscale = output(CCUDA_F32, width), dshift = output(CCUDA_F32, width);
    begin("layer_norm", type, "[%td, %td]", rows, n);
    cc_layer_norm(rows, n, 1e-5f, x.host, scale.host, shift.host, y.host, mean.host, rstd.host);
    ccuda_layer_norm(card, type, rows, n, 1e-5f, x.card, scale.card, shift.card, y.card, mean.card, rstd.card);
    expect(&y), expect(&rstd);
    costs(0, bytes_of(type, 2.0 * (double)all));
    TIME(ccuda_layer_norm(card, type, rows, n, 1e-5f, x.card, scale.card, shift.card, y.card, mean.card, rstd.card));
    end();
    begin("layer_norm_backward", type, "[%td, %td], dx, dscale, dshift", rows, n);
    cc_layer_norm_backward(rows, n, x.host, scale.host, mean.host, rstd.host, dy.host, dx.host, dscale.host, dshift.host);
    ccuda_layer_norm_backward(card, type, rows, n, x.card, scale.card, mean.card, rstd.card, dy.card, dx.card, dscale.card, dshift.card);
    expect(&dx), expect(&dscale), expect(&dshift);
    costs(0, bytes_of(type, 3.0 * (double)all));
    TIME(ccuda_layer_norm_backward(card, type, rows, n, x.card, scale.card, mean.card, rstd.card, dy.card, dx.card, NULL, NULL));
    end();
}

static void check_group_norm(ccuda_type type, ptrdiff_t batch, ptrdiff_t pixels, ptrdiff_t channels) {
    const ptrdiff_t groups = 32;
    size_t all = (size_t)(batch * pixels * channels), width = (size_t)channels, count = (size_t)(batch * groups);
    tensor x = input(type, all, 1), dy = input(type, all, 1), scale = input(CCUDA_F32, width, 1), shift = input(CCUDA_F32, width, 1);
    tensor y = output(type, all), mean = output(CCUDA_F32, count), rstd = output(CCUDA_F32, count), dx = output(type, all);
    tensor dscale = output(CCUDA_F32, width), dshift = output(CCUDA_F32, width);
    begin("group_norm", type, "[%td, %td, %td], SiLU", batch, pixels, channels);
    cc_group_norm(batch, pixels, channels, groups, 1e-5f, true, x.host, scale.host, shift.host, y.host, mean.host, rstd.host);
    ccuda_group_norm(card, type, batch, pixels, channels, groups, 1e-5f, true, x.card, scale.card, shift.card, y.card, mean.card, rstd.card);
    expect(&y), expect(&rstd);
    costs(0, bytes_of(type, 2.0 * (double)all));
    TIME(ccuda_group_norm(card, type, batch, pixels, channels, groups, 1e-5f, true, x.card, scale.card, shift.card, y.card, mean.card, rstd.card));
    end();
    begin("group_norm_backward", type, "[%td, %td, %td], SiLU, dx, dscale, dshift", batch, pixels, channels);
    cc_group_norm_backward(batch, pixels, channels, groups, true, x.host, scale.host, shift.host, mean.host, rstd.host, dy.host, dx.host, dscale.host,
                           dshift.host);
    ccuda_group_norm_backward(card, type, batch, pixels, channels, groups, true, x.card, scale.card, shift.card, mean.card, rstd.card, dy.card,
                              dx.card, dscale.card, dshift.card); expect(&dx), expect(&dscale),
                                  expect(&dshift); costs(0, bytes_of(type, 3.0 * (double)all)); TIME(ccuda_group_norm_backward(card, type, batch,
                                      pixels, channels, groups, true, x.card, scale.card, shift.card, mean.card, rstd.card, dy.card,
                                   dx.card, NULL, NULL));
    end();
}

void check_norms(void) {
    EACH_TYPE(type) {
        check_softmax(type, 8 * 256, 77);
        check_softmax(type, 1000, 4096);
        check_layer_norm(type, 4096, 320);
        check_layer_norm(type, 77, 768);
        check_layer_norm(type, 16384, 1280);
        check_group_norm(type, 1, 4096, 320);
        check_group_norm(type, 4, 4096, 320);
        check_group_norm(type, 2, 64, 1280);
        check_group_norm(type, 1, 512 * 512, 128);
    }
}

// MARK: - Moving data

static void check_transpose(ccuda_type type, int rank, const ptrdiff_t *shape, const int *axes) {
    size_t n = 1;
    for (int i = 0; i < rank; i++) n *= (size_t)shape[i];
    tensor x = input(type, n, 1), y = output(type, n);
    begin("transpose", type, "rank %d, %zu values, last axis from %d", rank, n, axes[rank - 1]);
    cc_transpose(rank, shape, axes, x.host, y.host);
    ccuda_transpose(card, type, rank, shape, axes, x.card, y.card);
    expect(&y);
    costs(0, bytes_of(type, 2.0 * (double)n));
    TIME(ccuda_transpose(card, type, rank, shape, axes, x.card, y.card));
    end();
}

static void check_rows(ccuda_type type) {
    enum { rows = 4096, n = 320, wide = 960 };
    tensor x = input(type, rows * wide, 1), y = output(type, rows * n), sum = input(type, rows * wide, 1);
    begin("copy_rows", type, "[%d, %d] out of rows of %d", rows, n, wide);
    cc_copy_rows(rows, n, x.host + n, wide, y.host, n);
    ccuda_copy_rows(card, type, rows, n, (char *)x.card + n * ccuda_type_size(type), wide, y.card, n);
    expect(&y);
    costs(0, bytes_of(type, 2.0 * rows * n));
    TIME(ccuda_copy_rows(card, type, rows, n, x.card, wide, y.card, n));
    end();
    begin("add_rows", type, "[%d, %d] into rows of %d", rows, n, wide);
    cc_add_rows(rows, n, y.host, n, sum.host + 2 * n, wide);
    ccuda_copy_rows(card, type, rows, n, (char *)x.card + n * ccuda_type_size(type), wide, y.card, n);
    ccuda_add_rows(card, type, rows, n, y.card, n, (char *)sum.card + 2 * n * ccuda_type_size(type), wide);
    expect(&sum);
    end();
}

static void check_tables(ccuda_type type) {
    enum { entries = 5000, count = 154, n = 768 };
    ptrdiff_t indices[count];
    tensor table = input(type, entries * n, 1), y = output(type, count * n), x = input(type, count * n, 1), sums = input(CCUDA_F32, entries * n, 1);
    for (int i = 0; i < count; i++) indices[i] = i % 3 ? (i * 7919) % entries : 17;  // many of them the same
    void *onCard = ccuda_allocate(card, sizeof indices);
    ccuda_upload(card, onCard, indices, sizeof indices);
    begin("gather_rows", type, "%d of %d rows of %d", count, entries, n);
    cc_gather_rows(count, n, table.host, CC_F32, indices, y.host);
    ccuda_gather_rows(card, type, count, n, table.card, type, onCard, y.card);
    expect(&y);
    end();
    begin("scatter_add_rows", type, "%d to %d rows of %d", count, entries, n);
    cc_scatter_add_rows(count, n, x.host, indices, sums.host);
    ccuda_scatter_add_rows(card, type, count, n, x.card, onCard, sums.card);
    expect(&sums);
    TIME(ccuda_scatter_add_rows(card, type, count, n, x.card, onCard, sums.card));
    end();
}

static void check_upsampling(ccuda_type type) {
    enum { batch = 4, side = 32, channels = 640, n = batch * side * side * channels };
    tensor x = input(type, n, 1), dy = input(type, 4 * n, 1), y = output(type, 4 * n), dx = output(type, n);
    begin("upsample2", type, "[%d, %d, %d, %d], and its gradient", batch, side, side, channels);
    cc_upsample2(batch, side, side, channels, x.host, y.host);
    ccuda_upsample2(card, type, batch, side, side, channels, x.card, y.card);
    expect(&y);
    cc_upsample2_backward(batch, side, side, channels, dy.host, dx.host);
    ccuda_upsample2_backward(card, type, batch, side, side, channels, dy.card, dx.card);
    expect(&dx);
    costs(0, bytes_of(type, 5.0 * n));
    TIME(ccuda_upsample2(card, type, batch, side, side, channels, x.card, y.card));
    end();
}

void check_movement(void) {
    EACH_TYPE(type) {
        check_transpose(type, 2, (ptrdiff_t[]){4096, 320}, (int[]){1, 0});
        check_transpose(type, 4, (ptrdiff_t[]){320, 640, 3, 3}, (int[]){0, 2, 3, 1});
        check_transpose(type, 4, (ptrdiff_t[]){2, 77, 12, 64}, (int[]){0, 2, 1, 3});
        check_transpose(type, 3, (ptrdiff_t[]){5, 7, 3}, (int[]){2, 0, 1});
        check_rows(type);
        check_tables(type);
        check_upsampling(type);
    }
}

// MARK: - Training

static void check_adamw(void) {
    enum { n = 3 << 20, step = 7 };  // about rank 16 on all of SD 1.5's linear layers
    tensor p = input(CCUDA_F32, n, 0.1f), g = input(CCUDA_F32, n, 1e-3f), m = input(CCUDA_F32, n, 1e-3f), v = input_between(CCUDA_F32, n, 0, 1e-5f);
    tensor factor = input_between(CCUDA_F32, 1, 0.4f, 0.6f), mirror = output(CCUDA_BF16, n);
    begin("adamw", CCUDA_F32, "%d, clip factor from the card, mirror", n);
    cc_adamw(n, p.host, g.host, m.host, v.host, 1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, step, 0.5f * factor.host[0]);
    ccuda_adamw(card, n, p.card, g.card, m.card, v.card, mirror.card, 1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, step, 0.5f, factor.card);
    expect(&p), expect(&m), expect(&v);
    memcpy(mirror.host, p.host, sizeof(float) * n);
    expect(&mirror);
    costs(0, 30.0 * n);
    TIME(ccuda_adamw(card, n, p.card, g.card, m.card, v.card, mirror.card, 1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, step, 0.5f, factor.card));
    end();
}

static void check_clipping(void) {
    tensor squared = input_between(CCUDA_F32, 1, 3, 5), norm = output(CCUDA_F32, 1), factor = output(CCUDA_F32, 1);
    begin("clip_factor", CCUDA_F32, "norm clipped to 1");
    norm.host[0] = sqrtf(squared.host[0]);
    factor.host[0] = 1 / (norm.host[0] + 1e-6f);
    ccuda_clip_factor(card, squared.card, 1, norm.card, factor.card);
    expect(&norm), expect(&factor);
    end();
}

static void check_mix(ccuda_type type) {
    enum { batch = 4, n = 64 * 64 * 4 };
    tensor signal = input_between(CCUDA_F32, batch, 0.1f, 1), deviation = input_between(CCUDA_F32, batch, 0.1f, 1);
    tensor x = input(CCUDA_F32, batch * n, 1), e = input(CCUDA_F32, batch * n, 1), y = output(type, batch * n);
    for (int i = 0; i < batch * n; i++) y.host[i] = signal.host[i / n] * x.host[i] - deviation.host[i / n] * e.host[i];
    begin("mix", type, "[%d, %d]", batch, n);
    ccuda_mix(card, type, batch, n, signal.card, x.card, -1, deviation.card, e.card, y.card);
    expect(&y);
    end();
}

static void check_loss(ccuda_type type) {
    enum { batch = 4, channels = 4, n = 64 * 64 * channels };
    tensor prediction = input(type, batch * n, 1), target = input(CCUDA_F32, batch * n, 1), weights = input_between(CCUDA_F32, batch, 0.5, 2);
    tensor gradient = output(type, batch * n), loss = output(CCUDA_F32, 1);
    double sum = 0;
    for (int i = 0; i < batch * n; i++) {
        double e = (double)prediction.host[i] - target.host[i], weight = weights.host[i / n] / ((double)batch * n);
        sum += weight * e * e;
        gradient.host[i] = (float)(2 * weight * e);
    }
    loss.host[0] = (float)sum;
    begin("loss", type, "[%d, %d], squares, and its gradient", batch, n);
    ccuda_loss(card, type, CCUDA_L2, batch, n, channels, prediction.card, target.card, weights.card, NULL, NULL, NULL, gradient.card, loss.card);
    expect(&loss), expect(&gradient);
    TIME(ccuda_loss(card, type, CCUDA_L2, batch, n, channels, prediction.card, target.card, weights.card, NULL, NULL, NULL, gradient.card,
                    loss.card));
    end();
}

void check_training(void) {
    check_adamw();
    check_clipping();
    EACH_TYPE(type) {
        check_mix(type);
        check_loss(type);
    }
}
