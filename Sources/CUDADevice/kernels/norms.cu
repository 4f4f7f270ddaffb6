// Layer normalisation (a warp per row) and group normalisation (two launches: sums of pieces, then the values).

/// `y = (x − mean) · rstd · scale + shift` per row. `scale`, `shift` `[n]`, and the outputs `mean`, `rstd` `[rows]` may be absent.
template <typename T>
DEVICE void layer_norm(index_t rows, index_t n, float epsilon, const T *x, const float *scale, const float *shift, T *y, float *meanOut,
                       float *rstdOut) {
    constexpr int W = run_length<T>();
    index_t r = row_of_warp();
    if (r >= rows) return;
    x += r * n;
    y += r * n;
    float sum = 0, squares = 0;
    each_run_of_row<W>(n, [&](index_t count, index_t j) {
        floats<W> v = load<W>(x + j, count);
#pragma unroll
        for (int k = 0; k < W; k++) sum += v.at[k];
    });
    float mean = warp_sum(sum) / (float)n;
    each_run_of_row<W>(n, [&](index_t count, index_t j) {
        floats<W> v = load<W>(x + j, count);
#pragma unroll
        for (int k = 0; k < W; k++) if (k < count) squares += (v.at[k] - mean) * (v.at[k] - mean);
    });
    float rstd = 1.0f / sqrtf(warp_sum(squares) / (float)n + epsilon);
    if (lane_index() == 0 && meanOut) meanOut[r] = mean;
    if (lane_index() == 0 && rstdOut) rstdOut[r] = rstd;
    each_run_of_row<W>(n, [&](index_t count, index_t j) {
        floats<W> v = load<W>(x + j, count);
#pragma unroll
        for (int k = 0; k < W; k++) v.at[k] = (v.at[k] - mean) * rstd;
        if (scale) v = scaled(v, load<W>(scale + j, count));
        if (shift) {
            floats<W> s = load<W>(shift + j, count);
#pragma unroll
            for (int k = 0; k < W; k++) v.at[k] += s.at[k];
        }
        store<W>(y + j, count, v);
    });
}

/// `dx = rstd (g − mean g − x̂ · mean(g x̂))` with `g = dy · scale`.
template <typename T>
DEVICE void layer_norm_backward(index_t rows, index_t n, const T *x, const float *scale, const float *meanOf, const float *rstdOf, const T *dy,
                                T *dx) {
    constexpr int W = run_length<T>();
    index_t r = row_of_warp();
    if (r >= rows) return;
    x += r * n;
    dy += r * n;
    dx += r * n;
    float mean = meanOf[r], rstd = rstdOf[r], plain = 0, weighted = 0;
    auto gradient = [&](index_t count, index_t j) {
        floats<W> g = load<W>(dy + j, count);
        return scale ? scaled(g, load<W>(scale + j, count)) : g;
    };
    each_run_of_row<W>(n, [&](index_t count, index_t j) {
        floats<W> g = gradient(count, j), v = load<W>(x + j, count);
#pragma unroll
        for (int k = 0; k < W; k++) { plain += g.at[k]; weighted += g.at[k] * ((v.at[k] - mean) * rstd); }
    });
    plain = warp_sum(plain) / (float)n;
    weighted = warp_sum(weighted) / (float)n;
    each_run_of_row<W>(n, [&](index_t count, index_t j) {
        map_run<W>(count, [=](float g, float v) { return rstd * (g - plain - (v - mean) * rstd * weighted); }, dx + j, gradient(count, j),
                   load<W>(x + j, count));
    });
}

/// A piece's share of the gradients of scale and shift: `partial[piece, 0, c] = Σ dy x̂` and `partial[piece, 1, c] = Σ dy` over `length` rows.
/// A block takes 32 columns, each of its warps every eighth row.
template <typename T>
DEVICE void layer_norm_columns(index_t rows, index_t n, index_t length, const T *x, const float *mean, const float *rstd, const T *dy,
                               float *partial) {
    __shared__ float ofWarp[2][8][warpLanes];
    index_t tiles = (n + warpLanes - 1) / warpLanes, piece = divide(blockIdx.x, tiles);
    index_t column = (blockIdx.x - piece * tiles) * warpLanes + lane_index();
    index_t last = smaller(rows, (piece + 1) * length);
    float plain = 0, weighted = 0;
    if (column < n) for (index_t r = piece * length + warp_index(); r < last; r += warp_count()) {
        float d = widen(dy[r * n + column]);
        plain += d;
        weighted += d * ((widen(x[r * n + column]) - mean[r]) * rstd[r]);
    }
    ofWarp[0][warp_index()][lane_index()] = weighted;
    ofWarp[1][warp_index()][lane_index()] = plain;
    __syncthreads();
    int which = warp_index();  // the first warp joins the one sum, the second the other
    if (which > 1 || column >= n) return;
    float sum = ofWarp[which][0][lane_index()];
    for (int w = 1; w < warp_count(); w++) sum += ofWarp[which][w][lane_index()];
    partial[(piece * 2 + which) * n + column] = sum;
}
#define LAYER_NORM(T, t) \
    KERNEL(layer_norm_##t, (index_t rows, index_t n, float epsilon, const T *x, const float *scale, const float *shift, T *y, float *mean, \
                            float *rstd)) { \
        layer_norm(rows, n, epsilon, x, scale, shift, y, mean, rstd); \
    } \
    KERNEL(layer_norm_backward_##t, \
           (index_t rows, index_t n, const T *x, const float *scale, const float *mean, const float *rstd, const T *dy, T *dx)) { \
        layer_norm_backward(rows, n, x, scale, mean, rstd, dy, dx); \
    } \
    KERNEL(layer_norm_columns_##t, \
           (index_t rows, index_t n, index_t length, const T *x, const float *mean, const float *rstd, const T *dy, float *partial)) { \
        layer_norm_columns(rows, n, length, x, mean, rstd, dy, partial); \
    }
EACH_TYPE(LAYER_NORM)
#undef LAYER_NORM

// MARK: - Group normalisation

/// `x [B, P, C]`, whose pictures are cut into `pieces` of `length` pixels; a block takes a piece.
struct group_norm_t { index_t pixels, channels, groups, pieces, length; float epsilon; int silu; };

/// Which piece of which picture this block takes.
struct piece_t {
    index_t picture, piece, first, last;
    __device__ __forceinline__ piece_t(const group_norm_t &t) {
        picture = divide(blockIdx.x, t.pieces);
        piece = blockIdx.x - picture * t.pieces;
        first = piece * t.length;
        last = smaller(t.pixels, first + t.length);
    }
};

/// A block's threads over whole pixels: each keeps to one run of channels and takes every `lanes`-th pixel. Where a pixel has more runs than
/// the block has threads, the channels are taken tile after tile.
template <int W> struct channels_t {
    int columns, lanes, lane;
    index_t from, to;        // the tile's channels
    index_t channel, count;  // this thread's run
    bool takes;

    __device__ __forceinline__ channels_t(const group_norm_t &t, index_t tile) {
        from = tile * blockDim.x * W;
        to = smaller(t.channels, from + (index_t)blockDim.x * W);
        columns = (int)((to - from + W - 1) / W);
        lanes = blockDim.x / columns;
        lane = threadIdx.x / columns;
        takes = lane < lanes;
        channel = from + (threadIdx.x - lane * columns) * W;
        count = t.channels - channel;
    }
    /// Where a channel's sum of a lane stands among the threads' sums.
    __device__ __forceinline__ int slot(int lane, index_t channel) const { return lane * columns * W + (int)(channel - from); }
};
template <int W> DEVICE index_t channel_tiles(const group_norm_t &t) { return (t.channels + blockDim.x * W - 1) / (blockDim.x * W); }

/// Two sums of every thread's channels.
template <int W> struct channel_sums { float first[256 * W], second[256 * W]; };

/// Joins the tile's sums of each group, a warp per group, and puts or adds them to `partial [groups, 2]`. `weigh` is a channel's factor.
template <int W, typename Weigh> DEVICE void join_groups(const group_norm_t &t, const channels_t<W> &tile, const channel_sums<W> &sums,
                                                         float *partial, Weigh weigh) {
    index_t width = t.channels / t.groups;
    for (index_t g = tile.from / width + warp_index(); g < t.groups && g * width < tile.to; g += warp_count()) {
        index_t from = larger(g * width, tile.from);
        int span = (int)(smaller((g + 1) * width, tile.to) - from);
        float first = 0, second = 0;
        for (int i = lane_index(); i < span * tile.lanes; i += warpLanes) {
            int lane = i / span, slot = tile.slot(lane, from + i % span);
            float factor = weigh(from + i % span);
            first += factor * sums.first[slot];
            second += factor * sums.second[slot];
        }
        first = warp_sum(first);
        second = warp_sum(second);
        if (lane_index() > 0) continue;
        bool begun = g * width < tile.from;  // in the tile before, which this block's barriers have ended
        partial[2 * g] = begun ? partial[2 * g] + first : first;
        partial[2 * g + 1] = begun ? partial[2 * g + 1] + second : second;
    }
}

/// `partial[b, piece, g] = (Σ (x − x₀), Σ (x − x₀)²)`, x₀ being the first value of the picture's group: near enough to the mean that the
/// variance does not drown in it.
template <typename T> DEVICE void group_norm_sums(const group_norm_t &t, const T *x, float *partial) {
    constexpr int W = run_length<T>();
    __shared__ channel_sums<W> sums;
    piece_t at(t);
    const T *picture = x + at.picture * t.pixels * t.channels;
    index_t width = t.channels / t.groups;
    for (index_t n = 0; n < channel_tiles<W>(t); n++) {
        channels_t<W> tile(t, n);
        floats<W> origin, plain = {}, square = {};
#pragma unroll
        for (int k = 0; k < W; k++) origin.at[k] = k < tile.count ? widen(picture[divide(tile.channel + k, width) * width]) : 0.0f;
        if (tile.takes) for (index_t p = at.first + tile.lane; p < at.last; p += tile.lanes) {
            floats<W> v = load<W>(picture + p * t.channels + tile.channel, tile.count);
#pragma unroll
            for (int k = 0; k < W; k++) { float d = v.at[k] - origin.at[k]; plain.at[k] += d; square.at[k] += d * d; }
        }
#pragma unroll
        for (int k = 0; k < W; k++) { sums.first[threadIdx.x * W + k] = plain.at[k]; sums.second[threadIdx.x * W + k] = square.at[k]; }
        __syncthreads();
        join_groups(t, tile, sums, partial + (index_t)blockIdx.x * t.groups * 2, [](index_t) { return 1.0f; });
        __syncthreads();  // before the next tile's sums
    }
}

/// The picture's two sums of group `g` over all pieces, in order of lanes; to every lane of the warp.
struct group_sums { double first, second; };
DEVICE group_sums sums_of_group(const group_norm_t &t, index_t picture, index_t g, const float *partial) {
    group_sums sums = {0, 0};
    for (index_t p = lane_index(); p < t.pieces; p += warpLanes) {
        const float *terms = partial + ((picture * t.pieces + p) * t.groups + g) * 2;
        sums.first += terms[0];
        sums.second += terms[1];
    }
    return {warp_sum(sums.first), warp_sum(sums.second)};
}

/// What turns x into the normalised, scaled and shifted value `a x + b`, for a run of channels.
template <int W> struct affine { floats<W> a, b; };
template <int W> DEVICE affine<W> affine_of(const group_norm_t &t, const channels_t<W> &tile, const float *mean, const float *rstd,
                                            const float *scale, const float *shift) {
    affine<W> f = {};
    index_t width = t.channels / t.groups;
#pragma unroll
    for (int k = 0; k < W; k++) {
        index_t c = tile.channel + k, g = divide(c, width);
        if (k >= tile.count) continue;
        f.a.at[k] = scale ? rstd[g] * scale[c] : rstd[g];
        f.b.at[k] = (shift ? shift[c] : 0.0f) - mean[g] * f.a.at[k];
    }
    return f;
}

template <typename T>
DEVICE void group_norm(const group_norm_t &t, const T *x, const float *partial, const float *scale, const float *shift, T *y, float *meanOut,
                       float *rstdOut) {
    constexpr int W = run_length<T>();
    DYNAMIC_SHARED(statistics);  // mean and rstd of each group
    float *mean = statistics, *rstd = statistics + t.groups;
    piece_t at(t);
    index_t start = at.picture * t.pixels * t.channels, width = t.channels / t.groups;
    for (index_t g = warp_index(); g < t.groups; g += warp_count()) {
        group_sums sums = sums_of_group(t, at.picture, g, partial);
        double size = (double)t.pixels * (double)width, offset = sums.first / size, variance = sums.second / size - offset * offset;
        if (lane_index() > 0) continue;
        mean[g] = (float)(widen(x[start + g * width]) + offset);
        rstd[g] = (float)(1 / sqrt((variance > 0 ? variance : 0) + t.epsilon));
        if (at.piece == 0 && meanOut) meanOut[at.picture * t.groups + g] = mean[g];
        if (at.piece == 0 && rstdOut) rstdOut[at.picture * t.groups + g] = rstd[g];
    }
    __syncthreads();
    for (index_t n = 0; n < channel_tiles<W>(t); n++) {
        channels_t<W> tile(t, n);
        if (!tile.takes) continue;
        affine<W> f = affine_of(t, tile, mean, rstd, scale, shift);
        for (index_t p = at.first + tile.lane; p < at.last; p += tile.lanes) {
            index_t i = start + p * t.channels + tile.channel;
            floats<W> v = load<W>(x + i, tile.count);
#pragma unroll
            for (int k = 0; k < W; k++) {
                v.at[k] = v.at[k] * f.a.at[k] + f.b.at[k];
                if (t.silu) v.at[k] = silu(v.at[k]);
            }
            store<W>(y + i, tile.count, v);
        }
    }
}

/// A run's gradients before scale and shift (behind the SiLU if there is one) and its normalised values.
template <int W> struct normed { floats<W> g, xHat; };
template <int W, typename T>
DEVICE normed<W> load_normed(const group_norm_t &t, const channels_t<W> &tile, index_t i, const T *x, const T *dy, const affine<W> &f,
                             const affine<W> &norm) {
    normed<W> r = {load<W>(dy + i, tile.count), load<W>(x + i, tile.count)};
#pragma unroll
    for (int k = 0; k < W; k++) {
        if (t.silu) r.g.at[k] *= silu_slope(r.xHat.at[k] * f.a.at[k] + f.b.at[k]);
        r.xHat.at[k] = (r.xHat.at[k] - norm.b.at[k]) * norm.a.at[k];
    }
    return r;
}
/// `x̂ = (x − b) · a` for a run of channels.
template <int W> DEVICE affine<W> norm_of(const group_norm_t &t, const channels_t<W> &tile, const float *mean, const float *rstd) {
    affine<W> f = {};
    index_t width = t.channels / t.groups;
#pragma unroll
    for (int k = 0; k < W; k++) {
        if (k >= tile.count) continue;
        index_t g = divide(tile.channel + k, width);
        f.a.at[k] = rstd[g];
        f.b.at[k] = mean[g];
    }
    return f;
}

/// `partial[b, piece, g] = (Σ s g, Σ s g x̂)`, s being the channel's scale; and unless absent `channelPartial[b, piece] = (Σ g x̂ [C], Σ g [C])`.
template <typename T>
DEVICE void group_norm_backward_sums(const group_norm_t &t, const T *x, const float *scale, const float *shift, const float *mean, const float *rstd,
                                     const T *dy, float *partial, float *channelPartial) {
    constexpr int W = run_length<T>();
    __shared__ channel_sums<W> sums;
    piece_t at(t);
    index_t start = at.picture * t.pixels * t.channels;
    mean += at.picture * t.groups;
    rstd += at.picture * t.groups;
    for (index_t n = 0; n < channel_tiles<W>(t); n++) {
        channels_t<W> tile(t, n);
        affine<W> f = affine_of(t, tile, mean, rstd, scale, shift), norm = norm_of(t, tile, mean, rstd);
        floats<W> plain = {}, weighted = {};
        if (tile.takes) for (index_t p = at.first + tile.lane; p < at.last; p += tile.lanes) {
            normed<W> v = load_normed(t, tile, start + p * t.channels + tile.channel, x, dy, f, norm);
#pragma unroll
            for (int k = 0; k < W; k++) { plain.at[k] += v.g.at[k]; weighted.at[k] += v.g.at[k] * v.xHat.at[k]; }
        }
#pragma unroll
        for (int k = 0; k < W; k++) { sums.first[threadIdx.x * W + k] = plain.at[k]; sums.second[threadIdx.x * W + k] = weighted.at[k]; }
        __syncthreads();
        join_groups(t, tile, sums, partial + (index_t)blockIdx.x * t.groups * 2, [=](index_t c) { return scale ? scale[c] : 1.0f; });
        for (index_t c = tile.from + threadIdx.x; c < tile.to && channelPartial; c += blockDim.x) {
            float first = 0, second = 0;
            for (int lane = 0; lane < tile.lanes; lane++) { first += sums.first[tile.slot(lane, c)]; second += sums.second[tile.slot(lane, c)]; }
            channelPartial[(index_t)blockIdx.x * 2 * t.channels + c] = second;
            channelPartial[((index_t)blockIdx.x * 2 + 1) * t.channels + c] = first;
        }
        __syncthreads();  // before the next tile's sums
    }
}

/// `dx = rstd (s g − mean(s g) − x̂ · mean(s g x̂))`, the means over the picture's group.
template <typename T>
DEVICE void group_norm_backward(const group_norm_t &t, const T *x, const float *partial, const float *scale, const float *shift, const float *mean,
                                const float *rstd, const T *dy, T *dx) {
    constexpr int W = run_length<T>();
    DYNAMIC_SHARED(statistics);  // the two means of each group
    float *plain = statistics, *weighted = statistics + t.groups;
    piece_t at(t);
    index_t start = at.picture * t.pixels * t.channels, width = t.channels / t.groups;
    mean += at.picture * t.groups;
    rstd += at.picture * t.groups;
    for (index_t g = warp_index(); g < t.groups; g += warp_count()) {
        group_sums sums = sums_of_group(t, at.picture, g, partial);
        double size = (double)t.pixels * (double)width;
        if (lane_index() > 0) continue;
        plain[g] = (float)(sums.first / size);
        weighted[g] = (float)(sums.second / size);
    }
    __syncthreads();
    for (index_t n = 0; n < channel_tiles<W>(t); n++) {
        channels_t<W> tile(t, n);
        if (!tile.takes) continue;
        affine<W> f = affine_of(t, tile, mean, rstd, scale, shift), norm = norm_of(t, tile, mean, rstd), means = norm_of(t, tile, plain, weighted);
        for (index_t p = at.first + tile.lane; p < at.last; p += tile.lanes) {
            index_t i = start + p * t.channels + tile.channel;
            normed<W> v = load_normed(t, tile, i, x, dy, f, norm);
#pragma unroll
            for (int k = 0; k < W; k++) v.g.at[k] = f.a.at[k] * v.g.at[k] - norm.a.at[k] * (means.b.at[k] + v.xHat.at[k] * means.a.at[k]);
            store<W>(dx + i, tile.count, v.g);
        }
    }
}
#define GROUP_NORM(T, t) \
    KERNEL(group_norm_sums_##t, (group_norm_t s, const T *x, float *partial)) { group_norm_sums(s, x, partial); } \
    KERNEL(group_norm_##t, (group_norm_t s, const T *x, const float *partial, const float *scale, const float *shift, T *y, float *mean, \
                            float *rstd)) { \
        group_norm(s, x, partial, scale, shift, y, mean, rstd); \
    } \
    KERNEL(group_norm_backward_sums_##t, (group_norm_t s, const T *x, const float *scale, const float *shift, const float *mean, const float *rstd, \
                                          const T *dy, float *partial, float *channelPartial)) { \
        group_norm_backward_sums(s, x, scale, shift, mean, rstd, dy, partial, channelPartial); \
    } \
    KERNEL(group_norm_backward_##t, (group_norm_t s, const T *x, const float *partial, const float *scale, const float *shift, const float *mean, \
                                     const float *rstd, const T *dy, T *dx)) { \
        group_norm_backward(s, x, partial, scale, shift, mean, rstd, dy, dx); \
    }
EACH_TYPE(GROUP_NORM)
#undef GROUP_NORM
