// Two-dimensional convolution and its gradients.

typedef struct { cc_conv c; ptrdiff_t Ho, Wo; const float *x, *w, *bias, *addend, *dy; float *out, *dbias; bool accumulate; } conv_t;

static conv_t conv_plan(const cc_conv *c, const void *w, float **wide) {
    conv_t t = {.c = *c, .Ho = cc_conv_out_height(c), .Wo = cc_conv_out_width(c)};
    ptrdiff_t count = c->outChannels * c->kernelHeight * c->kernelWidth * c->channels;
    *wide = NULL;
    t.w = w;
    if (w && c->weightType != CC_F32) { *wide = scratch_take(count); widen(count, w, c->weightType, *wide); t.w = *wide; }
    return t;
}

/// Items are output pixels.
BODY(conv_forward_body, conv_t) {
    const cc_conv *c = &t->c;
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t b = item / (t->Ho * t->Wo), oy = item / t->Wo % t->Ho, ox = item % t->Wo;
        for (ptrdiff_t o = 0; o < c->outChannels; o++) {
            float sum = (t->bias ? t->bias[o] : 0) + (t->addend ? t->addend[item * c->outChannels + o] : 0);
            for (ptrdiff_t ky = 0; ky < c->kernelHeight; ky++) for (ptrdiff_t kx = 0; kx < c->kernelWidth; kx++) {
                ptrdiff_t y = oy * c->stride + ky - c->padTop, x = ox * c->stride + kx - c->padLeft;
                if (y < 0 || y >= c->height || x < 0 || x >= c->width) continue;
                sum += block_dot(c->channels, t->x + ((b * c->height + y) * c->width + x) * c->channels,
                                 t->w + ((o * c->kernelHeight + ky) * c->kernelWidth + kx) * c->channels);
            }
            t->out[item * c->outChannels + o] = sum;
        }
    }
}

static void conv2d_forward(const cc_conv *c, const float *x, const void *w, const float *bias, const float *addend, float *y) {
    float *wide;
    conv_t t = conv_plan(c, w, &wide);
    t.x = x; t.bias = bias; t.addend = addend; t.out = y;
    cc_parallel_for(c->batch * t.Ho * t.Wo, 16, conv_forward_body, &t);
    scratch_release(wide);
}

/// Items are input pixels.
BODY(conv_backward_input_body, conv_t) {
    const cc_conv *c = &t->c;
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t b = item / (c->height * c->width), y = item / c->width % c->height, x = item % c->width, C = c->channels;
        float *dx = t->out + item * C;
        if (!t->accumulate) memset(dx, 0, (size_t)C * sizeof(float));
        for (ptrdiff_t ky = 0; ky < c->kernelHeight; ky++) for (ptrdiff_t kx = 0; kx < c->kernelWidth; kx++) {
            ptrdiff_t sy = y + c->padTop - ky, sx = x + c->padLeft - kx;
            if (sy < 0 || sx < 0 || sy % c->stride != 0 || sx % c->stride != 0 || sy / c->stride >= t->Ho || sx / c->stride >= t->Wo) continue;
            const float *dy = t->dy + ((b * t->Ho + sy / c->stride) * t->Wo + sx / c->stride) * c->outChannels;
            for (ptrdiff_t o = 0; o < c->outChannels; o++) {
                const float *w = t->w + ((o * c->kernelHeight + ky) * c->kernelWidth + kx) * C;
                for (ptrdiff_t i = 0; i < C; i++) dx[i] += dy[o] * w[i];
            }
        }
    }
}

static void conv2d_backward_input(const cc_conv *c, const void *w, const float *dy, float *dx, bool accumulate) {
    float *wide;
    conv_t t = conv_plan(c, w, &wide);
    t.dy = dy; t.out = dx; t.accumulate = accumulate;
    cc_parallel_for(c->batch * c->height * c->width, 16, conv_backward_input_body, &t);
    scratch_release(wide);
}

/// Items are output channels.
BODY(conv_backward_weight_body, conv_t) {
    const cc_conv *c = &t->c;
    ptrdiff_t C = c->channels, taps = c->kernelHeight * c->kernelWidth;
    for (ptrdiff_t o = begin; o < end; o++) {
        float *dw = t->out + o * taps * C;
        if (!t->accumulate) memset(dw, 0, (size_t)(taps * C) * sizeof(float));
        for (ptrdiff_t b = 0; b < c->batch; b++) for (ptrdiff_t oy = 0; oy < t->Ho; oy++) for (ptrdiff_t ox = 0; ox < t->Wo; ox++) {
            float g = t->dy[((b * t->Ho + oy) * t->Wo + ox) * c->outChannels + o];
            for (ptrdiff_t ky = 0; ky < c->kernelHeight; ky++) for (ptrdiff_t kx = 0; kx < c->kernelWidth; kx++) {
                ptrdiff_t y = oy * c->stride + ky - c->padTop, x = ox * c->stride + kx - c->padLeft;
                if (y < 0 || y >= c->height || x < 0 || x >= c->width) continue;
                const float *row = t->x + ((b * c->height + y) * c->width + x) * C;
                for (ptrdiff_t i = 0; i < C; i++) dw[(ky * c->kernelWidth + kx) * C + i] += g * row[i];
            }
        }
    }
}

static void conv2d_backward_weight(const cc_conv *c, const float *x, const float *dy, float *dw, float *dbias, bool accumulate) {
    float *wide;
    conv_t t = conv_plan(c, NULL, &wide);
    t.x = x; t.dy = dy; t.out = dw; t.accumulate = accumulate;
    cc_parallel_for(c->outChannels, 1, conv_backward_weight_body, &t);
    if (dbias) sum_axis(1, c->batch * t.Ho * t.Wo, c->outChannels, dy, dbias, accumulate);
}
