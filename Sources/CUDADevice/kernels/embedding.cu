// Rows of tables.

/// `y[i] = table[indices[i]]`, rows of `n` values.
template <typename Table, typename T> DEVICE void gather_rows(index_t count, index_t n, const Table *table, const index_t *indices, T *y) {
    constexpr int W = run_length<Table, T>();
    row_run<W> at(n);
    if (at.row < count) store<W>(y + at.row * n + at.column, at.count, load<W>(table + indices[at.row] * n + at.column, at.count));
}
#define GATHER(Table, table_, T, t) \
    KERNEL(gather_rows_##table_##_##t, (index_t count, index_t n, const Table *table, const index_t *indices, T *y)) { \
        gather_rows(count, n, table, indices, y); \
    }
#define FROM(Table, table) GATHER(Table, table, float, f32) GATHER(Table, table, bf16, bf16)
FROM(float, f32)
FROM(f16, f16)
FROM(bf16, bf16)
#undef FROM
#undef GATHER

/// `table[indices[i]] += x[i]`, in order of `i`: the block of an index's first place adds all its rows, the other blocks have nothing to do.
template <typename T> DEVICE void scatter_add_rows(index_t count, index_t n, const T *x, const index_t *indices, float *table) {
    index_t place = blockIdx.x, row = indices[place];
    for (index_t i = 0; i < place; i++) if (indices[i] == row) return;
    for (index_t j = threadIdx.x; j < n; j += blockDim.x) {
        float sum = table[row * n + j];
        for (index_t i = place; i < count; i++) if (indices[i] == row) sum += widen(x[i * n + j]);
        table[row * n + j] = sum;
    }
}
#define SCATTER(T, t) \
    KERNEL(scatter_add_rows_##t, (index_t count, index_t n, const T *x, const index_t *indices, float *table)) { \
        scatter_add_rows(count, n, x, indices, table); \
    }
EACH_TYPE(SCATTER)
#undef SCATTER
