// What training a denoiser needs beside the network: noised latents, the loss and its gradient.

/// `y[b, i] = signal[b] · x[b, i] + sign · deviation[b] · e[b, i]` for `batch` samples of `n` values: x_t of x₀ and noise (sign 1), the
/// velocity of noise and x₀ (sign −1).
template <typename T> DEVICE void mix(index_t batch, index_t n, const float *signal, const float *x, float sign, const float *deviation,
                                      const float *e, T *y) {
    constexpr int W = run_length<T, float>();
    row_run<W> at(n);
    if (at.row >= batch) return;
    index_t i = at.row * n + at.column;
    float a = signal[at.row], b = sign * deviation[at.row];
    map_run<W>(at.count, [=](float p, float q) { return a * p + b * q; }, y + i, load<W>(x + i, at.count), load<W>(e + i, at.count));
}
#define MIX(T, t) \
    KERNEL(mix_##t, (index_t batch, index_t n, const float *signal, const float *x, float sign, const float *deviation, const float *e, T *y)) { \
        mix(batch, n, signal, x, sign, deviation, e, y); \
    }
EACH_TYPE(MIX)
#undef MIX

enum loss_t { L2, L1, HUBER, SMOOTH_L1 };

/// The loss of an error and its slope. Huber: `2c(√(e² + c²) − c)`; smooth L1: `2(√(e² + c²) − c)` (the pseudo-Huber forms of sd-scripts).
struct loss_value { float loss, slope; };
DEVICE loss_value loss_of(int kind, float e, float c) {
    if (kind == L2) return {e * e, 2.0f * e};
    if (kind == L1) return {fabsf(e), e > 0.0f ? 1.0f : e < 0.0f ? -1.0f : 0.0f};
    float root = sqrtf(e * e + c * c), factor = kind == HUBER ? 2.0f * c : 2.0f;
    return {factor * (root - c), root > 0.0f ? factor * e / root : 0.0f};
}

enum { lossRounds = 4 };  // runs per thread of a piece

/// The part of a piece of one sample in the loss `1/(B n) Σ_b weights[b] Σ_i mask[b, i / channels] · loss(prediction − target)`, times B n; the
/// gradient, times `upstream` if that lies on the card.
struct loss_shape { index_t batch, n, pieces, channels; int kind; };
template <typename T>
DEVICE void loss_pieces(const loss_shape &s, const T *prediction, const float *target, const float *weights, const float *mask, const float *widths,
                        const float *upstream, T *gradient, double *partial) {
    constexpr int W = run_length<T, float>();
    index_t b = divide(blockIdx.x, s.pieces), first = (blockIdx.x - b * s.pieces) * blockDim.x * W * lossRounds;
    float weight = weights ? weights[b] : 1.0f, c = widths ? widths[b] : 1.0f;
    float slopeFactor = (float)((double)weight * (upstream ? *upstream : 1.0f) / ((double)s.batch * (double)s.n));
    double total = 0;
    for (int r = 0; r < lossRounds; r++) {
        index_t j = first + ((index_t)r * blockDim.x + threadIdx.x) * W, i = b * s.n + j;
        if (j >= s.n) continue;
        floats<W> p = load<W>(prediction + i, s.n - j), t = load<W>(target + i, s.n - j);
        float sum = 0;
#pragma unroll
        for (int k = 0; k < W; k++) {
            loss_value value = loss_of(s.kind, p.at[k] - t.at[k], c);
            float seen = j + k >= s.n ? 0.0f : mask ? mask[divide(i + k, s.channels)] : 1.0f;
            sum += value.loss * seen;
            p.at[k] = value.slope * seen * slopeFactor;
        }
        total += sum;
        if (gradient) store<W>(gradient + i, s.n - j, p);
    }
    total = block_sum(total);
    if (threadIdx.x == 0) partial[blockIdx.x] = weight * total;
}
#define LOSS(T, t) \
    KERNEL(loss_pieces_##t, (loss_shape s, const T *prediction, const float *target, const float *weights, const float *mask, const float *widths, \
                             const float *upstream, T *gradient, double *partial)) { \
        loss_pieces(s, prediction, target, weights, mask, widths, upstream, gradient, partial); \
    }
EACH_TYPE(LOSS)
#undef LOSS
