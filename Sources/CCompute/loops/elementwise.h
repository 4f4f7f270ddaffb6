// Functions of single elements.

typedef struct { int op; cc_dtype from, to; ptrdiff_t n; const float *x, *y, *b; float *out; float s, u; } elements_t;

#define CASE(op, value) case op: INDEPENDENT for (ptrdiff_t i = begin; i < end; i++) { float v = x[i]; out[i] = (value); } break;

BODY(apply_body, elements_t) {
    const float *x = t->x;
    float *out = t->out;
    switch ((cc_function)t->op) {
    CASE(CC_EXP, exp1(v))
    CASE(CC_LOG, log1(v))
    CASE(CC_SQRT, __builtin_elementwise_sqrt(v))
    CASE(CC_SQUARE, v * v)
    CASE(CC_ABS, fabsf(v))
    CASE(CC_NEGATE, -v)
    CASE(CC_RECIPROCAL, 1.0f / v)
    CASE(CC_SIGMOID, sigmoid1(v))
    CASE(CC_TANH, tanh1(v))
    CASE(CC_RELU, v < 0.0f ? 0.0f : v)
    CASE(CC_SILU, silu1(v))
    CASE(CC_GELU, gelu1(v))
    CASE(CC_GELU_TANH, gelu_tanh1(v))
    CASE(CC_GELU_QUICK, gelu_quick1(v))
    case CC_SIN: for (ptrdiff_t i = begin; i < end; i++) out[i] = sinf(x[i]); break;
    case CC_COS: for (ptrdiff_t i = begin; i < end; i++) out[i] = cosf(x[i]); break;
    }
}
#undef CASE

static void apply(cc_function f, ptrdiff_t n, const float *x, float *y) {
    elements_t t = {.op = f, .x = x, .out = y};
    cc_parallel_for(n, elementGrain, apply_body, &t);
}

#define BY_INPUT(op, slope) case op: INDEPENDENT for (ptrdiff_t i = begin; i < end; i++) { float v = x[i]; out[i] = dy[i] * (slope); } break;
#define BY_OUTPUT(op, slope) case op: INDEPENDENT for (ptrdiff_t i = begin; i < end; i++) { float v = y[i]; out[i] = dy[i] * (slope); } break;

BODY(apply_backward_body, elements_t) {
    const float *x = t->x, *y = t->y, *dy = t->b;
    float *out = t->out;
    switch ((cc_function)t->op) {
    BY_OUTPUT(CC_EXP, v)
    BY_INPUT(CC_LOG, 1.0f / v)
    BY_OUTPUT(CC_SQRT, 0.5f / v)
    BY_INPUT(CC_SQUARE, 2.0f * v)
    BY_INPUT(CC_ABS, (v > 0.0f ? 1.0f : v < 0.0f ? -1.0f : 0.0f))
    BY_OUTPUT(CC_RECIPROCAL, -v * v)
    BY_OUTPUT(CC_SIGMOID, v * (1.0f - v))
    BY_OUTPUT(CC_TANH, 1.0f - v * v)
    BY_INPUT(CC_RELU, (v > 0.0f ? 1.0f : 0.0f))
    BY_INPUT(CC_SILU, silu_slope(v))
    BY_INPUT(CC_GELU, gelu_slope(v))
    BY_INPUT(CC_GELU_TANH, gelu_tanh_slope(v))
    BY_INPUT(CC_GELU_QUICK, gelu_quick_slope(v))
    case CC_NEGATE: INDEPENDENT for (ptrdiff_t i = begin; i < end; i++) out[i] = -dy[i]; break;
    case CC_SIN: for (ptrdiff_t i = begin; i < end; i++) out[i] = dy[i] * cosf(x[i]); break;
    case CC_COS: for (ptrdiff_t i = begin; i < end; i++) out[i] = -dy[i] * sinf(x[i]); break;
    }
}
#undef BY_INPUT
#undef BY_OUTPUT

static void apply_backward(cc_function f, ptrdiff_t n, const float *x, const float *y, const float *dy, float *dx) {
    elements_t t = {.op = f, .x = x, .y = y, .b = dy, .out = dx};
    cc_parallel_for(n, elementGrain, apply_backward_body, &t);
}

BODY(clamp_body, elements_t) {
    const float *x = t->x, *dy = t->b;
    float *out = t->out, low = t->s, high = t->u;
    if (dy) {
        INDEPENDENT for (ptrdiff_t i = begin; i < end; i++) out[i] = x[i] < low || x[i] > high ? 0.0f : dy[i];
    } else {
        INDEPENDENT for (ptrdiff_t i = begin; i < end; i++) { float v = x[i] < low ? low : x[i]; out[i] = v > high ? high : v; }
    }
}

static void clamp(ptrdiff_t n, const float *x, float low, float high, float *y) {
    elements_t t = {.x = x, .s = low, .u = high, .out = y};
    cc_parallel_for(n, elementGrain, clamp_body, &t);
}

static void clamp_backward(ptrdiff_t n, const float *x, float low, float high, const float *dy, float *dx) {
    elements_t t = {.x = x, .s = low, .u = high, .b = dy, .out = dx};
    cc_parallel_for(n, elementGrain, clamp_body, &t);
}

// MARK: - Two operands

/// Writes `LOOP(expression)` for each operator, `p` and `q` being the operands of one element.
#define EACH_OPERATOR(op, LOOP) \
    switch ((cc_operator)(op)) { \
    case CC_ADD: LOOP(p + q) break; \
    case CC_SUBTRACT: LOOP(p - q) break; \
    case CC_MULTIPLY: LOOP(p * q) break; \
    case CC_DIVIDE: LOOP(p / q) break; \
    case CC_MAXIMUM: LOOP((p > q || p != p ? p : q)) break; \
    case CC_MINIMUM: LOOP((p < q || p != p ? p : q)) break; \
    }

/// `n` elements; `aStep` and `bStep` are 0 or 1.
static void combine_run(int op, ptrdiff_t n, const float *a, ptrdiff_t aStep, const float *b, ptrdiff_t bStep, float *y) {
    if (aStep == 1 && bStep == 1) {
#define LOOP(value) INDEPENDENT for (ptrdiff_t i = 0; i < n; i++) { float p = a[i], q = b[i]; y[i] = value; }
        EACH_OPERATOR(op, LOOP)
#undef LOOP
    } else if (aStep == 1) {
        const float q = *b;
#define LOOP(value) INDEPENDENT for (ptrdiff_t i = 0; i < n; i++) { float p = a[i]; y[i] = value; }
        EACH_OPERATOR(op, LOOP)
#undef LOOP
    } else {
        const float p = *a;
#define LOOP(value) INDEPENDENT for (ptrdiff_t i = 0; i < n; i++) { float q = b[i * bStep]; y[i] = value; }
        EACH_OPERATOR(op, LOOP)
#undef LOOP
    }
}
#undef EACH_OPERATOR

BODY(combine_body, elements_t) { combine_run(t->op, end - begin, t->x + begin, 1, t->b + begin, 1, t->out + begin); }

static void combine(cc_operator op, ptrdiff_t n, const float *a, const float *b, float *y) {
    elements_t t = {.op = op, .x = a, .b = b, .out = y};
    cc_parallel_for(n, elementGrain, combine_body, &t);
}

BODY(combine_scalar_body, elements_t) { combine_run(t->op, end - begin, t->x + begin, 1, &t->s, 0, t->out + begin); }

static void combine_scalar(cc_operator op, ptrdiff_t n, const float *a, float s, float *y) {
    elements_t t = {.op = op, .x = a, .s = s, .out = y};
    cc_parallel_for(n, elementGrain, combine_scalar_body, &t);
}

BODY(fill_body, elements_t) { for (ptrdiff_t i = begin; i < end; i++) t->out[i] = t->s; }

static void fill(ptrdiff_t n, float value, float *y) {
    elements_t t = {.s = value, .out = y};
    cc_parallel_for(n, elementGrain, fill_body, &t);
}

enum { maxRank = 8 };

typedef struct {
    int op, outerAxes;
    ptrdiff_t extent[maxRank], aStride[maxRank], bStride[maxRank];  // merged axes, innermost last
    ptrdiff_t inner, aStep, bStep;
    const float *a, *b;
    float *y;
} broadcast_t;

/// Rows `begin ..< end` of the innermost axis.
BODY(broadcast_body, broadcast_t) {
    for (ptrdiff_t row = begin; row < end; row++) {
        ptrdiff_t rest = row, aOffset = 0, bOffset = 0;
        for (int i = t->outerAxes - 1; i >= 0; i--) {
            ptrdiff_t index = rest % t->extent[i];
            rest /= t->extent[i];
            aOffset += index * t->aStride[i];
            bOffset += index * t->bStride[i];
        }
        const float *a = t->a + aOffset, *b = t->b + bOffset;
        float *y = t->y + row * t->inner;
        if (t->aStep <= 1 && t->bStep <= 1) combine_run(t->op, t->inner, a, t->aStep, b, t->bStep, y);
        else for (ptrdiff_t i = 0; i < t->inner; i++) combine_run(t->op, 1, a + i * t->aStep, 1, b + i * t->bStep, 1, y + i);
    }
}

static void combine_broadcast(cc_operator op, int rank, const ptrdiff_t *shape, const float *a, const ptrdiff_t *aStrides,
                              const float *b, const ptrdiff_t *bStrides, float *y) {
    broadcast_t t = {.op = op, .a = a, .b = b, .y = y};
    int axes = 0;
    for (int i = 0; i < rank; i++) {
        if (shape[i] == 0) return;
        if (shape[i] == 1) continue;
        // An axis joins the one before it when both operands step through the two as through one.
        if (axes > 0 && t.aStride[axes - 1] == aStrides[i] * shape[i] && t.bStride[axes - 1] == bStrides[i] * shape[i]) {
            t.extent[axes - 1] *= shape[i];
            t.aStride[axes - 1] = aStrides[i];
            t.bStride[axes - 1] = bStrides[i];
        } else {
            t.extent[axes] = shape[i]; t.aStride[axes] = aStrides[i]; t.bStride[axes] = bStrides[i];
            axes++;
        }
    }
    if (axes == 0) { combine_run(op, 1, a, 1, b, 1, y); return; }
    t.outerAxes = axes - 1;
    t.inner = t.extent[axes - 1]; t.aStep = t.aStride[axes - 1]; t.bStep = t.bStride[axes - 1];
    if (axes == 1 && t.aStep == 1 && t.bStep == 1) { combine(op, t.inner, a, b, y); return; }
    if (axes == 1 && t.aStep == 1 && t.bStep == 0) { combine_scalar(op, t.inner, a, *b, y); return; }
    if (axes == 1 && t.aStep == 0 && t.bStep == 0) {
        float value;
        combine_run(op, 1, a, 1, b, 1, &value);
        fill(t.inner, value, y);
        return;
    }
    ptrdiff_t rows = 1;
    for (int i = 0; i < t.outerAxes; i++) rows *= t.extent[i];
    cc_parallel_for(rows, row_grain(t.inner), broadcast_body, &t);
}

BODY(axpy_body, elements_t) {
    const float *x = t->x;
    float *y = t->out, alpha = t->s;
    INDEPENDENT for (ptrdiff_t i = begin; i < end; i++) y[i] += alpha * x[i];
}

static void axpy(ptrdiff_t n, float alpha, const float *x, float *y) {
    elements_t t = {.x = x, .s = alpha, .out = y};
    cc_parallel_for(n, elementGrain, axpy_body, &t);
}

// MARK: - Gated GELU

typedef struct { ptrdiff_t N; const float *x, *dy; float *out; } gate_t;

BODY(geglu_body, gate_t) {
    for (ptrdiff_t r = begin; r < end; r++) {
        const float *value = t->x + r * 2 * t->N, *gate = value + t->N;
        float *y = t->out + r * t->N;
        INDEPENDENT for (ptrdiff_t j = 0; j < t->N; j++) y[j] = value[j] * gelu1(gate[j]);
    }
}

static void geglu(ptrdiff_t rows, ptrdiff_t N, const float *x, float *y) {
    gate_t t = {.N = N, .x = x, .out = y};
    cc_parallel_for(rows, row_grain(N), geglu_body, &t);
}

BODY(geglu_backward_body, gate_t) {
    for (ptrdiff_t r = begin; r < end; r++) {
        const float *value = t->x + r * 2 * t->N, *gate = value + t->N, *dy = t->dy + r * t->N;
        float *dvalue = t->out + r * 2 * t->N, *dgate = dvalue + t->N;
        INDEPENDENT for (ptrdiff_t j = 0; j < t->N; j++) {
            float cdf = normal_cdf(gate[j]), v = value[j];
            dvalue[j] = dy[j] * gate[j] * cdf;
            dgate[j] = dy[j] * v * (cdf + gate[j] * normal_density(gate[j]));
        }
    }
}

static void geglu_backward(ptrdiff_t rows, ptrdiff_t N, const float *x, const float *dy, float *dx) {
    gate_t t = {.N = N, .x = x, .dy = dy, .out = dx};
    cc_parallel_for(rows, row_grain(N), geglu_backward_body, &t);
}

// MARK: - Number formats

typedef struct { const void *x; cc_dtype from, to; void *y; } convert_t;

BODY(convert_body, convert_t) {
    enum { block = 256 };
    float wide[block];
    for (ptrdiff_t i = begin; i < end; i += block) {
        ptrdiff_t n = smaller(block, end - i);
        widen(n, advanced(t->x, t->from, i), t->from, wide);
        uint16_t *half = (uint16_t *)t->y + i;
        switch (t->to) {
        case CC_F32: memcpy((float *)t->y + i, wide, (size_t)n * sizeof(float)); break;
        case CC_F16: for (ptrdiff_t j = 0; j < n; j++) half[j] = narrow_f16(wide[j]); break;
        case CC_BF16: for (ptrdiff_t j = 0; j < n; j++) half[j] = narrow_bf16(wide[j]); break;
        }
    }
}

static void convert(ptrdiff_t n, const void *x, cc_dtype from, void *y, cc_dtype to) {
    convert_t t = {x, from, to, y};
    cc_parallel_for(n, elementGrain, convert_body, &t);
}

// MARK: - AdamW

typedef struct { float *p, *m, *v; const float *g; float decay, beta1, beta2, rate, rootCorrection, epsilon, gradientScale; } adamw_t;

BODY(adamw_body, adamw_t) {
    float *p = t->p, *m = t->m, *v = t->v;
    const float *g = t->g;
    float decay = t->decay, beta1 = t->beta1, beta2 = t->beta2, rate = t->rate, root = t->rootCorrection, epsilon = t->epsilon, scale = t->gradientScale;
    INDEPENDENT for (ptrdiff_t i = begin; i < end; i++) {
        float gradient = g[i] * scale;
        m[i] += (gradient - m[i]) * (1.0f - beta1);
        v[i] = v[i] * beta2 + gradient * gradient * (1.0f - beta2);
        p[i] = p[i] * decay - rate * (m[i] / (__builtin_elementwise_sqrt(v[i]) / root + epsilon));
    }
}

static void adamw(ptrdiff_t n, float *p, const float *g, float *m, float *v, float lr, float beta1, float beta2, float epsilon,
                  float weightDecay, ptrdiff_t step, float gradientScale) {
    double correction1 = 1 - pow(beta1, (double)step), correction2 = 1 - pow(beta2, (double)step);
    adamw_t t = {p, m, v, g, (float)(1 - (double)lr * weightDecay), beta1, beta2, (float)(lr / correction1), (float)sqrt(correction2), epsilon, gradientScale};
    cc_parallel_for(n, elementGrain, adamw_body, &t);
}
