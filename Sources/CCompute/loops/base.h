// Small things every loop uses.

// Builds without optimisation vectorise nothing; that is no cause for a warning.
#pragma clang diagnostic ignored "-Wpass-failed"

#define INLINE static inline __attribute__((always_inline))

/// The iterations of the following loop do not depend on each other, also when output and input are the same array.
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety) interleave(enable)")

/// A sum in the following block may be split over vector lanes.
#define SPLIT_SUMS _Pragma("clang fp reassociate(on)")

/// The head of a piece of parallel work whose context is a `type`.
#define BODY(name, type) \
    static void name##_run(const type *t, ptrdiff_t begin, ptrdiff_t end); \
    static void name(void *context, ptrdiff_t begin, ptrdiff_t end, int worker) { (void)worker; name##_run(context, begin, end); } \
    static void name##_run(const type *t, ptrdiff_t begin, ptrdiff_t end)

enum {
    elementGrain = 16384  // elements of simple work worth handing to a thread
};

INLINE ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
INLINE ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }
INLINE ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }
/// How many rows of `n` elements make a piece of work.
INLINE ptrdiff_t row_grain(ptrdiff_t n) { return larger(1, elementGrain / larger(n, 1)); }

INLINE float from_bits(uint32_t bits) { float x; memcpy(&x, &bits, 4); return x; }
INLINE uint32_t to_bits(float x) { uint32_t bits; memcpy(&bits, &x, 4); return bits; }

// MARK: - Half precision

INLINE float widen_bf16(uint16_t h) { return from_bits((uint32_t)h << 16); }

INLINE uint16_t narrow_bf16(float x) {
    uint32_t bits = to_bits(x);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return x != x ? (uint16_t)((bits >> 16) | 0x40) : (uint16_t)rounded;
}

#if HAS_F16C || defined(__aarch64__)
INLINE float widen_f16(uint16_t h) { _Float16 value; memcpy(&value, &h, 2); return (float)value; }
INLINE uint16_t narrow_f16(float x) { _Float16 value = (_Float16)x; uint16_t h; memcpy(&h, &value, 2); return h; }
#else
/// The exponent and fraction moved in place and scaled by 2¹¹², which also makes subnormal halves right.
INLINE float widen_f16(uint16_t h) {
    float magnitude = from_bits((uint32_t)(h & 0x7fff) << 13) * 0x1p112f;
    uint32_t bits = (h & 0x7c00) == 0x7c00 ? to_bits(magnitude) | 0x7f800000 : to_bits(magnitude);
    return from_bits(bits | (uint32_t)(h & 0x8000) << 16);
}

INLINE uint16_t narrow_f16(float x) {
    uint32_t bits = to_bits(x), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    // A subnormal half is a multiple of 2⁻²⁴: adding 0.5 lets the adder of floats round to it.
    uint32_t subnormal = to_bits(from_bits(magnitude) + 0.5f) - 0x3f000000;
    uint32_t normal = (magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000) >> 13;
    uint32_t h = magnitude < 0x38800000 ? subnormal : magnitude >= 0x477ff000 ? 0x7c00 : normal;
    h = magnitude > 0x7f800000 ? (0x7e00 | (magnitude >> 13 & 0x3ff)) : h;
    return (uint16_t)(sign | h);
}
#endif

/// `n` values of any type, widened.
static void widen(ptrdiff_t n, const void *x, cc_dtype type, float *y) {
    const uint16_t *half = x;
    switch (type) {
    case CC_F32: memcpy(y, x, (size_t)n * sizeof(float)); break;
    case CC_F16: for (ptrdiff_t i = 0; i < n; i++) y[i] = widen_f16(half[i]); break;
    case CC_BF16: for (ptrdiff_t i = 0; i < n; i++) y[i] = widen_bf16(half[i]); break;
    }
}

INLINE size_t size_of(cc_dtype type) { return type == CC_F32 ? 4 : 2; }
/// `x + offset` for an array of any type.
INLINE const void *advanced(const void *x, cc_dtype type, ptrdiff_t offset) { return (const char *)x + offset * (ptrdiff_t)size_of(type); }
