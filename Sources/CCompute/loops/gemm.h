// Matrix products.

typedef struct {
    bool transA, transB;
    ptrdiff_t M, N, K, lda, ldb, ldc, strideA, strideB, strideC;
    float alpha, beta;
    const float *A;
    const float *B;
    float *C;
    const float *bias;
} gemm_t;

/// Items are rows of C, product after product.
BODY(gemm_body, gemm_t) {
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t product = item / t->M, i = item % t->M;
        const float *A = t->A + product * t->strideA, *B = t->B + product * t->strideB;
        float *C = t->C + product * t->strideC + i * t->ldc;
        for (ptrdiff_t j = 0; j < t->N; j++) C[j] = (t->beta == 0 ? 0 : t->beta * C[j]) + (t->bias ? t->bias[j] : 0);
        for (ptrdiff_t k = 0; k < t->K; k++) {
            float a = t->alpha * (t->transA ? A[k * t->lda + i] : A[i * t->lda + k]);
            if (t->transB) for (ptrdiff_t j = 0; j < t->N; j++) C[j] += a * B[j * t->ldb + k];
            else for (ptrdiff_t j = 0; j < t->N; j++) C[j] += a * B[k * t->ldb + j];
        }
    }
}

static void gemm_batched(ptrdiff_t count, bool transA, bool transB, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, float alpha, const float *A,
                         ptrdiff_t lda, ptrdiff_t strideA, const float *B, ptrdiff_t ldb, ptrdiff_t strideB, float beta, float *C,
                         ptrdiff_t ldc, ptrdiff_t strideC) {
    gemm_t t = {transA, transB, M, N, K, lda, ldb, ldc, strideA, strideB, strideC, alpha, beta, A, B, C, NULL};
    cc_parallel_for(count * M, row_grain(N * larger(K, 1)), gemm_body, &t);
}

static void gemm(bool transA, bool transB, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, float alpha, const float *A, ptrdiff_t lda,
                 const void *B, cc_dtype typeB, ptrdiff_t ldb, float beta, float *C, ptrdiff_t ldc, const float *bias) {
    ptrdiff_t rowsB = transB ? N : K, columnsB = transB ? K : N;
    float *wide = typeB == CC_F32 || rowsB == 0 || columnsB == 0 ? NULL : scratch_take(rowsB * columnsB);
    for (ptrdiff_t r = 0; r < rowsB && wide; r++) widen(columnsB, advanced(B, typeB, r * ldb), typeB, wide + r * columnsB);
    gemm_t t = {transA, transB, M, N, K, lda, wide ? columnsB : ldb, ldc, 0, 0, 0, alpha, beta, A, wide ? wide : B, C, bias};
    cc_parallel_for(M, row_grain(N * larger(K, 1)), gemm_body, &t);
    scratch_release(wide);
}
