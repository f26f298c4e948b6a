/* Copies between memory orders. */

/* Transposes LANES vectors in registers. Unless the instruction set has its own way, stages interleave the two halves. */
INLINE void NAME(turn)(vec a[LANES]) {
#ifdef v_transpose
    v_transpose(a);
#else
    vec b[LANES];
    UNROLL for (int stage = 1; stage < LANES; stage *= 2) {
        UNROLL for (int i = 0; i < LANES / 2; i++) v_interleave(a[i], a[i + LANES / 2], &b[2 * i], &b[2 * i + 1]);
        UNROLL for (int i = 0; i < LANES; i++) a[i] = b[i];
    }
#endif
}

/* to[j·to_step + i] = from[i·from_step + j] */
static void NAME(transpose)(real *to, int64_t to_step, const real *from, int64_t from_step, int64_t rows, int64_t columns) {
    const int64_t whole_rows = rows / LANES * LANES, whole_columns = columns / LANES * LANES;
    for (int64_t i = 0; i < whole_rows; i += LANES)
        for (int64_t j = 0; j < whole_columns; j += LANES) {
            vec a[LANES];
            UNROLL for (int l = 0; l < LANES; l++) a[l] = v_load(from + (i + l) * from_step + j);
            NAME(turn)(a);
            UNROLL for (int l = 0; l < LANES; l++) v_store(to + (j + l) * to_step + i, a[l]);
        }
    for (int64_t i = whole_rows; i < rows; i++)
        for (int64_t j = 0; j < whole_columns; j++) to[j * to_step + i] = from[i * from_step + j];
    for (int64_t j = whole_columns; j < columns; j++)
        for (int64_t i = 0; i < rows; i++) to[j * to_step + i] = from[i * from_step + j];
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
