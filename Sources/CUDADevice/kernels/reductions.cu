// Sums and largest values, in two launches: pieces first, then the pieces in order. Results stay on the card.

enum { pieceRounds = 8 };  // runs per thread of a piece

/// Calls `take(count, i)` for each run of this block's piece that has elements.
template <int W, typename Take> DEVICE void each_run_of_piece(index_t n, Take take) {
    index_t first = (index_t)blockIdx.x * blockDim.x * W * pieceRounds;
#pragma unroll 2
    for (int r = 0; r < pieceRounds; r++) {
        index_t i = first + ((index_t)r * blockDim.x + threadIdx.x) * W;
        if (i < n) take(n - i, i);
    }
}

template <typename T> DEVICE void sum_pieces(index_t n, const T *x, double *partial) {
    constexpr int W = run_length<T>();
    double total = 0;
    each_run_of_piece<W>(n, [&](index_t count, index_t i) {
        floats<W> v = load<W>(x + i, count);
        float sum = 0;
#pragma unroll
        for (int k = 0; k < W; k++) sum += v.at[k];
        total += sum;
    });
    total = block_sum(total);
    if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

template <typename T> DEVICE void dot_pieces(index_t n, const T *a, const T *b, double *partial) {
    constexpr int W = run_length<T>();
    double total = 0;
    each_run_of_piece<W>(n, [&](index_t count, index_t i) {
        floats<W> p = load<W>(a + i, count), q = load<W>(b + i, count);
        float sum = 0;
#pragma unroll
        for (int k = 0; k < W; k++) sum += p.at[k] * q.at[k];
        total += sum;
    });
    total = block_sum(total);
    if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

/// Magnitudes order like their bits; a NaN is larger than infinity.
template <typename T> DEVICE void max_abs_pieces(index_t n, const T *x, unsigned *partial) {
    constexpr int W = run_length<T>();
    unsigned largest = 0;
    each_run_of_piece<W>(n, [&](index_t count, index_t i) {
        floats<W> v = load<W>(x + i, count);
#pragma unroll
        for (int k = 0; k < W; k++) {
            unsigned bits = bits_of(v.at[k]) & 0x7fffffff;
            largest = bits > largest ? bits : largest;
        }
    });
    largest = block_max(largest);
    if (threadIdx.x == 0) partial[blockIdx.x] = largest;
}
#define PIECES(T, t) \
    KERNEL(sum_pieces_##t, (index_t n, const T *x, double *partial)) { sum_pieces(n, x, partial); } \
    KERNEL(dot_pieces_##t, (index_t n, const T *a, const T *b, double *partial)) { dot_pieces(n, a, b, partial); } \
    KERNEL(max_abs_pieces_##t, (index_t n, const T *x, unsigned *partial)) { max_abs_pieces(n, x, partial); }
EACH_TYPE(PIECES)
#undef PIECES

/// One block: `result = factor · Σ partial`.
KERNEL(sum_finish_f32, (index_t count, const double *partial, double factor, float *result)) {
    double total = 0;
    for (index_t i = threadIdx.x; i < count; i += blockDim.x) total += partial[i];
    total = block_sum(total);
    if (threadIdx.x == 0) *result = (float)(factor * total);
}

KERNEL(max_abs_finish_f32, (index_t count, const unsigned *partial, float *result)) {
    unsigned largest = 0;
    for (index_t i = threadIdx.x; i < count; i += blockDim.x) largest = partial[i] > largest ? partial[i] : largest;
    largest = block_max(largest);
    if (threadIdx.x == 0) *result = float_of(largest);
}

// MARK: - Along an axis

/// `partial[o, piece] = Σ x[o, j]` over a piece of `length` elements of each row; a warp per piece.
template <typename T> DEVICE void sum_rows(index_t outer, index_t n, index_t pieces, index_t length, const T *x, float *partial) {
    constexpr int W = run_length<T>();
    index_t item = (index_t)blockIdx.x * warp_count() + warp_index(), o = divide(item, pieces);
    if (o >= outer) return;
    index_t first = (item - o * pieces) * length, last = smaller(n, first + length);
    const T *row = x + o * n;
    double total = 0;
    for (index_t j = first + lane_index() * W; j < last; j += warpLanes * W) {
        floats<W> v = load<W>(row + j, last - j);
        float sum = 0;
#pragma unroll
        for (int k = 0; k < W; k++) sum += v.at[k];
        total += sum;
    }
    total = warp_sum(total);
    if (lane_index() == 0) partial[item] = (float)total;
}

/// `partial[o, piece, i] = Σ x[o, j, i]` over a piece of `length` rows; a block takes 32 columns, each of its warps every eighth row.
template <typename T> DEVICE void sum_columns(index_t n, index_t inner, index_t pieces, index_t length, const T *x, float *partial) {
    __shared__ float ofWarp[8][warpLanes];
    index_t tiles = (inner + warpLanes - 1) / warpLanes, item = divide(blockIdx.x, tiles), o = divide(item, pieces);
    index_t column = (blockIdx.x - item * tiles) * warpLanes + lane_index();
    index_t first = (item - o * pieces) * length, last = smaller(n, first + length);
    float sum = 0;
    if (column < inner)
        for (index_t j = first + warp_index(); j < last; j += warp_count()) sum += widen(x[(o * n + j) * inner + column]);
    ofWarp[warp_index()][lane_index()] = sum;
    __syncthreads();
    if (warp_index() > 0 || column >= inner) return;
    for (int w = 1; w < warp_count(); w++) sum += ofWarp[w][lane_index()];
    partial[item * inner + column] = sum;
}
#define AXIS(T, t) \
    KERNEL(sum_rows_##t, (index_t outer, index_t n, index_t pieces, index_t length, const T *x, float *partial)) { \
        sum_rows(outer, n, pieces, length, x, partial); \
    } \
    KERNEL(sum_columns_##t, (index_t n, index_t inner, index_t pieces, index_t length, const T *x, float *partial)) { \
        sum_columns(n, inner, pieces, length, x, partial); \
    }
EACH_TYPE(AXIS)
#undef AXIS

/// `y[o, i] (+)= Σ_piece partial[o, piece, i]`, whose pieces are `stride` apart.
template <typename T> DEVICE void sum_axis_finish(index_t outer, index_t pieces, index_t inner, index_t stride, const float *partial, T *y,
                                                  int accumulate) {
    index_t item = global_thread(), o = divide(item, inner);
    if (o >= outer) return;
    const float *terms = partial + o * pieces * stride + (item - o * inner);
    double total = 0;
    for (index_t p = 0; p < pieces; p++) total += terms[p * stride];
    y[item] = narrow<T>(accumulate ? widen(y[item]) + (float)total : (float)total);
}
#define AXIS(T, t) \
    KERNEL(sum_axis_finish_##t, (index_t outer, index_t pieces, index_t inner, index_t stride, const float *partial, T *y, int accumulate)) { \
        sum_axis_finish(outer, pieces, inner, stride, partial, y, accumulate); \
    }
EACH_TYPE(AXIS)
#undef AXIS
