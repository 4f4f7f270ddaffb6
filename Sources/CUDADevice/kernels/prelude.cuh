// What every file of kernels begins with: this text is put before it, so that nothing is included and NVRTC needs no headers.
//
// Conventions
// - Activations are `float` or `bf16`, read and written in runs of 16 bytes where addresses permit; all arithmetic is float, sums that may
//   be long end in double. Statistics, norm scales, losses, trained weights and their gradients are float.
// - Blocks are one-dimensional, whole warps, at most 256 threads. No thread leaves before a barrier that others reach.
// - Sums are added in an order that depends on shapes alone: no atomics, so the same input gives the same bits.
// - A NULL operand is one that is absent.

typedef long long index_t;  // counts and offsets: a tensor may have more than 2³¹ elements

struct bf16 { unsigned short bits; };
struct f16 { unsigned short bits; };

#ifndef KERNEL
#define KERNEL(name, parameters) extern "C" __global__ void __launch_bounds__(256, 1) name parameters
#define DYNAMIC_SHARED(name) extern __shared__ float name[]
#define MAY_ALIAS
#define ALIGNED(p) (p)  // tests look whether it is
// Words leave in one access: left to itself the compiler at times writes them one by one.
#define STORE4(p, a, b, c, d) asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(a), "r"(b), "r"(c), "r"(d) : "memory")
#define STORE2(p, a, b) asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(p), "r"(a), "r"(b) : "memory")
#endif
#define DEVICE static __device__ __forceinline__
/// Expands `M(type, its name)` for each type of activations.
#define EACH_TYPE(M) M(float, f32) M(bf16, bf16)

// MARK: - Number formats

DEVICE float float_of(unsigned bits) { return __uint_as_float(bits); }
DEVICE unsigned bits_of(float x) { return __float_as_uint(x); }
DEVICE float infinity() { return float_of(0x7f800000u); }

DEVICE float widen(float x) { return x; }
DEVICE float widen(bf16 x) { return float_of((unsigned)x.bits << 16); }
/// The exponent and fraction moved in place and scaled by 2¹¹², which also makes subnormal halves right.
DEVICE float widen(f16 x) {
    float magnitude = float_of((unsigned)(x.bits & 0x7fff) << 13) * float_of(0x77800000u);
    unsigned bits = (x.bits & 0x7c00) == 0x7c00 ? bits_of(magnitude) | 0x7f800000u : bits_of(magnitude);
    return float_of(bits | (unsigned)(x.bits & 0x8000) << 16);
}

/// Rounded to nearest even; a NaN stays one.
template <typename T> DEVICE T narrow(float x);
template <> __device__ __forceinline__ float narrow<float>(float x) { return x; }
template <> __device__ __forceinline__ bf16 narrow<bf16>(float x) {
    unsigned bits = bits_of(x), rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return bf16{(unsigned short)(x != x ? bits >> 16 | 0x40 : rounded)};
}
template <> __device__ __forceinline__ f16 narrow<f16>(float x) {
    unsigned bits = bits_of(x), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    // A subnormal half is a multiple of 2⁻²⁴: adding 0.5 lets the adder of floats round to it.
    unsigned subnormal = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000;
    unsigned normal = (magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000) >> 13;
    unsigned half = magnitude < 0x38800000 ? subnormal : magnitude >= 0x477ff000 ? 0x7c00 : normal;
    half = magnitude > 0x7f800000 ? 0x7e00 | (magnitude >> 13 & 0x3ff) : half;
    return f16{(unsigned short)(sign | half)};
}

// MARK: - Runs: neighbouring elements that one thread takes

/// How many elements a run has: as many of the widest type as fill 16 bytes.
template <typename... T> __device__ constexpr int run_length() {
    unsigned long long widest = 0;
    ((widest = sizeof(T) > widest ? sizeof(T) : widest), ...);
    return (int)(16 / widest);
}

template <int W> struct floats { float at[W]; };

/// A run as the card moves it: one access of 16 bytes (8 for the narrower of two types).
template <typename T, int W> struct alignas(sizeof(T) * W) MAY_ALIAS words { unsigned at[sizeof(T) * W / 4]; };

DEVICE float unpacked(const unsigned *words, int k, float) { return float_of(words[k]); }
DEVICE float unpacked(const unsigned *words, int k, bf16) { return float_of(k % 2 ? words[k / 2] & 0xffff0000u : words[k / 2] << 16); }
DEVICE float unpacked(const unsigned *words, int k, f16) { return widen(f16{(unsigned short)(words[k / 2] >> 16 * (k % 2))}); }
DEVICE void pack(unsigned *words, int k, float x) { words[k] = bits_of(x); }
template <typename Half> DEVICE void pack(unsigned *words, int k, Half x) { words[k / 2] = k % 2 ? words[k / 2] | (unsigned)x.bits << 16 : x.bits; }

template <typename Words> DEVICE void put(Words *p, const Words &run) {
    if constexpr (sizeof run == 16) STORE4(p, run.at[0], run.at[1], run.at[2], run.at[3]);
    else STORE2(p, run.at[0], run.at[1]);
}

template <typename T, int W> DEVICE bool is_whole(const T *p, index_t count) {
    return count >= W && (unsigned long long)p % sizeof(words<T, W>) == 0;
}

/// The first `count` (at most W) values from `p`, then zeros.
template <int W, typename T> DEVICE floats<W> load(const T *p, index_t count) {
    floats<W> values;
    if (is_whole<T, W>(p, count)) {
        words<T, W> whole = *ALIGNED((const words<T, W> *)p);
#pragma unroll
        for (int k = 0; k < W; k++) values.at[k] = unpacked(whole.at, k, T());
    } else {
#pragma unroll
        for (int k = 0; k < W; k++) values.at[k] = k < count ? widen(p[k]) : 0.0f;
    }
    return values;
}

template <int W, typename T> DEVICE void store(T *p, index_t count, floats<W> values) {
    if (is_whole<T, W>(p, count)) {
        words<T, W> whole;
#pragma unroll
        for (int k = 0; k < W; k++) pack(whole.at, k, narrow<T>(values.at[k]));
        put((words<T, W> *)p, whole);
    } else {
#pragma unroll
        for (int k = 0; k < W; k++) if (k < count) p[k] = narrow<T>(values.at[k]);
    }
}

DEVICE index_t global_thread() { return (index_t)blockIdx.x * blockDim.x + threadIdx.x; }
DEVICE index_t smaller(index_t a, index_t b) { return a < b ? a : b; }
DEVICE index_t larger(index_t a, index_t b) { return a > b ? a : b; }

/// `a / b` for `a >= 0`, `b > 0`. Nearly always 32 bits suffice, which the card divides in a third of the time; else bit by bit, since the
/// compiler's own division of 64 bits is a call, around which registers are spilled.
DEVICE index_t divide(index_t a, index_t b) {
    if (((a | b) >> 32) == 0) return (index_t)((unsigned)a / (unsigned)b);
    index_t quotient = 0, rest = 0;
#pragma unroll 1
    for (int bit = 62; bit >= 0; bit--) {
        rest = rest << 1 | (a >> bit & 1);
        if (rest >= b) { rest -= b; quotient |= 1ll << bit; }
    }
    return quotient;
}

/// The run of this thread in rows of `n` elements that are cut into runs of W each.
template <int W> struct row_run {
    index_t row, column, count;  // count: of its elements that lie within the row

    __device__ __forceinline__ row_run(index_t n) {
        index_t runs = (n + W - 1) / W, item = global_thread();
        row = divide(item, runs);
        column = (item - row * runs) * W;
        count = n - column;
    }
};

/// `y[i] = f(x[i]…)` for `i < n`: each thread takes a run. An operand may be `y` itself.
template <int W, typename Out, typename F, typename... Values> DEVICE void map_run(index_t count, F f, Out *y, Values... x) {
    floats<W> result;
#pragma unroll
    for (int k = 0; k < W; k++) result.at[k] = f(x.at[k]...);
    store<W>(y, count, result);
}
template <typename Out, typename F, typename... In> DEVICE void map(index_t n, F f, Out *y, const In *...x) {
    constexpr int W = run_length<Out, In...>();
    index_t first = global_thread() * W;
    if (first < n) map_run<W>(n - first, f, y + first, load<W>(x + first, n - first)...);
}

template <int W> DEVICE floats<W> scaled(floats<W> values, floats<W> factors) {
#pragma unroll
    for (int k = 0; k < W; k++) values.at[k] *= factors.at[k];
    return values;
}

// MARK: - Sums within a warp and a block

enum { warpLanes = 32, everyLane = 0xffffffffu };

DEVICE int lane_index() { return threadIdx.x % warpLanes; }
DEVICE int warp_index() { return threadIdx.x / warpLanes; }
DEVICE int warp_count() { return blockDim.x / warpLanes; }

/// The sum over the warp, to every lane.
template <typename V> DEVICE V warp_sum(V x) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(everyLane, x, step);
    return x;
}
template <typename V> DEVICE V warp_max(V x) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
        V other = __shfl_xor_sync(everyLane, x, step);
        x = other > x ? other : x;
    }
    return x;
}

/// `x` of every warp's first lane joined by `join`, warp after warp, to every thread. Once per kernel: the memory is not guarded against reuse.
template <typename V, typename Join> DEVICE V across_warps(V x, Join join) {
    __shared__ V ofWarp[8];
    if (lane_index() == 0) ofWarp[warp_index()] = x;
    __syncthreads();
    V result = ofWarp[0];
    for (int w = 1; w < warp_count(); w++) result = join(result, ofWarp[w]);
    return result;
}
DEVICE double block_sum(double x) { return across_warps(warp_sum(x), [](double a, double b) { return a + b; }); }
DEVICE unsigned block_max(unsigned x) { return across_warps(warp_max(x), [](unsigned a, unsigned b) { return a > b ? a : b; }); }

// MARK: - Rows, a warp each

/// Calls `take(count, j)` for each run of the lane in a row of `n`.
template <int W, typename Take> DEVICE void each_run_of_row(index_t n, Take take) {
    for (index_t j = lane_index() * W; j < n; j += warpLanes * W) take(n - j, j);
}
DEVICE index_t row_of_warp() { return (index_t)blockIdx.x * warp_count() + warp_index(); }

// MARK: - Functions that several files use

DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
DEVICE float silu(float x) { return x * sigmoid(x); }
DEVICE float silu_slope(float x) { float s = sigmoid(x); return s + x * s * (1.0f - s); }

/// The standard normal distribution Φ and its density φ.
DEVICE float normal_cdf(float x) { return 0.5f + 0.5f * erff(x * 0.70710678f); }
DEVICE float normal_density(float x) { return 0.39894228f * expf(-0.5f * x * x); }
