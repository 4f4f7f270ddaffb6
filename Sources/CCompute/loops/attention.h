// Scaled dot-product attention in blocks of queries and keys: the scores of a block live in the cache and are never written out
// (Dao et al., arXiv:2205.14135; Rabe and Staats, arXiv:2112.05682).

enum { queryBlock = 64, keyBlock = 128, scoreStride = keyBlock + 16 };

typedef struct {
    cc_attention a;
    ptrdiff_t queryBlocks, keyBlocks, groups;
    panels_t keyPanels, widthPanels;                // of a whole key block, of a head's width
    ptrdiff_t padded;                               // a head's width, filled up to whole vectors
    const float *q, *k, *v, *out, *lse, *dout;
    float *y, *lseOut, *dq, *dk, *dv;
    float *packedKT, *packedVT;                     // [B, heads, key blocks, width, keyBlock]
    float *packedK, *packedV, *packedQ, *packedDout;  // [B, heads, tokens, padded], in panels per block
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
    return (attention_t){.a = *a, .queryBlocks = ceil_div(a->queries, queryBlock), .keyBlocks = ceil_div(a->keys, keyBlock), .groups = 1,
                         .keyPanels = panels_of(keyBlock), .widthPanels = panels_of(a->width), .padded = ceil_div(a->width, LANES) * LANES};
}

/// `x` transposed into panels of a whole key block; keys beyond the last are zeros.
static void pack_keys_transposed(const attention_t *t, ptrdiff_t keys, const float *x, float *packed) {
    for (ptrdiff_t p = 0; p < t->keyPanels.count; p++) {
        ptrdiff_t width = vectors_of(&t->keyPanels, p) * LANES, column = first_vector(&t->keyPanels, p) * LANES;
        ptrdiff_t n = larger(0, smaller(keys - column, width));
        pack_transposed(n, t->a.width, x + column * t->a.kvRow, CC_F32, t->a.kvRow, packed + column * t->a.width, width);
    }
}

/// Items are key blocks of heads of pictures: keys and values are laid out for the products to come.
BODY(pack_keys_body, attention_t) {
    const cc_attention *a = &t->a;
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t block = item % t->keyBlocks, head = item / t->keyBlocks, b = head / a->heads, h = head % a->heads, first = block * keyBlock;
        ptrdiff_t keys = smaller(keyBlock, a->keys - first), offset = (b * a->keys + first) * a->kvRow + h * a->width;
        pack_keys_transposed(t, keys, t->k + offset, t->packedKT + item * keyBlock * a->width);
        if (t->packedVT) pack_keys_transposed(t, keys, t->v + offset, t->packedVT + item * keyBlock * a->width);
        ptrdiff_t rows = (head * a->keys + first) * t->padded;
        if (t->packedK) pack_all(&t->widthPanels, false, keys, t->k + offset, a->kvRow, t->packedK + rows);
        if (t->packedV) pack_all(&t->widthPanels, false, keys, t->v + offset, a->kvRow, t->packedV + rows);
    }
}

/// The largest of `n` scores.
INLINE float score_max(ptrdiff_t n, const float *x) {
    vf largest = (vf){0} - INFINITY;
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) largest = __builtin_elementwise_max(largest, load(x + i));
    float result = -INFINITY;
    for (int j = 0; j < LANES; j++) result = largest[j] > result ? largest[j] : result;
    for (; i < n; i++) result = x[i] > result ? x[i] : result;
    return result;
}

typedef struct { float scores[queryBlock * scoreStride], largest[queryBlock], total[queryBlock]; } softmax_state_t;

/// Turns a block of scores into exp(score − running maximum) and brings what was summed before to the new maximum.
static void softmax_block(const attention_t *t, softmax_state_t *s, ptrdiff_t b, ptrdiff_t firstQuery, ptrdiff_t queries, ptrdiff_t firstKey,
                          float *sums, bool firstBlock) {
    for (ptrdiff_t i = 0; i < queries; i++) {
        float *row = s->scores + i * scoreStride, *sum = sums + i * t->padded;
        ptrdiff_t n = larger(0, smaller(keyBlock, visible_keys(&t->a, b, firstQuery + i) - firstKey));
        float before = firstBlock ? -INFINITY : s->largest[i], largest = score_max(n, row);
        largest = before > largest ? before : largest;
        float total = 0;
        if (n > 0) total = exp_row(n, row, largest, row);
        for (ptrdiff_t j = n; j < keyBlock; j++) row[j] = 0;
        if (!firstBlock && before < largest) {
            float factor = exp_bounded1(before - largest);
            s->total[i] *= factor;
            for (ptrdiff_t d = 0; d < t->padded; d++) sum[d] *= factor;
        }
        s->largest[i] = largest;
        s->total[i] = firstBlock ? total : s->total[i] + total;
    }
}

/// Items are query blocks of heads of pictures.
BODY(attention_forward_body, attention_t) {
    const cc_attention *a = &t->a;
    ptrdiff_t D = a->width;
    softmax_state_t *s = (softmax_state_t *)scratch_take((ptrdiff_t)(sizeof(softmax_state_t) / sizeof(float)) + queryBlock * (D + t->padded));
    float *query = (float *)(s + 1), *sums = query + queryBlock * D;
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t head = item / t->queryBlocks, b = head / a->heads, h = head % a->heads, first = item % t->queryBlocks * queryBlock;
        ptrdiff_t queries = smaller(queryBlock, a->queries - first), keys = visible_keys(a, b, first + queries - 1);
        const float *q = t->q + (b * a->queries + first) * a->qRow + h * D;
        for (ptrdiff_t i = 0; i < queries; i++) for (ptrdiff_t d = 0; d < D; d++) query[i * D + d] = q[i * a->qRow + d] * a->scale;
        for (ptrdiff_t i = 0; i < queries; i++) { s->largest[i] = -INFINITY; s->total[i] = 0; }
        for (ptrdiff_t key = 0; key < keys; key += keyBlock) {
            ptrdiff_t block = head * t->keyBlocks + key / keyBlock, rows = smaller(keyBlock, a->keys - key);
            multiply_packed(&t->keyPanels, false, queries, D, query, D, t->packedKT + block * keyBlock * D, D, 0, s->scores, scoreStride, false);
            softmax_block(t, s, b, first, queries, key, sums, key == 0);
            multiply_packed(&t->widthPanels, false, queries, rows, s->scores, scoreStride, t->packedV + (head * a->keys + key) * t->padded, rows, 0,
                            sums, t->padded, key > 0);
        }
        for (ptrdiff_t i = 0; i < queries; i++) {
            float *y = t->y + (b * a->queries + first + i) * a->outRow + h * D, total = s->total[i];
            bool seesNone = total == 0.0f;
            for (ptrdiff_t d = 0; d < D; d++) y[d] = seesNone ? 0.0f : sums[i * t->padded + d] / total;
            if (t->lseOut) t->lseOut[head * a->queries + first + i] = seesNone ? -INFINITY : s->largest[i] + logf(total);
        }
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
        float largest = score_max(n, scores), total = exp_row(n, scores, largest, scores);
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
    float *scratch = scratch_take(heads * (t.keyBlocks * keyBlock * a->width + a->keys * t.padded));
    t.packedKT = scratch;
    t.packedV = scratch + heads * t.keyBlocks * keyBlock * a->width;
    cc_parallel_for(heads * t.keyBlocks, larger(1, 16384 / (keyBlock * larger(a->width, 1))), pack_keys_body, &t);
    cc_parallel_for(heads * t.queryBlocks, larger(1, 100000 / (smaller(queryBlock, larger(a->queries, 1)) * larger(a->keys, 1) * larger(a->width, 1))),
                    attention_forward_body, &t);
    scratch_release(scratch);
}

// MARK: - Backward

/// Items are query blocks of heads of pictures: queries and output gradients in panels, and `delta`.
BODY(pack_queries_body, attention_t) {
    const cc_attention *a = &t->a;
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t head = item / t->queryBlocks, b = head / a->heads, h = head % a->heads, first = item % t->queryBlocks * queryBlock;
        ptrdiff_t queries = smaller(queryBlock, a->queries - first), rows = (head * a->queries + first) * t->padded;
        const float *out = t->out + (b * a->queries + first) * a->outRow + h * a->width, *dout = t->dout + (b * a->queries + first) * a->outRow + h * a->width;
        pack_all(&t->widthPanels, false, queries, t->q + (b * a->queries + first) * a->qRow + h * a->width, a->qRow, t->packedQ + rows);
        pack_all(&t->widthPanels, false, queries, dout, a->outRow, t->packedDout + rows);
        for (ptrdiff_t i = 0; i < queries; i++) t->delta[head * a->queries + first + i] = block_dot(a->width, out + i * a->outRow, dout + i * a->outRow);
    }
}

/// From scores `q kᵀ` and `dp = dout vᵀ`: `p = exp(scale · score − lse)` in place of the scores, `ds = scale · p · (dp − delta)` in place of dp.
static void score_gradients(const attention_t *t, ptrdiff_t head, ptrdiff_t firstQuery, ptrdiff_t queries, ptrdiff_t firstKey, float *p, float *dp) {
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
        for (ptrdiff_t j = n; j < keyBlock; j++) p[j] = dp[j] = 0;
    }
}

/// One key block against one query block: its shares of dk and dv (`*KeyGradient`, rows `kvRow` apart) and of dq.
static void attention_backward_block(const attention_t *t, ptrdiff_t head, ptrdiff_t key, ptrdiff_t first, float *scores, float *dk, float *dv, bool firstQueries,
                                     float *dq, bool firstKeys) {
    const cc_attention *a = &t->a;
    ptrdiff_t D = a->width, queries = smaller(queryBlock, a->queries - first), keys = smaller(keyBlock, a->keys - key);
    ptrdiff_t block = head * t->keyBlocks + key / keyBlock, queryRows = (head * a->queries + first) * t->padded, b = head / a->heads, h = head % a->heads;
    float *dp = scores + queryBlock * scoreStride;
    const float *q = t->q + (b * a->queries + first) * a->qRow + h * D, *dout = t->dout + (b * a->queries + first) * a->outRow + h * D;
    multiply_packed(&t->keyPanels, false, queries, D, q, a->qRow, t->packedKT + block * keyBlock * D, D, 0, scores, scoreStride, false);
    multiply_packed(&t->keyPanels, false, queries, D, dout, a->outRow, t->packedVT + block * keyBlock * D, D, 0, dp, scoreStride, false);
    score_gradients(t, head, first, queries, key, scores, dp);
    multiply_packed(&t->widthPanels, true, keys, queries, scores, scoreStride, t->packedDout + queryRows, queries, 0, dv, a->kvRow, !firstQueries);
    multiply_packed(&t->widthPanels, true, keys, queries, dp, scoreStride, t->packedQ + queryRows, queries, 0, dk, a->kvRow, !firstQueries);
    multiply_packed(&t->widthPanels, false, queries, keys, dp, scoreStride, t->packedK + (head * a->keys + key) * t->padded, keys, 0, dq,
                    a->qRow, !firstKeys);
}

/// Items are groups of key blocks of heads of pictures; each group has a dq of its own.
BODY(attention_backward_body, attention_t) {
    const cc_attention *a = &t->a;
    float *scores = scratch_take(2 * queryBlock * scoreStride);
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t head = item / t->groups, group = item % t->groups, b = head / a->heads, h = head % a->heads;
        ptrdiff_t firstBlock = group * t->keyBlocks / t->groups, lastBlock = (group + 1) * t->keyBlocks / t->groups;
        float *dq = (group == 0 ? t->dq : t->dqParts + (group - 1) * a->batch * a->queries * a->qRow) + b * a->queries * a->qRow + h * a->width;
        for (ptrdiff_t block = firstBlock; block < lastBlock; block++) {
            ptrdiff_t key = block * keyBlock, offset = (b * a->keys + key) * a->kvRow + h * a->width;
            for (ptrdiff_t first = 0; first < a->queries; first += queryBlock)
                attention_backward_block(t, head, key, first, scores, t->dk + offset, t->dv + offset, first == 0, dq + first * a->qRow, block == firstBlock);
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
    float *scratch = scratch_take(heads * (2 * keyFloats + (a->keys + 2 * a->queries) * t.padded + a->queries) + parts);
    t.packedKT = scratch;
    t.packedVT = t.packedKT + heads * keyFloats;
    t.packedK = t.packedVT + heads * keyFloats;
    t.packedQ = t.packedK + heads * a->keys * t.padded;
    t.packedDout = t.packedQ + heads * a->queries * t.padded;
    t.delta = t.packedDout + heads * a->queries * t.padded;
    t.dqParts = t.delta + heads * a->queries;
    cc_parallel_for(heads * t.keyBlocks, larger(1, 16384 / (keyBlock * larger(a->width, 1))), pack_keys_body, &t);
    cc_parallel_for(heads * t.queryBlocks, larger(1, 16384 / (queryBlock * larger(a->width, 1))), pack_queries_body, &t);
    cc_parallel_for(heads * t.groups, larger(1, 50000 / larger(1, a->queries * a->keys * a->width)), attention_backward_body, &t);
    if (t.groups > 1) cc_parallel_for(a->batch * a->queries, row_grain(n), add_query_gradients_body, &t);
    scratch_release(scratch);
}
