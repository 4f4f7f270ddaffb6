// CUDA's words for a processor, so that the kernels' own text runs here: a block's threads are fibers that one thread runs in turn.
//
// What differs from a card is made visible. Threads run in a chosen order, each as far as it can go, so that a missing barrier gives another
// result; shared memory is full of NaN before each block; a thread that ends while others wait, or waits elsewhere than they do, is a fault.
#pragma once
#include <cmath>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

namespace on_host {

/// In which order threads, warps and blocks run.
enum class order { ascending, descending, shuffled };

struct dim { unsigned x = 0, y = 0, z = 0; };

enum { lanes = 32, maxThreads = 256 };

/// A thread of the block that runs.
struct thread {
    dim index;
    void *stack;                      // its saved stack pointer while it does not run
    enum { fresh, ready, atWarp, atBlock, done } state;
    int line;                         // of the barrier it waits at
    unsigned shuffles;                // how many it has taken part in
};

/// The block that runs.
struct block {
    dim index, grid, size;
    thread threads[maxThreads];
    thread *current;
    uint64_t exchanged[maxThreads / lanes][2][lanes];
    float *shared;                    // dynamic shared memory
    const char *fault;
};
extern block now;

/// `p`, unless a card would refuse to move a whole `V` from or to there.
template <typename V> V *aligned(V *p) {
    if ((uintptr_t)p % alignof(V) != 0) __builtin_trap();
    return p;
}

/// Waits for the warp or the block; `line` tells barriers apart.
void wait_for(int state, int line);

/// The value that the lane `partner` gives. Neighbouring shuffles use one half of `exchanged` each, so that one wait suffices.
template <typename V> V shuffle(V value, int partner) {
    static_assert(sizeof(V) <= sizeof(uint64_t));
    unsigned t = now.current->index.x;
    uint64_t(&slots)[lanes] = now.exchanged[t / lanes][now.current->shuffles++ & 1];
    memcpy(&slots[t % lanes], &value, sizeof value);
    wait_for(thread::atWarp, -1);
    memcpy(&value, &slots[partner], sizeof value);
    return value;
}

/// A kernel that has made itself known, to be called with pointers to its arguments as `cuLaunchKernel` is.
struct kernel {
    const char *name;
    void (*call)(void (*function)(), void **parameters);
    void **(*copy)(void **parameters);  // for a later call: one block of memory, to be freed
    void (*function)();
    const kernel *next;
    static const kernel *first;

    template <typename... P> kernel(const char *name, void (*f)(P...))
        : name(name), call(&unpack<P...>), copy(&copy_all<P...>), function((void (*)())f), next(first) { first = this; }

    template <typename... P> static void unpack(void (*f)(), void **parameters) {
        spread((void (*)(P...))f, parameters, std::make_index_sequence<sizeof...(P)>());
    }
    template <typename... P, size_t... I> static void spread(void (*f)(P...), void **parameters, std::index_sequence<I...>) {
        f(*(std::remove_reference_t<P> *)parameters[I]...);
    }
    template <typename... P> static void **copy_all(void **parameters) {
        const size_t sizes[] = {sizeof(P)...};
        return copied(sizeof...(P), sizes, parameters);
    }
    static void **copied(size_t count, const size_t *sizes, void **parameters);
    static const kernel *named(const char *name);
};

/// Runs a kernel. Returns NULL, or what was wrong: a barrier that not all reach, an access outside of all buffers.
const char *run(const kernel *k, dim grid, unsigned block, size_t sharedBytes, void **parameters, order order);

}  // namespace on_host

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("cuda_shared")))
#define __syncthreads() on_host::wait_for(on_host::thread::atBlock, __LINE__)
#define __syncwarp() on_host::wait_for(on_host::thread::atWarp, __LINE__)
#define __shfl_xor_sync(mask, value, step) on_host::shuffle(value, (int)(threadIdx.x % on_host::lanes) ^ (step))
#define threadIdx (on_host::now.current->index)
#define blockIdx (on_host::now.index)
#define blockDim (on_host::now.size)
#define gridDim (on_host::now.grid)
#define KERNEL(name, parameters) \
    extern "C" void name parameters; \
    static const on_host::kernel name##_known(#name, &name); \
    extern "C" void name parameters
#define MAY_ALIAS __attribute__((may_alias))
#define ALIGNED(p) on_host::aligned(p)
#define STORE4(p, a, b, c, d) (*ALIGNED(p) = {{a, b, c, d}})
#define STORE2(p, a, b) (*ALIGNED(p) = {{a, b}})
#define DYNAMIC_SHARED(name) float *const name = on_host::now.shared

static inline float __uint_as_float(unsigned bits) { float x; memcpy(&x, &bits, 4); return x; }
static inline unsigned __float_as_uint(float x) { unsigned bits; memcpy(&bits, &x, 4); return bits; }
