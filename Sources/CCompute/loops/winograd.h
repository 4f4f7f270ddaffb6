// 3×3 convolution, stride 1, by Winograd's minimal filtering F(m×m, 3×3), m = 4 or 2 (Lavin and Gray, arXiv:1509.09308):
//     Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A
// for every m×m tile of the output, d being the (m+2)×(m+2) window under it. The products ⊙, summed over channels, are (m+2)²
// matrix products, one per "frequency". F(4×4) needs a quarter of the multiplications at ten times a plain sum's rounding error,
// F(2×2) 4/9 of them at twice. The gradient with respect to the input is such a convolution too, of dy with the filter turned round
// and transposed; the gradient with respect to the filter is  Gᵀ [ Σ_tiles (A dY Aᵀ) ⊙ (Bᵀ d B) ] G.

enum {
    mostFrequencies = 36,
    spectrumFloats = 2 << 20,   // 8 MiB of transformed windows at a time
    readyFilterFloats = 4 << 20,  // filters are transformed ahead if they take no more than 16 MiB, else by whoever needs them
    filterDepth = 64,           // input channels of a filter transformed at a time
    tileBlock = 64              // tiles multiplied at a time
};

INLINE void window_1d(const int m, const vf *d, vf *t) {  // Bᵀ d
    if (m == 4) {
        vf even = d[4] - 4.0f * d[2], odd = d[3] - 4.0f * d[1], even2 = d[4] - d[2], odd2 = 2.0f * (d[3] - d[1]);
        t[0] = 4.0f * d[0] - 5.0f * d[2] + d[4];
        t[1] = even + odd;
        t[2] = even - odd;
        t[3] = even2 + odd2;
        t[4] = even2 - odd2;
        t[5] = 4.0f * d[1] - 5.0f * d[3] + d[5];
    } else {
        t[0] = d[0] - d[2];
        t[1] = d[1] + d[2];
        t[2] = d[2] - d[1];
        t[3] = d[1] - d[3];
    }
}

INLINE void output_1d(const int m, const vf *d, vf *y) {  // Aᵀ d
    if (m == 4) {
        vf sum = d[1] + d[2], difference = d[1] - d[2], sum2 = d[3] + d[4], difference2 = d[3] - d[4];
        y[0] = d[0] + sum + sum2;
        y[1] = difference + 2.0f * difference2;
        y[2] = sum + 4.0f * sum2;
        y[3] = difference + 8.0f * difference2 + d[5];
    } else {
        y[0] = d[0] + d[1] + d[2];
        y[1] = d[1] - d[2] - d[3];
    }
}

INLINE void output_gradient_1d(const int m, const vf *y, vf *d) {  // A y
    if (m == 4) {
        vf even = y[0] + y[2], odd = y[1] + y[3], even2 = y[0] + 4.0f * y[2], odd2 = 2.0f * y[1] + 8.0f * y[3];
        d[0] = y[0];
        d[1] = even + odd;
        d[2] = even - odd;
        d[3] = even2 + odd2;
        d[4] = even2 - odd2;
        d[5] = y[3];
    } else {
        d[0] = y[0];
        d[1] = y[0] + y[1];
        d[2] = y[0] - y[1];
        d[3] = -y[1];
    }
}

INLINE void filter_1d(const int m, const vf *g, vf *u) {  // G g
    if (m == 4) {
        vf even = (g[0] + g[2]) * (-1.0f / 6), odd = g[1] * (1.0f / 6), even2 = g[0] * (1.0f / 24) + g[2] * (1.0f / 6), odd2 = g[1] * (1.0f / 12);
        u[0] = g[0] * 0.25f;
        u[1] = even - odd;
        u[2] = even + odd;
        u[3] = even2 + odd2;
        u[4] = even2 - odd2;
        u[5] = g[2];
    } else {
        vf even = (g[0] + g[2]) * 0.5f, odd = g[1] * 0.5f;
        u[0] = g[0];
        u[1] = even + odd;
        u[2] = even - odd;
        u[3] = g[2];
    }
}

INLINE void filter_gradient_1d(const int m, const vf *u, vf *g) {  // Gᵀ u
    if (m == 4) {
        vf sum = (u[1] + u[2]) * (1.0f / 6), sum2 = u[3] + u[4];
        g[0] = u[0] * 0.25f - sum + sum2 * (1.0f / 24);
        g[1] = (u[2] - u[1]) * (1.0f / 6) + (u[3] - u[4]) * (1.0f / 12);
        g[2] = sum2 * (1.0f / 6) - sum + u[5];
    } else {
        vf sum = (u[1] + u[2]) * 0.5f;
        g[0] = u[0] + sum;
        g[1] = (u[1] - u[2]) * 0.5f;
        g[2] = sum + u[3];
    }
}

/// `t = M d Mᵀ` for a transformation `M` of `from` to `to` values.
#define TWO_DIMENSIONS(name, transform, from, to) \
    INLINE void name(const int m, const vf *d, vf *t) { \
        vf half[36], line[6], result[6]; \
        _Pragma("unroll") for (int x = 0; x < (from); x++) { \
            _Pragma("unroll") for (int y = 0; y < (from); y++) line[y] = d[y * (from) + x]; \
            transform(m, line, result); \
            _Pragma("unroll") for (int y = 0; y < (to); y++) half[y * (from) + x] = result[y]; \
        } \
        _Pragma("unroll") for (int y = 0; y < (to); y++) transform(m, half + y * (from), t + y * (to)); \
    }
TWO_DIMENSIONS(window_2d, window_1d, m + 2, m + 2)
TWO_DIMENSIONS(output_2d, output_1d, m + 2, m)
TWO_DIMENSIONS(output_gradient_2d, output_gradient_1d, m, m + 2)
TWO_DIMENSIONS(filter_2d, filter_1d, 3, m + 2)
TWO_DIMENSIONS(filter_gradient_2d, filter_gradient_1d, m + 2, 3)
#undef TWO_DIMENSIONS

typedef struct { ptrdiff_t height, width, channels; } picture_t;

/// A convolution as tiles. `source` is what windows are taken from (x, or dy for the gradient with respect to the input).
typedef struct {
    int m, frequencies;
    ptrdiff_t batch, padTop, padLeft, tilesY, tilesX;
    picture_t from, to;
    const float *source;
    const cc_conv *c;
    const void *w;
    bool forward;                                // else the filter is turned round and transposed
    panels_t panels;                             // of the output's channels
    float *filters;                              // [frequencies, packed panels of from.channels rows], or NULL: made on the way
    ptrdiff_t filterStride;
    float *spectrum;                             // [frequencies, tiles, padded channels] of the windows
    ptrdiff_t firstTile, tiles, padded, spectrumStride;
    ptrdiff_t panelTiles;                        // tiles a piece of work multiplies
    float *out;
    const float *bias, *addend;
    // Gradient with respect to the filter: the other picture's spectrum and the products.
    const float *dy;
    float *dySpectrum;
    ptrdiff_t dyPadded, dyStride;
    float *product, *dw;                         // [frequencies, Cout, Cin padded]
    bool accumulate;
} winograd_t;

/// Tile number `tile` of all pictures: picture, and the tile's place in it.
INLINE void locate_tile(const winograd_t *t, ptrdiff_t tile, ptrdiff_t *picture, ptrdiff_t *y, ptrdiff_t *x) {
    *x = tile % t->tilesX * t->m;
    *y = tile / t->tilesX % t->tilesY * t->m;
    *picture = tile / t->tilesX / t->tilesY;
}

/// `size × size` pixels from (`y`, `x`), one vector of channels each; zeros beyond the borders.
INLINE void load_pixels(const int size, const picture_t *p, const float *picture, ptrdiff_t y, ptrdiff_t x, ptrdiff_t channel, vf *d) {
    ptrdiff_t n = p->channels - channel, C = p->channels;
    const float *origin = picture + (y * p->width + x) * C + channel;
    if (n >= LANES && y >= 0 && x >= 0 && y + size <= p->height && x + size <= p->width) {
        _Pragma("unroll") for (int i = 0; i < size; i++) _Pragma("unroll") for (int j = 0; j < size; j++) d[i * size + j] = load(origin + (i * p->width + j) * C);
        return;
    }
    for (int i = 0; i < size; i++) for (int j = 0; j < size; j++) {
        bool inside = y + i >= 0 && y + i < p->height && x + j >= 0 && x + j < p->width;
        const float *pixel = origin + (i * p->width + j) * C;
        d[i * size + j] = !inside ? (vf){0} : n >= LANES ? load(pixel) : load_part(pixel, n);
    }
}

INLINE void window_spectra(const int m, const winograd_t *t, ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t b, y, x;
        locate_tile(t, t->firstTile + i, &b, &y, &x);
        const float *picture = t->source + b * t->from.height * t->from.width * t->from.channels;
        for (ptrdiff_t c = 0; c < t->from.channels; c += LANES) {
            vf d[36], s[36];
            load_pixels(m + 2, &t->from, picture, y - t->padTop, x - t->padLeft, c, d);
            window_2d(m, d, s);
            float *target = t->spectrum + i * t->padded + c;
            _Pragma("unroll") for (int f = 0; f < (m + 2) * (m + 2); f++) store(target + f * t->spectrumStride, s[f]);
        }
    }
}

/// Items are tiles.
BODY(window_spectra_body, winograd_t) { if (t->m == 4) window_spectra(4, t, begin, end); else window_spectra(2, t, begin, end); }

/// Widens the filters of input channels `k ..< k + depth` for one panel of output channels: tap `j` of channel `k + i` goes to `taps + (9i + j)·width`.
static void widen_filters(const winograd_t *t, ptrdiff_t p, ptrdiff_t k, ptrdiff_t depth, float *taps) {
    cc_dtype type = t->c->weightType;
    ptrdiff_t width = vectors_of(&t->panels, p) * LANES, column = first_vector(&t->panels, p) * LANES, n = columns_of(&t->panels, p), C = t->c->channels;
    if (t->forward) { pack_transposed(n, 9 * depth, advanced(t->w, type, (column * C + k) * 9), type, 9 * C, taps, width); return; }
    for (ptrdiff_t i = 0; i < depth; i++) pack_transposed(n, 9, advanced(t->w, type, ((k + i) * C + column) * 9), type, 9, taps + 9 * i * width, width);
}

/// Transforms the filters of input channels `k ..< k + depth` for one panel of output channels: frequency `f` of channel `k + i` goes to
/// `u + f·stride + i·width`. `taps` is room for `9 · depth · width` floats.
INLINE void transform_filters(const int m, const winograd_t *t, ptrdiff_t p, ptrdiff_t k, ptrdiff_t depth, float *taps, float *u, ptrdiff_t stride) {
    ptrdiff_t width = vectors_of(&t->panels, p) * LANES;
    widen_filters(t, p, k, depth, taps);
    for (ptrdiff_t i = 0; i < depth; i++) for (ptrdiff_t v = 0; v < width; v += LANES) {
        vf g[9], s[36];
        _Pragma("unroll") for (int tap = 0; tap < 9; tap++) g[tap] = load(taps + (9 * i + (t->forward ? tap : 8 - tap)) * width + v);
        filter_2d(m, g, s);
        _Pragma("unroll") for (int f = 0; f < (m + 2) * (m + 2); f++) store(u + f * stride + i * width + v, s[f]);
    }
}

/// Items are blocks of `filterDepth` input channels of one panel after another.
BODY(ready_filters_body, winograd_t) {
    ptrdiff_t K = t->from.channels, blocks = ceil_div(K, filterDepth);
    float *taps = scratch_take(9 * filterDepth * tileVectors * LANES);
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t p = item / blocks, k = item % blocks * filterDepth, width = vectors_of(&t->panels, p) * LANES;
        float *u = t->filters + first_vector(&t->panels, p) * LANES * K + k * width;
        if (t->m == 4) transform_filters(4, t, p, k, smaller(filterDepth, K - k), taps, u, t->filterStride);
        else transform_filters(2, t, p, k, smaller(filterDepth, K - k), taps, u, t->filterStride);
    }
    scratch_release(taps);
}

/// One vector of channels of an output tile, with bias and addend, cut at the borders.
INLINE void store_tile(const int m, const winograd_t *t, const vf *d, ptrdiff_t b, ptrdiff_t y, ptrdiff_t x, ptrdiff_t channel) {
    ptrdiff_t C = t->to.channels, n = smaller(LANES, C - channel), rows = smaller(m, t->to.height - y), columns = smaller(m, t->to.width - x);
    vf bias = !t->bias ? (vf){0} : n == LANES ? load(t->bias + channel) : load_part(t->bias + channel, n), s[16];
    output_2d(m, d, s);
    for (ptrdiff_t i = 0; i < rows; i++) for (ptrdiff_t j = 0; j < columns; j++) {
        ptrdiff_t at = ((b * t->to.height + y + i) * t->to.width + x + j) * C + channel;
        vf value = s[i * m + j] + bias;
        if (n == LANES) store(t->out + at, t->addend ? value + load(t->addend + at) : value);
        else store_part(t->out + at, t->addend ? value + load_part(t->addend + at, n) : value, n);
    }
}

/// One panel of output channels for tiles `first ..< first + tiles` of the spectrum at hand. `product` has room for `[frequencies, panelTiles, width]`.
INLINE void multiply_spectra(const int m, const winograd_t *t, ptrdiff_t p, ptrdiff_t first, ptrdiff_t tiles, float *product, float *taps, float *u) {
    const int frequencies = (m + 2) * (m + 2);
    ptrdiff_t K = t->from.channels, vectors = vectors_of(&t->panels, p), width = vectors * LANES, column = first_vector(&t->panels, p) * LANES;
    ptrdiff_t block = t->filters ? depthBlock : filterDepth, productStride = t->panelTiles * width + 16, uStride = filterDepth * width + 16;
    for (ptrdiff_t k = 0; k < K; k += block) {
        ptrdiff_t depth = smaller(block, K - k);
        if (!t->filters) transform_filters(m, t, p, k, depth, taps, u, uStride);
        for (int f = 0; f < frequencies; f++) {
            tile_t tile = {.a = t->spectrum + f * t->spectrumStride + first * t->padded + k, .aStride = t->padded, .bStep = width, .outer = 1, .segments = 1,
                           .b = t->filters ? t->filters + f * t->filterStride + column * K + k * width : u + f * uStride,
                           .length = depth, .c = product + f * productStride, .ldc = width, .columns = width, .alpha = 1, .accumulate = k > 0};
            tiles_of_panel(&tile, tiles, vectors, false);
        }
    }
    for (ptrdiff_t i = 0; i < tiles; i++) {
        ptrdiff_t b, y, x;
        locate_tile(t, t->firstTile + first + i, &b, &y, &x);
        for (ptrdiff_t v = 0; v < vectors; v++) {
            vf d[36];
            _Pragma("unroll") for (int f = 0; f < frequencies; f++) d[f] = load(product + f * productStride + i * width + v * LANES);
            store_tile(m, t, d, b, y, x, column + v * LANES);
        }
    }
}

/// Items are blocks of tiles of one panel after another.
BODY(multiply_spectra_body, winograd_t) {
    ptrdiff_t widest = tileVectors * LANES, blocks = ceil_div(t->tiles, t->panelTiles);
    ptrdiff_t productFloats = t->frequencies * (t->panelTiles * widest + 16), filterFloats = t->filters ? 0 : (9 * filterDepth * widest + t->frequencies * (filterDepth * widest + 16));
    float *scratch = scratch_take(productFloats + filterFloats), *taps = scratch + productFloats, *u = taps + 9 * filterDepth * widest;
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t p = item % t->panels.count, first = item / t->panels.count % blocks * t->panelTiles, tiles = smaller(t->panelTiles, t->tiles - first);
        if (t->m == 4) multiply_spectra(4, t, p, first, tiles, scratch, taps, u);
        else multiply_spectra(2, t, p, first, tiles, scratch, taps, u);
    }
    scratch_release(scratch);
}

static winograd_t winograd_plan(const cc_conv *c, int m, bool forward) {
    ptrdiff_t rows = cc_conv_out_height(c), columns = cc_conv_out_width(c);
    winograd_t t = {.m = m, .frequencies = (m + 2) * (m + 2), .batch = c->batch, .padTop = forward ? c->padTop : 2 - c->padTop, .padLeft = forward ? c->padLeft : 2 - c->padLeft,
                    .from = {c->height, c->width, c->channels}, .to = {rows, columns, c->outChannels}, .c = c, .forward = forward};
    if (!forward) { picture_t from = t.from; t.from = t.to; t.to = from; }
    t.tilesY = ceil_div(t.to.height, m);
    t.tilesX = ceil_div(t.to.width, m);
    t.padded = ceil_div(t.from.channels, LANES) * LANES;
    t.panels = panels_of(t.to.channels);
    return t;
}

/// `out = conv + bias + addend`, or the gradient with respect to the input.
static void winograd(const cc_conv *c, int m, bool forward, const float *source, const void *w, const float *bias, const float *addend, float *out) {
    winograd_t t = winograd_plan(c, m, forward);
    t.source = source; t.w = w; t.bias = bias; t.addend = addend; t.out = out;
    ptrdiff_t all = t.batch * t.tilesY * t.tilesX, most = larger(tileBlock, spectrumFloats / (t.frequencies * t.padded) / tileBlock * tileBlock);
    ptrdiff_t together = smaller(all, most);
    t.spectrumStride = together * t.padded + 16;
    t.filterStride = t.from.channels * t.panels.vectors * LANES + 16;
    t.spectrum = scratch_take(t.frequencies * t.spectrumStride);
    bool ready = t.frequencies * t.filterStride <= readyFilterFloats;
    t.filters = ready ? scratch_take(t.frequencies * t.filterStride) : NULL;
    if (ready) cc_parallel_for(t.panels.count * ceil_div(t.from.channels, filterDepth), 1, ready_filters_body, &t);
    for (t.firstTile = 0; t.firstTile < all; t.firstTile += together) {
        t.tiles = smaller(together, all - t.firstTile);
        // Filters made on the way are worth making once for many tiles.
        t.panelTiles = ready ? smaller(tileBlock, t.tiles) : t.tiles;
        while (ready && t.panelTiles > 16 && t.panels.count * ceil_div(t.tiles, t.panelTiles) < 4 * cc_threads()) t.panelTiles = ceil_div(t.panelTiles / 2, 8) * 8;
        cc_parallel_for(t.tiles, 8, window_spectra_body, &t);
        cc_parallel_for(t.panels.count * ceil_div(t.tiles, t.panelTiles), 1, multiply_spectra_body, &t);
    }
    scratch_release(t.filters);
    scratch_release(t.spectrum);
}

// MARK: - Gradient with respect to the filter

INLINE void output_gradient_spectra(const int m, const winograd_t *t, ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t b, y, x;
        locate_tile(t, t->firstTile + i, &b, &y, &x);
        const float *picture = t->dy + b * t->to.height * t->to.width * t->to.channels;
        for (ptrdiff_t c = 0; c < t->to.channels; c += LANES) {
            vf d[16], s[36];
            load_pixels(m, &t->to, picture, y, x, c, d);
            output_gradient_2d(m, d, s);
            float *target = t->dySpectrum + i * t->dyPadded + c;
            _Pragma("unroll") for (int f = 0; f < (m + 2) * (m + 2); f++) store(target + f * t->dyStride, s[f]);
        }
    }
}

/// Items are tiles: both spectra.
BODY(both_spectra_body, winograd_t) {
    if (t->m == 4) { window_spectra(4, t, begin, end); output_gradient_spectra(4, t, begin, end); }
    else { window_spectra(2, t, begin, end); output_gradient_spectra(2, t, begin, end); }
}

enum { productRows = 64 };

/// Items are blocks of output channels of one frequency after another: `product[f] += dySpectrum[f]ᵀ · spectrum[f]`.
BODY(spectra_product_body, winograd_t) {
    ptrdiff_t O = t->to.channels, blocks = ceil_div(O, productRows);
    panels_t panels = panels_of(t->padded);
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t f = item / blocks, o = item % blocks * productRows, rows = smaller(productRows, O - o);
        for (ptrdiff_t p = 0; p < panels.count; p++) {
            ptrdiff_t column = first_vector(&panels, p) * LANES;
            tile_t tile = {.a = t->dySpectrum + f * t->dyStride + o, .aStride = t->dyPadded, .b = t->spectrum + f * t->spectrumStride + column, .bStep = t->padded,
                           .outer = 1, .segments = 1, .length = t->tiles, .c = t->product + (f * O + o) * t->padded + column, .ldc = t->padded,
                           .columns = vectors_of(&panels, p) * LANES, .alpha = 1, .accumulate = t->firstTile > 0};
            tiles_of_panel(&tile, rows, vectors_of(&panels, p), true);
        }
    }
}

INLINE void filter_gradients(const int m, const winograd_t *t, ptrdiff_t begin, ptrdiff_t end) {
    ptrdiff_t C = t->from.channels;
    for (ptrdiff_t o = begin; o < end; o++) for (ptrdiff_t c = 0; c < C; c += LANES) {
        vf u[36], g[9];
        _Pragma("unroll") for (int f = 0; f < (m + 2) * (m + 2); f++) u[f] = load(t->product + (f * t->to.channels + o) * t->padded + c);
        filter_gradient_2d(m, u, g);
        ptrdiff_t n = smaller(LANES, C - c);
        float *target = t->dw + (o * C + c) * 9;
        for (int tap = 0; tap < 9; tap++) for (ptrdiff_t i = 0; i < n; i++) target[9 * i + tap] = t->accumulate ? target[9 * i + tap] + g[tap][i] : g[tap][i];
    }
}

/// Items are output channels.
BODY(filter_gradients_body, winograd_t) { if (t->m == 4) filter_gradients(4, t, begin, end); else filter_gradients(2, t, begin, end); }

static void winograd_weight_gradient(const cc_conv *c, int m, const float *x, const float *dy, float *dw, bool accumulate) {
    winograd_t t = winograd_plan(c, m, true);
    t.source = x; t.dy = dy; t.dw = dw; t.accumulate = accumulate;
    t.dyPadded = ceil_div(t.to.channels, LANES) * LANES;
    ptrdiff_t all = t.batch * t.tilesY * t.tilesX, most = larger(2 * tileBlock, spectrumFloats / (t.frequencies * (t.padded + t.dyPadded)) / 8 * 8);
    ptrdiff_t together = smaller(all, most);
    t.spectrumStride = together * t.padded + 16;
    t.dyStride = together * t.dyPadded + 16;
    ptrdiff_t spectra = t.frequencies * (t.spectrumStride + t.dyStride);
    t.spectrum = scratch_take(spectra + t.frequencies * t.to.channels * t.padded);
    t.dySpectrum = t.spectrum + t.frequencies * t.spectrumStride;
    t.product = t.spectrum + spectra;
    for (t.firstTile = 0; t.firstTile < all; t.firstTile += together) {
        t.tiles = smaller(together, all - t.firstTile);
        cc_parallel_for(t.tiles, 8, both_spectra_body, &t);
        cc_parallel_for(t.frequencies * ceil_div(t.to.channels, productRows), 1, spectra_product_body, &t);
    }
    cc_parallel_for(t.to.channels, larger(1, 64 / ceil_div(t.padded, LANES)), filter_gradients_body, &t);
    scratch_release(t.spectrum);
}

// MARK: - The choice

typedef enum { planInput, planWeight } plan_t;

/// The tile size that needs the fewest vector operations for this shape, or 0 if plain sums need fewer.
static int winograd_tile(const cc_conv *c, bool forward, plan_t plan) {
    if (c->kernelHeight != 3 || c->kernelWidth != 3 || c->stride != 1) return 0;
    ptrdiff_t Ho = cc_conv_out_height(c), Wo = cc_conv_out_width(c);
    if (c->batch <= 0 || Ho <= 0 || Wo <= 0 || c->channels < 8 || c->outChannels < 8) return 0;
    ptrdiff_t rows = forward ? Ho : c->height, columns = forward ? Wo : c->width, from = forward ? c->channels : c->outChannels, to = forward ? c->outChannels : c->channels;
    double vectorsIn = (double)ceil_div(from, LANES), vectorsOut = (double)ceil_div(to, LANES);
    double best = (double)(c->batch * rows * columns) * 9 * (double)from * vectorsOut;
    int choice = 0;
    for (int m = c->tight ? 2 : 4; m >= 2; m -= 2) {
        double tiles = (double)(c->batch * ceil_div(rows, m) * ceil_div(columns, m)), frequencies = (m + 2) * (m + 2);
        double products = tiles * frequencies * (double)from * vectorsOut, filters = frequencies * (double)from * vectorsOut * (plan == planInput ? 8 : 4);
        double spectra = tiles * frequencies * 5 * (vectorsIn + vectorsOut);
        if (products + filters + spectra < best) { best = products + filters + spectra; choice = m; }
    }
    return choice;
}
