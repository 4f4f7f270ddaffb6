/// Numeric loops over raw memory: a thread pool, matrix products, convolutions, attention,
/// normalisations, activations.
///
/// Conventions
/// - Arrays are contiguous and row-major; pictures are `[B, H, W, C]`, convolution weights `[Cout, Cin, kH, kW]`.
/// - Values are float32 (`float`). A `const void *` with a `cc_dtype` may be half precision (frozen weights);
///   it is widened while it is read.
/// - Counts and strides are elements, not bytes. A count of zero is legal and does nothing (reductions yield 0).
/// - Outputs never overlap inputs, except that element-wise functions may work in place (`y == x`).
/// - No function keeps a pointer. Every function may be called from several threads at once; calls that share
///   work take turns on the pool.
/// - Results do not depend on the number of threads.
/// - What a caller passes is trusted (shapes are checked by TensorCore); nothing here returns an error. Running out of
///   memory ends the process.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// MARK: - Instruction sets

/// The instruction sets that loops are compiled for, from plain C to widest.
typedef enum cc_isa { CC_ISA_GENERIC = 0, CC_ISA_AVX2 = 1, CC_ISA_AVX512 = 2, CC_ISA_NEON = 3 } cc_isa;

/// The instruction set in use. At first: the one that the environment variable LORALAB_ISA names, read once, if this processor
/// has it (otherwise a line on standard error says which it has); without it the widest one this processor has.
cc_isa cc_current_isa(void);
/// Whether this build and this processor can run `isa`.
bool cc_supports_isa(cc_isa isa);
/// Uses `isa` from the next call on (tests compare levels). Returns false and changes nothing if it cannot run here.
bool cc_set_isa(cc_isa isa);
/// `"generic"`, `"avx2"`, `"avx512"`, `"neon"`.
const char *_Nonnull cc_isa_name(cc_isa isa);

// MARK: - Threads and scratch memory

/// Sets how many threads share the work, the caller included (1…256). Zero means one per processor this process may use.
void cc_set_threads(int count);
/// How many threads share the work, the caller included.
int cc_threads(void);

/// A piece of work: items `begin ..< end`, done by thread `worker` (0 ..< cc_threads()).
typedef void (*cc_body)(void *_Nullable context, ptrdiff_t begin, ptrdiff_t end, int worker);

/// Runs `body` over `0 ..< n` in pieces of at most `grain` items, handed to threads as they become free; returns when all is done.
///
/// The caller takes part. A call from inside a body runs inline. Idle threads sleep.
void cc_parallel_for(ptrdiff_t n, ptrdiff_t grain, cc_body _Nonnull body, void *_Nullable context);

/// Gives the scratch memory that calls leave behind for the next call back to the system, and what lies free in the allocator's heaps.
void cc_trim(void);
/// Bytes of scratch memory held now, in use or kept for the next call.
size_t cc_scratch_bytes(void);

/// `bytes` of zeroed memory mapped from the system, in huge pages where it has them and the block is large; NULL when it has no more.
void *_Nullable cc_map(size_t bytes);

/// A mapping of `bytes` with its pages at another length, moved if need be (Linux's mremap); NULL when the system refuses, the mapping then as it was.
void *_Nullable cc_remap(void *_Nonnull pointer, size_t bytes, size_t wanted);

// MARK: - Number formats

typedef enum cc_dtype { CC_F32 = 0, CC_F16 = 1, CC_BF16 = 2 } cc_dtype;

/// Converts `n` values; to half precision rounds to nearest even, overflow becomes infinity.
void cc_convert(ptrdiff_t n, const void *_Nullable x, cc_dtype from, void *_Nullable y, cc_dtype to);

// MARK: - Matrix products

/// `C = alpha · op(A) · op(B) + beta · C + bias + addend`, row-major; `op(A)` is `[M, K]`, `op(B)` is `[K, N]`, `C` is `[M, N]`.
///
/// - `transA`: A is stored `[K, M]` with rows `lda` apart; else `[M, K]`. `transB`: B is stored `[N, K]`; else `[K, N]`.
/// - `bias`: `[N]`, or NULL. `addend`: placed like C, or NULL. With `beta == 0`, C is not read.
void cc_gemm(bool transA, bool transB, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, float alpha,
             const float *_Nullable A, ptrdiff_t lda, const void *_Nullable B, cc_dtype typeB, ptrdiff_t ldb,
             float beta, float *_Nullable C, ptrdiff_t ldc, const float *_Nullable bias, const float *_Nullable addend);

/// `count` products of the same form; the operands of product `i` start at `A + i·strideA` and so on (a stride of 0 shares the operand).
void cc_gemm_batched(ptrdiff_t count, bool transA, bool transB, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, float alpha,
                     const float *_Nullable A, ptrdiff_t lda, ptrdiff_t strideA,
                     const float *_Nullable B, ptrdiff_t ldb, ptrdiff_t strideB,
                     float beta, float *_Nullable C, ptrdiff_t ldc, ptrdiff_t strideC);

// MARK: - Convolution

/// The shape of a 2-D convolution of `x [B, H, W, Cin]` with `w [Cout, Cin, kH, kW]`, as checkpoints have it, to `y [B, Ho, Wo, Cout]`,
/// `Ho = (H + padTop + padBottom − kH) / stride + 1`, likewise `Wo`.
typedef struct cc_conv {
    ptrdiff_t batch, height, width, channels;
    ptrdiff_t outChannels, kernelHeight, kernelWidth, stride;
    ptrdiff_t padTop, padLeft, padBottom, padRight;
    cc_dtype weightType;
    /// Only methods whose rounding error is that of a plain sum (no F(4×4) Winograd; 3e-6 against 3e-7 relative).
    bool tight;
} cc_conv;

ptrdiff_t cc_conv_out_height(const cc_conv *_Nonnull c);
ptrdiff_t cc_conv_out_width(const cc_conv *_Nonnull c);

/// `y = conv(x, w) + bias + addend`. `bias [Cout]` and `addend` (like `y`; may be `y` itself) may be NULL.
void cc_conv2d_forward(const cc_conv *_Nonnull c, const float *_Nullable x, const void *_Nullable w,
                       const float *_Nullable bias, const float *_Nullable addend, float *_Nullable y);
/// `dx`, the gradient with respect to the input, from `dy`; added to what `dx` holds if `accumulate`.
void cc_conv2d_backward_input(const cc_conv *_Nonnull c, const void *_Nullable w, const float *_Nullable dy,
                              float *_Nullable dx, bool accumulate);
/// `dw` (float32) and, unless NULL, `dbias [Cout]`; added to what they hold if `accumulate`.
void cc_conv2d_backward_weight(const cc_conv *_Nonnull c, const float *_Nullable x, const float *_Nullable dy,
                               float *_Nullable dw, float *_Nullable dbias, bool accumulate);

// MARK: - Attention

/// Scaled dot-product attention over `heads` heads of width `D`: queries `[B, T, heads·D]`, keys and values `[B, S, heads·D]`.
///
/// Rows of tokens are `qRow`, `kvRow`, `outRow` elements apart (`heads·D` when contiguous), batch items `T` or `S` rows apart.
/// Key `j` is visible to query `i` if `j < keyLengths[b]` (NULL: all) and, when `causal`, `j <= i + causalOffset`.
/// A query that sees no key yields zeros.
typedef struct cc_attention {
    ptrdiff_t batch, queries, keys, heads, width;
    ptrdiff_t qRow, kvRow, outRow;
    float scale;
    bool causal;
    ptrdiff_t causalOffset;
    const ptrdiff_t *_Nullable keyLengths;
} cc_attention;

/// `out = softmax(scale · q kᵀ) v`; `lse [B, heads, T]` (may be NULL) receives the logarithm of each row's sum of exponentials.
void cc_attention_forward(const cc_attention *_Nonnull a, const float *_Nullable q, const float *_Nullable k,
                          const float *_Nullable v, float *_Nullable out, float *_Nullable lse);
/// Gradients; `out` and `lse` are those of the forward pass. `dout` and `dq` have the strides of `out` and `q`; `dk`, `dv` those of `k`, `v`.
void cc_attention_backward(const cc_attention *_Nonnull a, const float *_Nullable q, const float *_Nullable k,
                           const float *_Nullable v, const float *_Nullable out, const float *_Nullable lse,
                           const float *_Nullable dout, float *_Nullable dq, float *_Nullable dk, float *_Nullable dv);

// MARK: - Element-wise

/// Functions of one variable. GELU: `x Φ(x)`; GELU_TANH: its tanh approximation; GELU_QUICK: `x σ(1.702 x)`; SILU: `x σ(x)`.
typedef enum cc_function {
    CC_EXP, CC_LOG, CC_SQRT, CC_SQUARE, CC_ABS, CC_NEGATE, CC_RECIPROCAL, CC_SIGMOID, CC_TANH, CC_RELU, CC_SILU, CC_GELU, CC_GELU_TANH,
    CC_GELU_QUICK, CC_SIN, CC_COS
} cc_function;
/// `y = f(x)`.
void cc_apply(cc_function f, ptrdiff_t n, const float *_Nullable x, float *_Nullable y);
/// `dx = dy · f′(x)`. EXP, SQRT, RECIPROCAL, SIGMOID and TANH read only `y = f(x)`; the others only `x`. What is not read may be NULL.
void cc_apply_backward(cc_function f, ptrdiff_t n, const float *_Nullable x, const float *_Nullable y,
                       const float *_Nullable dy, float *_Nullable dx);
/// `y = min(max(x, low), high)`, and `dx = dy` where `low <= x <= high`, else 0.
void cc_clamp(ptrdiff_t n, const float *_Nullable x, float low, float high, float *_Nullable y);
void cc_clamp_backward(ptrdiff_t n, const float *_Nullable x, float low, float high, const float *_Nullable dy, float *_Nullable dx);

typedef enum cc_operator { CC_ADD, CC_SUBTRACT, CC_MULTIPLY, CC_DIVIDE, CC_MAXIMUM, CC_MINIMUM } cc_operator;
/// `y = a ⊙ b`.
void cc_combine(cc_operator op, ptrdiff_t n, const float *_Nullable a, const float *_Nullable b, float *_Nullable y);
/// `y = a ⊙ s`.
void cc_combine_scalar(cc_operator op, ptrdiff_t n, const float *_Nullable a, float s, float *_Nullable y);
/// `y = a ⊙ b` for any broadcast: `shape` has `rank` (0…8) extents, an operand's stride is 0 along an axis it is broadcast over.
/// `y` is contiguous.
void cc_combine_broadcast(cc_operator op, int rank, const ptrdiff_t *_Nullable shape, const float *_Nullable a, const ptrdiff_t *_Nullable aStrides,
                          const float *_Nullable b, const ptrdiff_t *_Nullable bStrides, float *_Nullable y);
/// `y += alpha · x`.
void cc_axpy(ptrdiff_t n, float alpha, const float *_Nullable x, float *_Nullable y);
void cc_fill(ptrdiff_t n, float value, float *_Nullable y);

/// `y[r, j] = x[r, j] · gelu(x[r, N + j])` for rows `x [rows, 2N]`, with the exact GELU.
void cc_geglu(ptrdiff_t rows, ptrdiff_t N, const float *_Nullable x, float *_Nullable y);
void cc_geglu_backward(ptrdiff_t rows, ptrdiff_t N, const float *_Nullable x, const float *_Nullable dy, float *_Nullable dx);

// MARK: - Reductions (sums are kept in double between short blocks)

double cc_sum(ptrdiff_t n, const float *_Nullable x);
double cc_dot(ptrdiff_t n, const float *_Nullable a, const float *_Nullable b);
/// `y[o, i] = Σ_j x[o, j, i]` for `x [outer, n, inner]`; added to `y` if `accumulate`. Channel sums: `outer` 1, `inner` C.
void cc_sum_axis(ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner, const float *_Nullable x, float *_Nullable y, bool accumulate);
/// Largest absolute value; NaN if any value is NaN.
float cc_max_abs(ptrdiff_t n, const float *_Nullable x);

// MARK: - Softmax and normalisation over rows `[rows, n]`

void cc_softmax(ptrdiff_t rows, ptrdiff_t n, const float *_Nullable x, float *_Nullable y);
/// `dx = y ⊙ (dy − Σ dy y)`.
void cc_softmax_backward(ptrdiff_t rows, ptrdiff_t n, const float *_Nullable y, const float *_Nullable dy, float *_Nullable dx);
void cc_log_softmax(ptrdiff_t rows, ptrdiff_t n, const float *_Nullable x, float *_Nullable y);
/// `dx = dy − exp(y) Σ dy`.
void cc_log_softmax_backward(ptrdiff_t rows, ptrdiff_t n, const float *_Nullable y, const float *_Nullable dy, float *_Nullable dx);

/// `y = (x − mean) · rstd · scale + shift` per row, `rstd = 1 / sqrt(variance + epsilon)` with the biased variance.
/// `scale`, `shift` `[n]` may be NULL (1 and 0). `mean`, `rstd` `[rows]` are outputs for the backward pass and may be NULL.
void cc_layer_norm(ptrdiff_t rows, ptrdiff_t n, float epsilon, const float *_Nullable x, const float *_Nullable scale,
                   const float *_Nullable shift, float *_Nullable y, float *_Nullable mean, float *_Nullable rstd);
/// `dx`, and `dscale`, `dshift` `[n]` (overwritten; NULL if not wanted).
void cc_layer_norm_backward(ptrdiff_t rows, ptrdiff_t n, const float *_Nullable x, const float *_Nullable scale,
                            const float *_Nullable mean, const float *_Nullable rstd, const float *_Nullable dy,
                            float *_Nullable dx, float *_Nullable dscale, float *_Nullable dshift);

/// Group normalisation of `x [B, P, C]` (P pixels) over the pixels and the `C / groups` channels of each group, then
/// `scale`, `shift` `[C]` (NULL: 1 and 0), then SiLU if `silu`. `mean`, `rstd` `[B, groups]` are outputs and may be NULL.
void cc_group_norm(ptrdiff_t batch, ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t groups, float epsilon, bool silu,
                   const float *_Nullable x, const float *_Nullable scale, const float *_Nullable shift,
                   float *_Nullable y, float *_Nullable mean, float *_Nullable rstd);
/// `dx`, and `dscale`, `dshift` `[C]` (overwritten; NULL if not wanted). Reads the input `x`, not the output.
void cc_group_norm_backward(ptrdiff_t batch, ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t groups, bool silu,
                            const float *_Nullable x, const float *_Nullable scale, const float *_Nullable shift,
                            const float *_Nullable mean, const float *_Nullable rstd, const float *_Nullable dy,
                            float *_Nullable dx, float *_Nullable dscale, float *_Nullable dshift);

// MARK: - Moving data

/// Copies `rows` rows of `n` values, rows `xRow` and `yRow` elements apart: the inner step of slicing and joining along any axis.
void cc_copy_rows(ptrdiff_t rows, ptrdiff_t n, const float *_Nullable x, ptrdiff_t xRow, float *_Nullable y, ptrdiff_t yRow);
/// As `cc_copy_rows`, adding to `y`.
void cc_add_rows(ptrdiff_t rows, ptrdiff_t n, const float *_Nullable x, ptrdiff_t xRow, float *_Nullable y, ptrdiff_t yRow);
/// `y = x` with axes permuted: axis `i` of `y` is axis `axes[i]` of `x [shape]`; `rank` 0…8.
void cc_transpose(int rank, const ptrdiff_t *_Nullable shape, const int *_Nullable axes, const float *_Nullable x, float *_Nullable y);
/// `y[i] = table[indices[i]]`, rows of `n` values.
void cc_gather_rows(ptrdiff_t count, ptrdiff_t n, const void *_Nullable table, cc_dtype type, const ptrdiff_t *_Nullable indices, float *_Nullable y);
/// `table[indices[i]] += x[i]`, in order of `i`.
void cc_scatter_add_rows(ptrdiff_t count, ptrdiff_t n, const float *_Nullable x, const ptrdiff_t *_Nullable indices, float *_Nullable table);
/// Each pixel of `x [B, H, W, C]` becomes 2×2 pixels of `y [B, 2H, 2W, C]`; the gradient sums them.
void cc_upsample2(ptrdiff_t batch, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels, const float *_Nullable x, float *_Nullable y);
void cc_upsample2_backward(ptrdiff_t batch, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels, const float *_Nullable dy, float *_Nullable dx);

// MARK: - Optimizers

/// One step of AdamW (Loshchilov and Hutter, arXiv:1711.05101; PyTorch's order of operations):
/// `p −= lr · weightDecay · p; m = β₁m + (1−β₁)g; v = β₂v + (1−β₂)g²; p −= lr · (m / (1−β₁ᵗ)) / (sqrt(v / (1−β₂ᵗ)) + epsilon)`,
/// with `g` multiplied by `gradientScale` first (clipping). `step` counts from 1.
void cc_adamw(ptrdiff_t n, float *_Nullable p, const float *_Nullable g, float *_Nullable m, float *_Nullable v, float lr,
              float beta1, float beta2, float epsilon, float weightDecay, ptrdiff_t step, float gradientScale);

#ifdef __cplusplus
}
#endif
