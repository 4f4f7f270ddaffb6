// Scaled dot-product attention, one row of scores at a time.

typedef struct { cc_attention a; const float *q, *k, *v, *out, *lse, *dout; float *y, *lseOut, *dq, *dk, *dv; } attention_t;

/// How many keys query `i` of picture `b` sees.
INLINE ptrdiff_t visible_keys(const cc_attention *a, ptrdiff_t b, ptrdiff_t i) {
    ptrdiff_t keys = a->keyLengths ? smaller(a->keyLengths[b], a->keys) : a->keys;
    if (a->causal) keys = smaller(keys, i + a->causalOffset + 1);
    return larger(keys, 0);
}

/// Items are queries: [B, heads, T].
BODY(attention_forward_body, attention_t) {
    const cc_attention *a = &t->a;
    ptrdiff_t D = a->width;
    float *scores = scratch_take(a->keys);
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t b = item / (a->heads * a->queries), h = item / a->queries % a->heads, i = item % a->queries;
        ptrdiff_t n = visible_keys(a, b, i);
        const float *q = t->q + (b * a->queries + i) * a->qRow + h * D, *k = t->k + b * a->keys * a->kvRow + h * D, *v = t->v + b * a->keys * a->kvRow + h * D;
        float *y = t->y + (b * a->queries + i) * a->outRow + h * D;
        memset(y, 0, (size_t)D * sizeof(float));
        for (ptrdiff_t j = 0; j < n; j++) scores[j] = a->scale * block_dot(D, q, k + j * a->kvRow);
        float largest = row_max(n, scores), total = exp_row(n, scores, largest, scores);
        for (ptrdiff_t j = 0; j < n; j++) {
            float p = scores[j] / total;
            for (ptrdiff_t d = 0; d < D; d++) y[d] += p * v[j * a->kvRow + d];
        }
        if (t->lseOut) t->lseOut[item] = n > 0 ? largest + logf(total) : -INFINITY;
    }
    scratch_release(scores);
}

static void attention_forward(const cc_attention *a, const float *q, const float *k, const float *v, float *out, float *lse) {
    attention_t t = {.a = *a, .q = q, .k = k, .v = v, .y = out, .lseOut = lse};
    cc_parallel_for(a->batch * a->heads * a->queries, 8, attention_forward_body, &t);
}

/// Items are heads of pictures.
BODY(attention_backward_body, attention_t) {
    const cc_attention *a = &t->a;
    ptrdiff_t D = a->width;
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t b = item / a->heads, h = item % a->heads, keyBase = b * a->keys * a->kvRow + h * D;
        for (ptrdiff_t j = 0; j < a->keys; j++) {
            memset(t->dk + keyBase + j * a->kvRow, 0, (size_t)D * sizeof(float));
            memset(t->dv + keyBase + j * a->kvRow, 0, (size_t)D * sizeof(float));
        }
        for (ptrdiff_t i = 0; i < a->queries; i++) {
            ptrdiff_t queryBase = (b * a->queries + i) * a->qRow + h * D, outBase = (b * a->queries + i) * a->outRow + h * D;
            const float *q = t->q + queryBase, *dout = t->dout + outBase;
            float *dq = t->dq + queryBase, delta = block_dot(D, dout, t->out + outBase), lse = t->lse[item * a->queries + i];
            memset(dq, 0, (size_t)D * sizeof(float));
            for (ptrdiff_t j = 0; j < visible_keys(a, b, i); j++) {
                const float *k = t->k + keyBase + j * a->kvRow, *v = t->v + keyBase + j * a->kvRow;
                float *dk = t->dk + keyBase + j * a->kvRow, *dv = t->dv + keyBase + j * a->kvRow;
                float p = exp1(a->scale * block_dot(D, q, k) - lse), ds = a->scale * p * (block_dot(D, dout, v) - delta);
                for (ptrdiff_t d = 0; d < D; d++) { dq[d] += ds * k[d]; dk[d] += ds * q[d]; dv[d] += p * dout[d]; }
            }
        }
    }
}

static void attention_backward(const cc_attention *a, const float *q, const float *k, const float *v, const float *out, const float *lse,
                               const float *dout, float *dq, float *dk, float *dv) {
    attention_t t = {.a = *a, .q = q, .k = k, .v = v, .out = out, .lse = lse, .dout = dout, .dq = dq, .dk = dk, .dv = dv};
    cc_parallel_for(a->batch * a->heads, 1, attention_backward_body, &t);
}
