/* Copies between memory orders. */

/* to[j·to_step + i] = from[i·from_step + j] for a whole block of LANES × LANES: each stage interleaves the two halves. */
INLINE void NAME(transpose_lanes)(real *to, int64_t to_step, const real *from, int64_t from_step) {
    vec a[LANES], b[LANES];
    UNROLL for (int i = 0; i < LANES; i++) a[i] = v_load(from + i * from_step);
    UNROLL for (int stage = 1; stage < LANES; stage *= 2) {
        UNROLL for (int i = 0; i < LANES / 2; i++) v_interleave(a[i], a[i + LANES / 2], &b[2 * i], &b[2 * i + 1]);
        UNROLL for (int i = 0; i < LANES; i++) a[i] = b[i];
    }
    UNROLL for (int i = 0; i < LANES; i++) v_store(to + i * to_step, a[i]);
}

static void NAME(transpose)(real *to, int64_t to_step, const real *from, int64_t from_step, int64_t rows, int64_t columns) {
    int64_t whole_rows = rows / LANES * LANES, whole_columns = columns / LANES * LANES;
    for (int64_t i = 0; i < whole_rows; i += LANES)
        for (int64_t j = 0; j < whole_columns; j += LANES)
            NAME(transpose_lanes)(to + j * to_step + i, to_step, from + i * from_step + j, from_step);
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = j < whole_columns ? whole_rows : 0; i < rows; i++) to[j * to_step + i] = from[i * from_step + j];
}

static void NAME(copy_block)(void *to_, int64_t to_row, const void *from_, int64_t from_row, int64_t from_column,
                             int64_t rows, int64_t columns) {
    real *to = to_;
    const real *from = from_;
    if (from_column == 1 && from_row == columns && to_row == columns) {
        memcpy(to, from, (size_t)(rows * columns) * sizeof(real));
    } else if (from_column == 1) {
        for (int64_t i = 0; i < rows; i++) memcpy(to + i * to_row, from + i * from_row, (size_t)columns * sizeof(real));
    } else if (from_row == 1) {
        NAME(transpose)(to, to_row, from, from_column, columns, rows);
    } else {
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++) to[i * to_row + j] = from[i * from_row + j * from_column];
    }
}

static void NAME(spread_block)(void *to_, int64_t to_row, int64_t to_column, const void *from_, int64_t from_row,
                               int64_t rows, int64_t columns) {
    real *to = to_;
    const real *from = from_;
    if (to_column == 1) {
        for (int64_t i = 0; i < rows; i++) memcpy(to + i * to_row, from + i * from_row, (size_t)columns * sizeof(real));
    } else if (to_row == 1) {
        NAME(transpose)(to, to_column, from, from_row, rows, columns);
    } else {
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++) to[i * to_row + j * to_column] = from[i * from_row + j];
    }
}
