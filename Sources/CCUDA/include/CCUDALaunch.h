/// Kernels: one function for each line of CCompute's functions.def but products, and the fused ones that a training step wants.
///
/// - Semantics are those of the function of the same name in CCompute.h, where there is one; `type` is that of the activations (float32 or
///   bfloat16) and of all operands declared `void`. Operands declared `float` are float32 whatever `type` is.
/// - Results that are single numbers stay on the card: a `float *` that the next kernel reads.
/// - The same input gives the same bits: sums are added in an order that depends on shapes alone.
/// - In place (`y == x`) works where CCompute allows it.
#pragma once
#include "CCUDA.h"

#ifdef __cplusplus
extern "C" {
#endif

// MARK: - Number formats

/// Any of the three formats to any.
void ccuda_convert(ccuda_context *_Nonnull context, ptrdiff_t n, const void *_Nullable x, ccuda_type from, void *_Nullable y, ccuda_type to);
/// `y = value`, or `value · factor` unless that is NULL.
void ccuda_fill(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t n, float value, const float *_Nullable factor, void *_Nullable y);

// MARK: - Element-wise

/// `function` is a `cc_function`.
void ccuda_apply(ccuda_context *_Nonnull context, ccuda_type type, int function, ptrdiff_t n, const void *_Nullable x, void *_Nullable y);
void ccuda_apply_backward(ccuda_context *_Nonnull context, ccuda_type type, int function, ptrdiff_t n, const void *_Nullable x,
                          const void *_Nullable y, const void *_Nullable dy, void *_Nullable dx);
void ccuda_clamp(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t n, const void *_Nullable x, float low, float high, void *_Nullable y);
void ccuda_clamp_backward(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t n, const void *_Nullable x, float low, float high,
                          const void *_Nullable dy, void *_Nullable dx);

/// `op` is a `cc_operator`.
void ccuda_combine(ccuda_context *_Nonnull context, ccuda_type type, int op, ptrdiff_t n, const void *_Nullable a, const void *_Nullable b,
                   void *_Nullable y);
/// `y = a ⊙ s`, or `a ⊙ (s · factor)` unless that is NULL: how a pullback multiplies by a number that is on the card.
void ccuda_combine_scalar(ccuda_context *_Nonnull context, ccuda_type type, int op, ptrdiff_t n, const void *_Nullable a, float s,
                          const float *_Nullable factor, void *_Nullable y);
/// `shape` and strides lie on the host.
void ccuda_combine_broadcast(ccuda_context *_Nonnull context, ccuda_type type, int op, int rank, const ptrdiff_t *_Nullable shape,
                             const void *_Nullable a, const ptrdiff_t *_Nullable aStrides, const void *_Nullable b,
                             const ptrdiff_t *_Nullable bStrides, void *_Nullable y);
/// `y += alpha · x`; the types are the same, or x is bfloat16 and y float32.
void ccuda_axpy(ccuda_context *_Nonnull context, ptrdiff_t n, float alpha, const void *_Nullable x, ccuda_type xType, void *_Nullable y,
                ccuda_type yType);

/// `y[r, c] = h[r, c] + bias[c] + shift[r / pixels, c] + addend[r, c]` for rows `[rows, n]`; each of the three may be NULL.
///
/// What follows a convolution: its bias, the timestep's shift of a picture's channels `[rows / pixels, n]`, the residual sum.
void ccuda_add_bias(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t rows, ptrdiff_t pixels, ptrdiff_t n, const void *_Nullable h,
                    const void *_Nullable bias, const void *_Nullable shift, const void *_Nullable addend, void *_Nullable y);
/// GEGLU of `x + bias` for rows `x [rows, 2N]`; `bias [2N]` may be NULL.
void ccuda_geglu(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t rows, ptrdiff_t N, const void *_Nullable x, const void *_Nullable bias,
                 void *_Nullable y);
/// `dx [rows, 2N]`; the bias' gradient is its sum over rows.
void ccuda_geglu_backward(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t rows, ptrdiff_t N, const void *_Nullable x,
                          const void *_Nullable bias, const void *_Nullable dy, void *_Nullable dx);

// MARK: - Reductions

/// `result = factor · Σ x` (a factor of 1/n makes it the mean).
void ccuda_sum(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t n, const void *_Nullable x, double factor, float *_Nullable result);
/// `result = factor · Σ a b`; the squared norm with `b == a`.
void ccuda_dot(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t n, const void *_Nullable a, const void *_Nullable b, double factor,
               float *_Nullable result);
/// Largest absolute value; NaN if any value is.
void ccuda_max_abs(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t n, const void *_Nullable x, float *_Nullable result);
/// `y` has the type `result`: bfloat16 for gradients of activations, float32 for those of trained weights.
void ccuda_sum_axis(ccuda_context *_Nonnull context, ccuda_type type, ccuda_type result, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner,
                    const void *_Nullable x, void *_Nullable y, bool accumulate);

// MARK: - Softmax and normalisation

void ccuda_softmax(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t rows, ptrdiff_t n, const void *_Nullable x, void *_Nullable y);
void ccuda_softmax_backward(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t rows, ptrdiff_t n, const void *_Nullable y,
                            const void *_Nullable dy, void *_Nullable dx);
void ccuda_log_softmax(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t rows, ptrdiff_t n, const void *_Nullable x, void *_Nullable y);
void ccuda_log_softmax_backward(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t rows, ptrdiff_t n, const void *_Nullable y,
                                const void *_Nullable dy, void *_Nullable dx);

void ccuda_layer_norm(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t rows, ptrdiff_t n, float epsilon, const void *_Nullable x,
                      const float *_Nullable scale, const float *_Nullable shift, void *_Nullable y, float *_Nullable mean, float *_Nullable rstd);
void ccuda_layer_norm_backward(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t rows, ptrdiff_t n, const void *_Nullable x,
                               const float *_Nullable scale, const float *_Nullable mean, const float *_Nullable rstd, const void *_Nullable dy,
                               void *_Nullable dx, float *_Nullable dscale, float *_Nullable dshift);
/// With SiLU behind it if `silu`.
void ccuda_group_norm(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t batch, ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t groups,
                      float epsilon, bool silu, const void *_Nullable x, const float *_Nullable scale, const float *_Nullable shift,
                      void *_Nullable y, float *_Nullable mean, float *_Nullable rstd);
void ccuda_group_norm_backward(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t batch, ptrdiff_t pixels, ptrdiff_t channels,
                               ptrdiff_t groups, bool silu, const void *_Nullable x, const float *_Nullable scale, const float *_Nullable shift,
                               const float *_Nullable mean, const float *_Nullable rstd, const void *_Nullable dy, void *_Nullable dx,
                               float *_Nullable dscale, float *_Nullable dshift);

// MARK: - Moving data

void ccuda_copy_rows(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t rows, ptrdiff_t n, const void *_Nullable x, ptrdiff_t xRow,
                     void *_Nullable y, ptrdiff_t yRow);
void ccuda_add_rows(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t rows, ptrdiff_t n, const void *_Nullable x, ptrdiff_t xRow,
                    void *_Nullable y, ptrdiff_t yRow);
/// `shape` and `axes` lie on the host. A checkpoint's convolution weights `[Cout, Cin, kH, kW]` become the card's with axes 0, 2, 3, 1.
void ccuda_transpose(ccuda_context *_Nonnull context, ccuda_type type, int rank, const ptrdiff_t *_Nullable shape, const int *_Nullable axes,
                     const void *_Nullable x, void *_Nullable y);
/// `indices` lie on the card.
void ccuda_gather_rows(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t count, ptrdiff_t n, const void *_Nullable table,
                       ccuda_type tableType, const int64_t *_Nullable indices, void *_Nullable y);
/// The table is float32: it is a gradient.
void ccuda_scatter_add_rows(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t count, ptrdiff_t n, const void *_Nullable x,
                            const int64_t *_Nullable indices, float *_Nullable table);
void ccuda_upsample2(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t batch, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels,
                     const void *_Nullable x, void *_Nullable y);
void ccuda_upsample2_backward(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t batch, ptrdiff_t height, ptrdiff_t width,
                              ptrdiff_t channels, const void *_Nullable dy, void *_Nullable dx);

// MARK: - Training

/// Of a gradient's squared norm: the norm, and the factor that brings it to at most `maximum` (0 clips nothing) as
/// `torch.nn.utils.clip_grad_norm_` does.
void ccuda_clip_factor(ccuda_context *_Nonnull context, const float *_Nullable squaredNorm, float maximum, float *_Nullable norm,
                       float *_Nullable factor);
/// As `cc_adamw` over float32 buffers. Gradients are multiplied by `gradientScale` and, unless NULL, by `factor`; `mirror`, unless NULL, receives
/// the weights in bfloat16.
void ccuda_adamw(ccuda_context *_Nonnull context, ptrdiff_t n, float *_Nullable p, const float *_Nullable g, float *_Nullable m, float *_Nullable v,
                 void *_Nullable mirror, float lr, float beta1, float beta2, float epsilon, float weightDecay, ptrdiff_t step, float gradientScale,
                 const float *_Nullable factor);

/// A run of elements: one of several that are treated together.
typedef struct ccuda_run { float *_Nullable start; ptrdiff_t count; } ccuda_run;
/// `norm = √Σ x²` over all runs, which the host lists.
void ccuda_norm(ccuda_context *_Nonnull context, ptrdiff_t count, const ccuda_run *_Nullable runs, float *_Nullable norm);
/// Multiplies all runs by `limit / (norm + 1e-6)` where that is below 1.
void ccuda_clip(ccuda_context *_Nonnull context, ptrdiff_t count, const ccuda_run *_Nullable runs, const float *_Nullable norm, float limit);

/// `result = 1/counted · Σ −Σ q log p` over rows of `logs = log p [rows, classes]`: `q` is 1 − smoothing at the row's target and smoothing / classes
/// everywhere; rows whose target is `ignored` do not count. `targets` lie on the card.
void ccuda_cross_entropy(ccuda_context *_Nonnull context, ptrdiff_t rows, ptrdiff_t classes, const float *_Nullable logs,
                         const int64_t *_Nullable targets, int64_t ignored, float smoothing, ptrdiff_t counted, float *_Nullable result);
/// `dx = (p − q) dy / counted`; 0 in rows that do not count.
void ccuda_cross_entropy_backward(ccuda_context *_Nonnull context, ptrdiff_t rows, ptrdiff_t classes, const float *_Nullable logs,
                                  const int64_t *_Nullable targets, int64_t ignored, float smoothing, ptrdiff_t counted,
                                  const float *_Nullable dy, float *_Nullable dx);

/// `y[b, i] = signal[b] · x[b, i] + sign · deviation[b] · e[b, i]` for `batch` samples of `n` values; `y` has the type `type`.
///
/// x_t is `mix(√ᾱ, x₀, 1, √(1−ᾱ), ε)`, the velocity `mix(√ᾱ, ε, −1, √(1−ᾱ), x₀)`.
void ccuda_mix(ccuda_context *_Nonnull context, ccuda_type type, ptrdiff_t batch, ptrdiff_t n, const float *_Nullable signal,
               const float *_Nullable x, float sign, const float *_Nullable deviation, const float *_Nullable e, void *_Nullable y);

/// `e²`; `|e|`; `2c(√(e² + c²) − c)`; `2(√(e² + c²) − c)`.
typedef enum ccuda_loss_kind { CCUDA_L2, CCUDA_L1, CCUDA_HUBER, CCUDA_SMOOTH_L1 } ccuda_loss_kind;
/// `loss = 1/(B n) Σ_b weights[b] Σ_i mask[b, i / channels] · kind(prediction − target)` over `batch` samples of `n` values, and its gradient.
///
/// - `weights [B]`, `mask [B, n / channels]` may be NULL (1); `widths [B]` is c of the Huber losses.
/// - `gradient`, in the prediction's type, may be NULL; it is multiplied by `upstream` unless that is NULL.
void ccuda_loss(ccuda_context *_Nonnull context, ccuda_type type, ccuda_loss_kind kind, ptrdiff_t batch, ptrdiff_t n, ptrdiff_t channels,
                const void *_Nullable prediction, const float *_Nullable target, const float *_Nullable weights, const float *_Nullable mask,
                const float *_Nullable widths, const float *_Nullable upstream, void *_Nullable gradient, float *_Nullable loss);

// MARK: - Where the vendor's libraries do not go

/// Attention for any width and mask, in float32 or bfloat16; operands as `ccuda_fused_attention`'s. `lse` may be NULL.
/// A head of `width` needs `32 width + 1024` bytes of shared memory, its gradients twice that: 48 KiB are enough up to 736.
void ccuda_plain_attention(ccuda_context *_Nonnull context, const ccuda_attention *_Nonnull a, const void *_Nullable q, const void *_Nullable k,
                           const void *_Nullable v, void *_Nullable out, float *_Nullable lse);
void ccuda_plain_attention_backward(ccuda_context *_Nonnull context, const ccuda_attention *_Nonnull a, const void *_Nullable q,
                                    const void *_Nullable k, const void *_Nullable v, const void *_Nullable out, const float *_Nullable lse,
                                    const void *_Nullable dout, void *_Nullable dq, void *_Nullable dk, void *_Nullable dv);

/// `y = conv(x, w) + bias + addend`; `bias [Cout]` and `addend` (like `y`; may be `y` itself) may be NULL.
void ccuda_plain_convolve(ccuda_context *_Nonnull context, const ccuda_conv *_Nonnull c, const void *_Nullable x, const void *_Nullable w,
                          const void *_Nullable bias, const void *_Nullable addend, void *_Nullable y);
void ccuda_plain_convolve_backward_input(ccuda_context *_Nonnull context, const ccuda_conv *_Nonnull c, const void *_Nullable w,
                                         const void *_Nullable dy, void *_Nullable dx, bool accumulate);
/// `dw [Cout, kH, kW, Cin]` is float32. The bias' gradient is `dy`'s sum over pixels (`ccuda_sum_axis`).
void ccuda_plain_convolve_backward_weight(ccuda_context *_Nonnull context, const ccuda_conv *_Nonnull c, const void *_Nullable x,
                                          const void *_Nullable dy, float *_Nullable dw, bool accumulate);
/// A kernel for each channel, float32: `y = Σ x[h + i − k/2, w + j − k/2, c] taps[i, j, c] + shift[c]`, `taps [k, k, C]`, the size kept.
void ccuda_depthwise(ccuda_context *_Nonnull context, ptrdiff_t batch, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels, ptrdiff_t kernel,
                     const float *_Nullable x, const float *_Nullable taps, const float *_Nullable shift, float *_Nullable y);

#ifdef __cplusplus
}
#endif
