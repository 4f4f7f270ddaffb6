// Matrix products by cuBLASLt. It counts columns first, so it is asked for Dᵀ = op(B)ᵀ · op(A)ᵀ, whose memory is that of D by rows.
#include "context.h"
#include <stdlib.h>
#include <string.h>

enum { COMPUTE_32F = 68, R_32F = 0, R_16F = 2, R_16BF = 14 };
enum { DESC_TRANSA = 3, DESC_TRANSB = 4, DESC_EPILOGUE = 7, DESC_BIAS_POINTER = 8, EPILOGUE_BIAS = 4, OPERATION_T = 1 };
enum { LAYOUT_BATCH_COUNT = 5, LAYOUT_BATCH_STRIDE = 6, PREFERENCE_WORKSPACE = 1, PREFERENCE_ALIGNMENT_A = 5 };
/// What NVIDIA advises for its newest cards; also cuDNN's.
enum { WORKSPACE_BYTES = 32 << 20, CANDIDATES = 4 };

/// What a plan depends on; no padding, since it is hashed.
typedef struct product_key {
    int64_t extents[7], strides[5];
    int32_t flags, alignment[4], types;
} product_key;

/// A product of one shape as cuBLASLt sees it, and its best way.
typedef struct product_plan {
    void *descriptor, *A, *B, *C, *D;
    blas_algorithm algorithm;
} product_plan;

/// A product with its operands.
typedef struct product_job {
    const ccuda_product *product;
    const void *A, *B, *C, *bias;
    void *D;
    product_plan *plan;
    const blas_algorithm *algorithm;
} product_job;

bool cuda_products_open(ccuda_context *context, ccuda_error *error) {
    int status = cuda.blas_create(&context->blas);
    if (status) cuda_set_error(error, CCUDA_LIBRARY, "cuBLASLt does not start: %s.", cuda.blas_statusString(status));
    return status == 0 && cuda_block(context, &context->workspace, WORKSPACE_BYTES);
}

// MARK: - Plans

static int cuda_type_of(ccuda_type type) { return type == CCUDA_F32 ? R_32F : type == CCUDA_F16 ? R_16F : R_16BF; }

/// The largest power of two up to 16 that an address is a multiple of.
static int32_t alignment(const void *pointer) {
    uintptr_t bits = (uintptr_t)pointer | 16;
    return (int32_t)(bits & -bits);
}

static product_key key_of(const product_job *job) {
    const ccuda_product *p = job->product;
    return (product_key){
        .extents = {p->M, p->N, p->K, p->lda, p->ldb, job->C ? p->ldc : p->ldd, p->ldd},
        .strides = {p->count, p->strideA, p->strideB, job->C ? p->strideC : p->strideD, p->strideD},
        .flags = p->transA | p->transB << 1 | (job->bias != NULL) << 2 | (job->C != NULL) << 3,
        .alignment = {alignment(job->B), alignment(job->A), alignment(job->C ?: job->D), alignment(job->D)},
        .types = (int32_t)(p->operands | p->result << 8),
    };
}

static void destroy_plan(void *pointer) {
    product_plan *plan = pointer;
    void *layouts[] = {plan->A, plan->B, plan->C, plan->D};
    for (int i = 0; i < 4; i++)
        if (layouts[i]) cuda.blas_layoutDestroy(layouts[i]);
    if (plan->descriptor) cuda.blas_descDestroy(plan->descriptor);
    free(plan);
}

void cuda_products_close(ccuda_context *context) {
    table_clear(&context->products, destroy_plan);
    if (context->blas) cuda.blas_destroy(context->blas);
}

/// A matrix stored by rows: `rows` of `columns` values, which for cuBLASLt are columns of that many rows.
static int make_layout(void **layout, ccuda_type type, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t leading, ptrdiff_t count, int64_t stride) {
    int32_t batch = (int32_t)count;
    int status = cuda.blas_layoutCreate(layout, cuda_type_of(type), (uint64_t)columns, (uint64_t)rows, leading);
    if (status == 0 && count > 1) status = cuda.blas_layoutSet(*layout, LAYOUT_BATCH_COUNT, &batch, sizeof batch);
    if (status == 0 && count > 1) status = cuda.blas_layoutSet(*layout, LAYOUT_BATCH_STRIDE, &stride, sizeof stride);
    return status;
}

static int make_descriptor(void **descriptor, const product_job *job) {
    static const int32_t transposed = OPERATION_T;
    static const int32_t withBias = EPILOGUE_BIAS;
    int status = cuda.blas_descCreate(descriptor, COMPUTE_32F, R_32F);  // float32 sums, no TF32
    if (status == 0 && job->product->transB) status = cuda.blas_descSet(*descriptor, DESC_TRANSA, &transposed, sizeof transposed);
    if (status == 0 && job->product->transA) status = cuda.blas_descSet(*descriptor, DESC_TRANSB, &transposed, sizeof transposed);
    if (status == 0 && job->bias) status = cuda.blas_descSet(*descriptor, DESC_EPILOGUE, &withBias, sizeof withBias);
    if (status == 0 && job->bias) status = cuda.blas_descSet(*descriptor, DESC_BIAS_POINTER, &job->bias, sizeof job->bias);
    return status;
}

static int make_operands(product_plan *plan, const product_job *job) {
    const ccuda_product *p = job->product;
    int status = make_descriptor(&plan->descriptor, job);
    if (status == 0) status = make_layout(&plan->A, p->operands, p->transB ? p->N : p->K, p->transB ? p->K : p->N, p->ldb, p->count, p->strideB);
    if (status == 0) status = make_layout(&plan->B, p->operands, p->transA ? p->K : p->M, p->transA ? p->M : p->K, p->lda, p->count, p->strideA);
    if (status == 0) status = make_layout(&plan->C, p->result, p->M, p->N, job->C ? p->ldc : p->ldd, p->count, job->C ? p->strideC : p->strideD);
    if (status == 0) status = make_layout(&plan->D, p->result, p->M, p->N, p->ldd, p->count, p->strideD);
    return status;
}

/// Ways to do the product, best first by cuBLASLt's estimate; returns how many.
static int propose(ccuda_context *context, const product_plan *plan, const product_key *key, blas_candidate candidates[CANDIDATES], int *status) {
    void *preference = NULL;
    size_t workspace = WORKSPACE_BYTES;
    int found = 0;
    *status = cuda.blas_preferenceCreate(&preference);
    if (*status == 0) *status = cuda.blas_preferenceSet(preference, PREFERENCE_WORKSPACE, &workspace, sizeof workspace);
    for (int i = 0; i < 4 && *status == 0; i++) {
        uint32_t bytes = (uint32_t)key->alignment[i];
        *status = cuda.blas_preferenceSet(preference, PREFERENCE_ALIGNMENT_A + i, &bytes, sizeof bytes);
    }
    if (*status == 0)
        *status = cuda.blas_heuristic(context->blas, plan->descriptor, plan->A, plan->B, plan->C, plan->D, preference, CANDIDATES, candidates,
                                      &found);
    if (preference) cuda.blas_preferenceDestroy(preference);
    return *status == 0 ? found : 0;
}

static int multiply(ccuda_context *context, const product_job *job) {
    const product_plan *plan = job->plan;
    const float beta = job->C ? job->product->beta : 0;
    return cuda.blas_matmul(context->blas, plan->descriptor, &job->product->alpha, job->B, plan->A, job->A, plan->B, &beta, job->C ?: job->D, plan->C,
                            job->D, plan->D, job->algorithm, context->workspace.pointer, WORKSPACE_BYTES, context->stream);
}

static bool run_trial(ccuda_context *context, void *job) { return multiply(context, job) == 0; }

/// The fastest candidate, its result going elsewhere, since D may be an addend too.
static int fastest(ccuda_context *context, product_job trial, const blas_candidate *candidates, int count) {
    const ccuda_product *p = trial.product;
    size_t values = (size_t)((p->count - 1) * p->strideD + (p->M - 1) * p->ldd + p->N);
    int best = 0;
    float least = 0;
    trial.D = cuda_block(context, &context->trial, values * ccuda_type_size(p->result));
    for (int i = 0; i < count && trial.D; i++) {
        trial.algorithm = &candidates[i].algorithm;
        float time = candidates[i].status == 0 ? cuda_time(context, run_trial, &trial) : -1;
        if (time >= 0 && (least == 0 || time < least)) least = time, best = i;
    }
    return best;
}

static void refuse(ccuda_context *context, const ccuda_product *p, int status) {
    static const char *const types[] = {"float32", "float16", "bfloat16"};
    cuda_fail(context, status == 3 ? CCUDA_NO_MEMORY : CCUDA_LIBRARY, "cuBLASLt refused a product [%td, %td] · [%td, %td] × %td of %s into %s: %s.",
              p->M, p->K, p->K, p->N, p->count, types[p->operands], types[p->result], cuda.blas_statusString(status));
}

static product_plan *make_plan(ccuda_context *context, const product_job *job, const product_key *key) {
    product_plan *plan = calloc(1, sizeof *plan);
    blas_candidate candidates[CANDIDATES];
    int status = make_operands(plan, job), found = status ? 0 : propose(context, plan, key, candidates, &status), best = 0;
    if (found == 0) {
        refuse(context, job->product, status ? status : 15);  // 15: not supported
        destroy_plan(plan);
        return NULL;
    }
    if (context->tuning && !context->recording && found > 1) {
        product_job trial = *job;
        trial.plan = plan;
        best = fastest(context, trial, candidates, found);
    }
    plan->algorithm = candidates[best].algorithm;
    return plan;
}

// MARK: - Products

static void run(ccuda_context *context, product_job *job) {
    product_key key = key_of(job);
    job->plan = table_find(&context->products, &key, sizeof key);
    if (!job->plan) {
        job->plan = make_plan(context, job, &key);
        if (!job->plan) return;
        table_insert(&context->products, &key, sizeof key, job->plan);
    }
    job->algorithm = &job->plan->algorithm;
    int status = job->bias ? cuda.blas_descSet(job->plan->descriptor, DESC_BIAS_POINTER, &job->bias, sizeof job->bias) : 0;
    if (status == 0) status = multiply(context, job);
    if (status) refuse(context, job->product, status);
}

void ccuda_multiply(ccuda_context *context, const ccuda_product *product, const void *A, const void *B, const void *C, void *D, const void *bias) {
    if (product->M == 0 || product->N == 0 || product->count == 0 || !cuda_enter(context)) return;
    product_job job = {.product = product, .A = A, .B = B, .C = product->beta != 0 ? C : NULL, .D = D, .bias = bias};
    if (product->K > 0) run(context, &job);
    else cuda_fail(context, CCUDA_MISUSE, "A product [%td, 0] · [0, %td] has nothing to sum.", product->M, product->N);
    cuda_leave(context);
}

void ccuda_set_tuning(ccuda_context *context, bool tuning) {
    pthread_mutex_lock(&context->lock);
    context->tuning = tuning;
    pthread_mutex_unlock(&context->lock);
}
