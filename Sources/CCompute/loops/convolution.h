// Two-dimensional convolution and its gradients as matrix products over windows that are never copied out: a window's row, `kW · Cin`
// values, is contiguous in `[B, H, W, C]`, so a tile of pixels reads its A matrix from the picture itself, one segment per
// window row. Borders are met by copying a band of the picture, with zeros around it, into scratch memory that stays in the cache.

enum {
    bandFloats = 65536,   // 256 KiB of picture per band
    panelBytes = 4 << 20  // packed weights made ready at a time
};

/// `out[q] = Σ_taps window(q) · w`: pixels `q` of a grid `[Qh, Qw]`, whose windows start at `q · step − offset` of a source picture.
typedef struct {
    const float *source;
    ptrdiff_t batch, height, width, channels;  // of the source
    ptrdiff_t rows, columns;                   // the grid
    ptrdiff_t step, offsetY, offsetX, tapsY, tapsX;
    ptrdiff_t N;                               // channels of the output
    float *out;
    ptrdiff_t outPicture, outRow, outPixel;    // distances between pictures, rows, pixels of the output
    const float *bias, *addend;                // addend: placed like out
    bool accumulate;
    // The plan: bands of `bandRows × bandColumns` grid pixels; panels of the weights `firstPanel ..< lastPanel` are packed.
    ptrdiff_t bandRows, bandColumns, rowBands, columnBands;
    bool direct;                               // no window leaves the picture: nothing is copied
    panels_t panels;
    ptrdiff_t firstPanel, lastPanel;
    const float *packed;
} correlate_t;

INLINE ptrdiff_t terms_of(const correlate_t *t) { return t->tapsY * t->tapsX * t->channels; }

/// A rectangle of the source with zeros where it leaves the picture: `rows × columns` pixels from (`y`, `x`).
static void copy_band(const correlate_t *t, ptrdiff_t picture, ptrdiff_t y, ptrdiff_t x, ptrdiff_t rows, ptrdiff_t columns, float *band) {
    ptrdiff_t C = t->channels, left = smaller(columns, larger(0, -x)), right = smaller(columns, larger(left, t->width - x));
    for (ptrdiff_t r = 0; r < rows; r++, band += columns * C) {
        if (y + r < 0 || y + r >= t->height) { memset(band, 0, (size_t)(columns * C) * sizeof(float)); continue; }
        const float *row = t->source + ((picture * t->height + y + r) * t->width + x) * C;
        memset(band, 0, (size_t)(left * C) * sizeof(float));
        memcpy(band + left * C, row + left * C, (size_t)((right - left) * C) * sizeof(float));
        memset(band + right * C, 0, (size_t)((columns - right) * C) * sizeof(float));
    }
}

/// The grid's pixels of a band against every packed panel. `window` is the first pixel's window, rows `windowRow` apart.
static void correlate_band(const correlate_t *t, const float *window, ptrdiff_t windowRow, ptrdiff_t rows, ptrdiff_t columns, float *out,
                           const float *addend) {
    ptrdiff_t segment = t->tapsX * t->channels, K = terms_of(t);
    // Terms are taken in runs: several window rows if they are short, parts of one if it is long.
    ptrdiff_t rowsAtOnce = larger(1, smaller(t->tapsY, depthBlock / larger(segment, 1)));
    ptrdiff_t part = segment <= 2 * depthBlock ? segment : depthBlock;
    const float *packed = t->packed;
    for (ptrdiff_t y = 0; y < t->tapsY; y += rowsAtOnce) for (ptrdiff_t k = 0; k < segment; k += part) {
        ptrdiff_t length = smaller(part, segment - k), segments = smaller(rowsAtOnce, t->tapsY - y), term = y * segment + k;
        bool first = term == 0;
        for (ptrdiff_t p = t->firstPanel; p < t->lastPanel; p++) {
            ptrdiff_t vectors = vectors_of(&t->panels, p), width = vectors * LANES, column = first_vector(&t->panels, p) * LANES;
            const float *panel = packed + (column - first_vector(&t->panels, t->firstPanel) * LANES) * K + term * width;
            tile_t tile = {.b = panel, .aStride = t->step * t->channels, .bStep = width, .outer = 1, .segments = segments, .length = length,
                           .aSegment = windowRow, .bSegment = segment * width, .bias = first && t->bias ? t->bias + column : NULL,
                           .ldc = t->outPixel, .columns = columns_of(&t->panels, p), .alpha = 1, .accumulate = !first || t->accumulate};
            for (ptrdiff_t r = 0; r < rows; r++) {
                tile.a = window + r * t->step * windowRow + y * windowRow + k;
                tile.c = out + r * t->outRow + column;
                tile.addend = first && addend ? addend + r * t->outRow + column : NULL;
                const tile_function *functions = tilesByRows[vectors];
                ptrdiff_t most = tileRows[vectors];
                for (ptrdiff_t i = 0; i < columns; i += most) {
                    functions[smaller(most, columns - i)](&tile);
                    tile.a += most * tile.aStride;
                    tile.c += most * tile.ldc;
                    if (tile.addend) tile.addend += most * tile.ldc;
                }
            }
        }
    }
}

/// Items are bands of pictures.
BODY(correlate_body, correlate_t) {
    ptrdiff_t C = t->channels, bandHeight = (t->bandRows - 1) * t->step + t->tapsY, bandWidth = (t->bandColumns - 1) * t->step + t->tapsX;
    float *band = t->direct ? NULL : scratch_take(bandHeight * bandWidth * C);
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t column = item % t->columnBands * t->bandColumns, row = item / t->columnBands % t->rowBands * t->bandRows;
        ptrdiff_t picture = item / t->columnBands / t->rowBands;
        ptrdiff_t rows = smaller(t->bandRows, t->rows - row), columns = smaller(t->bandColumns, t->columns - column);
        ptrdiff_t y = row * t->step - t->offsetY, x = column * t->step - t->offsetX, out = picture * t->outPicture + row * t->outRow + column * t->outPixel;
        const float *window = t->source + ((picture * t->height + y) * t->width + x) * C;
        ptrdiff_t windowRow = t->width * C;
        if (!t->direct) {
            ptrdiff_t width = (columns - 1) * t->step + t->tapsX;
            copy_band(t, picture, y, x, (rows - 1) * t->step + t->tapsY, width, band);
            window = band;
            windowRow = width * C;
        }
        correlate_band(t, window, windowRow, rows, columns, t->out + out, t->addend ? t->addend + out : NULL);
    }
    scratch_release(band);
}

/// Cuts the grid into bands: narrow enough for the cache, high enough that the rows shared by neighbours are few, and
/// enough of them to share out.
static void plan_bands(correlate_t *t) {
    t->direct = t->offsetY <= 0 && t->offsetX <= 0 && (t->rows - 1) * t->step + t->tapsY - t->offsetY <= t->height
        && (t->columns - 1) * t->step + t->tapsX - t->offsetX <= t->width;
    if (t->direct && t->tapsY == 1 && t->tapsX == 1 && t->step == 1 && t->offsetY == 0 && t->offsetX == 0 && t->rows == t->height
        && t->columns == t->width && t->outRow == t->outPixel * t->width && t->outPicture == t->outRow * t->height) {
        t->width = t->columns = t->batch * t->height * t->width;  // pixels need no neighbours: one long row
        t->batch = t->height = t->rows = 1;
    }
    t->bandColumns = smaller(t->columns, t->rows == 1 ? 512 : 128);
    ptrdiff_t rowFloats = ((t->bandColumns - 1) * t->step + t->tapsX) * t->channels;
    ptrdiff_t fitting = bandFloats / larger(rowFloats, 1) - t->tapsY;
    t->bandRows = smaller(t->rows, larger(1, fitting / t->step + 1));
    t->columnBands = ceil_div(t->columns, t->bandColumns);
    ptrdiff_t wanted = 4 * cc_threads();
    while (t->bandRows > 2 && t->batch * t->columnBands * ceil_div(t->rows, t->bandRows) < wanted) t->bandRows = (t->bandRows + 1) / 2;
    t->rowBands = ceil_div(t->rows, t->bandRows);
}

/// The weights of a correlation, and how its taps lie in them.
typedef struct {
    const cc_conv *c;
    const void *w;
    bool forward;
    ptrdiff_t tapsY, tapsX, firstY, firstX;  // backward: tap (y, x) is w's (firstY − y·stride, firstX − x·stride)
    const panels_t *panels;
    ptrdiff_t firstPanel, depth;
    float *packed;
} weights_t;

enum { packChannels = 32 };

/// The place in the kernel of tap (`y`, `x`) of the correlation.
INLINE ptrdiff_t kernel_tap(const weights_t *t, ptrdiff_t y, ptrdiff_t x) {
    return t->forward ? y * t->c->kernelWidth + x : (t->firstY - y * t->c->stride) * t->c->kernelWidth + t->firstX - x * t->c->stride;
}

/// Packs `count` channels from `first` of the source: tap `j` of channel `first + i` of the panel goes to `rows + (i · taps + j) · width`.
static void pack_channels(const weights_t *t, ptrdiff_t p, ptrdiff_t first, ptrdiff_t count, float *rows) {
    const cc_conv *c = t->c;
    ptrdiff_t taps = c->kernelHeight * c->kernelWidth, C = c->channels;
    ptrdiff_t width = vectors_of(t->panels, p) * LANES, column = first_vector(t->panels, p) * LANES, n = columns_of(t->panels, p);
    if (t->forward) pack_transposed(n, count * taps, advanced(t->w, c->weightType, (column * C + first) * taps), c->weightType, C * taps, rows, width);
    else if (taps == 1) pack_rows(n, count, advanced(t->w, c->weightType, first * C + column), c->weightType, C, rows, width);
    else for (ptrdiff_t i = 0; i < count; i++)
        pack_transposed(n, taps, advanced(t->w, c->weightType, ((first + i) * C + column) * taps), c->weightType, taps, rows + i * taps * width, width);
}

/// Items are blocks of `packChannels` channels of the source, of one panel after another. A panel's rows are (tap row, tap column, channel).
BODY(pack_weights_body, weights_t) {
    ptrdiff_t taps = t->c->kernelHeight * t->c->kernelWidth, channels = t->forward ? t->c->channels : t->c->outChannels;
    ptrdiff_t blocks = ceil_div(channels, packChannels), base = first_vector(t->panels, t->firstPanel) * LANES;
    float *rows = scratch_take(taps == 1 ? 0 : packChannels * taps * tileVectors * LANES);
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t p = t->firstPanel + item / blocks, first = item % blocks * packChannels, count = smaller(packChannels, channels - first);
        ptrdiff_t width = vectors_of(t->panels, p) * LANES;
        float *panel = t->packed + (first_vector(t->panels, p) * LANES - base) * t->depth;
        if (taps == 1) { pack_channels(t, p, first, count, panel + first * width); continue; }
        pack_channels(t, p, first, count, rows);
        for (ptrdiff_t y = 0; y < t->tapsY; y++) for (ptrdiff_t x = 0; x < t->tapsX; x++) {
            const float *row = rows + kernel_tap(t, y, x) * width;
            float *target = panel + ((y * t->tapsX + x) * channels + first) * width;
            for (ptrdiff_t i = 0; i < count; i++) memcpy(target + i * width, row + i * taps * width, (size_t)width * sizeof(float));
        }
    }
    scratch_release(rows);
}

// MARK: - Few output channels

// With few output channels most of a vector of them would be empty. All taps' products of a source pixel are computed side by side
// instead, as one vector `[taps, N]`, and each output pixel then picks its taps from its neighbours' vectors.

enum { fewChannels = 4, fewFloats = 2 * bandFloats };

typedef float v4 __attribute__((vector_size(16)));
typedef float v4_any __attribute__((vector_size(16), aligned(4), may_alias));

static bool has_few_channels(const correlate_t *t) {
    return t->N <= fewChannels && t->step == 1 && t->tapsY * t->tapsX > 1 && t->tapsY * t->tapsX * t->N <= 4 * tileVectors * LANES;
}

/// `packed[c][tap · N + n]` in panels.
static void pack_few(const correlate_t *t, const weights_t *weights, float *packed) {
    const cc_conv *c = weights->c;
    ptrdiff_t taps = c->kernelHeight * c->kernelWidth;
    for (ptrdiff_t p = 0; p < t->panels.count; p++) {
        ptrdiff_t width = vectors_of(&t->panels, p) * LANES, first = first_vector(&t->panels, p) * LANES, n = columns_of(&t->panels, p);
        float *panel = packed + first * t->channels;
        memset(panel, 0, (size_t)(t->channels * width) * sizeof(float));
        for (ptrdiff_t k = 0; k < t->channels; k++) for (ptrdiff_t j = 0; j < n; j++) {
            ptrdiff_t tap = (first + j) / t->N, channel = (first + j) % t->N, y = tap / t->tapsX, x = tap % t->tapsX;
            ptrdiff_t o = weights->forward ? channel : k, i = weights->forward ? k : channel, at = (o * c->channels + i) * taps + kernel_tap(weights, y, x);
            widen(1, advanced(weights->w, c->weightType, at), c->weightType, panel + k * width + j);
        }
    }
}

/// One row of output pixels. `products` is source row `row − offsetY + ty` for tap row `ty = 0`, vectors `stride` apart.
static void gather_few(const correlate_t *t, const float *products, ptrdiff_t stride, ptrdiff_t picture, ptrdiff_t row) {
    ptrdiff_t N = t->N, firstY = larger(0, t->offsetY - row), lastY = smaller(t->tapsY, t->height + t->offsetY - row);
    ptrdiff_t base = picture * t->outPicture + row * t->outRow;
    float bias[4] = {0}, result[4];
    for (ptrdiff_t n = 0; n < N && t->bias; n++) bias[n] = t->bias[n];
    for (ptrdiff_t x = 0; x < t->columns; x++) {
        ptrdiff_t firstX = larger(0, t->offsetX - x), lastX = smaller(t->tapsX, t->width + t->offsetX - x), at = base + x * t->outPixel;
        v4 sum = *(const v4_any *)bias;
        for (ptrdiff_t ty = firstY; ty < lastY; ty++) for (ptrdiff_t tx = firstX; tx < lastX; tx++)
            sum += *(const v4_any *)(products + (ty * t->width + x + tx - t->offsetX) * stride + (ty * t->tapsX + tx) * N);
        *(v4_any *)result = sum;
        for (ptrdiff_t n = 0; n < N; n++) {
            float value = result[n] + (t->addend ? t->addend[at + n] : 0);
            t->out[at + n] = t->accumulate ? t->out[at + n] + value : value;
        }
    }
}

/// Items are bands of output rows.
BODY(few_body, correlate_t) {
    ptrdiff_t stride = t->panels.vectors * LANES, height = t->bandRows + t->tapsY - 1;
    float *products = scratch_take(height * t->width * stride + 4);
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t picture = item / t->rowBands, row = item % t->rowBands * t->bandRows, rows = smaller(t->bandRows, t->rows - row);
        ptrdiff_t top = row - t->offsetY, first = larger(0, top), last = smaller(t->height, top + rows + t->tapsY - 1);  // source rows
        const float *source = t->source + (picture * t->height + first) * t->width * t->channels;
        float *target = products + (first - top) * t->width * stride;
        if (last > first) multiply_packed(&t->panels, false, (last - first) * t->width, t->channels, source, t->channels, t->packed, t->channels, 0, target, stride, false);
        for (ptrdiff_t r = 0; r < rows; r++) gather_few(t, products + r * t->width * stride, stride, picture, row + r);
    }
    scratch_release(products);
}

static void correlate_few(correlate_t *t, const weights_t *weights) {
    t->panels = panels_of(t->tapsY * t->tapsX * t->N);
    float *packed = scratch_take(t->channels * t->panels.vectors * LANES);
    pack_few(t, weights, packed);
    t->packed = packed;
    t->bandRows = larger(1, smaller(t->rows, fewFloats / larger(1, t->width * t->panels.vectors * LANES) - t->tapsY + 1));
    while (t->bandRows > 4 && t->batch * ceil_div(t->rows, t->bandRows) < 4 * cc_threads()) t->bandRows = (t->bandRows + 1) / 2;
    t->rowBands = ceil_div(t->rows, t->bandRows);
    cc_parallel_for(t->batch * t->rowBands, 1, few_body, t);
    scratch_release(packed);
}

/// Packs as many panels at a time as `panelBytes` allows and runs the bands over them.
static void correlate(correlate_t *t, weights_t *weights) {
    if (t->batch <= 0 || t->rows <= 0 || t->columns <= 0 || t->N <= 0) return;
    weights->tapsY = t->tapsY; weights->tapsX = t->tapsX;
    if (has_few_channels(t)) { correlate_few(t, weights); return; }
    plan_bands(t);
    t->panels = panels_of(t->N);
    ptrdiff_t K = terms_of(t), panelFloats = tileVectors * LANES * K;
    ptrdiff_t together = larger(1, smaller(t->panels.count, panelBytes / 4 / larger(panelFloats, 1)));
    float *packed = scratch_take(together * panelFloats);
    weights->panels = &t->panels; weights->depth = K; weights->packed = packed;
    t->packed = packed;
    for (t->firstPanel = 0; t->firstPanel < t->panels.count; t->firstPanel = t->lastPanel) {
        t->lastPanel = smaller(t->panels.count, t->firstPanel + together);
        weights->firstPanel = t->firstPanel;
        ptrdiff_t blocks = ceil_div(t->channels, packChannels);
        cc_parallel_for((t->lastPanel - t->firstPanel) * blocks, larger(1, 1024 / (packChannels * t->tapsY * t->tapsX)), pack_weights_body, weights);
        cc_parallel_for(t->batch * t->rowBands * t->columnBands, 1, correlate_body, t);
    }
    scratch_release(packed);
}

static void conv2d_forward(const cc_conv *c, const float *x, const void *w, const float *bias, const float *addend, float *y) {
    int m = winograd_tile(c, true, planInput);
    if (m) { winograd(c, m, true, x, w, bias, addend, y); return; }
    ptrdiff_t rows = cc_conv_out_height(c), columns = cc_conv_out_width(c), N = c->outChannels;
    correlate_t t = {.source = x, .batch = c->batch, .height = c->height, .width = c->width, .channels = c->channels, .rows = rows, .columns = columns,
                     .step = c->stride, .offsetY = c->padTop, .offsetX = c->padLeft, .tapsY = c->kernelHeight, .tapsX = c->kernelWidth, .N = N,
                     .out = y, .outPicture = rows * columns * N, .outRow = columns * N, .outPixel = N, .bias = bias, .addend = addend};
    weights_t weights = {.c = c, .w = w, .forward = true};
    correlate(&t, &weights);
}

// MARK: - Gradient with respect to the input

typedef struct { ptrdiff_t phase, taps, first, count, firstTap, offset; } phase_t;

/// The input positions `i` of one axis with `(i + pad) mod stride == phase` and their taps. Position number `j` is `i = first + j·stride`; it gets
/// `Σ_t dy[j + t − offset] · w[firstTap − t·stride]`.
static phase_t phase_of(ptrdiff_t phase, ptrdiff_t size, ptrdiff_t pad, ptrdiff_t kernel, ptrdiff_t stride) {
    phase_t p = {.phase = phase, .taps = kernel > phase ? ceil_div(kernel - phase, stride) : 0};
    p.first = ((phase - pad) % stride + stride) % stride;
    p.count = p.first < size ? ceil_div(size - p.first, stride) : 0;
    p.firstTap = phase + (p.taps - 1) * stride;
    p.offset = p.taps - 1 - (p.first + pad - phase) / stride;
    return p;
}

/// Input positions that no window reaches.
static void clear_phase(const cc_conv *c, const phase_t *v, const phase_t *h, float *dx) {
    for (ptrdiff_t b = 0; b < c->batch; b++) for (ptrdiff_t i = 0; i < v->count; i++) for (ptrdiff_t j = 0; j < h->count; j++)
        memset(dx + ((b * c->height + v->first + i * c->stride) * c->width + h->first + j * c->stride) * c->channels, 0, (size_t)c->channels * sizeof(float));
}

/// Input positions fall into stride × stride phases; each is a correlation of `dy` with every stride-th tap, turned round.
static void conv2d_backward_input(const cc_conv *c, const void *w, const float *dy, float *dx, bool accumulate) {
    int m = winograd_tile(c, false, planInput);
    if (m) { winograd(c, m, false, dy, w, NULL, accumulate ? dx : NULL, dx); return; }
    ptrdiff_t rows = cc_conv_out_height(c), columns = cc_conv_out_width(c), C = c->channels;
    for (ptrdiff_t py = 0; py < c->stride; py++) for (ptrdiff_t px = 0; px < c->stride; px++) {
        phase_t v = phase_of(py, c->height, c->padTop, c->kernelHeight, c->stride), h = phase_of(px, c->width, c->padLeft, c->kernelWidth, c->stride);
        if (v.taps == 0 || h.taps == 0) { if (!accumulate) clear_phase(c, &v, &h, dx); continue; }
        correlate_t t = {.source = dy, .batch = c->batch, .height = rows, .width = columns, .channels = c->outChannels, .rows = v.count, .columns = h.count,
                         .step = 1, .offsetY = v.offset, .offsetX = h.offset, .tapsY = v.taps, .tapsX = h.taps, .N = C,
                         .out = dx + (v.first * c->width + h.first) * C, .outPicture = c->height * c->width * C,
                         .outRow = c->stride * c->width * C, .outPixel = c->stride * C, .accumulate = accumulate};
        weights_t weights = {.c = c, .w = w, .firstY = v.firstTap, .firstX = h.firstTap};
        correlate(&t, &weights);
    }
}

// MARK: - Gradient with respect to the weights

enum { weightGroups = 16, weightSliceFloats = 65536, weightBandPixels = 512 };

/// `dw[o, ky, (kx, i)] = Σ_pixels dy[pixel, o] · window row[(kx, i)]`: rows of the product are output channels, its columns a window row.
typedef struct {
    correlate_t windows;                       // where windows lie
    const float *dy;
    ptrdiff_t outChannels, sliceChannels, slices, groups, bands, bandPictures;
    float *partial;                            // [groups, Cout, taps, Cin]
    panels_t panels;                           // of one window row
} weight_gradient_t;

/// Adds a band's share to channels `channel ..< lastChannel`: `pictures` pictures of `rows × columns` pixels.
static void weight_band(const weight_gradient_t *t, const float *window, ptrdiff_t windowRow, ptrdiff_t windowPicture, const float *dy, ptrdiff_t pictures,
                        ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t channel, ptrdiff_t lastChannel, float *dw, bool accumulate) {
    const correlate_t *s = &t->windows;
    ptrdiff_t O = t->outChannels, segment = s->tapsX * s->channels, K = s->tapsY * segment;
    for (ptrdiff_t ky = 0; ky < s->tapsY; ky++) for (ptrdiff_t p = 0; p < t->panels.count; p++) {
        ptrdiff_t vectors = vectors_of(&t->panels, p), column = first_vector(&t->panels, p) * LANES, most = tileRows[vectors];
        tile_t tile = {.b = window + ky * windowRow + column, .aStride = O, .bStep = s->step * s->channels, .outer = pictures, .segments = rows,
                       .length = columns, .aOuter = s->rows * s->columns * O, .aSegment = s->columns * O, .bOuter = windowPicture,
                       .bSegment = s->step * windowRow, .ldc = K, .columns = columns_of(&t->panels, p), .alpha = 1, .accumulate = accumulate};
        for (ptrdiff_t o = channel; o < lastChannel; o += most) {
            tile.a = dy + o;
            tile.c = dw + o * K + ky * segment + column;
            tilesByColumns[vectors][smaller(most, lastChannel - o)](&tile);
        }
    }
}

/// Items are slices of output channels for a group of bands; a group's bands are added one after the other.
BODY(weight_gradient_body, weight_gradient_t) {
    const correlate_t *s = &t->windows;
    ptrdiff_t C = s->channels, O = t->outChannels, bandHeight = (s->bandRows - 1) * s->step + s->tapsY, bandWidth = (s->bandColumns - 1) * s->step + s->tapsX;
    // Vectors at the right end reach past the last window.
    float *band = scratch_take(t->bandPictures * bandHeight * bandWidth * C + tileVectors * LANES);
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t slice = item % t->slices, group = item / t->slices, channel = slice * t->sliceChannels, lastChannel = smaller(O, channel + t->sliceChannels);
        float *dw = t->partial + group * O * s->tapsY * s->tapsX * C;
        ptrdiff_t firstBand = group * t->bands / t->groups, lastBand = (group + 1) * t->bands / t->groups;
        for (ptrdiff_t n = firstBand; n < lastBand; n++) {
            ptrdiff_t column = n % s->columnBands * s->bandColumns, row = n / s->columnBands % s->rowBands * s->bandRows;
            ptrdiff_t picture = n / s->columnBands / s->rowBands * t->bandPictures, pictures = smaller(t->bandPictures, s->batch - picture);
            ptrdiff_t rows = smaller(s->bandRows, s->rows - row), columns = smaller(s->bandColumns, s->columns - column);
            ptrdiff_t height = (rows - 1) * s->step + s->tapsY, width = (columns - 1) * s->step + s->tapsX;
            for (ptrdiff_t b = 0; b < pictures; b++)
                copy_band(s, picture + b, row * s->step - s->offsetY, column * s->step - s->offsetX, height, width, band + b * height * width * C);
            const float *dy = t->dy + ((picture * s->rows + row) * s->columns + column) * O;
            weight_band(t, band, width * C, height * width * C, dy, pictures, rows, columns, channel, lastChannel, dw, n > firstBand);
        }
    }
    scratch_release(band);
}

typedef struct { const float *partial; float *dw; ptrdiff_t outChannels, taps, channels, groups; bool accumulate; } weight_sum_t;

/// Items are output channels: the sum of all groups, with the taps of a channel side by side.
BODY(weight_sum_body, weight_sum_t) {
    ptrdiff_t T = t->taps, C = t->channels;
    for (ptrdiff_t o = begin; o < end; o++) for (ptrdiff_t g = 0; g < t->groups; g++) for (ptrdiff_t tap = 0; tap < T; tap++) {
        const float *partial = t->partial + ((g * t->outChannels + o) * T + tap) * C;
        float *dw = t->dw + o * C * T + tap;
        if (g == 0 && !t->accumulate) for (ptrdiff_t i = 0; i < C; i++) dw[i * T] = partial[i];
        else for (ptrdiff_t i = 0; i < C; i++) dw[i * T] += partial[i];
    }
}

static void conv2d_backward_weight(const cc_conv *c, const float *x, const float *dy, float *dw, float *dbias, bool accumulate) {
    ptrdiff_t rows = cc_conv_out_height(c), columns = cc_conv_out_width(c), C = c->channels, O = c->outChannels;
    ptrdiff_t K = c->kernelHeight * c->kernelWidth * C;
    if (dbias) sum_axis(1, c->batch * larger(0, rows * columns), O, dy, dbias, accumulate);
    if (O == 0 || K == 0) return;
    if (c->batch == 0 || rows <= 0 || columns <= 0) { if (!accumulate) memset(dw, 0, (size_t)(O * K) * sizeof(float)); return; }
    int m = winograd_tile(c, true, planWeight);
    if (m) { winograd_weight_gradient(c, m, x, dy, dw, accumulate); return; }
    weight_gradient_t t = {.windows = {.source = x, .batch = c->batch, .height = c->height, .width = c->width, .channels = C, .rows = rows,
                                       .columns = columns, .step = c->stride, .offsetY = c->padTop, .offsetX = c->padLeft,
                                       .tapsY = c->kernelHeight, .tapsX = c->kernelWidth},
                           .dy = dy, .outChannels = O, .panels = panels_of(c->kernelWidth * C)};
    correlate_t *s = &t.windows;
    s->bandColumns = smaller(columns, 128);
    ptrdiff_t rowFloats = ((s->bandColumns - 1) * c->stride + c->kernelWidth) * C;
    ptrdiff_t fitting = larger(1, (bandFloats / rowFloats - c->kernelHeight) / c->stride + 1);
    s->bandRows = smaller(smaller(rows, fitting), larger(1, weightBandPixels / s->bandColumns));
    s->columnBands = ceil_div(columns, s->bandColumns);
    s->rowBands = ceil_div(rows, s->bandRows);
    bool whole = s->rowBands == 1 && s->columnBands == 1;
    t.bandPictures = whole ? larger(1, smaller(c->batch, weightBandPixels / (rows * columns))) : 1;
    t.bands = ceil_div(c->batch, t.bandPictures) * s->rowBands * s->columnBands;
    t.sliceChannels = smaller(O, larger(mostTileRows, weightSliceFloats / K / mostTileRows * mostTileRows));
    t.slices = ceil_div(O, t.sliceChannels);
    t.groups = larger(1, smaller(t.bands, weightGroups / t.slices));
    bool single = t.groups == 1 && !accumulate && K == C;
    t.partial = single ? dw : scratch_take(t.groups * O * K);
    cc_parallel_for(t.groups * t.slices, 1, weight_gradient_body, &t);
    if (single) return;
    weight_sum_t sum = {t.partial, dw, O, K / C, C, t.groups, accumulate};
    cc_parallel_for(O, row_grain(K), weight_sum_body, &sum);
    scratch_release(t.partial);
}
