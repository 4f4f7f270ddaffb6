// cuBLASLt: D = alpha · op(A) · op(B) + beta · C + bias on matrices whose columns come first.
#include "emulated.h"
#include "../../Sources/CCUDA/libraries.h"
#include <stdlib.h>
#include <string.h>

typedef struct layout { int type; int64_t rows, columns, leading, stride; int32_t batch; } layout;
typedef struct descriptor { int32_t transA, transB, epilogue; const void *bias; } descriptor;

size_t cublasLtGetVersion(void) { return 130100; }
const char *cublasLtGetStatusString(int status) { return status == 15 ? "CUBLAS_STATUS_NOT_SUPPORTED" : "CUBLAS_STATUS_INVALID_VALUE"; }
int cublasLtCreate(void **handle) { ANSWER; return *handle = malloc(1), 0; }
int cublasLtDestroy(void *handle) { return free(handle), 0; }

int cublasLtMatmulDescCreate(void **result, int computeType, int scaleType) {
    return *result = calloc(1, sizeof(descriptor)), computeType == 68 && scaleType == 0 ? 0 : 15;
}
int cublasLtMatmulDescDestroy(void *d) { return free(d), 0; }
int cublasLtMatmulDescSetAttribute(void *result, int attribute, const void *value, size_t bytes) {
    descriptor *d = result;
    void *places[] = {[3] = &d->transA, [4] = &d->transB, [7] = &d->epilogue, [8] = &d->bias};
    void *place = attribute >= 0 && attribute <= 8 ? places[attribute] : NULL;
    if (!place || bytes != (attribute == 8 ? 8 : 4)) return 7;
    return memcpy(place, value, bytes), 0;
}

int cublasLtMatrixLayoutCreate(void **result, int type, uint64_t rows, uint64_t columns, int64_t leading) {
    layout *l = malloc(sizeof *l);
    *l = (layout){type, (int64_t)rows, (int64_t)columns, leading, 0, 1};
    *result = l;
    return leading >= (int64_t)rows ? 0 : 7;
}
int cublasLtMatrixLayoutDestroy(void *l) { return free(l), 0; }
int cublasLtMatrixLayoutSetAttribute(void *result, int attribute, const void *value, size_t bytes) {
    layout *l = result;
    if (attribute == 5 && bytes == 4) return memcpy(&l->batch, value, 4), 0;
    if (attribute == 6 && bytes == 8) return memcpy(&l->stride, value, 8), 0;
    return 7;
}

int cublasLtMatmulPreferenceCreate(void **preference) { return *preference = malloc(1), 0; }
int cublasLtMatmulPreferenceDestroy(void *preference) { return free(preference), 0; }
int cublasLtMatmulPreferenceSetAttribute(void *preference, int attribute, const void *value, size_t bytes) {
    (void)preference, (void)value;
    return attribute == 1 ? bytes != 8 : attribute < 5 || attribute > 8 || bytes != 4;
}

/// Whether the operands' shapes and types belong together.
static bool fits(const descriptor *d, const layout *A, const layout *B, const layout *C, const layout *D) {
    int64_t m = d->transA ? A->columns : A->rows, k = d->transA ? A->rows : A->columns, n = d->transB ? B->rows : B->columns;
    bool shapes = k == (d->transB ? B->columns : B->rows) && m == D->rows && n == D->columns && C->rows == D->rows && C->columns == D->columns;
    bool types = A->type == B->type && C->type == D->type && (A->type == D->type || D->type == 0);
    return shapes && types && A->batch == D->batch && B->batch == D->batch && C->batch == D->batch;
}

int cublasLtMatmulAlgoGetHeuristic(void *handle, void *d, void *A, void *B, void *C, void *D, void *preference, int wanted,
                                   blas_candidate *candidates, int *found) {
    (void)handle, (void)preference;
    ANSWER;
    *found = 0;
    if (!fits(d, A, B, C, D)) return 15;
    for (*found = 0; *found < 2 && *found < wanted; ++*found) candidates[*found] = (blas_candidate){.algorithm = {{(uint64_t)*found + 1}}};
    return 0;
}

typedef struct job { descriptor d; layout lA, lB, lC, lD; const void *A, *B, *C; void *D; float alpha, beta; } job;

static double element(const void *values, const layout *l, int64_t item, int64_t row, int64_t column) {
    return emulated_read(values, l->type, item * l->stride + column * l->leading + row);
}

static void multiply(void *pointer) {
    const job *j = pointer;
    int64_t depth = j->d.transA ? j->lA.rows : j->lA.columns;
    for (int32_t item = 0; item < j->lD.batch; item++)
        for (int64_t column = 0; column < j->lD.columns; column++)
            for (int64_t row = 0; row < j->lD.rows; row++) {
                double sum = 0;
                for (int64_t k = 0; k < depth; k++)
                    sum += element(j->A, &j->lA, item, j->d.transA ? k : row, j->d.transA ? row : k)
                        * element(j->B, &j->lB, item, j->d.transB ? column : k, j->d.transB ? k : column);
                sum *= (double)j->alpha;
                if (j->beta != 0) sum += (double)j->beta * element(j->C, &j->lC, item, row, column);
                if (j->d.epilogue == 4) sum += emulated_read(j->d.bias, j->lD.type, row);
                emulated_write(j->D, j->lD.type, item * j->lD.stride + column * j->lD.leading + row, sum);
            }
}

int cublasLtMatmul(void *handle, void *d, const void *alpha, const void *A, void *lA, const void *B, void *lB, const void *beta, const void *C,
                   void *lC, void *D, void *lD, const blas_algorithm *algorithm, void *workspace, size_t workspaceBytes, void *stream) {
    (void)handle, (void)stream;
    ANSWER;
    if (!fits(d, lA, lB, lC, lD) || algorithm->data[0] == 0 || (workspaceBytes && !workspace)) return 7;
    const job j = {*(descriptor *)d, *(layout *)lA, *(layout *)lB, *(layout *)lC, *(layout *)lD, A, B, C, D, *(const float *)alpha,
                   *(const float *)beta};
    return emulated_queue(multiply, &j, sizeof j);
}
