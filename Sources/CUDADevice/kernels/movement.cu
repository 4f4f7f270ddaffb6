// Moving data: slices and joins, transpositions, nearest-neighbour upsampling.

/// Rows of `n` values, `xRow` and `yRow` elements apart.
template <typename T> DEVICE void copy_rows(index_t rows, index_t n, const T *x, index_t xRow, T *y, index_t yRow) {
    constexpr int W = run_length<T>();
    row_run<W> at(n);
    if (at.row < rows) store<W>(y + at.row * yRow + at.column, at.count, load<W>(x + at.row * xRow + at.column, at.count));
}
template <typename T> DEVICE void add_rows(index_t rows, index_t n, const T *x, index_t xRow, T *y, index_t yRow) {
    constexpr int W = run_length<T>();
    row_run<W> at(n);
    if (at.row >= rows) return;
    T *target = y + at.row * yRow + at.column;
    map_run<W>(at.count, [](float sum, float v) { return sum + v; }, target, load<W>(target, at.count),
               load<W>(x + at.row * xRow + at.column, at.count));
}
#define ROWS(T, t) \
    KERNEL(copy_rows_##t, (index_t rows, index_t n, const T *x, index_t xRow, T *y, index_t yRow)) { copy_rows(rows, n, x, xRow, y, yRow); } \
    KERNEL(add_rows_##t, (index_t rows, index_t n, const T *x, index_t xRow, T *y, index_t yRow)) { add_rows(rows, n, x, xRow, y, yRow); }
EACH_TYPE(ROWS)
#undef ROWS

// MARK: - Transposition

/// The axes of `y` (contiguous) that stand before the ones a kernel treats itself: their extents, and their strides in x and y.
struct outer_axes_t { int rank; index_t extent[8], xStride[8], yStride[8]; };

struct outer_place { index_t x, y; };
DEVICE outer_place place_of(const outer_axes_t &t, index_t i) {
    outer_place place = {0, 0};
    for (int axis = t.rank - 1; axis >= 0; axis--) {
        index_t rest = divide(i, t.extent[axis]), at = i - rest * t.extent[axis];
        place.x += at * t.xStride[axis];
        place.y += at * t.yStride[axis];
        i = rest;
    }
    return place;
}

/// The last axis stays the last: rows of `n` neighbours are copied from where they are.
template <typename T> DEVICE void permute_rows(index_t rows, index_t n, const outer_axes_t &outer, const T *x, T *y) {
    constexpr int W = run_length<T>();
    row_run<W> at(n);
    if (at.row >= rows) return;
    outer_place place = place_of(outer, at.row);
    store<W>(y + place.y + at.column, at.count, load<W>(x + place.x + at.column, at.count));
}

/// Matrices `y[i · yRow + j] = x[i + j · xColumn]`, `i < rows`, `j < columns`: 32×32 values go through shared memory, so that
/// both sides are touched along their rows.
template <typename T> DEVICE void transpose_tiles(index_t rows, index_t columns, index_t yRow, index_t xColumn, const outer_axes_t &outer,
                                                  const T *x, T *y) {
    __shared__ T tile[warpLanes][warpLanes + 1];
    index_t rowTiles = (rows + warpLanes - 1) / warpLanes, columnTiles = (columns + warpLanes - 1) / warpLanes;
    index_t matrixRow = divide(blockIdx.x, columnTiles), matrix = divide(matrixRow, rowTiles);
    index_t row = (matrixRow - matrix * rowTiles) * warpLanes, column = (blockIdx.x - matrixRow * columnTiles) * warpLanes;
    outer_place place = place_of(outer, matrix);
    for (int j = warp_index(); j < warpLanes; j += warp_count())
        if (row + lane_index() < rows && column + j < columns) tile[j][lane_index()] = x[place.x + row + lane_index() + (column + j) * xColumn];
    __syncthreads();
    for (int i = warp_index(); i < warpLanes; i += warp_count())
        if (row + i < rows && column + lane_index() < columns) y[place.y + (row + i) * yRow + column + lane_index()] = tile[lane_index()][i];
}
#define TRANSPOSE(T, t) \
    KERNEL(permute_rows_##t, (index_t rows, index_t n, outer_axes_t outer, const T *x, T *y)) { permute_rows(rows, n, outer, x, y); } \
    KERNEL(transpose_tiles_##t, (index_t rows, index_t columns, index_t yRow, index_t xColumn, outer_axes_t outer, const T *x, T *y)) { \
        transpose_tiles(rows, columns, yRow, xColumn, outer, x, y); \
    }
EACH_TYPE(TRANSPOSE)
#undef TRANSPOSE

// MARK: - Nearest-neighbour upsampling

/// Each pixel of `x [rows, W, C]` (rows of pictures) becomes 2×2 pixels of `y [2 rows, 2W, C]`.
template <typename T> DEVICE void upsample2(index_t rows, index_t width, index_t channels, const T *x, T *y) {
    constexpr int W = run_length<T>();
    row_run<W> at(channels);  // of pixels
    index_t row = divide(at.row, width), column = at.row - row * width;
    if (row >= rows) return;
    floats<W> pixel = load<W>(x + at.row * channels + at.column, at.count);
    T *top = y + (row * 4 * width + 2 * column) * channels + at.column, *bottom = top + 2 * width * channels;
    store<W>(top, at.count, pixel);
    store<W>(top + channels, at.count, pixel);
    store<W>(bottom, at.count, pixel);
    store<W>(bottom + channels, at.count, pixel);
}
template <typename T> DEVICE void upsample2_backward(index_t rows, index_t width, index_t channels, const T *dy, T *dx) {
    constexpr int W = run_length<T>();
    row_run<W> at(channels);
    index_t row = divide(at.row, width), column = at.row - row * width;
    if (row >= rows) return;
    const T *top = dy + (row * 4 * width + 2 * column) * channels + at.column, *bottom = top + 2 * width * channels;
    map_run<W>(at.count, [](float a, float b, float c, float d) { return (a + b) + (c + d); }, dx + at.row * channels + at.column,
               load<W>(top, at.count), load<W>(top + channels, at.count), load<W>(bottom, at.count), load<W>(bottom + channels, at.count));
}
#define UPSAMPLE(T, t) \
    KERNEL(upsample2_##t, (index_t rows, index_t width, index_t channels, const T *x, T *y)) { upsample2(rows, width, channels, x, y); } \
    KERNEL(upsample2_backward_##t, (index_t rows, index_t width, index_t channels, const T *dy, T *dx)) { \
        upsample2_backward(rows, width, channels, dy, dx); \
    }
EACH_TYPE(UPSAMPLE)
#undef UPSAMPLE
