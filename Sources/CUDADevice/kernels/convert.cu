// Number formats and constants.

template <typename In, typename Out> DEVICE void convert(index_t n, const In *x, Out *y) {
    map(n, [](float v) { return v; }, y, x);
}
#define CONVERT(In, in, Out, out) KERNEL(convert_##in##_##out, (index_t n, const In *x, Out *y)) { convert(n, x, y); }
#define FROM(T, t) CONVERT(T, t, float, f32) CONVERT(T, t, f16, f16) CONVERT(T, t, bf16, bf16)
FROM(float, f32)
FROM(f16, f16)
FROM(bf16, bf16)
#undef FROM
#undef CONVERT

/// `y = value`, or `value` times a number that lies on the card.
template <typename T> DEVICE void fill(index_t n, float value, const float *factor, T *y) {
    float v = factor ? value * *factor : value;
    map(n, [=]() { return v; }, y);
}
#define FILL(T, t) KERNEL(fill_##t, (index_t n, float value, const float *factor, T *y)) { fill(n, value, factor, y); }
EACH_TYPE(FILL)
#undef FILL
