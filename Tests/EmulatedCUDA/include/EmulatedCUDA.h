/// A card made of nothing: NVIDIA's driver, NVRTC, cuBLASLt and cuDNN as far as CCUDA uses them, on the processor, by plain loops.
///
/// Memory is the host's (and full of NaN when it is new), work is done when it is queued, kernels are those that a test brings. What a card
/// cannot do is refused here too: memory beyond the card's, blocks of more than 1,024 threads, waiting while work is recorded.
#pragma once
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/// From now on CCUDA finds these libraries and no others.
void emulated_install(void);

/// Takes the library away whose functions' names begin so ("nvrtc", "cublasLt", "cudnn"); none if empty.
void emulated_hide(const char *_Nonnull prefix);

/// What driver (13000 for CUDA 13.0) and cards to play; at first: CUDA 13.0, one card of compute capability 9.0 (90) with 1 GiB.
void emulated_configure(int driverVersion, int devices, int capability, size_t memory);

/// Lets a call of `symbol` ("cuMemcpyDtoDAsync_v2"), after so many others, answer `status`. Faults of a kernel (700 …) are then answered by every
/// call until the next plan, the others once. A status of 0 ends that.
void emulated_fail(const char *_Nonnull symbol, int status, int after);

/// Bytes of the card's memory in use.
size_t emulated_memory_used(void);

/// Kernels on the processor.
typedef struct emulated_kernels {
    /// A kernel by its name, or NULL.
    void *_Nullable (*_Nullable find)(const char *_Nonnull name);
    /// Runs it over a grid of blocks; returns NULL, or what went wrong.
    const char *_Nullable (*_Nullable run)(void *_Nonnull kernel, const unsigned grid[_Nonnull 3], unsigned block, unsigned sharedBytes,
                                           void *_Nonnull *_Nonnull params);
    /// A copy of its arguments, for recorded work.
    void *_Nonnull *_Nonnull (*_Nullable copy)(void *_Nonnull kernel, void *_Nonnull *_Nonnull params);
} emulated_kernels;
void emulated_set_kernels(emulated_kernels kernels);

#ifdef __cplusplus
}
#endif
