/* Dot products of a few rows with many: each sum has a vector of its own, and eight of them hide the latency of an FMA. */

#define DOT_SUMS 8

INLINE void NAME(dot_tile)(const int rows, const int columns, const dot_args *args, int64_t i, int64_t j) {
    const real *xs = (const real *)args->x + i * args->x_row, *ws = (const real *)args->w + j * args->w_row, *bias = args->bias;
    real *y = (real *)args->y + i * args->y_row + j * args->y_column;
    vec sum[DOT_SUMS];
    UNROLL for (int k = 0; k < rows * columns; k++) sum[k] = v_set1(0);
    FOR_VECTORS(args->length, {
        vec row[4];
        UNROLL for (int r = 0; r < rows; r++) row[r] = LOAD(xs + r * args->x_row);
        UNROLL for (int c = 0; c < columns; c++) {
            const vec column = LOAD(ws + c * args->w_row);
            UNROLL for (int r = 0; r < rows; r++) sum[r * columns + c] = v_fma(row[r], column, sum[r * columns + c]);
        }
    });
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int c = 0; c < columns; c++) {
            real lane[LANES];
            v_store(lane, sum[r * columns + c]);
            for (int half = LANES / 2; half > 0; half /= 2)
                for (int l = 0; l < half; l++) lane[l] += lane[l + half];
            y[r * args->y_row + c * args->y_column] = lane[0] + (bias ? bias[j + c] : 0);
        }
}

/* Some rows with the eight columns from j on, or as many as there are. */
INLINE void NAME(dot_columns)(const int rows, const dot_args *args, int64_t i, int64_t j, int64_t columns) {
    int64_t c = 0;
    for (; c + DOT_SUMS / rows <= columns; c += DOT_SUMS / rows) NAME(dot_tile)(rows, DOT_SUMS / rows, args, i, j + c);
    for (; c < columns; c++) NAME(dot_tile)(rows, 1, args, i, j + c);
}

static void NAME(dot)(const dot_args *args) {
    for (int64_t j = 0; j < args->columns; j += DOT_SUMS) { /* their weights stay in cache while all rows pass */
        const int64_t columns = args->columns - j < DOT_SUMS ? args->columns - j : DOT_SUMS;
        int64_t i = 0;
        for (; i + 4 <= args->rows; i += 4) NAME(dot_columns)(4, args, i, j, columns);
        for (; i + 2 <= args->rows; i += 2) NAME(dot_columns)(2, args, i, j, columns);
        for (; i < args->rows; i++) NAME(dot_columns)(1, args, i, j, columns);
    }
}
