// Functions of single elements, and their gradients.

/// The numbers are CCompute's (`cc_function`, `cc_operator`).
enum function_t { EXP, LOG, SQRT, SQUARE, ABS, NEGATE, RECIPROCAL, SIGMOID, TANH, RELU, SILU, GELU, GELU_TANH, GELU_QUICK, SIN, COS };
enum operator_t { ADD, SUBTRACT, MULTIPLY, DIVIDE, MAXIMUM, MINIMUM };

DEVICE float gelu_slope(float x) { return normal_cdf(x) + x * normal_density(x); }

// GELU's tanh form: x/2 · (1 + tanh(√(2/π)(x + 0.044715x³))) = x·σ(2u).
DEVICE float gelu_tanh_argument(float x) { return 1.5957691216f * (x + 0.044715f * x * x * x); }
DEVICE float gelu_tanh_slope(float x) {
    float s = sigmoid(gelu_tanh_argument(x));
    return s + x * s * (1.0f - s) * 1.5957691216f * (1.0f + 0.134145f * x * x);
}
DEVICE float gelu_quick_slope(float x) { float s = sigmoid(1.702f * x); return s + 1.702f * x * s * (1.0f - s); }

#define CASE(f, value) case f: map(n, [](float v) { return value; }, y, x); break;
template <typename T> DEVICE void apply(int f, index_t n, const T *x, T *y) {
    switch (f) {
    CASE(EXP, expf(v))
    CASE(LOG, logf(v))
    CASE(SQRT, sqrtf(v))
    CASE(SQUARE, v * v)
    CASE(ABS, fabsf(v))
    CASE(NEGATE, -v)
    CASE(RECIPROCAL, 1.0f / v)
    CASE(SIGMOID, sigmoid(v))
    CASE(TANH, tanhf(v))
    CASE(RELU, (v < 0.0f ? 0.0f : v))
    CASE(SILU, silu(v))
    CASE(GELU, v * normal_cdf(v))
    CASE(GELU_TANH, v * sigmoid(gelu_tanh_argument(v)))
    CASE(GELU_QUICK, v * sigmoid(1.702f * v))
    CASE(SIN, sinf(v))
    CASE(COS, cosf(v))
    }
}
#undef CASE
#define APPLY(T, t) KERNEL(apply_##t, (int f, index_t n, const T *x, T *y)) { apply(f, n, x, y); }
EACH_TYPE(APPLY)
#undef APPLY

/// `dx = dy · f′`: of EXP, SQRT, RECIPROCAL, SIGMOID and TANH `kept` is the output, of the others the input (of NEGATE nothing).
#define CASE(f, slope) case f: map(n, [](float v, float d) { return d * (slope); }, dx, kept, dy); break;
template <typename T> DEVICE void apply_backward(int f, index_t n, const T *kept, const T *dy, T *dx) {
    switch (f) {
    CASE(EXP, v)
    CASE(LOG, 1.0f / v)
    CASE(SQRT, 0.5f / v)
    CASE(SQUARE, 2.0f * v)
    CASE(ABS, v > 0.0f ? 1.0f : v < 0.0f ? -1.0f : 0.0f)
    case NEGATE: map(n, [](float d) { return -d; }, dx, dy); break;
    CASE(RECIPROCAL, -v * v)
    CASE(SIGMOID, v * (1.0f - v))
    CASE(TANH, 1.0f - v * v)
    CASE(RELU, v > 0.0f ? 1.0f : 0.0f)
    CASE(SILU, silu_slope(v))
    CASE(GELU, gelu_slope(v))
    CASE(GELU_TANH, gelu_tanh_slope(v))
    CASE(GELU_QUICK, gelu_quick_slope(v))
    CASE(SIN, cosf(v))
    CASE(COS, -sinf(v))
    }
}
#undef CASE
#define APPLY(T, t) KERNEL(apply_backward_##t, (int f, index_t n, const T *kept, const T *dy, T *dx)) { apply_backward(f, n, kept, dy, dx); }
EACH_TYPE(APPLY)
#undef APPLY

#define CLAMP(T, t) \
    KERNEL(clamp_##t, (index_t n, const T *x, float low, float high, T *y)) { \
        map(n, [=](float v) { v = v < low ? low : v; return v > high ? high : v; }, y, x); \
    } \
    KERNEL(clamp_backward_##t, (index_t n, const T *x, float low, float high, const T *dy, T *dx)) { \
        map(n, [=](float v, float d) { return v < low || v > high ? 0.0f : d; }, dx, x, dy); \
    }
EACH_TYPE(CLAMP)
#undef CLAMP

// MARK: - Two operands

DEVICE float combined(int op, float p, float q) {
    switch (op) {
    case ADD: return p + q;
    case SUBTRACT: return p - q;
    case MULTIPLY: return p * q;
    case DIVIDE: return p / q;
    case MAXIMUM: return p > q || p != p ? p : q;
    default: return p < q || p != p ? p : q;
    }
}

#define COMBINE(T, t) \
    KERNEL(combine_##t, (int op, index_t n, const T *a, const T *b, T *y)) { \
        map(n, [=](float p, float q) { return combined(op, p, q); }, y, a, b); \
    }
EACH_TYPE(COMBINE)
#undef COMBINE

/// `y = a ⊙ s`, or `a ⊙ (s · factor)` with a factor that lies on the card.
template <typename T> DEVICE void combine_scalar(int op, index_t n, const T *a, float s, const float *factor, T *y) {
    float q = factor ? s * *factor : s;
    map(n, [=](float p) { return combined(op, p, q); }, y, a);
}
#define COMBINE(T, t) \
    KERNEL(combine_scalar_##t, (int op, index_t n, const T *a, float s, const float *factor, T *y)) { combine_scalar(op, n, a, s, factor, y); }
EACH_TYPE(COMBINE)
#undef COMBINE

/// The axes of a broadcast, unit axes left out and neighbours merged (at least one axis).
struct broadcast_t { int rank; index_t extent[8], aStride[8], bStride[8]; };

struct broadcast_place { index_t inner, a, b; };
DEVICE broadcast_place place_of(const broadcast_t &t, index_t i) {
    broadcast_place place = {0, 0, 0};
    for (int axis = t.rank - 1; axis >= 0; axis--) {
        index_t outer = divide(i, t.extent[axis]), at = i - outer * t.extent[axis];
        if (axis == t.rank - 1) place.inner = at;
        place.a += at * t.aStride[axis];
        place.b += at * t.bStride[axis];
        i = outer;
    }
    return place;
}

/// Each thread takes a run of `y` and finds its place once: within the last axis it only steps.
template <typename T> DEVICE void combine_broadcast(int op, index_t n, const broadcast_t &t, const T *a, const T *b, T *y) {
    constexpr int W = run_length<T>();
    index_t first = global_thread() * W;
    if (first >= n) return;
    int last = t.rank - 1;
    broadcast_place place = place_of(t, first);
    floats<W> result;
#pragma unroll
    for (int k = 0; k < W; k++) {
        if (first + k >= n) { result.at[k] = 0.0f; continue; }
        if (k > 0 && ++place.inner == t.extent[last]) place = place_of(t, first + k);
        else if (k > 0) { place.a += t.aStride[last]; place.b += t.bStride[last]; }
        result.at[k] = combined(op, widen(a[place.a]), widen(b[place.b]));
    }
    store<W>(y + first, n - first, result);
}
#define COMBINE(T, t) \
    KERNEL(combine_broadcast_##t, (int op, index_t n, broadcast_t axes, const T *a, const T *b, T *y)) { combine_broadcast(op, n, axes, a, b, y); }
EACH_TYPE(COMBINE)
#undef COMBINE

/// `y += alpha · x`; the sum may be wider than what is added.
#define AXPY(X, x_, Y, y_) \
    KERNEL(axpy_##x_##_##y_, (index_t n, float alpha, const X *x, Y *y)) { \
        map(n, [=](float v, float sum) { return sum + alpha * v; }, y, x, (const Y *)y); \
    }
AXPY(float, f32, float, f32)
AXPY(bf16, bf16, bf16, bf16)
AXPY(bf16, bf16, float, f32)
#undef AXPY

// MARK: - Rows

/// `y[r, c] = h[r, c] + bias[c] + shift[r / pixels, c] + addend[r, c]`; each of the three may be absent.
template <typename T> DEVICE void add_bias(index_t rows, index_t pixels, index_t n, const T *h, const T *bias, const T *shift, const T *addend,
                                           T *y) {
    constexpr int W = run_length<T>();
    row_run<W> at(n);
    if (at.row >= rows) return;
    index_t i = at.row * n + at.column;
    floats<W> sum = load<W>(h + i, at.count);
    auto add = [&](const T *p) {
        floats<W> term = load<W>(p, at.count);
#pragma unroll
        for (int k = 0; k < W; k++) sum.at[k] += term.at[k];
    };
    if (bias) add(bias + at.column);
    if (shift) add(shift + divide(at.row, pixels) * n + at.column);
    if (addend) add(addend + i);
    store<W>(y + i, at.count, sum);
}
#define ADD_BIAS(T, t) \
    KERNEL(add_bias_##t, (index_t rows, index_t pixels, index_t n, const T *h, const T *bias, const T *shift, const T *addend, T *y)) { \
        add_bias(rows, pixels, n, h, bias, shift, addend, y); \
    }
EACH_TYPE(ADD_BIAS)
#undef ADD_BIAS

/// A run of values and gates of `x [rows, 2N]`, with the bias `[2N]` added if there is one.
template <int W> struct gated { floats<W> value, gate; };
template <int W, typename T> DEVICE gated<W> load_gated(row_run<W> at, index_t N, const T *x, const T *bias) {
    const T *row = x + at.row * 2 * N + at.column;
    gated<W> both = {load<W>(row, at.count), load<W>(row + N, at.count)};
    if (bias) {
        floats<W> value = load<W>(bias + at.column, at.count), gate = load<W>(bias + N + at.column, at.count);
#pragma unroll
        for (int k = 0; k < W; k++) { both.value.at[k] += value.at[k]; both.gate.at[k] += gate.at[k]; }
    }
    return both;
}

/// `y[r, j] = v · gelu(g)` with `v = x[r, j] + bias[j]` and `g = x[r, N + j] + bias[N + j]`, the exact GELU.
template <typename T> DEVICE void geglu(index_t rows, index_t N, const T *x, const T *bias, T *y) {
    constexpr int W = run_length<T>();
    row_run<W> at(N);
    if (at.row >= rows) return;
    gated<W> in = load_gated<W>(at, N, x, bias);
    floats<W> result;
#pragma unroll
    for (int k = 0; k < W; k++) result.at[k] = in.value.at[k] * (in.gate.at[k] * normal_cdf(in.gate.at[k]));
    store<W>(y + at.row * N + at.column, at.count, result);
}
/// `dx [rows, 2N]`; the bias' gradient is its sum over rows.
template <typename T> DEVICE void geglu_backward(index_t rows, index_t N, const T *x, const T *bias, const T *dy, T *dx) {
    constexpr int W = run_length<T>();
    row_run<W> at(N);
    if (at.row >= rows) return;
    gated<W> in = load_gated<W>(at, N, x, bias), out;
    floats<W> d = load<W>(dy + at.row * N + at.column, at.count);
#pragma unroll
    for (int k = 0; k < W; k++) {
        float gate = in.gate.at[k], cdf = normal_cdf(gate);
        out.value.at[k] = d.at[k] * gate * cdf;
        out.gate.at[k] = d.at[k] * in.value.at[k] * (cdf + gate * normal_density(gate));
    }
    T *row = dx + at.row * 2 * N + at.column;
    store<W>(row, at.count, out.value);
    store<W>(row + N, at.count, out.gate);
}
#define GEGLU(T, t) \
    KERNEL(geglu_##t, (index_t rows, index_t N, const T *x, const T *bias, T *y)) { geglu(rows, N, x, bias, y); } \
    KERNEL(geglu_backward_##t, (index_t rows, index_t N, const T *x, const T *bias, const T *dy, T *dx)) { geglu_backward(rows, N, x, bias, dy, dx); }
EACH_TYPE(GEGLU)
#undef GEGLU
