// Sums. A float carries at most a block's worth of terms per lane; blocks are added in double, in a fixed order, so that the
// result does not depend on threads.

enum { sumBlock = 1024, sumChunk = 65536, rowBlock = 32, columnTile = 64 };

INLINE float block_dot(ptrdiff_t n, const float *a, const float *b) {
    SPLIT_SUMS
    float sum = 0;
    for (ptrdiff_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

INLINE float block_sum(ptrdiff_t n, const float *x) {
    SPLIT_SUMS
    float sum = 0;
    for (ptrdiff_t i = 0; i < n; i++) sum += x[i];
    return sum;
}

/// `Σ a b`, or `Σ a` if `b` is NULL, on one thread.
static double serial_dot(ptrdiff_t n, const float *a, const float *b) {
    double sum = 0;
    for (ptrdiff_t i = 0; i < n; i += sumBlock) {
        ptrdiff_t count = smaller(sumBlock, n - i);
        sum += b ? block_dot(count, a + i, b + i) : block_sum(count, a + i);
    }
    return sum;
}

typedef struct { ptrdiff_t n; const float *a, *b; double *partial; } dot_t;

BODY(dot_body, dot_t) {
    for (ptrdiff_t chunk = begin; chunk < end; chunk++) {
        ptrdiff_t first = chunk * sumChunk;
        t->partial[chunk] = serial_dot(smaller(sumChunk, t->n - first), t->a + first, t->b ? t->b + first : NULL);
    }
}

static double dot(ptrdiff_t n, const float *a, const float *b) {
    if (n <= sumChunk) return serial_dot(n, a, b);
    ptrdiff_t chunks = ceil_div(n, sumChunk);
    double *partial = (double *)scratch_take(2 * chunks);
    dot_t t = {n, a, b, partial};
    cc_parallel_for(chunks, 1, dot_body, &t);
    double sum = 0;
    for (ptrdiff_t i = 0; i < chunks; i++) sum += partial[i];
    scratch_release((float *)partial);
    return sum;
}

static double sum(ptrdiff_t n, const float *x) { return dot(n, x, NULL); }

typedef struct { const float *x; float *partial; } largest_t;

static float serial_max_abs(ptrdiff_t n, const float *x) {
    uint32_t largest = 0;  // magnitudes order like their bits; a NaN is larger than infinity
    for (ptrdiff_t i = 0; i < n; i++) {
        uint32_t bits = to_bits(x[i]) & 0x7fffffff;
        largest = bits > largest ? bits : largest;
    }
    return from_bits(largest);
}

static float max_abs(ptrdiff_t n, const float *x) { return serial_max_abs(n, x); }

// MARK: - Along an axis

/// `total[j] += Σ_r x[r·stride + j]` for `n <= columnTile` columns.
static void column_sums(ptrdiff_t rows, ptrdiff_t n, const float *x, ptrdiff_t stride, double *total) {
    for (ptrdiff_t r = 0; r < rows; r += rowBlock) {
        float block[columnTile] = {0};
        ptrdiff_t last = smaller(rows, r + rowBlock);
        for (ptrdiff_t i = r; i < last; i++) for (ptrdiff_t j = 0; j < n; j++) block[j] += x[i * stride + j];
        for (ptrdiff_t j = 0; j < n; j++) total[j] += block[j];
    }
}

typedef struct { ptrdiff_t n, inner, tiles, chunks, chunkRows; const float *x; float *y; double *partial; bool accumulate; } axis_t;

BODY(axis_body, axis_t) {
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t chunk = item % t->chunks, tile = item / t->chunks % t->tiles, outer = item / t->chunks / t->tiles;
        ptrdiff_t column = tile * columnTile, row = chunk * t->chunkRows;
        double *total = t->partial + item * columnTile;
        memset(total, 0, columnTile * sizeof(double));
        column_sums(smaller(t->chunkRows, t->n - row), smaller(columnTile, t->inner - column), t->x + (outer * t->n + row) * t->inner + column,
                    t->inner, total);
    }
}

/// `inner == 1`: each sum runs along contiguous memory.
BODY(row_sum_body, axis_t) {
    for (ptrdiff_t r = begin; r < end; r++) {
        float value = (float)serial_dot(t->n, t->x + r * t->n, NULL);
        t->y[r] = t->accumulate ? t->y[r] + value : value;
    }
}

static void sum_axis(ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner, const float *x, float *y, bool accumulate) {
    if (outer == 0 || inner == 0) return;
    axis_t t = {.n = n, .inner = inner, .x = x, .y = y, .accumulate = accumulate};
    if (inner == 1 && outer > 1) { cc_parallel_for(outer, row_grain(n), row_sum_body, &t); return; }
    if (inner == 1) { float value = (float)dot(n, x, NULL); *y = accumulate ? *y + value : value; return; }
    t.tiles = ceil_div(inner, columnTile);
    t.chunkRows = 512;
    t.chunks = larger(1, ceil_div(n, t.chunkRows));
    ptrdiff_t items = outer * t.tiles * t.chunks;
    t.partial = (double *)scratch_take(2 * items * columnTile);
    cc_parallel_for(items, larger(1, elementGrain / (columnTile * smaller(larger(n, 1), t.chunkRows))), axis_body, &t);
    for (ptrdiff_t o = 0; o < outer; o++) for (ptrdiff_t i = 0; i < inner; i++) {
        double total = 0;
        const double *partial = t.partial + (o * t.tiles + i / columnTile) * t.chunks * columnTile + i % columnTile;
        for (ptrdiff_t chunk = 0; chunk < t.chunks; chunk++) total += partial[chunk * columnTile];
        float *target = y + o * inner + i;
        *target = accumulate ? *target + (float)total : (float)total;
    }
    scratch_release((float *)t.partial);
}
