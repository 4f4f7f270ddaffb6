// Attention for what the vendor's library does not take: float32, masks, any width of a head. A warp keeps four rows (queries; for the
// gradients of keys and values: keys) in shared memory and walks over the other side, 32 at a time, one per lane. No scores are written out.

enum { tileRows = 4, tileOthers = 32, tileWeights = tileRows * tileOthers };

struct attention_t {
    index_t batch, queries, keys, heads, width, qRow, kvRow, outRow;
    float scale;
    int causal;
    index_t causalOffset;
    const int *keyLengths;
};

/// How many keys query `i` of picture `b` sees.
DEVICE index_t visible_keys(const attention_t &t, index_t b, index_t i) {
    index_t keys = t.keyLengths ? smaller(t.keyLengths[b], t.keys) : t.keys;
    if (t.causal) keys = smaller(keys, i + t.causalOffset + 1);
    return larger(keys, 0);
}

/// The four rows of this warp: of picture `b`, head `h`, from row `first` on. `index` counts heads and rows as `lse [B, heads, T]` does.
struct rows_t {
    index_t b, h, first, count, index;
    __device__ __forceinline__ rows_t(const attention_t &t, index_t rows) {
        index_t tiles = (rows + tileRows - 1) / tileRows, item = (index_t)blockIdx.x * warp_count() + warp_index(), head = divide(item, tiles);
        b = divide(head, t.heads);
        h = head - b * t.heads;
        first = (item - head * tiles) * tileRows;
        count = smaller(tileRows, rows - first);
        index = head * rows + first;
    }
};

/// Copies the warp's rows from `x`, `stride` apart, times `factor`; rows that do not exist become zeros. To be followed by `__syncwarp`.
template <typename T> DEVICE void keep_rows(index_t count, index_t width, const T *x, index_t stride, float factor, float *kept) {
    for (int r = 0; r < tileRows; r++)
        for (index_t d = lane_index(); d < width; d += warpLanes) kept[r * width + d] = r < count ? factor * widen(x[r * stride + d]) : 0.0f;
}
DEVICE void clear_rows(index_t width, float *kept) {
    for (index_t d = lane_index(); d < tileRows * width; d += warpLanes) kept[d] = 0.0f;
}

/// The lane's products of `x` with each of the kept rows.
template <typename T> DEVICE floats<tileRows> products(index_t width, const float *kept, const T *x) {
    constexpr int W = run_length<T>();
    floats<tileRows> sums = {};
    index_t d = 0;
    for (; d + W <= width; d += W) {
        floats<W> v = load<W>(x + d, W);
#pragma unroll
        for (int k = 0; k < W; k++)
#pragma unroll
            for (int r = 0; r < tileRows; r++) sums.at[r] += kept[r * width + d + k] * v.at[k];
    }
#pragma unroll 1
    for (; d < width; d++) {
        float v = widen(x[d]);
#pragma unroll
        for (int r = 0; r < tileRows; r++) sums.at[r] += kept[r * width + d] * v;
    }
    return sums;
}

/// `sums[r] = factor[r] · sums[r] + Σ_j weights[j, r] · x[j]` over `count` rows of x; weights `[32, 4]` as the lanes have left them.
template <typename T> DEVICE void add_weighted(index_t count, index_t width, const float *weights, const T *x, index_t stride,
                                               floats<tileRows> factor, float *sums) {
    for (index_t d = lane_index(); d < width; d += warpLanes) {
        floats<tileRows> total;
#pragma unroll
        for (int r = 0; r < tileRows; r++) total.at[r] = factor.at[r] * sums[r * width + d];
        for (index_t j = 0; j < count; j++) {
            float v = widen(x[j * stride + d]);
#pragma unroll
            for (int r = 0; r < tileRows; r++) total.at[r] += weights[j * tileRows + r] * v;
        }
#pragma unroll
        for (int r = 0; r < tileRows; r++) sums[r * width + d] = total.at[r];
    }
}
DEVICE floats<tileRows> same(float x) { return {x, x, x, x}; }

/// Where a tile's weights go: tiles take turns between two places, so that nobody overwrites what another lane still reads, and one barrier a
/// tile suffices.
DEVICE float *place_of_weights(float *places, index_t first, int size) { return places + (first / tileOthers & 1) * size; }

/// Leaves the lane's four weights for the others to read.
DEVICE void leave(float *weights, floats<tileRows> values) {
#pragma unroll
    for (int r = 0; r < tileRows; r++) weights[lane_index() * tileRows + r] = values.at[r];
}

template <typename T> DEVICE void put_rows(index_t count, index_t width, const float *kept, floats<tileRows> factor, T *y, index_t stride) {
    for (index_t d = lane_index(); d < width; d += warpLanes) {
#pragma unroll
        for (int r = 0; r < tileRows; r++) if (r < count) y[r * stride + d] = narrow<T>(factor.at[r] * kept[r * width + d]);
    }
}

/// `out = softmax(scale · q kᵀ) v` with running maximum and sum; `lse` may be absent. A query that sees no key yields zeros.
template <typename T> DEVICE void attention(const attention_t &t, const T *q, const T *k, const T *v, T *out, float *lse) {
    DYNAMIC_SHARED(shared);
    float *query = shared + warp_index() * (2 * tileRows * t.width + 2 * tileWeights);
    float *sums = query + tileRows * t.width, *places = sums + tileRows * t.width;
    rows_t rows(t, t.queries);
    if (rows.b >= t.batch) return;
    keep_rows(rows.count, t.width, q + (rows.b * t.queries + rows.first) * t.qRow + rows.h * t.width, t.qRow, t.scale, query);
    clear_rows(t.width, sums);
    __syncwarp();
    floats<tileRows> largest = same(-infinity()), total = {}, factor;
    index_t seen = visible_keys(t, rows.b, rows.first + rows.count - 1), offset = rows.b * t.keys * t.kvRow + rows.h * t.width;
    for (index_t first = 0; first < seen; first += tileOthers) {
        index_t key = first + lane_index(), count = smaller(tileOthers, seen - first);
        floats<tileRows> score = key < seen ? products(t.width, query, k + offset + key * t.kvRow) : same(-infinity());
#pragma unroll
        for (int r = 0; r < tileRows; r++) {
            if (key >= visible_keys(t, rows.b, rows.first + r)) score.at[r] = -infinity();
            float before = largest.at[r];
            largest.at[r] = fmaxf(before, warp_max(score.at[r]));
            bool none = largest.at[r] == -infinity();
            factor.at[r] = none ? 1.0f : expf(before - largest.at[r]);
            score.at[r] = none ? 0.0f : expf(score.at[r] - largest.at[r]);
            total.at[r] = total.at[r] * factor.at[r] + warp_sum(score.at[r]);
        }
        float *weights = place_of_weights(places, first, tileWeights);
        leave(weights, score);
        __syncwarp();
        add_weighted(count, t.width, weights, v + offset + first * t.kvRow, t.kvRow, factor, sums);
    }
#pragma unroll
    for (int r = 0; r < tileRows; r++) {
        factor.at[r] = total.at[r] > 0.0f ? 1.0f / total.at[r] : 0.0f;
        if (lse && lane_index() == 0 && r < rows.count) lse[rows.index + r] = total.at[r] > 0.0f ? largest.at[r] + logf(total.at[r]) : -infinity();
    }
    put_rows(rows.count, t.width, sums, factor, out + (rows.b * t.queries + rows.first) * t.outRow + rows.h * t.width, t.outRow);
}

/// `delta [B, heads, T] = Σ out · dout`, a warp per query.
template <typename T> DEVICE void attention_delta(const attention_t &t, const T *out, const T *dout, float *delta) {
    index_t item = row_of_warp(), head = divide(item, t.queries), b = divide(head, t.heads);
    if (b >= t.batch) return;
    index_t offset = (b * t.queries + item - head * t.queries) * t.outRow + (head - b * t.heads) * t.width;
    float sum = 0;
    for (index_t d = lane_index(); d < t.width; d += warpLanes) sum += widen(out[offset + d]) * widen(dout[offset + d]);
    sum = warp_sum(sum);
    if (lane_index() == 0) delta[item] = sum;
}

/// `p = exp(scale · score − lse)` and `ds = scale · p · (dp − delta)`.
struct score_gradient { float p, ds; };
DEVICE score_gradient gradient_of(float scale, float score, float dp, float lse, float delta) {
    float p = expf(scale * score - lse);
    return {p, scale * p * (dp - delta)};
}

/// `dq = Σ_j ds_ij k_j`: the warp keeps queries and walks over keys.
template <typename T>
DEVICE void attention_backward_queries(const attention_t &t, const T *q, const T *k, const T *v, const float *lse, const float *delta, const T *dout,
                                       T *dq) {
    DYNAMIC_SHARED(shared);
    float *query = shared + warp_index() * (3 * tileRows * t.width + 2 * tileWeights), *dQuery = query + tileRows * t.width;
    float *sums = dQuery + tileRows * t.width, *places = sums + tileRows * t.width;
    rows_t rows(t, t.queries);
    if (rows.b >= t.batch) return;
    index_t row = rows.b * t.queries + rows.first, offset = rows.b * t.keys * t.kvRow + rows.h * t.width;
    keep_rows(rows.count, t.width, q + row * t.qRow + rows.h * t.width, t.qRow, 1.0f, query);
    keep_rows(rows.count, t.width, dout + row * t.outRow + rows.h * t.width, t.outRow, 1.0f, dQuery);
    clear_rows(t.width, sums);
    __syncwarp();
    index_t seen = visible_keys(t, rows.b, rows.first + rows.count - 1);
    for (index_t first = 0; first < seen; first += tileOthers) {
        index_t key = first + lane_index(), count = smaller(tileOthers, seen - first);
        floats<tileRows> ds = {};
        if (key < seen) {
            floats<tileRows> score = products(t.width, query, k + offset + key * t.kvRow), dp = products(t.width, dQuery, v + offset + key * t.kvRow);
#pragma unroll
            for (int r = 0; r < tileRows; r++)
                if (r < rows.count && key < visible_keys(t, rows.b, rows.first + r))
                    ds.at[r] = gradient_of(t.scale, score.at[r], dp.at[r], lse[rows.index + r], delta[rows.index + r]).ds;
        }
        float *weights = place_of_weights(places, first, tileWeights);
        leave(weights, ds);
        __syncwarp();
        add_weighted(count, t.width, weights, k + offset + first * t.kvRow, t.kvRow, same(1.0f), sums);
    }
    put_rows(rows.count, t.width, sums, same(1.0f), dq + row * t.qRow + rows.h * t.width, t.qRow);
}

/// `dv = Σ_i p_ij dout_i` and `dk = Σ_i ds_ij q_i`: the warp keeps keys and values and walks over queries.
template <typename T>
DEVICE void attention_backward_keys(const attention_t &t, const T *q, const T *k, const T *v, const float *lse, const float *delta, const T *dout,
                                    T *dk, T *dv) {
    DYNAMIC_SHARED(shared);
    index_t kept = tileRows * t.width;
    float *key = shared + warp_index() * (4 * kept + 4 * tileWeights), *value = key + kept, *dKey = value + kept, *dValue = dKey + kept;
    float *places = dValue + kept;
    rows_t rows(t, t.keys);
    if (rows.b >= t.batch) return;
    index_t offset = (rows.b * t.keys + rows.first) * t.kvRow + rows.h * t.width;
    keep_rows(rows.count, t.width, k + offset, t.kvRow, 1.0f, key);
    keep_rows(rows.count, t.width, v + offset, t.kvRow, 1.0f, value);
    clear_rows(t.width, dKey);
    clear_rows(t.width, dValue);
    __syncwarp();
    const T *qHead = q + rows.b * t.queries * t.qRow + rows.h * t.width, *doutHead = dout + rows.b * t.queries * t.outRow + rows.h * t.width;
    index_t head = (rows.b * t.heads + rows.h) * t.queries;
    for (index_t first = 0; first < t.queries; first += tileOthers) {
        index_t query = first + lane_index(), count = smaller(tileOthers, t.queries - first);
        floats<tileRows> p = {}, ds = {};
        index_t seen = query < t.queries ? visible_keys(t, rows.b, query) : 0;
        if (rows.first < seen) {
            floats<tileRows> score = products(t.width, key, qHead + query * t.qRow), dp = products(t.width, value, doutHead + query * t.outRow);
#pragma unroll
            for (int r = 0; r < tileRows; r++) {
                if (rows.first + r >= seen) continue;
                score_gradient g = gradient_of(t.scale, score.at[r], dp.at[r], lse[head + query], delta[head + query]);
                p.at[r] = g.p;
                ds.at[r] = g.ds;
            }
        }
        float *dsOf = place_of_weights(places, first, 2 * tileWeights), *pOf = dsOf + tileWeights;
        leave(dsOf, ds);
        leave(pOf, p);
        __syncwarp();
        add_weighted(count, t.width, dsOf, qHead + first * t.qRow, t.qRow, same(1.0f), dKey);
        add_weighted(count, t.width, pOf, doutHead + first * t.outRow, t.outRow, same(1.0f), dValue);
    }
    put_rows(rows.count, t.width, dKey, same(1.0f), dk + offset, t.kvRow);
    put_rows(rows.count, t.width, dValue, same(1.0f), dv + offset, t.kvRow);
}
#define ATTENTION(T, t) \
    KERNEL(attention_##t, (attention_t a, const T *q, const T *k, const T *v, T *out, float *lse)) { attention(a, q, k, v, out, lse); } \
    KERNEL(attention_delta_##t, (attention_t a, const T *out, const T *dout, float *delta)) { attention_delta(a, out, dout, delta); } \
    KERNEL(attention_backward_queries_##t, (attention_t a, const T *q, const T *k, const T *v, const float *lse, const float *delta, const T *dout, \
                                            T *dq)) { \
        attention_backward_queries(a, q, k, v, lse, delta, dout, dq); \
    } \
    KERNEL(attention_backward_keys_##t, \
           (attention_t a, const T *q, const T *k, const T *v, const float *lse, const float *delta, const T *dout, T *dk, T *dv)) { \
        attention_backward_keys(a, q, k, v, lse, delta, dout, dk, dv); \
    }
EACH_TYPE(ATTENTION)
#undef ATTENTION
