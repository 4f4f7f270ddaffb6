// Matrix products, in blocks that stay in the second-level cache. Each element of C adds its terms in the same order whatever the
// blocks and the number of threads are.

enum {
    depthBlock = 192,      // terms summed in registers between visits to C: a panel of B stays in the first-level cache
    columnPanels = 24 / tileVectors,  // panels of B packed at a time, at most
    smallestRowBlock = 64
};

typedef struct {
    bool transA, transB, packA;
    cc_dtype typeB;
    ptrdiff_t M, N, K, lda, ldb, ldc, strideA, strideB, strideC;
    ptrdiff_t rowBlock, rowBlocks, blockPanels, columnBlocks;
    float alpha, beta;
    const float *A;
    const void *B;
    float *C;
    const float *bias, *addend;
    panels_t panels;
} gemm_t;

static void scale_block(const gemm_t *t, float *C, ptrdiff_t rows, ptrdiff_t columns, float factor) {
    for (ptrdiff_t i = 0; i < rows; i++) for (ptrdiff_t j = 0; j < columns; j++) C[i * t->ldc + j] = factor == 0 ? 0 : C[i * t->ldc + j] * factor;
}

/// One block of C: `rows` from `row`, panels `firstPanel ..< lastPanel`.
static void gemm_block(const gemm_t *t, const float *A, const void *B, float *C, ptrdiff_t row, ptrdiff_t rows, ptrdiff_t firstPanel,
                       ptrdiff_t lastPanel, float *scratch) {
    ptrdiff_t firstColumn = first_vector(&t->panels, firstPanel) * LANES, lastColumn = smaller(t->N, first_vector(&t->panels, lastPanel) * LANES);
    float *packedA = scratch + depthBlock * columnPanels * tileVectors * LANES;
    if (t->beta != 0 && t->beta != 1) scale_block(t, C + row * t->ldc + firstColumn, rows, lastColumn - firstColumn, t->beta);
    for (ptrdiff_t k = 0; k < t->K; k += depthBlock) {
        ptrdiff_t depth = smaller(depthBlock, t->K - k);
        const float *a = t->transA ? A + k * t->lda + row : A + row * t->lda + k;
        ptrdiff_t aStride = t->lda;
        if (t->packA) {
            for (ptrdiff_t i = 0; i < rows; i++) memcpy(packedA + i * (depthBlock + 16), a + i * t->lda, (size_t)depth * sizeof(float));
            a = packedA;
            aStride = depthBlock + 16;
        }
        float *packed = scratch;
        for (ptrdiff_t p = firstPanel; p < lastPanel; p++) {
            ptrdiff_t vectors = vectors_of(&t->panels, p), width = vectors * LANES, column = first_vector(&t->panels, p) * LANES, n = columns_of(&t->panels, p);
            if (t->transB) pack_transposed(n, depth, advanced(B, t->typeB, column * t->ldb + k), t->typeB, t->ldb, packed, width);
            else pack_rows(n, depth, advanced(B, t->typeB, k * t->ldb + column), t->typeB, t->ldb, packed, width);
            tile_t tile = {.a = a, .b = packed, .aStride = aStride, .bStep = width, .outer = 1, .segments = 1, .length = depth,
                           .c = C + row * t->ldc + column, .bias = k == 0 && t->bias ? t->bias + column : NULL, .ldc = t->ldc, .columns = n,
                           .addend = k == 0 && t->addend ? t->addend + row * t->ldc + column : NULL, .alpha = t->alpha, .accumulate = k > 0 || t->beta != 0};
            tiles_of_panel(&tile, rows, vectors, t->transA);
        }
    }
}

/// Items are blocks of C, product after product.
BODY(gemm_body, gemm_t) {
    float *scratch = scratch_take(depthBlock * columnPanels * tileVectors * LANES + (t->packA ? t->rowBlock * (depthBlock + 16) : 0));
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t product = item / (t->rowBlocks * t->columnBlocks), block = item % (t->rowBlocks * t->columnBlocks);
        ptrdiff_t row = block % t->rowBlocks * t->rowBlock, panel = block / t->rowBlocks * t->blockPanels;
        gemm_block(t, t->A + product * t->strideA, advanced(t->B, t->typeB, product * t->strideB), t->C + product * t->strideC, row,
                   smaller(t->rowBlock, t->M - row), panel, smaller(t->panels.count, panel + t->blockPanels), scratch);
    }
    scratch_release(scratch);
}

// With few rows of A, packing B would cost more than the products: rows of Bᵀ are multiplied where they lie, as fast as memory gives them.

enum { fewRows = 4, dotColumns = 4, dotBlock = 16 };

/// `sums[i][j] = Σ_k a[i·lda + k] b[j·ldb + k]`.
INLINE void dots(const int rows, const int columns, const cc_dtype type, ptrdiff_t K, const float *a, ptrdiff_t lda, const void *b, ptrdiff_t ldb,
                 float sums[fewRows][dotColumns]) {
    vf acc[fewRows][dotColumns];
    _Pragma("unroll") for (int i = 0; i < rows; i++) _Pragma("unroll") for (int j = 0; j < columns; j++) acc[i][j] = (vf){0};
    ptrdiff_t k = 0;
    for (; k + LANES <= K; k += LANES) {
        vf column[dotColumns];
        _Pragma("unroll") for (int j = 0; j < columns; j++) column[j] = load_wide(advanced(b, type, j * ldb + k), type);
        _Pragma("unroll") for (int i = 0; i < rows; i++) {
            vf row = load(a + i * lda + k);
            _Pragma("unroll") for (int j = 0; j < columns; j++) acc[i][j] += row * column[j];
        }
    }
    if (k < K) for (int j = 0; j < columns; j++) {
        float rest[LANES] = {0};
        widen(K - k, advanced(b, type, j * ldb + k), type, rest);
        for (int i = 0; i < rows; i++) acc[i][j] += load_part(a + i * lda + k, K - k) * load(rest);
    }
    _Pragma("unroll") for (int i = 0; i < rows; i++) _Pragma("unroll") for (int j = 0; j < columns; j++) sums[i][j] = sum_of_lanes(acc[i][j]);
}

INLINE void dot_columns(const int rows, const cc_dtype type, const gemm_t *t, ptrdiff_t first, ptrdiff_t last) {
    for (ptrdiff_t j = first; j < last; j += dotColumns) {
        const void *b = advanced(t->B, type, j * t->ldb);
        ptrdiff_t columns = smaller(dotColumns, last - j);
        float sums[fewRows][dotColumns];
        if (columns == dotColumns) dots(rows, dotColumns, type, t->K, t->A, t->lda, b, t->ldb, sums);
        else for (ptrdiff_t n = 0; n < columns; n++) {
            float single[fewRows][dotColumns];
            dots(rows, 1, type, t->K, t->A, t->lda, advanced(b, type, n * t->ldb), t->ldb, single);
            for (int i = 0; i < rows; i++) sums[i][n] = single[i][0];
        }
        for (int i = 0; i < rows; i++) for (ptrdiff_t n = 0; n < columns; n++) {
            float *c = t->C + i * t->ldc + j + n;
            float more = (t->bias ? t->bias[j + n] : 0) + (t->addend ? t->addend[i * t->ldc + j + n] : 0);
            *c = t->alpha * sums[i][n] + more + (t->beta == 0 ? 0 : t->beta * *c);
        }
    }
}

#define DOTS(type) \
    switch (t->M) { \
    case 1: dot_columns(1, type, t, first, last); break; \
    case 2: dot_columns(2, type, t, first, last); break; \
    case 3: dot_columns(3, type, t, first, last); break; \
    default: dot_columns(4, type, t, first, last); \
    }

/// Items are blocks of columns of C.
BODY(few_rows_body, gemm_t) {
    ptrdiff_t first = begin * dotBlock, last = smaller(t->N, end * dotBlock);
    if (t->typeB == CC_F32) DOTS(CC_F32) else if (t->typeB == CC_F16) DOTS(CC_F16) else DOTS(CC_BF16)
}
#undef DOTS

/// C = beta·C + bias + addend: what is left when there are no terms.
static void gemm_without_terms(const gemm_t *t, ptrdiff_t count) {
    for (ptrdiff_t product = 0; product < count; product++) for (ptrdiff_t i = 0; i < t->M; i++) for (ptrdiff_t j = 0; j < t->N; j++) {
        float *c = t->C + product * t->strideC + i * t->ldc + j;
        *c = (t->beta == 0 ? 0 : t->beta * *c) + (t->bias ? t->bias[j] : 0) + (t->addend ? t->addend[i * t->ldc + j] : 0);
    }
}

static void gemm_products(gemm_t *t, ptrdiff_t count) {
    if (t->M == 0 || t->N == 0 || count == 0) return;
    if (t->K == 0) { gemm_without_terms(t, count); return; }
    if (count == 1 && t->M <= fewRows && !t->transA && t->transB) {
        cc_parallel_for(ceil_div(t->N, dotBlock), larger(1, 65536 / (dotBlock * t->K)), few_rows_body, t);
        return;
    }
    t->panels = panels_of(t->N);
    // Packing B costs as much as a few rows of C: blocks have many rows, but there are enough of them to share out. Where all rows
    // together are few, it is columns that are shared out.
    bool isLow = t->M <= 2 * smallestRowBlock;
    ptrdiff_t pieces = ceil_div(4 * cc_threads(), count);
    t->blockPanels = isLow ? larger(1, smaller(columnPanels, t->panels.count / pieces)) : columnPanels;
    t->columnBlocks = ceil_div(t->panels.count, t->blockPanels);
    ptrdiff_t wanted = isLow ? 1 : ceil_div(pieces, t->columnBlocks);
    t->rowBlock = larger(smallestRowBlock, smaller(512, ceil_div(ceil_div(t->M, wanted), mostTileRows) * mostTileRows));
    t->rowBlocks = ceil_div(t->M, t->rowBlock);
    // Rows a power of two apart fall on the same cache lines.
    t->packA = !t->transA && t->lda % 256 == 0 && t->N >= 64;
    ptrdiff_t cost = smaller(t->rowBlock, t->M) * smaller(t->N, t->blockPanels * tileVectors * LANES) * t->K;
    cc_parallel_for(count * t->rowBlocks * t->columnBlocks, larger(1, 200000 / larger(cost, 1)), gemm_body, t);
}

static void gemm_batched(ptrdiff_t count, bool transA, bool transB, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, float alpha, const float *A,
                         ptrdiff_t lda, ptrdiff_t strideA, const float *B, ptrdiff_t ldb, ptrdiff_t strideB, float beta, float *C,
                         ptrdiff_t ldc, ptrdiff_t strideC) {
    gemm_t t = {.transA = transA, .transB = transB, .typeB = CC_F32, .M = M, .N = N, .K = K, .lda = lda, .ldb = ldb, .ldc = ldc, .strideA = strideA,
                .strideB = strideB, .strideC = strideC, .alpha = alpha, .beta = beta, .A = A, .B = B, .C = C};
    gemm_products(&t, count);
}

/// C of few columns, `[K, M]ᵀ · [K, N]`, by way of its transpose: its rows fill vectors.
static void gemm_thin(ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, float alpha, const float *A, ptrdiff_t lda, const float *B, ptrdiff_t ldb, float beta, float *C, ptrdiff_t ldc) {
    float *turned = scratch_take(N * M);
    gemm_batched(1, true, false, N, M, K, alpha, B, ldb, 0, A, lda, 0, 0, turned, M, 0);
    for (ptrdiff_t i = 0; i < M; i++) for (ptrdiff_t j = 0; j < N; j++) C[i * ldc + j] = turned[j * M + i] + (beta == 0 ? 0 : beta * C[i * ldc + j]);
    scratch_release(turned);
}

static void gemm(bool transA, bool transB, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, float alpha, const float *A, ptrdiff_t lda,
                 const void *B, cc_dtype typeB, ptrdiff_t ldb, float beta, float *C, ptrdiff_t ldc, const float *bias, const float *addend) {
    if (transA && !transB && typeB == CC_F32 && 2 * N <= LANES && M >= 2 * LANES && !bias && !addend) {
        gemm_thin(M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
        return;
    }
    gemm_t t = {.transA = transA, .transB = transB, .typeB = typeB, .M = M, .N = N, .K = K, .lda = lda, .ldb = ldb, .ldc = ldc, .alpha = alpha,
                .beta = beta, .A = A, .B = B, .C = C, .bias = bias, .addend = addend};
    gemm_products(&t, 1);
}
