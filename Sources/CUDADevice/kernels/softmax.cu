// Softmax and its logarithm over rows `[rows, n]`: a warp per row.

template <int W, typename T> DEVICE float row_max(index_t n, const T *x) {
    float largest = -infinity();
    each_run_of_row<W>(n, [&](index_t count, index_t j) {
        floats<W> v = load<W>(x + j, count);
#pragma unroll
        for (int k = 0; k < W; k++) if (k < count && v.at[k] > largest) largest = v.at[k];
    });
    return warp_max(largest);
}

template <int W, typename T> DEVICE float row_exp_sum(index_t n, const T *x, float largest) {
    float sum = 0;
    each_run_of_row<W>(n, [&](index_t count, index_t j) {
        floats<W> v = load<W>(x + j, count);
#pragma unroll
        for (int k = 0; k < W; k++) if (k < count) sum += expf(v.at[k] - largest);
    });
    return warp_sum(sum);
}

template <typename T> DEVICE void softmax(index_t rows, index_t n, const T *x, T *y) {
    constexpr int W = run_length<T>();
    index_t r = row_of_warp();
    if (r >= rows) return;
    x += r * n;
    y += r * n;
    float largest = row_max<W>(n, x), inverse = 1.0f / row_exp_sum<W>(n, x, largest);
    each_run_of_row<W>(n, [&](index_t count, index_t j) {
        map_run<W>(count, [=](float v) { return expf(v - largest) * inverse; }, y + j, load<W>(x + j, count));
    });
}

/// `dx = y ⊙ (dy − Σ dy y)`.
template <typename T> DEVICE void softmax_backward(index_t rows, index_t n, const T *y, const T *dy, T *dx) {
    constexpr int W = run_length<T>();
    index_t r = row_of_warp();
    if (r >= rows) return;
    y += r * n;
    dy += r * n;
    dx += r * n;
    float sum = 0;
    each_run_of_row<W>(n, [&](index_t count, index_t j) {
        floats<W> p = load<W>(y + j, count), d = load<W>(dy + j, count);
#pragma unroll
        for (int k = 0; k < W; k++) sum += p.at[k] * d.at[k];
    });
    float mean = warp_sum(sum);
    each_run_of_row<W>(n, [&](index_t count, index_t j) {
        map_run<W>(count, [=](float p, float d) { return p * (d - mean); }, dx + j, load<W>(y + j, count), load<W>(dy + j, count));
    });
}

template <typename T> DEVICE void log_softmax(index_t rows, index_t n, const T *x, T *y) {
    constexpr int W = run_length<T>();
    index_t r = row_of_warp();
    if (r >= rows) return;
    x += r * n;
    y += r * n;
    float largest = row_max<W>(n, x), shift = logf(row_exp_sum<W>(n, x, largest));
    each_run_of_row<W>(n, [&](index_t count, index_t j) {
        map_run<W>(count, [=](float v) { return v - largest - shift; }, y + j, load<W>(x + j, count));
    });
}

/// `dx = dy − exp(y) Σ dy`.
template <typename T> DEVICE void log_softmax_backward(index_t rows, index_t n, const T *y, const T *dy, T *dx) {
    constexpr int W = run_length<T>();
    index_t r = row_of_warp();
    if (r >= rows) return;
    y += r * n;
    dy += r * n;
    dx += r * n;
    float sum = 0;
    each_run_of_row<W>(n, [&](index_t count, index_t j) {
        floats<W> d = load<W>(dy + j, count);
#pragma unroll
        for (int k = 0; k < W; k++) sum += d.at[k];
    });
    float total = warp_sum(sum);
    each_run_of_row<W>(n, [&](index_t count, index_t j) {
        map_run<W>(count, [=](float v, float d) { return d - expf(v) * total; }, dx + j, load<W>(y + j, count), load<W>(dy + j, count));
    });
}

#define SOFTMAX(T, t) \
    KERNEL(softmax_##t, (index_t rows, index_t n, const T *x, T *y)) { softmax(rows, n, x, y); } \
    KERNEL(softmax_backward_##t, (index_t rows, index_t n, const T *y, const T *dy, T *dx)) { softmax_backward(rows, n, y, dy, dx); } \
    KERNEL(log_softmax_##t, (index_t rows, index_t n, const T *x, T *y)) { log_softmax(rows, n, x, y); } \
    KERNEL(log_softmax_backward_##t, (index_t rows, index_t n, const T *y, const T *dy, T *dx)) { log_softmax_backward(rows, n, y, dy, dx); }
EACH_TYPE(SOFTMAX)
#undef SOFTMAX

// MARK: - Cross-entropy of rows `[rows, n]` of logarithms of probabilities

/// `partial[row] = −Σ q log p`, 0 where the row's target is `ignored`; a warp per row.
KERNEL(cross_entropy_f32, (index_t rows, index_t n, const float *logs, const index_t *targets, index_t ignored, float smoothing, double *partial)) {
    constexpr int W = run_length<float>();
    index_t r = row_of_warp();
    if (r >= rows) return;
    index_t target = targets[r];
    logs += r * n;
    double sum = 0;
    each_run_of_row<W>(n, [&](index_t count, index_t j) {
        floats<W> v = load<W>(logs + j, count);
#pragma unroll
        for (int k = 0; k < W; k++) sum += v.at[k];
    });
    sum = warp_sum(sum);
    double loss = target == ignored ? 0.0 : -(1.0 - smoothing) * logs[target] - (double)smoothing / (double)n * sum;
    if (lane_index() == 0) partial[r] = loss;
}

/// `dx = (p − q) dy / counted`, 0 in rows that do not count.
KERNEL(cross_entropy_backward_f32, (index_t rows, index_t n, const float *logs, const index_t *targets, index_t ignored, float smoothing,
                                    float counted, const float *dy, float *dx)) {
    constexpr int W = run_length<float>();
    row_run<W> at(n);
    if (at.row >= rows) return;
    index_t target = targets[at.row], i = at.row * n + at.column;
    float factor = target == ignored ? 0.0f : *dy / counted, even = smoothing / (float)n;
    floats<W> v = load<W>(logs + i, at.count);
#pragma unroll
    for (int k = 0; k < W; k++) {
        float q = at.column + k == target ? 1.0f - smoothing + even : even;
        v.at[k] = target == ignored ? 0.0f : (expf(v.at[k]) - q) * factor;
    }
    store<W>(dx + i, at.count, v);
}
