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

enum { NAME(prefetched) = 256 / sizeof(real) }; /* so far ahead */

/* pack for a block of at most LANES × LANES */
INLINE void NAME(pack_block)(real *to, const int64_t *to_offset, const real *from, const int64_t *from_offset, int64_t rows,
                                   int64_t columns) {
    vec a[LANES];
    if (rows == LANES && columns == LANES) {
        UNROLL for (int j = 0; j < LANES; j++) {
            a[j] = v_load(from + from_offset[j]);
            __builtin_prefetch(from + from_offset[j] + NAME(prefetched)); /* too many streams for the hardware's prefetcher */
        }
        NAME(turn)(a);
        UNROLL for (int i = 0; i < LANES; i++) v_store(to + to_offset[i], a[i]);
    } else if (columns == LANES) {
        UNROLL for (int j = 0; j < LANES; j++) a[j] = v_load_n(from + from_offset[j], rows);
        NAME(turn)(a);
        UNROLL for (int i = 0; i < LANES; i++)
            if (i < rows) v_store(to + to_offset[i], a[i]);
    } else {
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++) to[to_offset[i] + j] = from[from_offset[j] + i];
    }
}

/* The next block of an axis of n after the one at i; the last one reaches back where n is no multiple of LANES. */
INLINE int64_t NAME(next_block)(int64_t i, int64_t n) { return i + LANES < n && i + 2 * LANES > n ? n - LANES : i + LANES; }

static void NAME(pack)(void *to_, const int64_t *to_offset, const void *from_, const int64_t *from_offset, int64_t rows,
                             int64_t columns) {
    real *to = to_;
    const real *from = from_;
    for (int64_t j = 0; j < columns; j = NAME(next_block)(j, columns))
        for (int64_t i = 0; i < rows; i = NAME(next_block)(i, rows))
            NAME(pack_block)(to + j, to_offset + i, from + i, from_offset + j, rows - i < LANES ? rows : LANES,
                                   columns - j < LANES ? columns : LANES);
}

/* to[j·rows + i] = from[i·from_step + j] for fewer than LANES rows and at least LANES columns. Whole vectors are stored in
 * order, each over what the one before has stored too much of; those that would go too far take the way of a copy. */
static void NAME(transpose_few)(real *to, const real *from, int64_t from_step, int64_t rows, int64_t columns) {
    for (int64_t j = 0; j < columns; j = NAME(next_block)(j, columns)) {
        vec a[LANES];
        real last[(LANES + 1) * LANES], *at = (j + LANES - 1) * rows + LANES <= columns * rows ? to + j * rows : last;
        UNROLL for (int i = 0; i < LANES; i++) a[i] = i < rows ? v_load(from + i * from_step + j) : v_set1(0);
        NAME(turn)(a);
        UNROLL for (int i = 0; i < LANES; i++) v_store(at + i * rows, a[i]);
        if (at == last) memcpy(to + j * rows, last, (size_t)(LANES * rows) * sizeof(real));
    }
}

/* to[j·to_step + i] = from[i·from_step + j] */
static void NAME(transpose)(real *to, int64_t to_step, const real *from, int64_t from_step, int64_t rows, int64_t columns) {
    int64_t to_offset[LANES], from_offset[LANES];
    if (rows > 1 && rows < LANES && to_step == rows && columns >= LANES) {
        NAME(transpose_few)(to, from, from_step, rows, columns);
        return;
    }
    for (int l = 0; l < LANES; l++) to_offset[l] = l * to_step, from_offset[l] = l * from_step;
    for (int64_t i = 0; i < rows; i = NAME(next_block)(i, rows))
        for (int64_t j = 0; j < columns; j = NAME(next_block)(j, columns))
            NAME(pack_block)(to + j * to_step + i, to_offset, from + i * from_step + j, from_offset,
                                   columns - j < LANES ? columns : LANES, rows - i < LANES ? rows : LANES);
}

static void NAME(copy_block)(void *to_, int64_t to_row, const void *from_, int64_t from_row, int64_t from_column,
                             int64_t rows, int64_t columns) {
    real *to = to_;
    const real *from = from_;
    if (from_column == 1 && from_row == columns && to_row == columns) {
        memcpy(to, from, (size_t)(rows * columns) * sizeof(real));
    } else if (from_column == 1 && columns == NR) { /* a panel */
        for (int64_t i = 0; i < rows; i++)
            UNROLL for (int v = 0; v < NV; v++) v_store(to + i * to_row + v * LANES, v_load(from + i * from_row + v * LANES));
    } else if (from_column == 1 && columns >= LANES) {
        for (int64_t i = 0; i < rows; i++) memcpy(to + i * to_row, from + i * from_row, (size_t)columns * sizeof(real));
    } else if (from_row == 1 && from_column != 1) {
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
    } else if (to_row < to_column) { /* along the lines of `to`, whose rows may collide in cache */
        for (int64_t j = 0; j < columns; j++)
            for (int64_t i = 0; i < rows; i++) to[i * to_row + j * to_column] = from[i * from_row + j];
    } else {
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++) to[i * to_row + j * to_column] = from[i * from_row + j];
    }
}
