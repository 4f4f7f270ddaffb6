/// An NVIDIA card: memory, kernels compiled when the program runs, matrix products, convolutions, attention, recorded work.
///
/// Nothing of NVIDIA's is needed to build, link or start: `ccuda_open` looks for the driver, NVRTC, cuBLASLt and cuDNN and opens them
/// with `dlopen`. Without them it says what is missing, where it looked and how to get it.
///
/// Conventions
/// - One context and one stream per process. Work is queued in order and runs while the host goes on; a block of memory may be
///   given to somebody else as soon as its last use has been queued.
/// - Every function may be called from any thread; calls take turns.
/// - Arrays are contiguous and row-major; pictures are `[B, H, W, C]`, convolution weights `[Cout, kH, kW, Cin]` (not a checkpoint's order).
/// - Counts and strides are elements, not bytes. A count of zero is legal and does nothing.
/// - Addresses are the card's unless a name says `host`; the host must not follow them.
/// - The first thing that goes wrong is kept (`ccuda_failure`), and from then on calls do nothing, so that a caller need not look after
///   each of them: it looks once, at the end of a step.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if !defined(__clang__)
#define _Nonnull
#define _Nullable
#endif

#ifdef __cplusplus
extern "C" {
#endif

/// An open card.
typedef struct ccuda_context ccuda_context;

// MARK: - What goes wrong

/// What kind of thing went wrong; the text says the rest.
typedef enum ccuda_kind {
    CCUDA_OK = 0,
    CCUDA_MISSING_LIBRARY,  ///< A library was not found or could not be opened.
    CCUDA_OLD_DRIVER,       ///< The driver is older than the libraries need.
    CCUDA_NO_DEVICE,        ///< There is no card, or none of that number.
    CCUDA_OLD_DEVICE,       ///< The card has no bfloat16 (compute capability under 8.0).
    CCUDA_NO_MEMORY,        ///< The card's memory is used up.
    CCUDA_SPOILED,          ///< An illegal address or another fault within a kernel: no context of this process can be used any more.
    CCUDA_COMPILER,         ///< NVRTC refused a kernel.
    CCUDA_LIBRARY,          ///< The driver, cuBLASLt or cuDNN refused a call.
    CCUDA_MISUSE            ///< A kernel of that name does not exist, a shape is impossible: a fault of this program.
} ccuda_kind;

/// A kind, and sentences to show: what was tried, what was found, the way out.
typedef struct ccuda_error {
    ccuda_kind kind;
    char text[4096];
} ccuda_error;

/// The first thing that went wrong since the card was opened or the failure cleared; NULL while all is well.
///
/// Faults within kernels are found late, by `ccuda_synchronize`, `ccuda_download` or any later call.
const ccuda_error *_Nullable ccuda_failure(const ccuda_context *_Nonnull context);

/// Keeps `kind` and `text` as the failure unless there is one (a caller whose own attempts are over: no memory even after trimming).
void ccuda_fail(ccuda_context *_Nonnull context, ccuda_kind kind, const char *_Nonnull text);

/// Forgets the failure, so that calls work again. Returns false, and forgets nothing, when the context is spoiled.
bool ccuda_clear_failure(ccuda_context *_Nonnull context);

// MARK: - Libraries and cards

/// One of NVIDIA's libraries, as found.
typedef struct ccuda_library {
    /// `"driver"`, `"NVRTC"`, `"cuBLASLt"`, `"cuDNN"`.
    char name[16];
    bool found;
    /// Version as it calls itself, `"13.0"`; of the driver: the CUDA version it supports. Empty if not found.
    char version[32];
    /// Path it was loaded from; if not found, why not.
    char path[1024];
} ccuda_library;

enum { CCUDA_LIBRARIES = 4 };

/// Opens what can be opened and tells it (for a report to a user who asks why the card is not used).
void ccuda_find_libraries(ccuda_library libraries[_Nonnull CCUDA_LIBRARIES]);

/// A card.
typedef struct ccuda_properties {
    char name[256];
    /// Compute capability, 90 for 9.0.
    int capability;
    int multiprocessors;
    /// Bytes of shared memory that a block may ask for.
    int sharedMemory;
    /// Bytes of memory, all and now free.
    size_t memory, memoryFree;
} ccuda_properties;

/// How many cards the driver sees; 0, and the reason in `error`, if none.
int ccuda_device_count(ccuda_error *_Nonnull error);

/// Describes card `device` (0…) without opening it (`memoryFree` is 0). Returns false, and the reason, if there is none.
bool ccuda_describe(int device, ccuda_properties *_Nonnull properties, ccuda_error *_Nonnull error);

/// Opens card `device` (0…): its primary context, a stream, cuBLASLt, cuDNN. Returns NULL, and the reason in `error`, if something is missing.
ccuda_context *_Nullable ccuda_open(int device, ccuda_error *_Nonnull error);

/// Waits for the card and gives everything back, the memory included.
void ccuda_close(ccuda_context *_Nullable context);

/// The open card, `memoryFree` as of now.
void ccuda_get_properties(ccuda_context *_Nonnull context, ccuda_properties *_Nonnull properties);

// MARK: - Memory

/// `bytes` of the card's memory, aligned to 256 bytes, with any content; NULL for 0 bytes, after a failure, or when there is not enough.
///
/// Not enough memory is no failure yet: give some back and ask again, or call `ccuda_fail`.
void *_Nullable ccuda_allocate(ccuda_context *_Nonnull context, size_t bytes);
/// Gives memory back. Waits for the card (a pool above makes this rare).
void ccuda_free(ccuda_context *_Nonnull context, void *_Nullable pointer);

/// Copies `bytes` from the host. `host` may be freed or written when this returns.
void ccuda_upload(ccuda_context *_Nonnull context, void *_Nullable to, const void *_Nullable host, size_t bytes);
/// Copies `bytes` to the host, and waits until they are there; zeros after a failure.
void ccuda_download(ccuda_context *_Nonnull context, void *_Nullable host, const void *_Nullable from, size_t bytes);
/// Copies `bytes` within the card.
void ccuda_copy(ccuda_context *_Nonnull context, void *_Nullable to, const void *_Nullable from, size_t bytes);
/// Sets `bytes` bytes to `value`.
void ccuda_set_bytes(ccuda_context *_Nonnull context, void *_Nullable to, uint8_t value, size_t bytes);

/// At least `bytes` of memory for what a function keeps between two of its own launches; the next caller gets the same block.
///
/// It stays where it is as long as it is big enough, and an outgrown block lives until `ccuda_close`, since recorded work may hold it.
/// NULL (and the failure set) when there is not enough memory.
void *_Nullable ccuda_scratch(ccuda_context *_Nonnull context, size_t bytes);

/// Waits until all queued work is done. Returns false if there is a failure.
bool ccuda_synchronize(ccuda_context *_Nonnull context);

/// A mark in the queue, to measure time between.
typedef struct ccuda_event ccuda_event;
ccuda_event *_Nullable ccuda_event_create(ccuda_context *_Nonnull context);
void ccuda_event_destroy(ccuda_context *_Nonnull context, ccuda_event *_Nullable event);
/// Puts the mark at the end of the queue.
void ccuda_event_record(ccuda_context *_Nonnull context, ccuda_event *_Nullable event);
/// Milliseconds between two marks; waits for the second. NaN after a failure.
float ccuda_event_elapsed(ccuda_context *_Nonnull context, ccuda_event *_Nullable from, ccuda_event *_Nullable to);

// MARK: - Kernels

/// Number formats, numbered as CCompute's. Kernels compute in float32, whatever they read and write.
typedef enum ccuda_type { CCUDA_F32 = 0, CCUDA_F16 = 1, CCUDA_BF16 = 2 } ccuda_type;

/// Bytes of a value.
static inline size_t ccuda_type_size(ccuda_type type) { return type == CCUDA_F32 ? 4 : 2; }

/// A file of kernels: CUDA C++ without `#include`.
typedef struct ccuda_source {
    /// File name, for messages.
    const char *_Nonnull name;
    const char *_Nonnull text;
} ccuda_source;

/// Compiles and loads kernels; several at once where processors are free. Machine code is kept under
/// `$XDG_CACHE_HOME/loralab/cuda` (`~/.cache/…`) by a hash of source, architecture and compiler, so that only the first time takes seconds.
/// Returns false, with the compiler's messages as failure, if one does not compile.
bool ccuda_load_kernels(ccuda_context *_Nonnull context, const ccuda_source *_Nonnull sources, int count);

/// The same of all kernels of `CUDADevice/kernels`, whose text is part of the program.
bool ccuda_load_all_kernels(ccuda_context *_Nonnull context);

/// Machine code for an architecture (90) without a card; `*log` receives the compiler's messages, registers and spills among them.
/// Returns the code's length, or 0 and the error. Both are to be freed.
size_t ccuda_compile(const ccuda_source *_Nonnull source, int architecture, void *_Nullable *_Nonnull code, char *_Nullable *_Nonnull log,
                     ccuda_error *_Nonnull error);

/// Queues kernel `name_f32`, `name_f16` or `name_bf16` (by `type`) over `gridX × gridY × gridZ` blocks of `block` threads.
///
/// `params` points to each argument's value, in order; they are read before this returns. A grid of 0 does nothing.
/// `sharedBytes` is the dynamic shared memory, up to the card's limit.
void ccuda_launch(ccuda_context *_Nonnull context, const char *_Nonnull name, ccuda_type type, unsigned gridX, unsigned gridY, unsigned gridZ,
                  unsigned block, unsigned sharedBytes, void *_Nonnull params[_Nonnull]);

// MARK: - Matrix products

/// Whether the first product, convolution or attention of a new shape times the best four ways once and keeps the fastest. Off at first.
void ccuda_set_tuning(ccuda_context *_Nonnull context, bool tuning);

/// `D = alpha · op(A) · op(B) + beta · C + bias`, row-major, `count` times; `op(A)` is `[M, K]`, `op(B)` is `[K, N]`, C and D are `[M, N]`.
///
/// - `transA`: A is stored `[K, M]` with rows `lda` apart; else `[M, K]`. `transB`: B is stored `[N, K]`; else `[K, N]`.
/// - The operands of product `i` start at `A + i·strideA` and so on (a stride of 0 shares the operand).
/// - K is at least 1.
/// - `operands` is the type of A and B, `result` that of C, D and bias: float32 with float32 (no TF32), bfloat16 with either.
///   Sums are float32.
typedef struct ccuda_product {
    bool transA, transB;
    ccuda_type operands, result;
    ptrdiff_t M, N, K, lda, ldb, ldc, ldd;
    ptrdiff_t count, strideA, strideB, strideC, strideD;
    float alpha, beta;
} ccuda_product;

/// Queues a product. C may be D; it is not read, and may be NULL, when `beta` is 0. `bias [N]` may be NULL.
void ccuda_multiply(ccuda_context *_Nonnull context, const ccuda_product *_Nonnull product, const void *_Nullable A, const void *_Nullable B,
                    const void *_Nullable C, void *_Nullable D, const void *_Nullable bias);

// MARK: - Convolution

/// The shape of a 2-D convolution of `x [B, H, W, Cin]` with `w [Cout, kH, kW, Cin]` to `y [B, Ho, Wo, Cout]`,
/// `Ho = (H + padTop + padBottom − kH) / stride + 1`, likewise `Wo`. All tensors have the type `type`; sums are float32.
typedef struct ccuda_conv {
    ccuda_type type;
    ptrdiff_t batch, height, width, channels;
    ptrdiff_t outChannels, kernelHeight, kernelWidth, stride;
    ptrdiff_t padTop, padLeft, padBottom, padRight;
} ccuda_conv;

/// `y = conv(x, w)`. Bias and addend are a kernel's matter.
void ccuda_convolve(ccuda_context *_Nonnull context, const ccuda_conv *_Nonnull c, const void *_Nullable x, const void *_Nullable w,
                    void *_Nullable y);
/// `dx`, the gradient with respect to the input.
void ccuda_convolve_backward_input(ccuda_context *_Nonnull context, const ccuda_conv *_Nonnull c, const void *_Nullable w, const void *_Nullable dy,
                                   void *_Nullable dx);
/// `dw [Cout, kH, kW, Cin]`, the gradient with respect to the weights, in the convolution's type.
void ccuda_convolve_backward_weight(ccuda_context *_Nonnull context, const ccuda_conv *_Nonnull c, const void *_Nullable x, const void *_Nullable dy,
                                    void *_Nullable dw);

// MARK: - Attention

/// Scaled dot-product attention over `heads` heads of width `D`: queries `[B, T, heads·D]`, keys and values `[B, S, heads·D]`.
///
/// Rows of tokens are `qRow`, `kvRow`, `outRow` elements apart (`heads·D` when contiguous), batch items `T` or `S` rows apart.
/// Key `j` is visible to query `i` if `j < keyLengths[b]` (on the card; NULL: all) and, when `causal`, `j <= i + causalOffset`.
typedef struct ccuda_attention {
    ccuda_type type;
    ptrdiff_t batch, queries, keys, heads, width;
    ptrdiff_t qRow, kvRow, outRow;
    float scale;
    bool causal;
    ptrdiff_t causalOffset;
    const int32_t *_Nullable keyLengths;
} ccuda_attention;

/// cuDNN's attention: `out = softmax(scale · q kᵀ) v`; `lse [B, heads, T]`, float32, receives the logarithm of each row's sum of exponentials.
/// Returns false, and queues nothing, for shapes it does not take (float32, masks, widths that are no multiple of 8): a kernel's matter.
bool ccuda_fused_attention(ccuda_context *_Nonnull context, const ccuda_attention *_Nonnull a, const void *_Nullable q, const void *_Nullable k,
                           const void *_Nullable v, void *_Nullable out, float *_Nullable lse);
/// Its gradients; `out` and `lse` are those of the forward pass. `dout` and `dq` have the strides of `out` and `q`; `dk`, `dv` those of `k`, `v`.
/// Returns false, and queues nothing, for shapes it does not take.
bool ccuda_fused_attention_backward(ccuda_context *_Nonnull context, const ccuda_attention *_Nonnull a, const void *_Nullable q,
                                    const void *_Nullable k, const void *_Nullable v, const void *_Nullable out, const float *_Nullable lse,
                                    const void *_Nullable dout, void *_Nullable dq, void *_Nullable dk, void *_Nullable dv);

// MARK: - Recorded work

/// Work recorded once, to be queued again in one call with the same addresses.
typedef struct ccuda_graph ccuda_graph;

/// From here on work is recorded, not run. Uploads, downloads and waiting are not allowed until `ccuda_end_recording`;
/// plans must have been made before (run the same work once).
void ccuda_begin_recording(ccuda_context *_Nonnull context);
/// The work since `ccuda_begin_recording`; NULL after a failure.
ccuda_graph *_Nullable ccuda_end_recording(ccuda_context *_Nonnull context);
/// Queues recorded work.
void ccuda_replay(ccuda_context *_Nonnull context, ccuda_graph *_Nullable graph);
void ccuda_graph_destroy(ccuda_context *_Nonnull context, ccuda_graph *_Nullable graph);
/// Kernels and copies in it.
size_t ccuda_graph_size(const ccuda_graph *_Nonnull graph);

// MARK: - Without a card (tests)

/// From now on functions of NVIDIA's libraries are those that `lookup` gives for their names (NULL: absent), nothing is searched; NULL ends that.
/// No card may be open.
void ccuda_set_stand_in(void *_Nullable (*_Nullable lookup)(const char *_Nonnull symbol));

/// How many ways, four at most, cuDNN has to convolve a shape on an architecture (90): forward (direction 0), the gradient with respect to the
/// input (1) or the weights (2). 0, and the reason in `error`, if it refuses the shape or is missing.
int ccuda_count_convolution_plans(const ccuda_conv *_Nonnull c, int direction, int architecture, ccuda_error *_Nonnull error);
/// The same of attention, or of its gradients.
int ccuda_count_attention_plans(const ccuda_attention *_Nonnull a, bool backward, int architecture, ccuda_error *_Nonnull error);

#ifdef __cplusplus
}
#endif

#include "CCUDALaunch.h"  // one function per line of CCompute's functions.def
