// cuDNN's backend interface: descriptors keep what they are given, and a plan works through its operations one after the other.
#include "emulated.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GOOD = 0, BAD_PARAMETER = 2000, NOT_SUPPORTED = 3000 };

typedef struct attribute { int name; int64_t count; void *values; } attribute;
/// Any of cuDNN's descriptors; a configuration knows the graph it was proposed for.
typedef struct descriptor { int kind; bool finished; attribute attributes[16]; int count; struct descriptor *graph; } descriptor;

size_t cudnnGetVersion(void) { return 91900; }
const char *cudnnGetErrorString(int status) { return status == NOT_SUPPORTED ? "CUDNN_STATUS_NOT_SUPPORTED" : "CUDNN_STATUS_BAD_PARAM"; }
void cudnnGetLastErrorString(char *text, size_t length) { snprintf(text, length, "emulated"); }
int cudnnCreate(void **handle) { ANSWER; return *handle = malloc(1), GOOD; }
int cudnnDestroy(void *handle) { return free(handle), GOOD; }
int cudnnSetStream(void *handle, void *stream) { return handle && stream ? GOOD : BAD_PARAMETER; }

// MARK: - Descriptors

int cudnnBackendCreateDescriptor(int kind, void **result) {
    ANSWER;
    descriptor *d = calloc(1, sizeof *d);
    d->kind = kind;
    return *result = d, GOOD;
}
int cudnnBackendDestroyDescriptor(void *result) {
    descriptor *d = result;
    for (int i = 0; i < d->count; i++) free(d->attributes[i].values);
    return free(d), GOOD;
}

static size_t bytes_of(int type) {
    switch (type) {
    case 0: case 3: case 5: case 6: case 15: return 8;
    case 2: case 24: return 1;
    default: return 4;
    }
}

static const attribute *find(const descriptor *d, int name) {
    for (int i = 0; i < d->count; i++)
        if (d->attributes[i].name == name) return &d->attributes[i];
    return NULL;
}
static descriptor *part(const descriptor *d, int name) { return find(d, name) ? *(descriptor **)find(d, name)->values : NULL; }
static int integer(const descriptor *d, int name) { return find(d, name) ? *(int *)find(d, name)->values : 0; }
static const int64_t *integers(const descriptor *d, int name) { return find(d, name) ? find(d, name)->values : NULL; }
static bool flag(const descriptor *d, int name) { return find(d, name) && *(bool *)find(d, name)->values; }

int cudnnBackendSetAttribute(void *result, int name, int type, int64_t count, const void *values) {
    ANSWER;
    descriptor *d = result;
    if (d->finished || d->count == 16) return BAD_PARAMETER;
    if (type == 15)  // parts have to be finished before
        for (int64_t i = 0; i < count; i++)
            if (!((descriptor *const *)values)[i]->finished) return BAD_PARAMETER;
    size_t bytes = bytes_of(type) * (size_t)count;
    d->attributes[d->count++] = (attribute){name, count, memcpy(malloc(bytes + 1), values, bytes)};
    return GOOD;
}

int cudnnBackendFinalize(void *result) {
    ANSWER;
    descriptor *d = result;
    if (d->kind == 5 && (!part(d, 401) || !part(d, 401)->graph)) return NOT_SUPPORTED;
    if (d->kind == 17 && !(integers(d, 902) && integers(d, 903) && integers(d, 906))) return BAD_PARAMETER;
    return d->finished = true, GOOD;
}

int cudnnBackendGetAttribute(void *result, int name, int type, int64_t wanted, int64_t *count, void *values) {
    ANSWER;
    const descriptor *d = result;
    (void)type;
    *count = 0;
    if (name == 202) {  // two ways by the considered heuristics, none by the other
        for (*count = 0; integer(d, 200) == 3 && *count < 2 && *count < wanted; ++*count) {
            descriptor *configuration = ((descriptor **)values)[*count];
            configuration->graph = part(d, 201), configuration->finished = true;
        }
    } else if (name == 402) {
        *count = 1, *(int64_t *)values = 512;
    } else if (name == 405) {
        return NOT_SUPPORTED;
    }
    return GOOD;
}

// MARK: - Tensors while a plan runs

/// A tensor's values by place; what a reshaping gives shares them.
typedef struct view { const descriptor *tensor; double *values; int64_t extents[4], strides[4]; } view;
typedef struct job {
    const descriptor *graph;
    int64_t numbers[16];
    void *pointers[16];
    float given[16];
    int count, viewCount;
    view views[64];
} job;

static int64_t span(const view *v) {
    int64_t last = 0;
    for (int i = 0; i < 4; i++) last += (v->extents[i] - 1) * v->strides[i];
    return last + 1;
}
static int64_t place(const view *v, int64_t a, int64_t b, int64_t c, int64_t d) {
    return a * v->strides[0] + b * v->strides[1] + c * v->strides[2] + d * v->strides[3];
}
/// The place of an element, an extent of one serving all.
static double at(const view *v, int64_t a, int64_t b, int64_t c, int64_t d) {
    return v->values[place(v, v->extents[0] > 1 ? a : 0, v->extents[1] > 1 ? b : 0, v->extents[2] > 1 ? c : 0, v->extents[3] > 1 ? d : 0)];
}

static int bound(const job *j, const descriptor *tensor) {
    for (int i = 0; i < j->count; i++)
        if (j->numbers[i] == *integers(tensor, 906)) return i;
    return -1;
}

/// A tensor's view, read from memory the first time.
static view *view_of(job *j, const descriptor *tensor) {
    for (int i = 0; i < j->viewCount; i++)
        if (j->views[i].tensor == tensor) return &j->views[i];
    view *v = &j->views[j->viewCount++];
    v->tensor = tensor;
    memcpy(v->extents, integers(tensor, 902), sizeof v->extents);
    memcpy(v->strides, integers(tensor, 903), sizeof v->strides);
    v->values = malloc(sizeof(double) * (size_t)span(v));
    int index = bound(j, tensor);
    if (flag(tensor, 908)) v->values[0] = index < 0 ? NAN : (double)j->given[index];
    else for (int64_t i = 0; i < span(v); i++) v->values[i] = index < 0 ? NAN : emulated_read(j->pointers[index], integer(tensor, 901), i);
    return v;
}

#define EACH(v, a, b, c, d) \
    for (int64_t a = 0; a < (v)->extents[0]; a++) for (int64_t b = 0; b < (v)->extents[1]; b++) \
        for (int64_t c = 0; c < (v)->extents[2]; c++) for (int64_t d = 0; d < (v)->extents[3]; d++)

/// Writes a result to memory, or rounds it as if it had been.
static void finish(job *j, view *v) {
    int index = bound(j, v->tensor), type = integer(v->tensor, 901);
    EACH(v, a, b, c, d) {
        int64_t i = place(v, a, b, c, d);
        if (flag(v->tensor, 907)) {
            float rounded;
            emulated_write(&rounded, type, 0, v->values[i]);
            v->values[i] = emulated_read(&rounded, type, 0);
        } else if (index >= 0) {
            emulated_write(j->pointers[index], type, i, v->values[i]);
            v->values[i] = emulated_read(j->pointers[index], type, i);
        }
    }
}

// MARK: - Operations

static double pointwise(int mode, double x, double y) {
    switch (mode) {
    case 0: return x + y;
    case 1: return x * y;
    case 9: return x - y;
    case 13: return exp(x);
    case 21: return x;
    default: return NAN;
    }
}

static view *run_pointwise(job *j, const descriptor *operation) {
    int mode = integer(part(operation, 750), 0);
    view *x = view_of(j, part(operation, 751)), *b = part(operation, 752) ? view_of(j, part(operation, 752)) : NULL,
        *y = view_of(j, part(operation, 753));
    EACH(y, i, k, l, m) y->values[place(y, i, k, l, m)] = pointwise(mode, at(x, i, k, l, m), b ? at(b, i, k, l, m) : 0);
    return y;
}

static view *run_matmul(job *j, const descriptor *operation) {
    view *a = view_of(j, part(operation, 1520)), *b = view_of(j, part(operation, 1521)), *c = view_of(j, part(operation, 1522));
    EACH(c, i, k, row, column) {
        double sum = 0;
        for (int64_t depth = 0; depth < a->extents[3]; depth++) sum += at(a, i, k, row, depth) * at(b, i, k, depth, column);
        c->values[place(c, i, k, row, column)] = sum;
    }
    return c;
}

static view *run_sum(job *j, const descriptor *operation) {
    view *x = view_of(j, part(operation, 1610)), *y = view_of(j, part(operation, 1611));
    EACH(y, i, k, l, m) {
        double sum = 0;
        for (int64_t n = 0; n < x->extents[3]; n++) sum += at(x, i, k, l, n);
        y->values[place(y, i, k, l, m)] = sum;
    }
    return y;
}

/// The same memory under other axes.
static view *run_reshape(job *j, const descriptor *operation) {
    view *x = view_of(j, part(operation, 2200)), *y = view_of(j, part(operation, 2201));
    memcpy(y->values, x->values, sizeof(double) * (size_t)(span(x) < span(y) ? span(x) : span(y)));
    return y;
}

static double score(const view *q, const view *k, double scale, int64_t b, int64_t h, int64_t t, int64_t s) {
    double sum = 0;
    for (int64_t d = 0; d < q->extents[3]; d++) sum += at(q, b, h, t, d) * at(k, b, h, s, d);
    return sum * scale;
}

static view *run_attention(job *j, const descriptor *operation) {
    view *v[6];
    for (int i = 0; i < 6; i++) v[i] = view_of(j, part(operation, 2800 + i));
    view *q = v[0], *k = v[1], *values = v[2], *out = v[3], *lse = v[4];
    EACH(lse, b, h, t, one) {
        double largest = -INFINITY, total = 0, scale = v[5]->values[0];
        for (int64_t s = 0; s < k->extents[2]; s++) largest = fmax(largest, score(q, k, scale, b, h, t, s));
        for (int64_t d = 0; d < out->extents[3]; d++) out->values[place(out, b, h, t, d)] = 0;
        for (int64_t s = 0; s < k->extents[2]; s++) {
            double weight = exp(score(q, k, scale, b, h, t, s) - largest);
            total += weight;
            for (int64_t d = 0; d < out->extents[3]; d++) out->values[place(out, b, h, t, d)] += weight * at(values, b, h, s, d);
        }
        for (int64_t d = 0; d < out->extents[3]; d++) out->values[place(out, b, h, t, d)] /= total;
        lse->values[place(lse, b, h, t, one)] = largest + log(total);
    }
    finish(j, lse);
    return out;
}

/// Adds up the products of every kernel's place, into whichever of the three is sought.
static view *run_convolution(job *j, const descriptor *operation) {
    static const int names[3][4] = {{702, 704, 703, 705}, {708, 710, 709, 711}, {714, 716, 715, 717}};
    int direction = operation->kind == 10 ? 0 : operation->kind == 12 ? 1 : 2;
    const descriptor *window = part(operation, names[direction][0]);
    const int64_t *before = integers(window, 105), *steps = integers(window, 103);
    view *x = view_of(j, part(operation, names[direction][1])), *w = view_of(j, part(operation, names[direction][2]));
    view *y = view_of(j, part(operation, names[direction][3])), *result = direction == 0 ? y : direction == 1 ? x : w;
    EACH(result, a, b, c, d) result->values[place(result, a, b, c, d)] = 0;
    EACH(y, n, o, row, column) for (int64_t t = 0; t < w->extents[1] * w->extents[2] * w->extents[3]; t++) {
        int64_t i = t / (w->extents[2] * w->extents[3]), kRow = t / w->extents[3] % w->extents[2], kColumn = t % w->extents[3];
        int64_t inRow = row * steps[0] - before[0] + kRow, inColumn = column * steps[1] - before[1] + kColumn;
        if (inRow < 0 || inColumn < 0 || inRow >= x->extents[2] || inColumn >= x->extents[3]) continue;
        int64_t px = place(x, n, i, inRow, inColumn), pw = place(w, o, i, kRow, kColumn), py = place(y, n, o, row, column);
        if (direction == 0) y->values[py] += x->values[px] * w->values[pw];
        else if (direction == 1) x->values[px] += y->values[py] * w->values[pw];
        else w->values[pw] += x->values[px] * y->values[py];
    }
    return result;
}

static void run(void *pointer) {
    job *j = pointer;
    const attribute *operations = find(j->graph, 801);
    j->viewCount = 0;
    for (int64_t i = 0; i < operations->count; i++) {
        const descriptor *operation = ((descriptor **)operations->values)[i];
        int kind = operation->kind;
        finish(j, kind == 13 ? run_pointwise(j, operation) : kind == 19 ? run_matmul(j, operation) : kind == 22 ? run_sum(j, operation)
                  : kind == 31 ? run_reshape(j, operation) : kind == 41 ? run_attention(j, operation) : run_convolution(j, operation));
    }
    for (int i = 0; i < j->viewCount; i++) free(j->views[i].values);
}

int cudnnBackendExecute(void *handle, void *plan, void *result) {
    ANSWER;
    const descriptor *pack = result;
    const attribute *numbers = find(pack, 1000), *pointers = find(pack, 1001);
    if (!handle || !numbers || !pointers || numbers->count != pointers->count || numbers->count > 16) return BAD_PARAMETER;
    if (!*(void **)find(pack, 1003)->values) return BAD_PARAMETER;  // the workspace that the plan asked for
    job j = {.graph = part(plan, 401)->graph, .count = (int)numbers->count};
    memcpy(j.numbers, numbers->values, sizeof(int64_t) * (size_t)j.count);
    memcpy(j.pointers, pointers->values, sizeof(void *) * (size_t)j.count);
    for (int i = 0; i < j.count; i++) memcpy(&j.given[i], j.pointers[i], sizeof(float));  // a scalar of the host's is read now
    return emulated_queue(run, &j, sizeof j) ? BAD_PARAMETER : GOOD;
}
