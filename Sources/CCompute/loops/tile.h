// The inner loop of matrix products and convolutions: a small tile of C held in registers.

typedef float vf __attribute__((vector_size(LANES * 4)));
typedef float vf_any __attribute__((vector_size(LANES * 4), aligned(4), may_alias));  // at any address

INLINE vf load(const float *p) { return *(const vf_any *)p; }
INLINE void store(float *p, vf v) { *(vf_any *)p = v; }

#if defined(__AVX512F__) || (LANES == 16 && defined(__x86_64__))
INLINE vf load_part(const float *p, ptrdiff_t n) { return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
INLINE void store_part(float *p, vf v, ptrdiff_t n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v); }
#elif LANES == 8 && defined(__x86_64__)
INLINE __m256i part_mask(ptrdiff_t n) {
    static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i_u *)(ones + 8 - n));
}
INLINE vf load_part(const float *p, ptrdiff_t n) { return (vf)_mm256_maskload_ps(p, part_mask(n)); }
INLINE void store_part(float *p, vf v, ptrdiff_t n) { _mm256_maskstore_ps(p, part_mask(n), (__m256)v); }
#else
INLINE vf load_part(const float *p, ptrdiff_t n) { vf v = {0}; for (ptrdiff_t i = 0; i < n; i++) v[i] = p[i]; return v; }
INLINE void store_part(float *p, vf v, ptrdiff_t n) { for (ptrdiff_t i = 0; i < n; i++) p[i] = v[i]; }
#endif

// A tile has up to `tileVectors` vectors of columns; the rows that fit beside them depend on the number of registers.
enum { mostTileRows = 8 };
#if LANES == 16 || defined(__aarch64__)  // 32 registers
enum { tileVectors = 3 };
static const int tileRows[tileVectors + 1] = {0, 8, 8, 8};
#else                                    // 16 registers, of which a few stay free for operands
enum { tileVectors = 2 };
static const int tileRows[tileVectors + 1] = {0, 8, 6};
#endif

/// One tile: `C = alpha · Σ a b + bias + addend (+ C)`. The sum runs over `outer × segments × length` terms; term (o, s, k) of row `i`
/// reads A at `o·aOuter + s·aSegment + k + i·aStride` (rows of A contiguous along k) or `… + k·aStride + i` (columns), and the
/// vectors of B at `o·bOuter + s·bSegment + k·bStep`.
typedef struct {
    const float *a, *b;
    ptrdiff_t aStride, bStep;
    ptrdiff_t outer, segments, length, aOuter, aSegment, bOuter, bSegment;
    float *c;
    const float *bias, *addend;  // bias: one value per column; addend: placed like c; either may be NULL
    ptrdiff_t ldc, columns;      // columns: of the tile's vectors, how many count
    float alpha;
    bool accumulate;
} tile_t;

INLINE void tile_finish(const tile_t *t, const int rows, const int vectors, vf acc[mostTileRows][tileVectors]) {
    ptrdiff_t last = t->columns - (vectors - 1) * LANES;  // columns of the last vector
    _Pragma("unroll") for (int i = 0; i < rows; i++) {
        float *c = t->c + i * t->ldc;
        const float *addend = t->addend ? t->addend + i * t->ldc : NULL;
        _Pragma("unroll") for (int v = 0; v < vectors; v++) {
            bool whole = v < vectors - 1 || last == LANES;
            ptrdiff_t at = v * LANES;
            vf value = acc[i][v] * t->alpha;
            if (t->bias) value += whole ? load(t->bias + at) : load_part(t->bias + at, last);
            if (addend) value += whole ? load(addend + at) : load_part(addend + at, last);
            if (t->accumulate) value += whole ? load(c + at) : load_part(c + at, last);
            if (whole) store(c + at, value); else store_part(c + at, value, last);
        }
    }
}

INLINE void tile_run(const tile_t *t, const int rows, const int vectors, const bool columnsA) {
    vf acc[mostTileRows][tileVectors];
    const ptrdiff_t stride = t->aStride, bStep = t->bStep, length = t->length;
    // C comes from further away than the operands: it is under way while the sum is made.
    _Pragma("unroll") for (int i = 0; i < rows; i++) _Pragma("unroll") for (int v = 0; v < vectors; v++) __builtin_prefetch(t->c + i * t->ldc + v * LANES, 1);
    _Pragma("unroll") for (int i = 0; i < rows; i++) _Pragma("unroll") for (int v = 0; v < vectors; v++) acc[i][v] = (vf){0};
    for (ptrdiff_t o = 0; o < t->outer; o++) for (ptrdiff_t s = 0; s < t->segments; s++) {
        const float *a = t->a + o * t->aOuter + s * t->aSegment, *b = t->b + o * t->bOuter + s * t->bSegment;
        for (ptrdiff_t k = 0; k < length; k++) {
            vf column[tileVectors];
            _Pragma("unroll") for (int v = 0; v < vectors; v++) column[v] = load(b + v * LANES);
            _Pragma("unroll") for (int i = 0; i < rows; i++) {
                vf value = (columnsA ? a[i] : a[i * stride]) - (vf){0};  // the same in every lane
                _Pragma("unroll") for (int v = 0; v < vectors; v++) acc[i][v] += value * column[v];
            }
            a += columnsA ? stride : 1;
            b += bStep;
        }
    }
    tile_finish(t, rows, vectors, acc);
}

#define TILE(rows, vectors) \
    static __attribute__((noinline)) void tile_rows_##rows##_##vectors(const tile_t *t) { tile_run(t, rows, vectors, false); } \
    static __attribute__((noinline)) void tile_columns_##rows##_##vectors(const tile_t *t) { tile_run(t, rows, vectors, true); }
#define TILES(vectors) TILE(1, vectors) TILE(2, vectors) TILE(3, vectors) TILE(4, vectors) TILE(5, vectors) TILE(6, vectors) TILE(7, vectors) TILE(8, vectors)
TILES(1) TILES(2)
#if LANES == 16 || defined(__aarch64__)
TILES(3)
#endif
#undef TILES
#undef TILE

typedef void (*tile_function)(const tile_t *);
#define ROW(kind, vectors) {NULL, tile_##kind##_1_##vectors, tile_##kind##_2_##vectors, tile_##kind##_3_##vectors, tile_##kind##_4_##vectors, \
                            tile_##kind##_5_##vectors, tile_##kind##_6_##vectors, tile_##kind##_7_##vectors, tile_##kind##_8_##vectors}
#if LANES == 16 || defined(__aarch64__)
#define ROWS(kind) {{NULL}, ROW(kind, 1), ROW(kind, 2), ROW(kind, 3)}
#else
#define ROWS(kind) {{NULL}, ROW(kind, 1), ROW(kind, 2)}
#endif
static const tile_function tilesByRows[tileVectors + 1][mostTileRows + 1] = ROWS(rows);
static const tile_function tilesByColumns[tileVectors + 1][mostTileRows + 1] = ROWS(columns);
#undef ROWS
#undef ROW

// MARK: - Panels

// B is cut into panels of 1…`tileVectors` vectors, as equal as can be; panel `p` of a packed B of `K` rows starts at
// `K · firstVector(p) · LANES` and holds its columns row after row. Columns beyond N are zero.
typedef struct { ptrdiff_t N, vectors, count; } panels_t;

INLINE panels_t panels_of(ptrdiff_t N) {
    ptrdiff_t vectors = ceil_div(N, LANES);
    return (panels_t){N, vectors, ceil_div(vectors, tileVectors)};
}
INLINE ptrdiff_t first_vector(const panels_t *p, ptrdiff_t panel) { return panel * (p->vectors / p->count) + smaller(panel, p->vectors % p->count); }
INLINE ptrdiff_t vectors_of(const panels_t *p, ptrdiff_t panel) { return p->vectors / p->count + (panel < p->vectors % p->count); }
/// How many of the panel's columns are columns of B.
INLINE ptrdiff_t columns_of(const panels_t *p, ptrdiff_t panel) {
    ptrdiff_t first = first_vector(p, panel) * LANES;
    return smaller(p->N - first, vectors_of(p, panel) * LANES);
}

typedef float v8 __attribute__((vector_size(32)));
typedef float v8_any __attribute__((vector_size(32), aligned(4), may_alias));

/// Eight values of any type, widened.
INLINE void load8(const void *x, cc_dtype type, v8 *y) {
    const uint16_t *half = x;
    if (type == CC_F32) {
        *y = *(const v8_any *)x;
    } else if (type == CC_F16) {
#if HAS_F16C
        *y = (v8)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)half));
#else
        for (int i = 0; i < 8; i++) (*y)[i] = widen_f16(half[i]);
#endif
    } else {
        for (int i = 0; i < 8; i++) (*y)[i] = widen_bf16(half[i]);
    }
}

/// A vector's values of any type, widened.
INLINE vf load_wide(const void *x, cc_dtype type) {
    vf y;
    if (type == CC_F32) return load(x);
#if LANES == 16 && HAS_F16C
    if (type == CC_F16) return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i_u *)x));
#elif LANES == 8 && HAS_F16C
    if (type == CC_F16) return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)x));
#endif
    for (int i = 0; i < LANES; i++) y[i] = type == CC_F16 ? widen_f16(((const uint16_t *)x)[i]) : widen_bf16(((const uint16_t *)x)[i]);
    return y;
}

INLINE float sum_of_lanes(vf v) {
    SPLIT_SUMS
    float sum = 0;
    _Pragma("unroll") for (int i = 0; i < LANES; i++) sum += v[i];
    return sum;
}

INLINE void transpose8(v8 r[8]) {
    v8 s[8];
    for (int i = 0; i < 4; i++) {  // pairs of rows interleaved, within halves
        s[2 * i] = __builtin_shufflevector(r[2 * i], r[2 * i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        s[2 * i + 1] = __builtin_shufflevector(r[2 * i], r[2 * i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    for (int i = 0; i < 2; i++) {
        v8 *p = s + 4 * i, *q = r + 4 * i;
        q[0] = __builtin_shufflevector(p[0], p[2], 0, 1, 8, 9, 4, 5, 12, 13);
        q[1] = __builtin_shufflevector(p[0], p[2], 2, 3, 10, 11, 6, 7, 14, 15);
        q[2] = __builtin_shufflevector(p[1], p[3], 0, 1, 8, 9, 4, 5, 12, 13);
        q[3] = __builtin_shufflevector(p[1], p[3], 2, 3, 10, 11, 6, 7, 14, 15);
    }
    for (int i = 0; i < 4; i++) {
        s[i] = __builtin_shufflevector(r[i], r[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        s[i + 4] = __builtin_shufflevector(r[i], r[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
    for (int i = 0; i < 8; i++) r[i] = s[i];
}

/// Packs rows `0 ..< n` of `x` (values along k contiguous, rows `ld` apart) as columns: `panel[k·width + j] = x[j·ld + k]`; columns
/// `n ..< width` become zero. `width` is a multiple of LANES.
static void pack_transposed(ptrdiff_t n, ptrdiff_t K, const void *x, cc_dtype type, ptrdiff_t ld, float *panel, ptrdiff_t width) {
    ptrdiff_t j = 0;
    for (; j + 8 <= n; j += 8) {
        ptrdiff_t k = 0;
        for (; k + 8 <= K; k += 8) {
            v8 r[8];
            for (int i = 0; i < 8; i++) load8(advanced(x, type, (j + i) * ld + k), type, &r[i]);
            transpose8(r);
            for (int i = 0; i < 8; i++) *(v8_any *)(panel + (k + i) * width + j) = r[i];
        }
        for (; k < K; k++) for (int i = 0; i < 8; i++) widen(1, advanced(x, type, (j + i) * ld + k), type, panel + k * width + j + i);
    }
    for (; j < n; j++) for (ptrdiff_t k = 0; k < K; k++) widen(1, advanced(x, type, j * ld + k), type, panel + k * width + j);
    for (ptrdiff_t k = 0; k < K && n < width; k++) for (ptrdiff_t i = n; i < width; i++) panel[k * width + i] = 0;
}

/// Packs rows of B that are contiguous along its columns: `panel[k·width + j] = x[k·ld + j]` for `j < n`, zero up to `width`.
static void pack_rows(ptrdiff_t n, ptrdiff_t K, const void *x, cc_dtype type, ptrdiff_t ld, float *panel, ptrdiff_t width) {
    for (ptrdiff_t k = 0; k < K; k++) {
        float *target = panel + k * width;
        widen(n, advanced(x, type, k * ld), type, target);
        for (ptrdiff_t j = n; j < width; j++) target[j] = 0;
    }
}

/// All tiles of `rows` rows of C against one panel of B.
static void tiles_of_panel(tile_t *tile, ptrdiff_t rows, ptrdiff_t vectors, bool columnsA) {
    const tile_function *functions = columnsA ? tilesByColumns[vectors] : tilesByRows[vectors];
    ptrdiff_t most = tileRows[vectors], rowStep = columnsA ? 1 : tile->aStride;
    const float *a = tile->a, *addend = tile->addend;
    float *c = tile->c;
    for (ptrdiff_t i = 0; i < rows; i += most) {
        tile->a = a + i * rowStep;
        tile->c = c + i * tile->ldc;
        tile->addend = addend ? addend + i * tile->ldc : NULL;
        functions[smaller(most, rows - i)](tile);
    }
    tile->a = a;
    tile->c = c;
    tile->addend = addend;
}

/// `C (+)= A · B` for `rows` rows of C: B is packed in panels of `packedRows` rows, of which `depth` from `firstRow` are used.
static void multiply_packed(const panels_t *panels, bool columnsA, ptrdiff_t rows, ptrdiff_t depth, const float *a, ptrdiff_t aStride,
                            const float *packed, ptrdiff_t packedRows, ptrdiff_t firstRow, float *c, ptrdiff_t ldc, bool accumulate) {
    for (ptrdiff_t p = 0; p < panels->count; p++) {
        ptrdiff_t vectors = vectors_of(panels, p), width = vectors * LANES, column = first_vector(panels, p) * LANES;
        tile_t tile = {.a = a, .b = packed + column * packedRows + firstRow * width, .aStride = aStride, .bStep = width, .outer = 1, .segments = 1,
                       .length = depth, .c = c + column, .ldc = ldc, .columns = columns_of(panels, p), .alpha = 1, .accumulate = accumulate};
        tiles_of_panel(&tile, rows, vectors, columnsA);
    }
}

/// Packs a matrix of `K` rows, `n` columns into all its panels.
static void pack_all(const panels_t *panels, bool transposed, ptrdiff_t K, const float *x, ptrdiff_t ld, float *packed) {
    for (ptrdiff_t p = 0; p < panels->count; p++) {
        ptrdiff_t width = vectors_of(panels, p) * LANES, column = first_vector(panels, p) * LANES, n = columns_of(panels, p);
        if (transposed) pack_transposed(n, K, x + column * ld, CC_F32, ld, packed + column * K, width);
        else pack_rows(n, K, x + column, CC_F32, ld, packed + column * K, width);
    }
}
