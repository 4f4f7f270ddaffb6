// Convolutions by cuDNN: pictures by pixels (NHWC), kernels [Cout, kH, kW, Cin], plain sums.
#include "plans.h"
#include <string.h>

typedef enum direction { FORWARD, BACKWARD_INPUT, BACKWARD_WEIGHT } direction;

/// What a plan depends on; no padding, since it is hashed.
typedef struct conv_shape {
    int64_t direction, type, alignment;
    int64_t batch, height, width, channels, outChannels, kernelHeight, kernelWidth, stride, padTop, padLeft, padBottom, padRight;
} conv_shape;

/// Numbers of the tensors.
enum { PICTURE = 1, KERNEL = 2, RESULT = 3 };
enum { CONV_TYPE = 100, CONV_MODE = 101, CONV_DILATIONS = 102, CONV_STRIDES = 103, CONV_PADS_AFTER = 104, CONV_PADS_BEFORE = 105, CONV_AXES = 106 };

static void *describe_window(dnn_graph *g, const conv_shape *s) {
    const int type = DNN_FLOAT, correlation = 1;
    const int64_t two = 2, ones[] = {1, 1}, strides[] = {s->stride, s->stride};
    const int64_t before[] = {s->padTop, s->padLeft}, after[] = {s->padBottom, s->padRight};
    void *window = dnn_make(g, DNN_CONVOLUTION);
    dnn_set(g, window, CONV_TYPE, DNN_TYPE_DATA_TYPE, 1, &type);
    dnn_set(g, window, CONV_MODE, DNN_TYPE_CONVOLUTION_MODE, 1, &correlation);
    dnn_set(g, window, CONV_AXES, DNN_TYPE_INT64, 1, &two);
    dnn_set(g, window, CONV_DILATIONS, DNN_TYPE_INT64, 2, ones);
    dnn_set(g, window, CONV_STRIDES, DNN_TYPE_INT64, 2, strides);
    dnn_set(g, window, CONV_PADS_BEFORE, DNN_TYPE_INT64, 2, before);
    dnn_set(g, window, CONV_PADS_AFTER, DNN_TYPE_INT64, 2, after);
    dnn_finish(g, window);
    return window;
}

static int64_t out_extent(int64_t extent, int64_t before, int64_t after, int64_t kernel, int64_t stride) {
    return (extent + before + after - kernel) / stride + 1;
}

/// A tensor whose channels lie together: axes as cuDNN counts them, `[N, C, H, W]`.
static void *channels_last(dnn_graph *g, int64_t number, const conv_shape *s, int64_t n, int64_t c, int64_t h, int64_t w) {
    const int64_t extents[] = {n, c, h, w}, strides[] = {h * w * c, 1, w * c, c};
    return dnn_tensor(g, number, (int)s->type, extents, strides, DNN_REAL, s->alignment);
}

/// Attributes of the operation in each direction: alpha, beta, window, picture, kernel, result.
static const int attributes[3][6] = {{700, 701, 702, 704, 703, 705}, {706, 707, 708, 710, 709, 711}, {712, 713, 714, 716, 715, 717}};
static const int kinds[3] = {DNN_CONVOLVE, DNN_CONVOLVE_BACKWARD_INPUT, DNN_CONVOLVE_BACKWARD_WEIGHT};

static void build(dnn_graph *g, const void *shape) {
    const conv_shape *s = shape;
    const int *a = attributes[s->direction];
    const float one = 1, zero = 0;
    int64_t height = out_extent(s->height, s->padTop, s->padBottom, s->kernelHeight, s->stride);
    int64_t width = out_extent(s->width, s->padLeft, s->padRight, s->kernelWidth, s->stride);
    void *window = describe_window(g, s);
    void *picture = channels_last(g, PICTURE, s, s->batch, s->channels, s->height, s->width);
    void *kernel = channels_last(g, KERNEL, s, s->outChannels, s->channels, s->kernelHeight, s->kernelWidth);
    void *result = channels_last(g, RESULT, s, s->batch, s->outChannels, height, width);
    void *operation = dnn_make(g, kinds[s->direction]);
    dnn_set(g, operation, a[0], DNN_TYPE_FLOAT, 1, &one);
    dnn_set(g, operation, a[1], DNN_TYPE_FLOAT, 1, &zero);
    dnn_set(g, operation, a[2], DNN_TYPE_DESCRIPTOR, 1, &window);
    dnn_set(g, operation, a[3], DNN_TYPE_DESCRIPTOR, 1, &picture);
    dnn_set(g, operation, a[4], DNN_TYPE_DESCRIPTOR, 1, &kernel);
    dnn_set(g, operation, a[5], DNN_TYPE_DESCRIPTOR, 1, &result);
    dnn_add(g, operation);
}

static conv_shape shape_of(const ccuda_conv *c, direction d, int64_t alignment) {
    return (conv_shape){
        d, dnn_type_of(c->type), alignment, c->batch, c->height, c->width, c->channels, c->outChannels, c->kernelHeight, c->kernelWidth, c->stride,
        c->padTop, c->padLeft, c->padBottom, c->padRight,
    };
}

static dnn_wishes wishes_of(const ccuda_conv *c) { return (dnn_wishes){.exact = c->type == CCUDA_F32}; }

/// The bytes that all three addresses are a multiple of, 16 at most.
static int64_t common_alignment(const void *a, const void *b, const void *c) {
    uintptr_t bits = (uintptr_t)a | (uintptr_t)b | (uintptr_t)c | 16;
    return (int64_t)(bits & -bits);
}

static void refuse(ccuda_context *context, const ccuda_conv *c, direction d) {
    static const char *const sought[] = {"a convolution", "a convolution's gradient by its input", "a convolution's gradient by its weights"};
    cuda_fail(context, CCUDA_LIBRARY, "cuDNN %d has no plan for %s: %td × [%td, %td, %td] and %td kernels of %td × %td, stride %td.",
              cuda_dnn_version(),
              sought[d], c->batch, c->height, c->width, c->channels, c->outChannels, c->kernelHeight, c->kernelWidth, c->stride);
}

static void convolve(ccuda_context *context, const ccuda_conv *c, direction d, const void *picture, const void *kernel, const void *result) {
    if (c->batch == 0 || !cuda_enter(context)) return;
    conv_shape shape = shape_of(c, d, common_alignment(picture, kernel, result));
    dnn_operands operands = {.count = 0};
    dnn_bind(&operands, PICTURE, picture);
    dnn_bind(&operands, KERNEL, kernel);
    dnn_bind(&operands, RESULT, result);
    dnn_plan *plan = dnn_find_plan(context, &shape, sizeof shape, build, &shape, wishes_of(c), &operands);
    if (plan) dnn_run(context, plan, &operands, "a convolution");
    else refuse(context, c, d);
    cuda_leave(context);
}

void ccuda_convolve(ccuda_context *context, const ccuda_conv *c, const void *x, const void *w, void *y) { convolve(context, c, FORWARD, x, w, y); }

void ccuda_convolve_backward_input(ccuda_context *context, const ccuda_conv *c, const void *w, const void *dy, void *dx) {
    convolve(context, c, BACKWARD_INPUT, dx, w, dy);
}

void ccuda_convolve_backward_weight(ccuda_context *context, const ccuda_conv *c, const void *x, const void *dy, void *dw) {
    convolve(context, c, BACKWARD_WEIGHT, x, dw, dy);
}

int ccuda_count_convolution_plans(const ccuda_conv *c, int direction, int architecture, ccuda_error *error) {
    dnn_graph g = {.status = 0};
    void *plans[DNN_CANDIDATES];
    if (!dnn_describe(&g, architecture, error)) return 0;
    conv_shape shape = shape_of(c, direction, 16);
    build(&g, &shape);
    int found = g.status == 0 ? dnn_plans(&g, wishes_of(c), DNN_CANDIDATES, plans) : 0;
    if (g.status) cuda_set_error(error, CCUDA_LIBRARY, "%s", cuda.dnn_errorString(g.status));
    dnn_clear(&g);
    return found;
}
