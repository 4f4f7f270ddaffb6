// Copies, gathers, transpositions.

typedef struct { ptrdiff_t n, xRow, yRow; const float *x; float *y; } copy_t;

BODY(copy_rows_body, copy_t) {
    for (ptrdiff_t r = begin; r < end; r++) memcpy(t->y + r * t->yRow, t->x + r * t->xRow, (size_t)t->n * sizeof(float));
}

static void copy_rows(ptrdiff_t rows, ptrdiff_t n, const float *x, ptrdiff_t xRow, float *y, ptrdiff_t yRow) {
    copy_t t = {n, xRow, yRow, x, y};
    if (rows == 1 || (xRow == n && yRow == n)) {  // one long row: shared in pieces all the same
        ptrdiff_t total = rows * n, piece = elementGrain, whole = total / piece;
        t.n = t.xRow = t.yRow = piece;
        cc_parallel_for(whole, 1, copy_rows_body, &t);
        memcpy(y + whole * piece, x + whole * piece, (size_t)(total - whole * piece) * sizeof(float));
    } else if (n > 0) {
        cc_parallel_for(rows, row_grain(n), copy_rows_body, &t);
    }
}

BODY(add_rows_body, copy_t) {
    for (ptrdiff_t r = begin; r < end; r++) {
        const float *x = t->x + r * t->xRow;
        float *y = t->y + r * t->yRow;
        INDEPENDENT for (ptrdiff_t i = 0; i < t->n; i++) y[i] += x[i];
    }
}

static void add_rows(ptrdiff_t rows, ptrdiff_t n, const float *x, ptrdiff_t xRow, float *y, ptrdiff_t yRow) {
    if (rows == 1 || (xRow == n && yRow == n)) { axpy(rows * n, 1.0f, x, y); return; }
    copy_t t = {n, xRow, yRow, x, y};
    cc_parallel_for(rows, row_grain(n), add_rows_body, &t);
}

// MARK: - Transposition

typedef struct {
    int outerAxes;
    ptrdiff_t extent[maxRank], xStride[maxRank];  // of y's axes, unit axes left out, neighbours merged
    ptrdiff_t outerY[maxRank];
    ptrdiff_t rows, columns;                      // y's last two merged axes
    ptrdiff_t xRow, xColumn;
    const float *x;
    float *y;
} transpose_t;

enum { transposeTile = 16 };

/// One matrix `y [rows, columns]` from `x` with steps `xRow`, `xColumn`; in tiles, so that both sides use whole cache lines.
static void transpose_matrix(const transpose_t *t, const float *x, float *y, ptrdiff_t firstRow, ptrdiff_t lastRow) {
    if (t->xColumn == 1) {
        for (ptrdiff_t r = firstRow; r < lastRow; r++) memcpy(y + r * t->columns, x + r * t->xRow, (size_t)t->columns * sizeof(float));
        return;
    }
    for (ptrdiff_t r = firstRow; r < lastRow; r += transposeTile) for (ptrdiff_t c = 0; c < t->columns; c += transposeTile) {
        ptrdiff_t rowEnd = smaller(lastRow, r + transposeTile), columnEnd = smaller(t->columns, c + transposeTile);
        for (ptrdiff_t i = r; i < rowEnd; i++) {
            float *target = y + i * t->columns;
            const float *source = x + i * t->xRow;
            for (ptrdiff_t j = c; j < columnEnd; j++) target[j] = source[j * t->xColumn];
        }
    }
}

/// Items are blocks of `transposeTile` rows of one matrix after another.
BODY(transpose_body, transpose_t) {
    ptrdiff_t blocks = ceil_div(t->rows, transposeTile);
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t matrix = item / blocks, rest = matrix, offset = 0, first = item % blocks * transposeTile;
        for (int i = t->outerAxes - 1; i >= 0; i--) {
            offset += rest % t->extent[i] * t->xStride[i];
            rest /= t->extent[i];
        }
        transpose_matrix(t, t->x + offset, t->y + matrix * t->rows * t->columns, first, smaller(t->rows, first + transposeTile));
    }
}

static void transpose(int rank, const ptrdiff_t *shape, const int *axes, const float *x, float *y) {
    ptrdiff_t strides[maxRank], extent[maxRank], stride[maxRank], total = 1;
    for (int i = rank - 1; i >= 0; i--) { strides[i] = total; total *= shape[i]; }
    if (total == 0) return;
    int count = 0;
    for (int i = 0; i < rank; i++) {
        int axis = axes[i];
        if (shape[axis] == 1) continue;
        if (count > 0 && stride[count - 1] == strides[axis] * shape[axis]) {
            extent[count - 1] *= shape[axis];
            stride[count - 1] = strides[axis];
        } else { extent[count] = shape[axis]; stride[count] = strides[axis]; count++; }
    }
    if (count <= 1) { copy_rows(1, total, x, total, y, total); return; }
    transpose_t t = {.outerAxes = count - 2, .rows = extent[count - 2], .columns = extent[count - 1], .xRow = stride[count - 2],
                     .xColumn = stride[count - 1], .x = x, .y = y};
    for (int i = 0; i < t.outerAxes; i++) { t.extent[i] = extent[i]; t.xStride[i] = stride[i]; }
    ptrdiff_t items = total / (t.rows * t.columns) * ceil_div(t.rows, transposeTile);
    cc_parallel_for(items, larger(1, elementGrain / (transposeTile * t.columns)), transpose_body, &t);
}

// MARK: - Tables

typedef struct { ptrdiff_t n; const void *table; cc_dtype type; const ptrdiff_t *indices; float *y; } gather_t;

BODY(gather_rows_body, gather_t) {
    for (ptrdiff_t i = begin; i < end; i++) widen(t->n, advanced(t->table, t->type, t->indices[i] * t->n), t->type, t->y + i * t->n);
}

static void gather_rows(ptrdiff_t count, ptrdiff_t n, const void *table, cc_dtype type, const ptrdiff_t *indices, float *y) {
    gather_t t = {n, table, type, indices, y};
    cc_parallel_for(count, row_grain(n), gather_rows_body, &t);
}

static void scatter_add_rows(ptrdiff_t count, ptrdiff_t n, const float *x, const ptrdiff_t *indices, float *table) {
    for (ptrdiff_t i = 0; i < count; i++) {
        float *row = table + indices[i] * n;
        const float *source = x + i * n;
        INDEPENDENT for (ptrdiff_t j = 0; j < n; j++) row[j] += source[j];
    }
}

// MARK: - Nearest-neighbour upsampling

typedef struct { ptrdiff_t width, channels; const float *x; float *y; } upsample_t;

/// Items are rows of the small picture.
BODY(upsample2_body, upsample_t) {
    ptrdiff_t W = t->width, C = t->channels;
    for (ptrdiff_t r = begin; r < end; r++) {
        float *y = t->y + r * 4 * W * C;
        for (ptrdiff_t i = 0; i < W; i++) {
            const float *pixel = t->x + (r * W + i) * C;
            memcpy(y + 2 * i * C, pixel, (size_t)C * sizeof(float));
            memcpy(y + (2 * i + 1) * C, pixel, (size_t)C * sizeof(float));
        }
        memcpy(y + 2 * W * C, y, (size_t)(2 * W * C) * sizeof(float));
    }
}

static void upsample2(ptrdiff_t batch, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels, const float *x, float *y) {
    upsample_t t = {width, channels, x, y};
    cc_parallel_for(batch * height, row_grain(4 * width * channels), upsample2_body, &t);
}

BODY(upsample2_backward_body, upsample_t) {
    ptrdiff_t W = t->width, C = t->channels;
    for (ptrdiff_t r = begin; r < end; r++) for (ptrdiff_t i = 0; i < W; i++) {
        const float *top = t->x + (r * 4 * W + 2 * i) * C, *bottom = top + 2 * W * C;
        float *dx = t->y + (r * W + i) * C;
        INDEPENDENT for (ptrdiff_t c = 0; c < C; c++) dx[c] = (top[c] + top[C + c]) + (bottom[c] + bottom[C + c]);
    }
}

static void upsample2_backward(ptrdiff_t batch, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels, const float *dy, float *dx) {
    upsample_t t = {width, channels, dy, dx};
    cc_parallel_for(batch * height, row_grain(4 * width * channels), upsample2_backward_body, &t);
}
