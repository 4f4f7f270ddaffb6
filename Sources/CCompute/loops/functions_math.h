// Elementary functions, written so that loops over them vectorise. The polynomials are least-maximum-error fits
// (iteratively reweighted least squares on Chebyshev nodes); errors stated are relative unless said.

/// eˣ, error below 2 ulp; 0 below −104, infinity above 88.7.
INLINE float exp1(float x) {
    float limited = x > 89.0f ? 89.0f : x;
    limited = limited < -104.0f ? -104.0f : limited;
    float shifted = limited * 1.44269504f + 12582912.0f;  // 1.5·2²³: the fraction is rounded away, the integer sits in the low bits
    int32_t n = (int32_t)(to_bits(shifted) - 0x4b400000u);
    float whole = shifted - 12582912.0f;
    float r = limited - whole * 0.693359375f;             // ln 2 in two parts: the first product is exact
    r = r - whole * -2.12194440e-4f;
    float p = 0.0013941110f;
    p = p * r + 0.0083631752f;
    p = p * r + 0.0416663736f;
    p = p * r + 0.1666657627f;
    p = p * r + 0.5f;
    p = p * (r * r) + r + 1.0f;
    int32_t half = n >> 1;                                // 2ⁿ in two factors: reaches subnormals and infinity
    return p * from_bits((uint32_t)(half + 127) << 23) * from_bits((uint32_t)(n - half + 127) << 23);
}

/// eˣ for x that is held within −87…85, error below 2 ulp: half the work, for sums and quotients in which less than 10⁻³⁷ is nothing.
INLINE float exp_bounded1(float x) {
    float limited = x > 85.0f ? 85.0f : x;
    limited = limited < -87.0f ? -87.0f : limited;
    float shifted = limited * 1.44269504f + 12582912.0f;
    float whole = shifted - 12582912.0f;
    float r = limited - whole * 0.693359375f;
    r = r - whole * -2.12194440e-4f;
    float p = 0.0013941110f;
    p = p * r + 0.0083631752f;
    p = p * r + 0.0416663736f;
    p = p * r + 0.1666657627f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return from_bits(to_bits(p) + (to_bits(shifted) << 23));  // n is added to the exponent
}

/// 1 / x for x in 2⁻¹²⁵…2¹²⁵, error below 2 ulp: an estimate from the bits, made better three times (Newton's method). A division takes
/// the processor longer.
INLINE float reciprocal1(float x) {
    float y = from_bits(0x7ef311c7u - to_bits(x));
    y = y + y * (1.0f - x * y);
    y = y + y * (1.0f - x * y);
    return y + y * (1.0f - x * y);
}

/// Natural logarithm, error below 2 ulp.
INLINE float log1(float x) {
    bool tiny = x < 1.17549435e-38f;
    float scaled = tiny ? x * 8388608.0f : x;
    uint32_t bits = to_bits(scaled);
    uint32_t offset = bits - 0x3f3504f3u;                 // mantissa in [√½, √2)
    float exponent = (float)((int32_t)offset >> 23) - (tiny ? 23.0f : 0.0f);
    float f = from_bits((offset & 0x007fffff) + 0x3f3504f3u) - 1.0f;
    float p = 0.0691536337f;
    p = p * f - 0.1178980544f;
    p = p * f + 0.1187297702f;
    p = p * f - 0.1238434911f;
    p = p * f + 0.1421865821f;
    p = p * f - 0.1666925102f;
    p = p * f + 0.2000222653f;
    p = p * f - 0.2499998659f;
    p = p * f + 0.3333331048f;
    float square = f * f;
    float y = p * f * square;
    y = y + exponent * -2.12194440e-4f - 0.5f * square;
    y = y + f + exponent * 0.693359375f;
    y = x == INFINITY ? INFINITY : y;
    y = x == 0.0f ? -INFINITY : y;
    return x < 0.0f || x != x ? NAN : y;
}

INLINE float sigmoid1(float x) { return reciprocal1(1.0f + exp_bounded1(-x)); }

/// tanh; x + x³P(x²) near zero, where the quotient would lose digits.
INLINE float tanh1(float x) {
    float a = fabsf(x), s = x * x;
    float p = -0.0061131823f;
    p = p * s + 0.0210100729f;
    p = p * s - 0.0538540669f;
    p = p * s + 0.1333279461f;
    p = p * s - 0.3333332837f;
    float near = x + x * s * p;
    float far = 1.0f - 2.0f * reciprocal1(exp_bounded1(2.0f * a) + 1.0f);
    return a < 0.625f ? near : copysignf(far, x);
}

/// The error function, absolute error below 2e-7: x + xP(x²) up to 1, then 1 − e^Q(|x|).
INLINE float erf1(float x) {
    float a = fabsf(x), s = x * x;
    float p = 7.88911930e-5f;
    p = p * s - 8.02084105e-4f;
    p = p * s + 5.18953521e-3f;
    p = p * s - 0.0268544443f;
    p = p * s + 0.1128360033f;
    p = p * s - 0.3761262596f;
    p = p * s + 0.1283791661f;
    float b = a > 4.0f ? 4.0f : a;
    float q = -2.14961183e-5f;
    q = q * b + 4.39106429e-4f;
    q = q * b - 4.19361144e-3f;
    q = q * b + 0.0251789689f;
    q = q * b - 0.1083724797f;
    q = q * b - 0.6332626343f;
    q = q * b - 1.1295567751f;
    q = q * b + 1.83444208e-4f;
    return a < 1.0f ? x + x * p : copysignf(1.0f - exp_bounded1(q), x);
}

/// The standard normal distribution Φ and its density φ.
INLINE float normal_cdf(float x) { return 0.5f + 0.5f * erf1(x * 0.70710678f); }
INLINE float normal_density(float x) { return 0.39894228f * exp_bounded1(-0.5f * x * x); }

INLINE float gelu1(float x) { return x * normal_cdf(x); }
INLINE float gelu_slope(float x) { return normal_cdf(x) + x * normal_density(x); }

// GELU's tanh form: x/2 · (1 + tanh(√(2/π)(x + 0.044715x³))) = x·σ(2u).
INLINE float gelu_tanh_argument(float x) { return 1.5957691216f * (x + 0.044715f * x * x * x); }
INLINE float gelu_tanh1(float x) { return x * sigmoid1(gelu_tanh_argument(x)); }
INLINE float gelu_tanh_slope(float x) {
    float s = sigmoid1(gelu_tanh_argument(x));
    return s + x * s * (1.0f - s) * 1.5957691216f * (1.0f + 0.134145f * x * x);
}

INLINE float gelu_quick1(float x) { return x * sigmoid1(1.702f * x); }
INLINE float gelu_quick_slope(float x) { float s = sigmoid1(1.702f * x); return s + 1.702f * x * s * (1.0f - s); }

INLINE float silu1(float x) { return x * sigmoid1(x); }
INLINE float silu_slope(float x) { float s = sigmoid1(x); return s + x * s * (1.0f - s); }
