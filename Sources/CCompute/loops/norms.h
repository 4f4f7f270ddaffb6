// Softmax and the normalisations.

typedef struct { ptrdiff_t n; const float *x, *dy; float *y; } rows_t;

INLINE float row_max(ptrdiff_t n, const float *x) {
    float largest = -INFINITY;
    for (ptrdiff_t i = 0; i < n; i++) largest = x[i] > largest ? x[i] : largest;
    return largest;
}

/// `y = exp(x − shift)`; returns the sum.
INLINE float exp_row(ptrdiff_t n, const float *x, float shift, float *y) {
    SPLIT_SUMS
    float sum = 0;
    INDEPENDENT for (ptrdiff_t i = 0; i < n; i++) { float e = exp_bounded1(x[i] - shift); y[i] = e; sum += e; }
    return sum;
}

INLINE float exp_sum(ptrdiff_t n, const float *x, float shift) {
    SPLIT_SUMS
    float sum = 0;
    for (ptrdiff_t i = 0; i < n; i++) sum += exp_bounded1(x[i] - shift);
    return sum;
}

BODY(softmax_body, rows_t) {
    ptrdiff_t n = t->n;
    for (ptrdiff_t r = begin; r < end; r++) {
        const float *x = t->x + r * n;
        float *y = t->y + r * n;
        float inverse = 1.0f / exp_row(n, x, row_max(n, x), y);
        for (ptrdiff_t i = 0; i < n; i++) y[i] *= inverse;
    }
}

static void softmax(ptrdiff_t rows, ptrdiff_t n, const float *x, float *y) {
    rows_t t = {.n = n, .x = x, .y = y};
    if (n > 0) cc_parallel_for(rows, row_grain(n), softmax_body, &t);
}

BODY(softmax_backward_body, rows_t) {
    ptrdiff_t n = t->n;
    for (ptrdiff_t r = begin; r < end; r++) {
        const float *y = t->x + r * n, *dy = t->dy + r * n;
        float *dx = t->y + r * n;
        float mean = block_dot(n, y, dy);
        INDEPENDENT for (ptrdiff_t i = 0; i < n; i++) dx[i] = y[i] * (dy[i] - mean);
    }
}

static void softmax_backward(ptrdiff_t rows, ptrdiff_t n, const float *y, const float *dy, float *dx) {
    rows_t t = {.n = n, .x = y, .dy = dy, .y = dx};
    cc_parallel_for(rows, row_grain(n), softmax_backward_body, &t);
}

BODY(log_softmax_body, rows_t) {
    ptrdiff_t n = t->n;
    for (ptrdiff_t r = begin; r < end; r++) {
        const float *x = t->x + r * n;
        float *y = t->y + r * n, largest = row_max(n, x);
        float shift = logf(exp_sum(n, x, largest));
        INDEPENDENT for (ptrdiff_t i = 0; i < n; i++) y[i] = x[i] - largest - shift;
    }
}

static void log_softmax(ptrdiff_t rows, ptrdiff_t n, const float *x, float *y) {
    rows_t t = {.n = n, .x = x, .y = y};
    if (n > 0) cc_parallel_for(rows, row_grain(n), log_softmax_body, &t);
}

BODY(log_softmax_backward_body, rows_t) {
    ptrdiff_t n = t->n;
    for (ptrdiff_t r = begin; r < end; r++) {
        const float *y = t->x + r * n, *dy = t->dy + r * n;
        float *dx = t->y + r * n, total = block_sum(n, dy);
        INDEPENDENT for (ptrdiff_t i = 0; i < n; i++) dx[i] = dy[i] - exp1(y[i]) * total;
    }
}

static void log_softmax_backward(ptrdiff_t rows, ptrdiff_t n, const float *y, const float *dy, float *dx) {
    rows_t t = {.n = n, .x = y, .dy = dy, .y = dx};
    cc_parallel_for(rows, row_grain(n), log_softmax_backward_body, &t);
}

// MARK: - Layer normalisation

typedef struct {
    ptrdiff_t rows, n, chunkRows;
    float epsilon;
    const float *x, *scale, *shift, *dy, *mean, *rstd;
    float *y, *meanOut, *rstdOut;
    double *partial;  // [chunks, 2, n]: dscale, dshift
} layer_norm_t;

INLINE float centered_square(ptrdiff_t n, const float *x, float mean) {
    SPLIT_SUMS
    float sum = 0;
    for (ptrdiff_t i = 0; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
    return sum;
}

BODY(layer_norm_body, layer_norm_t) {
    ptrdiff_t n = t->n;
    const float *scale = t->scale, *shift = t->shift;
    for (ptrdiff_t r = begin; r < end; r++) {
        const float *x = t->x + r * n;
        float *y = t->y + r * n;
        float mean = (float)(serial_dot(n, x, NULL) / (double)n);
        float rstd = 1.0f / sqrtf(centered_square(n, x, mean) / (float)n + t->epsilon);
        if (t->meanOut) t->meanOut[r] = mean;
        if (t->rstdOut) t->rstdOut[r] = rstd;
        if (scale && shift) { INDEPENDENT for (ptrdiff_t i = 0; i < n; i++) y[i] = (x[i] - mean) * rstd * scale[i] + shift[i]; }
        else if (scale) { INDEPENDENT for (ptrdiff_t i = 0; i < n; i++) y[i] = (x[i] - mean) * rstd * scale[i]; }
        else for (ptrdiff_t i = 0; i < n; i++) y[i] = (x[i] - mean) * rstd + (shift ? shift[i] : 0.0f);
    }
}

static void layer_norm(ptrdiff_t rows, ptrdiff_t n, float epsilon, const float *x, const float *scale, const float *shift, float *y,
                       float *mean, float *rstd) {
    layer_norm_t t = {.n = n, .epsilon = epsilon, .x = x, .scale = scale, .shift = shift, .y = y, .meanOut = mean, .rstdOut = rstd};
    if (n > 0) cc_parallel_for(rows, row_grain(n), layer_norm_body, &t);
}

/// `sums = (Σ g, Σ g x̂)` with `g = dy · scale`.
INLINE void layer_norm_sums(ptrdiff_t n, const float *x, const float *scale, const float *dy, float mean, float rstd, float *sums) {
    SPLIT_SUMS
    float plain = 0, weighted = 0;
    if (scale) for (ptrdiff_t i = 0; i < n; i++) { float g = dy[i] * scale[i]; plain += g; weighted += g * ((x[i] - mean) * rstd); }
    else for (ptrdiff_t i = 0; i < n; i++) { plain += dy[i]; weighted += dy[i] * ((x[i] - mean) * rstd); }
    sums[0] = plain;
    sums[1] = weighted;
}

/// dx of rows, and each chunk's share of dscale and dshift. dx = rstd (g − mean g − x̂ · mean(g x̂)).
BODY(layer_norm_backward_body, layer_norm_t) {
    ptrdiff_t n = t->n;
    const float *scale = t->scale;
    for (ptrdiff_t chunk = begin; chunk < end; chunk++) {
        float *block = scratch_take(2 * n), *dscale = block, *dshift = block + n;
        memset(block, 0, (size_t)(2 * n) * sizeof(float));
        for (ptrdiff_t r = chunk * t->chunkRows; r < smaller(t->rows, (chunk + 1) * t->chunkRows); r++) {
            const float *x = t->x + r * n, *dy = t->dy + r * n;
            float *dx = t->y + r * n, mean = t->mean[r], rstd = t->rstd[r], sums[2];
            layer_norm_sums(n, x, scale, dy, mean, rstd, sums);
            float plain = sums[0] / (float)n, weighted = sums[1] / (float)n;
            if (t->partial) for (ptrdiff_t i = 0; i < n; i++) { dscale[i] += dy[i] * ((x[i] - mean) * rstd); dshift[i] += dy[i]; }
            if (scale) { INDEPENDENT for (ptrdiff_t i = 0; i < n; i++) dx[i] = rstd * (dy[i] * scale[i] - plain - (x[i] - mean) * rstd * weighted); }
            else { INDEPENDENT for (ptrdiff_t i = 0; i < n; i++) dx[i] = rstd * (dy[i] - plain - (x[i] - mean) * rstd * weighted); }
        }
        if (t->partial) for (ptrdiff_t i = 0; i < 2 * n; i++) t->partial[chunk * 2 * n + i] = block[i];
        scratch_release(block);
    }
}

static void layer_norm_backward(ptrdiff_t rows, ptrdiff_t n, const float *x, const float *scale, const float *mean, const float *rstd,
                                const float *dy, float *dx, float *dscale, float *dshift) {
    if (n == 0) return;
    layer_norm_t t = {.rows = rows, .n = n, .x = x, .scale = scale, .mean = mean, .rstd = rstd, .dy = dy, .y = dx, .chunkRows = 32};
    ptrdiff_t chunks = ceil_div(rows, t.chunkRows);
    if (dscale || dshift) t.partial = (double *)scratch_take(4 * n * chunks);
    cc_parallel_for(chunks, larger(1, row_grain(n) / t.chunkRows), layer_norm_backward_body, &t);
    for (ptrdiff_t i = 0; i < n && t.partial; i++) {
        double scaleSum = 0, shiftSum = 0;
        for (ptrdiff_t chunk = 0; chunk < chunks; chunk++) { scaleSum += t.partial[chunk * 2 * n + i]; shiftSum += t.partial[chunk * 2 * n + n + i]; }
        if (dscale) dscale[i] = (float)scaleSum;
        if (dshift) dshift[i] = (float)shiftSum;
    }
    scratch_release((float *)t.partial);
}

// MARK: - Group normalisation

// Pixels are taken in chunks. Pass 1 makes two sums per channel and chunk, pass 2 writes `out = α[c]·… `; the small
// work between them (channels of a group joined, in double) is done by the caller.
typedef struct {
    ptrdiff_t pixels, channels, groups, chunkPixels, chunks;
    bool silu;
    const float *x, *dy;
    const float *a, *b;        // [B, C]: the normalised, scaled and shifted value is a·x + b
    const float *center, *inverse;  // [B, C]: x̂ = (x − center)·inverse
    const float *ca, *cb, *cc; // [B, C]: dx = ca·g + cb·x + cc
    float *out;
    double *partial;           // [B, chunks, 2, C]
} group_norm_t;

enum { normRows = 16 };  // pixels summed in float before they go to double

/// Σ (x − x₀) and Σ (x − x₀)² per channel over a chunk, x₀ being the picture's first pixel: near enough to the mean that the
/// variance does not drown in it.
BODY(group_norm_moments_body, group_norm_t) {
    ptrdiff_t C = t->channels;
    float *block = scratch_take(2 * C);
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t b = item / t->chunks, first = item % t->chunks * t->chunkPixels, last = smaller(t->pixels, first + t->chunkPixels);
        const float *x = t->x + b * t->pixels * C, *origin = x;
        double *total = t->partial + item * 2 * C;
        memset(total, 0, (size_t)(2 * C) * sizeof(double));
        for (ptrdiff_t p = first; p < last; p += normRows) {
            float *plain = block, *square = block + C;
            memset(block, 0, (size_t)(2 * C) * sizeof(float));
            for (ptrdiff_t q = p; q < smaller(last, p + normRows); q++) {
                const float *row = x + q * C;
                INDEPENDENT for (ptrdiff_t c = 0; c < C; c++) { float v = row[c] - origin[c]; plain[c] += v; square[c] += v * v; }
            }
            for (ptrdiff_t c = 0; c < 2 * C; c++) total[c] += block[c];
        }
    }
    scratch_release(block);
}

BODY(group_norm_apply_body, group_norm_t) {
    ptrdiff_t C = t->channels;
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t b = item / t->chunks, first = item % t->chunks * t->chunkPixels, last = smaller(t->pixels, first + t->chunkPixels);
        const float *a = t->a + b * C, *shift = t->b + b * C;
        for (ptrdiff_t p = first; p < last; p++) {
            const float *x = t->x + (b * t->pixels + p) * C;
            float *y = t->out + (b * t->pixels + p) * C;
            if (t->silu) { INDEPENDENT for (ptrdiff_t c = 0; c < C; c++) y[c] = silu1(x[c] * a[c] + shift[c]); }
            else { INDEPENDENT for (ptrdiff_t c = 0; c < C; c++) y[c] = x[c] * a[c] + shift[c]; }
        }
    }
}

/// Sums per channel over a chunk: `Σ g` and `Σ g x̂`, with `g` the gradient before scale and shift (behind the SiLU if there is one).
BODY(group_norm_backward_sums_body, group_norm_t) {
    ptrdiff_t C = t->channels;
    float *block = scratch_take(2 * C);
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t b = item / t->chunks, first = item % t->chunks * t->chunkPixels, last = smaller(t->pixels, first + t->chunkPixels);
        const float *a = t->a + b * C, *shift = t->b + b * C, *center = t->center + b * C, *inverse = t->inverse + b * C;
        double *total = t->partial + item * 2 * C;
        memset(total, 0, (size_t)(2 * C) * sizeof(double));
        for (ptrdiff_t p = first; p < last; p += normRows) {
            float *plain = block, *weighted = block + C;
            memset(block, 0, (size_t)(2 * C) * sizeof(float));
            for (ptrdiff_t q = p; q < smaller(last, p + normRows); q++) {
                const float *x = t->x + (b * t->pixels + q) * C, *dy = t->dy + (b * t->pixels + q) * C;
                if (t->silu) {
                    INDEPENDENT for (ptrdiff_t c = 0; c < C; c++) {
                        float g = dy[c] * silu_slope(x[c] * a[c] + shift[c]);
                        plain[c] += g;
                        weighted[c] += g * ((x[c] - center[c]) * inverse[c]);
                    }
                } else {
                    INDEPENDENT for (ptrdiff_t c = 0; c < C; c++) { plain[c] += dy[c]; weighted[c] += dy[c] * ((x[c] - center[c]) * inverse[c]); }
                }
            }
            for (ptrdiff_t c = 0; c < 2 * C; c++) total[c] += block[c];
        }
    }
    scratch_release(block);
}

BODY(group_norm_backward_body, group_norm_t) {
    ptrdiff_t C = t->channels;
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t b = item / t->chunks, first = item % t->chunks * t->chunkPixels, last = smaller(t->pixels, first + t->chunkPixels);
        const float *a = t->a + b * C, *shift = t->b + b * C, *ca = t->ca + b * C, *cb = t->cb + b * C, *cc = t->cc + b * C;
        for (ptrdiff_t p = first; p < last; p++) {
            const float *x = t->x + (b * t->pixels + p) * C, *dy = t->dy + (b * t->pixels + p) * C;
            float *dx = t->out + (b * t->pixels + p) * C;
            if (t->silu) {
                INDEPENDENT for (ptrdiff_t c = 0; c < C; c++) dx[c] = ca[c] * (dy[c] * silu_slope(x[c] * a[c] + shift[c])) + cb[c] * x[c] + cc[c];
            } else {
                INDEPENDENT for (ptrdiff_t c = 0; c < C; c++) dx[c] = ca[c] * dy[c] + cb[c] * x[c] + cc[c];
            }
        }
    }
}

/// The two sums of channel `c` of picture `b` over all chunks.
INLINE void chunk_totals(const group_norm_t *t, ptrdiff_t b, ptrdiff_t c, double *first, double *second) {
    *first = *second = 0;
    for (ptrdiff_t chunk = 0; chunk < t->chunks; chunk++) {
        const double *partial = t->partial + (b * t->chunks + chunk) * 2 * t->channels;
        *first += partial[c];
        *second += partial[t->channels + c];
    }
}

/// Mean and 1/σ of a group, its channels' moments about different origins joined (Chan, Golub and LeVeque 1979).
static void group_moments(const group_norm_t *t, ptrdiff_t b, ptrdiff_t g, float epsilon, float *mean, float *rstd) {
    ptrdiff_t width = t->channels / t->groups, first = g * width;
    const float *origin = t->x + b * t->pixels * t->channels;
    double P = (double)t->pixels, meanSum = 0, squares = 0, spread = 0, plain, square;
    for (ptrdiff_t c = first; c < first + width; c++) {
        chunk_totals(t, b, c, &plain, &square);
        meanSum += origin[c] + plain / P;
        squares += square - plain * plain / P;
    }
    double groupMean = meanSum / (double)width;
    for (ptrdiff_t c = first; c < first + width; c++) {
        chunk_totals(t, b, c, &plain, &square);
        double difference = origin[c] + plain / P - groupMean;
        spread += P * difference * difference;
    }
    double variance = (squares + spread) / (P * (double)width);
    *mean = (float)groupMean;
    *rstd = (float)(1 / sqrt((variance > 0 ? variance : 0) + epsilon));
}

static group_norm_t group_norm_plan(ptrdiff_t batch, ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t groups, bool silu, const float *x) {
    group_norm_t t = {.pixels = pixels, .channels = channels, .groups = groups, .silu = silu, .x = x};
    t.chunkPixels = larger(normRows, row_grain(channels));
    t.chunks = larger(1, ceil_div(pixels, t.chunkPixels));
    t.partial = (double *)scratch_take(4 * batch * t.chunks * channels);
    return t;
}

static void group_norm(ptrdiff_t batch, ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t groups, float epsilon, bool silu, const float *x,
                       const float *scale, const float *shift, float *y, float *mean, float *rstd) {
    if (batch == 0 || pixels == 0 || channels == 0) return;
    group_norm_t t = group_norm_plan(batch, pixels, channels, groups, silu, x);
    float *affine = scratch_take(2 * batch * channels), *a = affine, *b = affine + batch * channels;
    cc_parallel_for(batch * t.chunks, 1, group_norm_moments_body, &t);
    for (ptrdiff_t i = 0; i < batch * groups; i++) {
        float groupMean, groupRstd;
        group_moments(&t, i / groups, i % groups, epsilon, &groupMean, &groupRstd);
        if (mean) mean[i] = groupMean;
        if (rstd) rstd[i] = groupRstd;
        ptrdiff_t width = channels / groups;
        for (ptrdiff_t j = i * width; j < (i + 1) * width; j++) {  // j runs over [B, C]
            float s = scale ? scale[j % channels] : 1.0f;
            a[j] = groupRstd * s;
            b[j] = (shift ? shift[j % channels] : 0.0f) - groupMean * groupRstd * s;
        }
    }
    t.a = a; t.b = b; t.out = y;
    cc_parallel_for(batch * t.chunks, 1, group_norm_apply_body, &t);
    scratch_release(affine);
    scratch_release((float *)t.partial);
}

static void group_norm_backward(ptrdiff_t batch, ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t groups, bool silu, const float *x,
                                const float *scale, const float *shift, const float *mean, const float *rstd, const float *dy, float *dx,
                                float *dscale, float *dshift) {
    if (dscale) memset(dscale, 0, (size_t)channels * sizeof(float));
    if (dshift) memset(dshift, 0, (size_t)channels * sizeof(float));
    if (batch == 0 || pixels == 0 || channels == 0) return;
    group_norm_t t = group_norm_plan(batch, pixels, channels, groups, silu, x);
    ptrdiff_t count = batch * channels, width = channels / groups;
    float *affine = scratch_take(7 * count), *a = affine, *b = a + count, *center = b + count, *inverse = center + count;
    float *ca = inverse + count, *cb = ca + count, *cc = cb + count;
    for (ptrdiff_t j = 0; j < count; j++) {
        float s = scale ? scale[j % channels] : 1.0f, m = mean[j / width], r = rstd[j / width];
        a[j] = r * s; b[j] = (shift ? shift[j % channels] : 0.0f) - m * r * s; center[j] = m; inverse[j] = r;
    }
    t.a = a; t.b = b; t.center = center; t.inverse = inverse; t.ca = ca; t.cb = cb; t.cc = cc; t.dy = dy; t.out = dx;
    cc_parallel_for(batch * t.chunks, 1, group_norm_backward_sums_body, &t);
    for (ptrdiff_t i = 0; i < batch * groups; i++) {
        double plain = 0, weighted = 0, size = (double)pixels * (double)width;
        for (ptrdiff_t j = i * width; j < (i + 1) * width; j++) {
            double first, second, s = scale ? scale[j % channels] : 1;
            chunk_totals(&t, i / groups, j % channels, &first, &second);
            plain += s * first;
            weighted += s * second;
            if (dscale) dscale[j % channels] += (float)second;
            if (dshift) dshift[j % channels] += (float)first;
        }
        double m = mean[i], r = rstd[i];
        for (ptrdiff_t j = i * width; j < (i + 1) * width; j++) {  // dx = r·s·g − r·plain/n − r·x̂·weighted/n, x̂ = (x − m)·r
            ca[j] = a[j];
            cb[j] = (float)(-r * r * weighted / size);
            cc[j] = (float)(-r * plain / size + r * r * m * weighted / size);
        }
    }
    cc_parallel_for(batch * t.chunks, 1, group_norm_backward_body, &t);
    scratch_release(affine);
    scratch_release((float *)t.partial);
}
