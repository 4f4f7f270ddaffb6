// Memory, failures, recorded work; products, convolutions and attention, which are NVIDIA's, against CCompute's.
#include "check.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const ccuda_type types[] = {CCUDA_F32, CCUDA_BF16};
#define EACH_TYPE(type) for (int type##_ = 0; type##_ < 2; type##_++) for (ccuda_type type = types[type##_], *once_ = &type; once_; once_ = NULL)
#define TIME(work) for (repeat r_ = timing(); more(&r_);) work

// MARK: - Memory

/// Bytes up, across and down again, whatever the length and the place.
static void check_copies(size_t bytes, size_t offset) {
    uint8_t *sent = malloc(bytes + 1), *back = calloc(bytes + 1, 1);
    for (size_t i = 0; i < bytes; i++) sent[i] = (uint8_t)(i * 31 + i / 251);
    uint8_t *a = ccuda_allocate(card, bytes + offset), *b = ccuda_allocate(card, bytes + offset);
    begin("copies", CCUDA_F32, "%zu bytes at %zu", bytes, offset);
    ccuda_upload(card, a + offset, sent, bytes);
    ccuda_copy(card, b + offset, a + offset, bytes);
    ccuda_download(card, back, b + offset, bytes);
    expect_that(memcmp(sent, back, bytes) == 0, "other bytes came back");
    end();
    ccuda_free(card, a), ccuda_free(card, b);
    free(sent), free(back);
}

static void check_bandwidth(void) {
    const size_t bytes = too_large(1e9) ? 1 << 20 : 1 << 30;
    void *a = ccuda_allocate(card, bytes), *b = ccuda_allocate(card, bytes);
    begin("copy", CCUDA_F32, "%zu MiB within the card", bytes >> 20);
    ccuda_set_bytes(card, a, 1, bytes);
    costs(0, 2.0 * (double)bytes);
    TIME(ccuda_copy(card, b, a, bytes));
    end();
    char *host = malloc(bytes / 4);
    memset(host, 5, bytes / 4);
    ccuda_event *from = ccuda_event_create(card), *to = ccuda_event_create(card);
    begin("upload", CCUDA_F32, "%zu KiB of pageable memory", bytes >> 12);
    ccuda_upload(card, a, host, bytes / 8);
    ccuda_event_record(card, from);
    ccuda_upload(card, a, host, bytes / 4);
    ccuda_event_record(card, to);
    float milliseconds = ccuda_event_elapsed(card, from, to);
    expect_that(milliseconds < 1000, "it took %.0f ms, %.1f GB/s", (double)milliseconds, (double)bytes / 4e6 / (double)milliseconds);
    costs(0, (double)bytes / 4);
    end();
    ccuda_event_destroy(card, from), ccuda_event_destroy(card, to);
    ccuda_free(card, a), ccuda_free(card, b);
    free(host);
}

void check_memory(void) {
    check_copies(1, 0);
    check_copies(12345, 3);
    check_copies((2 << 20) + 1, 256);
    check_copies((40 << 20) + 77, 0);
    check_bandwidth();
    begin("no memory", CCUDA_F32, "an allocation of 100 TiB is NULL and no failure");
    expect_that(ccuda_allocate(card, (size_t)100 << 40) == NULL, "an address came back");
    expect_that(ccuda_failure(card) == NULL, "it is a failure");
    end();
}

// MARK: - Failures

void check_failures(void) {
    begin("misuse", CCUDA_F32, "a kernel that does not exist is a failure until it is cleared");
    uint32_t value = 7, back = 0;
    void *place = ccuda_allocate(card, 256), *nothing[] = {NULL};
    ccuda_upload(card, place, &value, sizeof value);
    ccuda_launch(card, "no_such_kernel", CCUDA_F32, 1, 1, 1, 32, 0, nothing);
    const ccuda_error *failure = ccuda_failure(card);
    expect_that(failure && failure->kind == CCUDA_MISUSE && strstr(failure->text, "no_such_kernel"), "it was not told");
    ccuda_set_bytes(card, place, 0, sizeof value);  // must do nothing
    expect_that(!ccuda_synchronize(card) && ccuda_clear_failure(card), "it was not kept, or cannot be cleared");
    ccuda_download(card, &back, place, sizeof back);
    expect_that(back == 7, "a call did something after the failure: %u", back);
    end();
    begin("illegal address", CCUDA_F32, "a fault within a kernel spoils the context");
    ccuda_fill(card, CCUDA_F32, 1000, 1, NULL, (void *)0x1000);
    expect_that(!ccuda_synchronize(card), "nothing was found");
    failure = ccuda_failure(card);
    expect_that(failure && failure->kind == CCUDA_SPOILED, "it is told as kind %d", failure ? (int)failure->kind : 0);
    expect_that(!ccuda_clear_failure(card), "it can be cleared");
    end_spoiled();
}

// MARK: - Products

/// Shape and manner of a product.
typedef struct product_case { const char *what; ptrdiff_t M, N, K, count; bool transA, transB, bias, addend; } product_case;
static const product_case products[] = {
    {"x Wᵀ + b + addend", 4096, 320, 320, 1, false, true, true, true}, {"x Wᵀ + b", 4096, 2560, 320, 1, false, true, true, false},
    {"x Wᵀ + b, batch 4", 16384, 320, 1280, 1, false, true, true, false}, {"text: x Wᵀ", 77, 320, 768, 1, false, true, false, false},
    {"time: x Wᵀ + b", 4, 1280, 320, 1, false, true, true, false}, {"dx = dy W", 4096, 320, 2560, 1, false, false, false, false},
    {"dW = dyᵀ x", 320, 320, 4096, 1, true, false, false, false}, {"both turned", 96, 40, 72, 1, true, true, false, false},
    {"LoRA: t = x Aᵀ", 4096, 16, 320, 1, false, true, false, false}, {"LoRA: y += t Bᵀ", 4096, 320, 16, 1, false, true, false, true},
    {"LoRA: dB = dyᵀ t", 320, 16, 4096, 1, true, false, false, false}, {"LoRA: dA = dtᵀ x", 16, 320, 4096, 1, true, false, false, false},
    {"XL: x Wᵀ + b", 4096, 1280, 1280, 1, false, true, true, false}, {"XL: feed-forward", 4096, 10240, 1280, 1, false, true, true, false},
    {"scores", 256, 77, 160, 8, false, true, false, false}, {"values", 256, 160, 77, 8, false, false, false, false},
    {"odd", 13, 7, 5, 3, false, true, true, true}, {"one row", 1, 1280, 320, 1, false, true, true, false},
};

static ccuda_product form(const product_case *c, ccuda_type operands, ccuda_type result) {
    return (ccuda_product){
        .transA = c->transA, .transB = c->transB, .operands = operands, .result = result, .M = c->M, .N = c->N, .K = c->K,
        .lda = c->transA ? c->M : c->K, .ldb = c->transB ? c->K : c->N, .ldc = c->N, .ldd = c->N,
        .count = c->count, .strideA = c->M * c->K, .strideB = c->N * c->K, .strideC = c->M * c->N, .strideD = c->M * c->N,
        .alpha = 0.5f, .beta = c->addend,
    };
}

static void reference(const product_case *c, const ccuda_product *p, const tensor *a, const tensor *b, const tensor *bias, const tensor *addend,
                      tensor *d) {
    for (ptrdiff_t i = 0; i < c->count; i++)
        cc_gemm(c->transA, c->transB, c->M, c->N, c->K, p->alpha, a->host + i * p->strideA, p->lda, b->host + i * p->strideB, CC_F32, p->ldb, 0,
                d->host + i * p->strideD, p->ldd, c->bias ? bias->host : NULL, c->addend ? addend->host + i * p->strideC : NULL);
}

static void check_product(const product_case *c, ccuda_type operands, ccuda_type result) {
    if (too_large(2.0 * (double)(c->count * c->M * c->N * c->K))) return;
    ccuda_product p = form(c, operands, result);
    size_t n = (size_t)(c->count * c->M * c->N);
    tensor a = input(operands, (size_t)(c->count * c->M * c->K), 1), b = input(operands, (size_t)(c->count * c->K * c->N), 1);
    tensor bias = input(result, (size_t)c->N, 3), addend = input(result, n, 3), d = output(result, n);
    begin(c->what, operands, "[%td, %td] · [%td, %td] × %td%s", c->M, c->K, c->K, c->N, c->count, operands != result ? ", float32 result" : "");
    reference(c, &p, &a, &b, &bias, &addend, &d);
    start_of_first();
    ccuda_multiply(card, &p, a.card, b.card, addend.card, d.card, c->bias ? bias.card : NULL);
    end_of_first();
    expect(&d);
    if (c->addend) {  // in place, as a layer adds to its own output
        ccuda_multiply(card, &p, a.card, b.card, addend.card, addend.card, c->bias ? bias.card : NULL);
        memcpy(addend.host, d.host, n * sizeof(float));
        expect(&addend);
    }
    costs(2.0 * (double)(c->M * c->N * c->K * c->count), 0);
    TIME(ccuda_multiply(card, &p, a.card, b.card, d.card, d.card, c->bias ? bias.card : NULL));
    end();
}

void check_products(void) {
    ccuda_set_tuning(card, true);
    for (size_t i = 0; i < sizeof products / sizeof products[0]; i++) {
        check_product(&products[i], CCUDA_F32, CCUDA_F32);
        check_product(&products[i], CCUDA_BF16, CCUDA_BF16);
        check_product(&products[i], CCUDA_BF16, CCUDA_F32);
    }
}

// MARK: - Convolutions

typedef struct conv_case { ptrdiff_t batch, side, channels, outChannels, kernel, stride, before, after; } conv_case;
static const conv_case convolutions[] = {
    {1, 64, 320, 320, 3, 1, 1, 1}, {4, 64, 320, 320, 3, 1, 1, 1}, {4, 64, 4, 320, 3, 1, 1, 1}, {4, 64, 320, 4, 3, 1, 1, 1},
    {4, 64, 320, 320, 3, 2, 1, 1}, {4, 32, 640, 640, 3, 1, 1, 1}, {4, 32, 1920, 640, 3, 1, 1, 1}, {4, 8, 1280, 1280, 3, 1, 1, 1},
    {4, 32, 320, 640, 1, 1, 0, 0}, {1, 256, 256, 256, 3, 1, 1, 1}, {1, 128, 3, 128, 3, 1, 1, 1}, {1, 128, 128, 3, 3, 1, 1, 1},
    {1, 64, 128, 128, 3, 2, 0, 1}, {2, 9, 8, 24, 3, 1, 1, 1}, {1, 10, 8, 16, 3, 2, 0, 1}, {2, 6, 4, 8, 1, 1, 0, 0}, {1, 7, 3, 5, 3, 2, 1, 1},
};

/// Kernels as the card has them, `[Cout, kH, kW, Cin]`, from a checkpoint's order, or back.
static void reorder(const conv_case *c, float *card, float *checkpoint, bool back) {
    ptrdiff_t area = c->kernel * c->kernel;
    for (ptrdiff_t o = 0; o < c->outChannels; o++)
        for (ptrdiff_t i = 0; i < c->channels; i++)
            for (ptrdiff_t k = 0; k < area; k++) {
                float *a = &card[(o * area + k) * c->channels + i], *b = &checkpoint[(o * c->channels + i) * area + k];
                if (back) *a = *b; else *b = *a;
            }
}

static void name_convolution(const char *name, const conv_case *c, ccuda_type type) {
    begin(name, type, "%td × %td² × %td → %td, %td×%td, stride %td", c->batch, c->side, c->channels, c->outChannels, c->kernel, c->kernel, c->stride);
}

static void check_convolution(const conv_case *c, ccuda_type type) {
    const cc_conv host = {c->batch, c->side, c->side, c->channels, c->outChannels, c->kernel, c->kernel, c->stride, c->before, c->before, c->after,
                          c->after, CC_F32, true};
    const ccuda_conv shape = {type, c->batch, c->side, c->side, c->channels, c->outChannels, c->kernel, c->kernel, c->stride, c->before, c->before,
                              c->after, c->after};
    ptrdiff_t out = cc_conv_out_height(&host);
    double work = 2.0 * (double)(c->batch * out * out * c->outChannels * c->channels * c->kernel * c->kernel);
    if (too_large(work)) return;
    size_t nx = (size_t)(c->batch * c->side * c->side * c->channels), ny = (size_t)(c->batch * out * out * c->outChannels);
    size_t nw = (size_t)(c->outChannels * c->channels * c->kernel * c->kernel);
    tensor x = input(type, nx, 1), w = input(type, nw, 0.05f), y = output(type, ny), dy = input(type, ny, 1), dx = output(type, nx),
        dw = output(type, nw);
    float *weights = malloc(nw * sizeof(float)), *gradient = malloc(nw * sizeof(float));
    reorder(c, w.host, weights, false);
    name_convolution("convolve", c, type);
    cc_conv2d_forward(&host, x.host, weights, NULL, NULL, y.host);
    start_of_first();
    ccuda_convolve(card, &shape, x.card, w.card, y.card);
    end_of_first();
    expect(&y);
    costs(work, 0);
    TIME(ccuda_convolve(card, &shape, x.card, w.card, y.card));
    end();
    name_convolution("… backward input", c, type);
    cc_conv2d_backward_input(&host, weights, dy.host, dx.host, false);
    start_of_first();
    ccuda_convolve_backward_input(card, &shape, w.card, dy.card, dx.card);
    end_of_first();
    expect(&dx);
    costs(work, 0);
    TIME(ccuda_convolve_backward_input(card, &shape, w.card, dy.card, dx.card));
    end();
    name_convolution("… backward weight", c, type);
    cc_conv2d_backward_weight(&host, x.host, dy.host, gradient, NULL, false);
    reorder(c, dw.host, gradient, true);
    start_of_first();
    ccuda_convolve_backward_weight(card, &shape, x.card, dy.card, dw.card);
    end_of_first();
    expect(&dw);
    costs(work, 0);
    TIME(ccuda_convolve_backward_weight(card, &shape, x.card, dy.card, dw.card));
    end();
    free(weights), free(gradient);
    tensor all[] = {x, w, y, dy, dx, dw};
    for (int i = 0; i < 6; i++) ccuda_free(card, all[i].card), free(all[i].host);
}

void check_convolutions(void) {
    ccuda_set_tuning(card, true);
    for (size_t i = 0; i < sizeof convolutions / sizeof convolutions[0]; i++)
        EACH_TYPE(type) check_convolution(&convolutions[i], type);
}

// MARK: - Attention

/// `keys` of 0: as many as queries.
typedef struct attention_case { ptrdiff_t batch, queries, keys, heads, width; bool causal, forwardOnly; } attention_case;
static const attention_case attentions[] = {
    {1, 4096, 0, 8, 40, false, false}, {1, 4096, 77, 8, 40, false, false}, {4, 4096, 0, 8, 40, false, false}, {1, 1024, 0, 8, 80, false, false},
    {1, 1024, 77, 8, 80, false, false}, {1, 256, 0, 8, 160, false, false}, {1, 256, 77, 8, 160, false, false}, {4, 64, 0, 8, 160, false, false},
    {4, 64, 77, 8, 160, false, false}, {1, 4096, 0, 10, 64, false, false}, {1, 4096, 77, 10, 64, false, false}, {1, 1024, 0, 20, 64, false, false},
    {1, 1024, 77, 20, 64, false, false}, {1, 4096, 0, 1, 512, false, true}, {2, 77, 0, 12, 64, true, false}, {2, 50, 33, 3, 20, false, false},
    {2, 24, 0, 3, 8, false, false}, {1, 20, 13, 2, 40, false, false},
};

/// Both kinds of attention on one shape: operands, results, the host's reference.
typedef struct attention_set { cc_attention host; ccuda_attention shape; tensor q, k, v, out, lse, dout, dq, dk, dv; double work; } attention_set;

static attention_set make_attention(const attention_case *c, ccuda_type type) {
    attention_set s;
    ptrdiff_t keys = c->keys ? c->keys : c->queries, row = c->heads * c->width;
    s.host = (cc_attention){c->batch, c->queries, keys, c->heads, c->width, row, row, row, 1 / sqrtf((float)c->width), c->causal, 0, NULL};
    s.shape = (ccuda_attention){type, c->batch, c->queries, keys, c->heads, c->width, row, row, row, s.host.scale, c->causal, 0, NULL};
    size_t queries = (size_t)(c->batch * c->queries * row), values = (size_t)(c->batch * keys * row);
    s.q = input(type, queries, 1), s.k = input(type, values, 1), s.v = input(type, values, 1), s.dout = input(type, queries, 1);
    s.out = output(type, queries), s.lse = output(CCUDA_F32, (size_t)(c->batch * c->heads * c->queries));
    s.dq = output(type, queries), s.dk = output(type, values), s.dv = output(type, values);
    s.work = 4.0 * (double)(c->batch * c->queries * keys * row);
    cc_attention_forward(&s.host, s.q.host, s.k.host, s.v.host, s.out.host, s.lse.host);
    return s;
}

static void plain_forward(attention_set *s) { ccuda_plain_attention(card, &s->shape, s->q.card, s->k.card, s->v.card, s->out.card, s->lse.card); }
static bool fused_forward(attention_set *s) { return ccuda_fused_attention(card, &s->shape, s->q.card, s->k.card, s->v.card, s->out.card,
    s->lse.card); }
static void plain_gradients(attention_set *s) {
    ccuda_plain_attention_backward(card, &s->shape, s->q.card, s->k.card, s->v.card, s->out.card, s->lse.card, s->dout.card, s->dq.card, s->dk.card,
                                   s->dv.card);
}
static bool fused_gradients(attention_set *s) {
    return ccuda_fused_attention_backward(card, &s->shape, s->q.card, s->k.card, s->v.card, s->out.card, s->lse.card, s->dout.card, s->dq.card,
                                          s->dk.card, s->dv.card);
}

static void free_attention(attention_set *s) {
    tensor *all[] = {&s->q, &s->k, &s->v, &s->out, &s->lse, &s->dout, &s->dq, &s->dk, &s->dv};
    for (int i = 0; i < 9; i++) ccuda_free(card, all[i]->card), free(all[i]->host);
}

static void name_attention(const char *name, const attention_case *c, ccuda_type type) {
    begin(name, type, "%td × %td queries, %td keys, %td heads of %td%s", c->batch, c->queries, c->keys ? c->keys : c->queries, c->heads, c->width,
          c->causal ? ", causal" : "");
}

static void poison(tensor *t) { ccuda_set_bytes(card, t->card, 0xff, t->n * ccuda_type_size(t->type)); }

static bool left_out(const attention_case *c) {
    return too_large(4.0 * (double)(c->batch * c->queries * (c->keys ? c->keys : c->queries) * c->heads * c->width));
}

static void check_forward(const attention_case *c, ccuda_type type) {
    if (left_out(c)) return;
    attention_set s = make_attention(c, type);
    name_attention("attention, ours", c, type);
    plain_forward(&s);
    expect(&s.out), expect(&s.lse);
    costs(s.work, 0);
    TIME(plain_forward(&s));
    end();
    poison(&s.out), poison(&s.lse);
    name_attention("attention, cuDNN's", c, type);
    start_of_first();
    bool taken = fused_forward(&s);
    end_of_first();
    if (taken) {
        expect(&s.out), expect(&s.lse);
        costs(s.work, 0);
        TIME(fused_forward(&s));
        end();
    } else if (type == CCUDA_BF16 && !c->causal && c->width % 8 == 0) {
        expect_that(false, "it was not taken");
        end();
    }
    free_attention(&s);
}

/// The gradients of both sides start from the host's forward pass.
static void send_forward(attention_set *s) {
    tensor out = copy_of(&s->out), lse = copy_of(&s->lse);
    ccuda_copy(card, s->out.card, out.card, out.n * ccuda_type_size(out.type));
    ccuda_copy(card, s->lse.card, lse.card, lse.n * sizeof(float));
    memcpy(s->out.host, out.host, out.n * sizeof(float));
    ccuda_free(card, out.card), ccuda_free(card, lse.card);
    free(out.host), free(lse.host);
    cc_attention_backward(&s->host, s->q.host, s->k.host, s->v.host, s->out.host, s->lse.host, s->dout.host, s->dq.host, s->dk.host, s->dv.host);
}

static void check_backward(const attention_case *c, ccuda_type type) {
    if (left_out(c)) return;
    attention_set s = make_attention(c, type);
    send_forward(&s);
    name_attention("gradients, ours", c, type);
    plain_gradients(&s);
    expect(&s.dq), expect(&s.dk), expect(&s.dv);
    costs(2.5 * s.work, 0);
    TIME(plain_gradients(&s));
    end();
    poison(&s.dq), poison(&s.dk), poison(&s.dv);
    name_attention("gradients, cuDNN's", c, type);
    start_of_first();
    bool taken = fused_gradients(&s);
    end_of_first();
    if (taken) {
        expect(&s.dq), expect(&s.dk), expect(&s.dv);
        costs(2.5 * s.work, 0);
        TIME(fused_gradients(&s));
        end();
    } else if (type == CCUDA_BF16 && !c->causal && c->width % 8 == 0) {
        expect_that(false, "it was not taken");
        end();
    }
    free_attention(&s);
}

void check_attention(void) {
    for (size_t i = 0; i < sizeof attentions / sizeof attentions[0]; i++)
        EACH_TYPE(type) check_forward(&attentions[i], type);
}

void check_attention_backward(void) {
    for (size_t i = 0; i < sizeof attentions / sizeof attentions[0]; i++)
        if (!attentions[i].forwardOnly) EACH_TYPE(type) check_backward(&attentions[i], type);
}

// MARK: - Recorded work and plans from the cache

/// Another process has made this plan: it comes out of a file, quickly, and computes the same.
static void check_cached_plans(void) {
    const attention_case c = too_large(1e9) ? (attention_case){2, 24, 0, 3, 8, false, false} : (attention_case){1, 4096, 0, 8, 40, false, false};
    attention_set s = make_attention(&c, CCUDA_BF16);
    send_forward(&s);
    name_attention("plans from the cache", &c, CCUDA_BF16);
    start_of_first();
    bool taken = fused_gradients(&s) && fused_forward(&s);
    end_of_first();
    expect_that(taken, "they were not taken");
    expect(&s.out), expect(&s.lse), expect(&s.dq), expect(&s.dk), expect(&s.dv);
    end();
    free_attention(&s);
}

/// A little of everything, queued plainly and replayed, must give the same bits.
static void check_replay(void) {
    enum { side = 16, rows = side * side, n = 320 };
    tensor x = input(CCUDA_BF16, rows * n, 1), w = input(CCUDA_BF16, n * n, 0.06f), scale = input(CCUDA_F32, n, 1), shift = input(CCUDA_F32, n, 1);
    tensor h = output(CCUDA_BF16, rows * n), y = output(CCUDA_BF16, rows * n), z = output(CCUDA_BF16, rows * n), total = output(CCUDA_F32, 1);
    const ccuda_product p = {.transB = true, .operands = CCUDA_BF16, .result = CCUDA_BF16, .M = rows, .N = n, .K = n, .lda = n, .ldb = n, .ldc = n,
                             .ldd = n, .count = 1, .alpha = 1};
    const ccuda_conv c = {CCUDA_BF16, 1, side, side, n, n, 1, 1, 1, 0, 0, 0, 0};
    const ccuda_attention a = {CCUDA_BF16, 1, rows, rows, 8, 40, n, n, n, 0.158f, false, 0, NULL};
    void *lse = ccuda_allocate(card, sizeof(float) * 8 * rows);
    float results[2] = {0};
    ccuda_graph *graph = NULL;
    begin("recording", CCUDA_BF16, "norm, product, convolution, attention, norm of all");
    for (int round = 0; round < 2; round++) {
        if (round == 1) ccuda_begin_recording(card);
        ccuda_layer_norm(card, CCUDA_BF16, rows, n, 1e-5f, x.card, scale.card, shift.card, h.card, NULL, NULL);
        ccuda_multiply(card, &p, h.card, w.card, NULL, y.card, NULL);
        ccuda_convolve(card, &c, y.card, w.card, h.card);
        expect_that(ccuda_fused_attention(card, &a, h.card, x.card, y.card, z.card, lse), "attention was not taken");
        ccuda_dot(card, CCUDA_BF16, rows * n, z.card, z.card, 1, total.card);
        if (round == 1) graph = ccuda_end_recording(card);
        if (round == 1) ccuda_set_bytes(card, total.card, 0xff, sizeof(float)), ccuda_replay(card, graph);
        ccuda_download(card, &results[round], total.card, sizeof(float));
    }
    expect_that(graph && ccuda_graph_size(graph) >= 6, "%zu nodes", graph ? ccuda_graph_size(graph) : 0);
    expect_that(results[0] == results[1] && results[0] > 0, "%g became %g", (double)results[0], (double)results[1]);
    ccuda_graph_destroy(card, graph);
    end();
}

void check_recording(void) {
    check_replay();
    check_cached_plans();
}
