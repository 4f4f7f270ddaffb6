// Convolution for shapes the vendor's library refuses: matrix products whose operands are found in the pictures as they are needed.
// Pictures are `[B, H, W, C]`, weights `[Cout, kH, kW, Cin]`.

struct conv_t { index_t batch, height, width, channels, outChannels, kernelHeight, kernelWidth, stride, padTop, padLeft, outHeight, outWidth; };

enum { side = 16 };  // a block makes 16×16 sums, one a thread

/// `put(m, n, Σ_k a(m, k) b(n, k))` for the block's tile of `[M, N]`.
template <typename A, typename B, typename Put> DEVICE void tile_product(index_t M, index_t N, index_t K, A a, B b, Put put) {
    __shared__ float rows[side][side + 1], columns[side][side + 1];
    index_t tiles = (N + side - 1) / side, tileRow = divide(blockIdx.x, tiles);
    index_t firstRow = tileRow * side, firstColumn = (blockIdx.x - tileRow * tiles) * side;
    int i = threadIdx.x / side, j = threadIdx.x % side;
    float sum = 0;
    for (index_t k = 0; k < K; k += side) {
        rows[i][j] = firstRow + i < M && k + j < K ? a(firstRow + i, k + j) : 0.0f;
        columns[i][j] = firstColumn + i < N && k + j < K ? b(firstColumn + i, k + j) : 0.0f;
        __syncthreads();
#pragma unroll
        for (int s = 0; s < side; s++) sum += rows[i][s] * columns[j][s];
        __syncthreads();  // before the next operands
    }
    if (firstRow + i < M && firstColumn + j < N) put(firstRow + i, firstColumn + j, sum);
}

/// A place in a picture of some pictures, or in a window: `index = (outer · height + y) · width + x`.
struct place_t {
    index_t outer, y, x;
    __device__ __forceinline__ place_t(index_t index, index_t height, index_t width) {
        index_t row = divide(index, width);
        x = index - row * width;
        outer = divide(row, height);
        y = row - outer * height;
    }
};

/// The input value that output pixel `m` meets at `k`, a kernel's tap and channel; 0 outside the picture.
template <typename T> DEVICE float window_value(const conv_t &c, const T *x, index_t m, index_t k) {
    place_t pixel(m, c.outHeight, c.outWidth), tap(k, c.kernelWidth, c.channels);  // tap: outer is its row, y its column, x the channel
    index_t y = pixel.y * c.stride + tap.outer - c.padTop, column = pixel.x * c.stride + tap.y - c.padLeft;
    bool inside = y >= 0 && y < c.height && column >= 0 && column < c.width;
    return inside ? widen(x[((pixel.outer * c.height + y) * c.width + column) * c.channels + tap.x]) : 0.0f;
}

/// `y = conv(x, w) + bias + addend`; bias `[Cout]` and addend may be absent.
template <typename T> DEVICE void convolve(const conv_t &c, const T *x, const T *w, const T *bias, const T *addend, T *y) {
    index_t K = c.kernelHeight * c.kernelWidth * c.channels;
    tile_product(c.batch * c.outHeight * c.outWidth, c.outChannels, K,
                 [&](index_t m, index_t k) { return window_value(c, x, m, k); },
                 [&](index_t n, index_t k) { return widen(w[n * K + k]); },
                 [&](index_t m, index_t n, float sum) {
                     index_t i = m * c.outChannels + n;
                     y[i] = narrow<T>(sum + (bias ? widen(bias[n]) : 0.0f) + (addend ? widen(addend[i]) : 0.0f));
                 });
}

/// `dx`: input pixel `m` meets output pixel `(y + pad − tap) / stride` through each tap that divides.
template <typename T> DEVICE void convolve_backward_input(const conv_t &c, const T *w, const T *dy, T *dx, int accumulate) {
    tile_product(c.batch * c.height * c.width, c.channels, c.kernelHeight * c.kernelWidth * c.outChannels,
                 [&](index_t m, index_t k) {
                     place_t pixel(m, c.height, c.width), tap(k, c.kernelWidth, c.outChannels);
                     index_t y = pixel.y + c.padTop - tap.outer, x = pixel.x + c.padLeft - tap.y;
                     if (y < 0 || x < 0) return 0.0f;
                     index_t row = divide(y, c.stride), column = divide(x, c.stride);
                     bool meets = row * c.stride == y && column * c.stride == x && row < c.outHeight && column < c.outWidth;
                     return meets ? widen(dy[((pixel.outer * c.outHeight + row) * c.outWidth + column) * c.outChannels + tap.x]) : 0.0f;
                 },
                 [&](index_t n, index_t k) {
                     index_t tap = divide(k, c.outChannels), out = k - tap * c.outChannels;
                     return widen(w[(out * c.kernelHeight * c.kernelWidth + tap) * c.channels + n]);
                 },
                 [&](index_t m, index_t n, float sum) {
                     index_t i = m * c.channels + n;
                     dx[i] = narrow<T>(accumulate ? widen(dx[i]) + sum : sum);
                 });
}

/// `dw [Cout, kH, kW, Cin]`, float32.
template <typename T> DEVICE void convolve_backward_weight(const conv_t &c, const T *x, const T *dy, float *dw, int accumulate) {
    index_t N = c.kernelHeight * c.kernelWidth * c.channels;
    tile_product(c.outChannels, N, c.batch * c.outHeight * c.outWidth,
                 [&](index_t m, index_t k) { return widen(dy[k * c.outChannels + m]); },
                 [&](index_t n, index_t k) { return window_value(c, x, k, n); },
                 [&](index_t m, index_t n, float sum) { dw[m * N + n] = accumulate ? dw[m * N + n] + sum : sum; });
}
#define CONVOLVE(T, t) \
    KERNEL(convolve_##t, (conv_t c, const T *x, const T *w, const T *bias, const T *addend, T *y)) { convolve(c, x, w, bias, addend, y); } \
    KERNEL(convolve_backward_input_##t, (conv_t c, const T *w, const T *dy, T *dx, int accumulate)) { \
        convolve_backward_input(c, w, dy, dx, accumulate); \
    } \
    KERNEL(convolve_backward_weight_##t, (conv_t c, const T *x, const T *dy, float *dw, int accumulate)) { \
        convolve_backward_weight(c, x, dy, dw, accumulate); \
    }
EACH_TYPE(CONVOLVE)
#undef CONVOLVE

/// A kernel of `kernel`² taps for each channel, the size kept: a thread per channel of a pixel.
KERNEL(depthwise_f32, (index_t pixels, index_t height, index_t width, index_t channels, index_t kernel, const float *x, const float *taps,
                       const float *shift, float *y)) {
    index_t item = global_thread(), pixel = divide(item, channels), channel = item - pixel * channels;
    if (pixel >= pixels) return;
    place_t at(pixel, height, width);
    float sum = shift[channel];
    for (index_t i = 0; i < kernel; i++)
        for (index_t j = 0; j < kernel; j++) {
            index_t row = at.y + i - kernel / 2, column = at.x + j - kernel / 2;
            bool inside = row >= 0 && row < height && column >= 0 && column < width;
            if (inside) sum += x[((at.outer * height + row) * width + column) * channels + channel] * taps[(i * kernel + j) * channels + channel];
        }
    y[item] = sum;
}
