// Scaled dot-product attention in blocks of queries and keys: the scores of a block live in the cache and are never written out
// (Dao et al., arXiv:2205.14135; Rabe and Staats, arXiv:2112.05682).

enum {
    forwardQueries = 96, forwardKeys = 128,                       // forward: a block's scores are [keys, queries]
    queryBlock = 64, keyBlock = 128, scoreStride = keyBlock + 16  // backward: [queries, keys]
};

typedef struct {
    cc_attention a;
    ptrdiff_t queryBlocks;                          // forward
    ptrdiff_t keyBlocks, groups;                    // backward
    panels_t widthPanels;                           // of a head's width
    ptrdiff_t padded;                               // a head's width, filled up to whole vectors
    const float *q, *k, *v, *out, *lse, *dout;
    float *y, *lseOut, *dq, *dk, *dv;
    float *packedKT, *packedVT;                     // [B, heads, key blocks, width, keyBlock]
    float *packedK;                                 // [B, heads, S, padded], in panels per block
    float *delta;                                   // [B, heads, T]: Σ dout·out
    float *dqParts;                                 // [groups − 1, B, T, heads·width]
} attention_t;

/// How many keys query `i` of picture `b` sees.
INLINE ptrdiff_t visible_keys(const cc_attention *a, ptrdiff_t b, ptrdiff_t i) {
    ptrdiff_t keys = a->keyLengths ? smaller(a->keyLengths[b], a->keys) : a->keys;
    if (a->causal) keys = smaller(keys, i + a->causalOffset + 1);
    return larger(keys, 0);
}

static attention_t attention_plan(const cc_attention *a) {
    return (attention_t){.a = *a, .queryBlocks = ceil_div(a->queries, forwardQueries), .keyBlocks = ceil_div(a->keys, keyBlock), .groups = 1,
                         .widthPanels = panels_of(a->width), .padded = ceil_div(a->width, LANES) * LANES};
}

/// `C (+)= A · B` for `rows` rows of C: B is `[depth, bStride]`, as wide as the panels.
static void multiply_wide(const panels_t *panels, bool columnsA, ptrdiff_t rows, ptrdiff_t depth, const float *a, ptrdiff_t aStride, const float *b,
                          ptrdiff_t bStride, float *c, ptrdiff_t ldc, bool accumulate) {
    for (ptrdiff_t p = 0; p < panels->count; p++) {
        ptrdiff_t vectors = vectors_of(panels, p), column = first_vector(panels, p) * LANES;
        tile_t tile = {.a = a, .b = b + column, .aStride = aStride, .bStep = bStride, .outer = 1, .segments = 1, .length = depth, .c = c + column,
                       .ldc = ldc, .columns = vectors * LANES, .alpha = 1, .accumulate = accumulate};
        tiles_of_panel(&tile, rows, vectors, columnsA);
    }
}

/// `y[j·stride + d] = x[d·columns + j]` for `j < n`, `d < D`.
static void transpose_out(ptrdiff_t n, ptrdiff_t D, const float *x, ptrdiff_t columns, float *y, ptrdiff_t stride) {
    for (ptrdiff_t j = 0; j < n; j++) for (ptrdiff_t d = 0; d < D; d++) y[j * stride + d] = x[d * columns + j];
}

// Queries lie side by side in the vectors: no sum runs across lanes, and whatever the width of a head is, every lane counts.

/// What the queries of a block have seen so far, one value per query.
typedef struct { float largest[forwardQueries], total[forwardQueries], factor[forwardQueries], visible[forwardQueries]; } softmax_state_t;

/// Turns the scores of `keys` keys from `first` into exp(score − running maximum), and `factor` into what brings earlier sums to that maximum.
static void softmax_block(softmax_state_t *s, ptrdiff_t columns, ptrdiff_t first, ptrdiff_t keys, float *scores, bool masked) {
    float *largest = s->largest, *total = s->total, *factor = s->factor, *visible = s->visible;
    for (ptrdiff_t i = 0; i < columns; i++) factor[i] = largest[i];
    for (ptrdiff_t j = 0; j < keys; j++) {
        float *row = scores + j * columns, key = (float)(first + j);
        if (masked) INDEPENDENT for (ptrdiff_t i = 0; i < columns; i++) row[i] = key < visible[i] ? row[i] : -INFINITY;
        INDEPENDENT for (ptrdiff_t i = 0; i < columns; i++) largest[i] = row[i] > largest[i] ? row[i] : largest[i];
    }
    // A query that has seen nothing yet has no maximum; what it has summed is 0 whatever the factor is.
    INDEPENDENT for (ptrdiff_t i = 0; i < columns; i++) {
        factor[i] = largest[i] == factor[i] ? 1.0f : exp_bounded1(factor[i] - largest[i]);
        total[i] *= factor[i];
    }
    for (ptrdiff_t j = 0; j < keys; j++) {
        float *row = scores + j * columns, key = (float)(first + j);
        INDEPENDENT for (ptrdiff_t i = 0; i < columns; i++) {
            float e = exp_bounded1(row[i] - largest[i]);
            if (masked) e = key < visible[i] ? e : 0.0f;
            row[i] = e;
            total[i] += e;
        }
    }
}

/// The first key that not every query of a block sees, and the first that none sees.
typedef struct { ptrdiff_t all, some; } visibility_t;

static visibility_t visibility(const cc_attention *a, ptrdiff_t b, ptrdiff_t first, ptrdiff_t queries, float *visible) {
    visibility_t result = {a->keys, 0};
    for (ptrdiff_t i = 0; i < queries; i++) {
        ptrdiff_t keys = visible_keys(a, b, first + i);
        visible[i] = (float)keys;
        result.all = smaller(result.all, keys);
        result.some = larger(result.some, keys);
    }
    return result;
}

/// Items are query blocks of heads of pictures.
BODY(attention_forward_body, attention_t) {
    const cc_attention *a = &t->a;
    ptrdiff_t D = a->width;
    softmax_state_t *s = (softmax_state_t *)scratch_take((ptrdiff_t)(sizeof(softmax_state_t) / sizeof(float)) + (2 * D + forwardKeys) * forwardQueries);
    float *query = (float *)(s + 1), *sums = query + D * forwardQueries, *scores = sums + D * forwardQueries;  // [D, queries], [D, queries], [keys, queries]
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t head = item / t->queryBlocks, b = head / a->heads, h = head % a->heads, first = item % t->queryBlocks * forwardQueries;
        ptrdiff_t queries = smaller(forwardQueries, a->queries - first), rows = b * a->queries + first;
        panels_t panels = panels_of(queries);
        ptrdiff_t columns = panels.vectors * LANES;
        for (ptrdiff_t i = 0; i < columns; i++) { s->largest[i] = -INFINITY; s->total[i] = s->visible[i] = 0; }
        visibility_t seen = visibility(a, b, first, queries, s->visible);
        pack_transposed(queries, D, t->q + rows * a->qRow + h * D, CC_F32, a->qRow, query, columns);
        for (ptrdiff_t i = 0; i < D * columns; i++) { query[i] *= a->scale; sums[i] = 0; }
        for (ptrdiff_t key = 0; key < seen.some; key += forwardKeys) {
            ptrdiff_t keys = smaller(forwardKeys, seen.some - key), offset = (b * a->keys + key) * a->kvRow + h * D;
            multiply_wide(&panels, false, keys, D, t->k + offset, a->kvRow, query, columns, scores, columns, false);
            softmax_block(s, columns, key, keys, scores, key + keys > seen.all);
            for (ptrdiff_t d = 0; d < D && key > 0; d++) INDEPENDENT for (ptrdiff_t i = 0; i < columns; i++) sums[d * columns + i] *= s->factor[i];
            multiply_wide(&panels, true, D, keys, t->v + offset, a->kvRow, scores, columns, sums, columns, key > 0);
        }
        for (ptrdiff_t i = 0; i < queries; i++) {
            float total = s->total[i];
            bool seesNone = total == 0.0f;
            s->factor[i] = seesNone ? 0.0f : 1.0f / total;
            if (t->lseOut) t->lseOut[head * a->queries + first + i] = seesNone ? -INFINITY : s->largest[i] + logf(total);
        }
        for (ptrdiff_t d = 0; d < D; d++) for (ptrdiff_t i = 0; i < queries; i++) sums[d * columns + i] *= s->factor[i];
        transpose_out(queries, D, sums, columns, t->y + rows * a->outRow + h * D, a->outRow);
    }
    scratch_release((float *)s);
}

// With few queries (a caption's next token) laying out keys and values would cost more than the products.

enum { fewQueries = 4 };

/// `y[d] = factor · Σ_j weights[j] rows[j·stride + d]`.
static void weighted_sum(ptrdiff_t n, ptrdiff_t D, const float *weights, const float *rows, ptrdiff_t stride, float factor, float *y) {
    ptrdiff_t d = 0;
    for (; d + 4 * LANES <= D; d += 4 * LANES) {
        vf acc[4] = {(vf){0}, (vf){0}, (vf){0}, (vf){0}};
        for (ptrdiff_t j = 0; j < n; j++) _Pragma("unroll") for (int v = 0; v < 4; v++) acc[v] += weights[j] * load(rows + j * stride + d + v * LANES);
        _Pragma("unroll") for (int v = 0; v < 4; v++) store(y + d + v * LANES, acc[v] * factor);
    }
    for (; d < D; d += LANES) {
        ptrdiff_t columns = smaller(LANES, D - d);
        vf acc = {0};
        for (ptrdiff_t j = 0; j < n; j++) acc += weights[j] * load_part(rows + j * stride + d, columns);
        store_part(y + d, acc * factor, columns);
    }
}

/// Items are heads of pictures.
BODY(few_queries_body, attention_t) {
    const cc_attention *a = &t->a;
    ptrdiff_t D = a->width;
    float *query = scratch_take(D + a->keys + dotColumns), *scores = query + D;
    for (ptrdiff_t head = begin; head < end; head++) for (ptrdiff_t i = 0; i < a->queries; i++) {
        ptrdiff_t b = head / a->heads, column = head % a->heads * D, row = b * a->queries + i, n = visible_keys(a, b, i);
        const float *k = t->k + b * a->keys * a->kvRow + column, *v = t->v + b * a->keys * a->kvRow + column, *q = t->q + row * a->qRow + column;
        for (ptrdiff_t d = 0; d < D; d++) query[d] = q[d] * a->scale;
        for (ptrdiff_t j = 0; j < n; j += dotColumns) {
            float sums[fewRows][dotColumns];
            if (j + dotColumns <= n) dots(1, dotColumns, CC_F32, D, query, D, k + j * a->kvRow, a->kvRow, sums);
            else for (ptrdiff_t last = j; last < n; last++) {
                float single[fewRows][dotColumns];
                dots(1, 1, CC_F32, D, query, D, k + last * a->kvRow, a->kvRow, single);
                sums[0][last - j] = single[0][0];
            }
            memcpy(scores + j, sums[0], sizeof sums[0]);
        }
        float largest = row_max(n, scores), total = exp_row(n, scores, largest, scores);
        bool seesNone = total == 0.0f;
        weighted_sum(n, D, scores, v, a->kvRow, seesNone ? 0.0f : 1.0f / total, t->y + row * a->outRow + column);
        if (t->lseOut) t->lseOut[head * a->queries + i] = seesNone ? -INFINITY : largest + logf(total);
    }
    scratch_release(query);
}

static void attention_forward(const cc_attention *a, const float *q, const float *k, const float *v, float *out, float *lse) {
    attention_t t = attention_plan(a);
    ptrdiff_t heads = a->batch * a->heads;
    t.q = q; t.k = k; t.v = v; t.y = out; t.lseOut = lse;
    if (a->queries <= fewQueries) {
        cc_parallel_for(heads, larger(1, 50000 / larger(1, a->queries * a->keys * a->width)), few_queries_body, &t);
        return;
    }
    cc_parallel_for(heads * t.queryBlocks, larger(1, 100000 / (smaller(forwardQueries, a->queries) * larger(a->keys, 1) * larger(a->width, 1))), attention_forward_body, &t);
}

// MARK: - Backward

/// `keys` rows of `x` transposed into panels.
static void pack_keys_transposed(const attention_t *t, ptrdiff_t keys, const float *x, float *packed) {
    panels_t panels = panels_of(keys);
    for (ptrdiff_t p = 0; p < panels.count; p++) {
        ptrdiff_t column = first_vector(&panels, p) * LANES;
        pack_transposed(columns_of(&panels, p), t->a.width, x + column * t->a.kvRow, CC_F32, t->a.kvRow, packed + column * t->a.width, vectors_of(&panels, p) * LANES);
    }
}

/// Items are key blocks of heads of pictures: keys and values are laid out for the products to come.
BODY(pack_keys_body, attention_t) {
    const cc_attention *a = &t->a;
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t block = item % t->keyBlocks, head = item / t->keyBlocks, b = head / a->heads, h = head % a->heads, first = block * keyBlock;
        ptrdiff_t keys = smaller(keyBlock, a->keys - first), offset = (b * a->keys + first) * a->kvRow + h * a->width;
        pack_keys_transposed(t, keys, t->k + offset, t->packedKT + item * keyBlock * a->width);
        pack_keys_transposed(t, keys, t->v + offset, t->packedVT + item * keyBlock * a->width);
        pack_all(&t->widthPanels, false, keys, t->k + offset, a->kvRow, t->packedK + (head * a->keys + first) * t->padded);
    }
}

/// Items are queries of heads of pictures.
BODY(delta_body, attention_t) {
    const cc_attention *a = &t->a;
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t head = item / a->queries, at = (head / a->heads * a->queries + item % a->queries) * a->outRow + head % a->heads * a->width;
        t->delta[item] = block_dot(a->width, t->out + at, t->dout + at);
    }
}

/// From scores `q kᵀ` and `dp = dout vᵀ`: `p = exp(scale · score − lse)` in place of the scores, `ds = scale · p · (dp − delta)` in place of dp.
/// Both are zero for keys that a query does not see, up to `columns`.
static void score_gradients(const attention_t *t, ptrdiff_t head, ptrdiff_t firstQuery, ptrdiff_t queries, ptrdiff_t firstKey, ptrdiff_t columns, float *p, float *dp) {
    const cc_attention *a = &t->a;
    float scale = a->scale;
    for (ptrdiff_t i = 0; i < queries; i++, p += scoreStride, dp += scoreStride) {
        ptrdiff_t n = larger(0, smaller(keyBlock, visible_keys(a, head / a->heads, firstQuery + i) - firstKey));
        float lse = t->lse[head * a->queries + firstQuery + i], delta = t->delta[head * a->queries + firstQuery + i];
        INDEPENDENT for (ptrdiff_t j = 0; j < n; j++) {
            float e = exp_bounded1(p[j] * scale - lse);
            p[j] = e;
            dp[j] = scale * e * (dp[j] - delta);
        }
        for (ptrdiff_t j = n; j < columns; j++) p[j] = dp[j] = 0;
    }
}

/// One key block against one query block: its shares of dkᵀ and dvᵀ, both `[D, keyBlock]`, and of dq.
static void attention_backward_block(const attention_t *t, ptrdiff_t head, ptrdiff_t key, ptrdiff_t first, float *scores, float *dkT, float *dvT, bool firstQueries,
                                     float *dq, bool firstKeys) {
    const cc_attention *a = &t->a;
    ptrdiff_t D = a->width, queries = smaller(queryBlock, a->queries - first), keys = smaller(keyBlock, a->keys - key);
    ptrdiff_t block = head * t->keyBlocks + key / keyBlock, b = head / a->heads, h = head % a->heads;
    panels_t panels = panels_of(keys);
    float *dp = scores + queryBlock * scoreStride;
    const float *q = t->q + (b * a->queries + first) * a->qRow + h * D, *dout = t->dout + (b * a->queries + first) * a->outRow + h * D;
    multiply_packed(&panels, false, queries, D, q, a->qRow, t->packedKT + block * keyBlock * D, D, 0, scores, scoreStride, false);
    multiply_packed(&panels, false, queries, D, dout, a->outRow, t->packedVT + block * keyBlock * D, D, 0, dp, scoreStride, false);
    score_gradients(t, head, first, queries, key, panels.vectors * LANES, scores, dp);
    multiply_wide(&panels, true, D, queries, dout, a->outRow, scores, scoreStride, dvT, keyBlock, !firstQueries);
    multiply_wide(&panels, true, D, queries, q, a->qRow, dp, scoreStride, dkT, keyBlock, !firstQueries);
    multiply_packed(&t->widthPanels, false, queries, keys, dp, scoreStride, t->packedK + (head * a->keys + key) * t->padded, keys, 0, dq,
                    a->qRow, !firstKeys);
}

/// Items are groups of key blocks of heads of pictures; each group has a dq of its own.
BODY(attention_backward_body, attention_t) {
    const cc_attention *a = &t->a;
    float *scores = scratch_take(2 * queryBlock * scoreStride + 2 * a->width * keyBlock), *dkT = scores + 2 * queryBlock * scoreStride, *dvT = dkT + a->width * keyBlock;
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t head = item / t->groups, group = item % t->groups, b = head / a->heads, h = head % a->heads;
        ptrdiff_t firstBlock = group * t->keyBlocks / t->groups, lastBlock = (group + 1) * t->keyBlocks / t->groups;
        float *dq = (group == 0 ? t->dq : t->dqParts + (group - 1) * a->batch * a->queries * a->qRow) + b * a->queries * a->qRow + h * a->width;
        for (ptrdiff_t block = firstBlock; block < lastBlock; block++) {
            ptrdiff_t key = block * keyBlock, offset = (b * a->keys + key) * a->kvRow + h * a->width;
            for (ptrdiff_t first = 0; first < a->queries; first += queryBlock)
                attention_backward_block(t, head, key, first, scores, dkT, dvT, first == 0, dq + first * a->qRow, block == firstBlock);
            transpose_out(smaller(keyBlock, a->keys - key), a->width, dkT, keyBlock, t->dk + offset, a->kvRow);
            transpose_out(smaller(keyBlock, a->keys - key), a->width, dvT, keyBlock, t->dv + offset, a->kvRow);
        }
    }
    scratch_release(scores);
}

/// Items are queries of pictures: the groups' dq are added up.
BODY(add_query_gradients_body, attention_t) {
    const cc_attention *a = &t->a;
    ptrdiff_t n = a->heads * a->width, part = a->batch * a->queries * a->qRow;
    for (ptrdiff_t r = begin; r < end; r++) for (ptrdiff_t g = 0; g + 1 < t->groups; g++) {
        float *dq = t->dq + r * a->qRow;
        const float *x = t->dqParts + g * part + r * a->qRow;
        INDEPENDENT for (ptrdiff_t j = 0; j < n; j++) dq[j] += x[j];
    }
}

static void clear_rows(ptrdiff_t rows, ptrdiff_t n, float *x, ptrdiff_t stride) {
    for (ptrdiff_t r = 0; r < rows; r++) memset(x + r * stride, 0, (size_t)n * sizeof(float));
}

static void attention_backward(const cc_attention *a, const float *q, const float *k, const float *v, const float *out, const float *lse,
                               const float *dout, float *dq, float *dk, float *dv) {
    attention_t t = attention_plan(a);
    ptrdiff_t heads = a->batch * a->heads, keyFloats = t.keyBlocks * keyBlock * a->width, n = a->heads * a->width;
    if (a->queries == 0 || a->keys == 0) {
        clear_rows(a->batch * a->queries, n, dq, a->qRow);
        clear_rows(a->batch * a->keys, n, dk, a->kvRow);
        clear_rows(a->batch * a->keys, n, dv, a->kvRow);
        return;
    }
    t.q = q; t.k = k; t.v = v; t.out = out; t.lse = lse; t.dout = dout; t.dq = dq; t.dk = dk; t.dv = dv;
    t.groups = larger(1, smaller(t.keyBlocks, 16 / larger(heads, 1)));
    ptrdiff_t parts = (t.groups - 1) * a->batch * a->queries * a->qRow;
    float *scratch = scratch_take(heads * (2 * keyFloats + a->keys * t.padded + a->queries) + parts);
    t.packedKT = scratch;
    t.packedVT = t.packedKT + heads * keyFloats;
    t.packedK = t.packedVT + heads * keyFloats;
    t.delta = t.packedK + heads * a->keys * t.padded;
    t.dqParts = t.delta + heads * a->queries;
    cc_parallel_for(heads * t.keyBlocks, larger(1, 16384 / (keyBlock * larger(a->width, 1))), pack_keys_body, &t);
    cc_parallel_for(heads * a->queries, row_grain(a->width), delta_body, &t);
    cc_parallel_for(heads * t.groups, larger(1, 50000 / larger(1, a->queries * a->keys * a->width)), attention_backward_body, &t);
    if (t.groups > 1) cc_parallel_for(a->batch * a->queries, row_grain(n), add_query_gradients_body, &t);
    scratch_release(scratch);
}
