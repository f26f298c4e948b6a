/* Statistics of a short piece of an array, summed in `real` in several parts and handed over as doubles: of one row of
 * contiguous elements, or of each column of a few rows. The framework keeps pieces short, so that rounding stays small. */

static void NAME(reduce_row)(int statistic, const reduce_args *args) {
    const int64_t n = args->columns;
    const real *xs = args->x, *dys = args->dy;
    double sum;
    if (statistic == SUMS) {
        SUM_ROW(*args->first, n, LOAD(xs));
    } else if (statistic == MOMENTS) {
        SUM_ROW(sum, n, LOAD(xs));
        *args->first = sum / (double)n;
        const vec mean = v_set1((real)*args->first);
        const double lost = *args->first - (double)(real)*args->first;
        SUM_ROW(sum, n, (LOAD(xs) - mean) * (LOAD(xs) - mean));
        *args->second = sum - (double)n * lost * lost;
    } else {
        const vec mean = v_set1(*(const real *)args->mean);
        SUM_ROW(*args->first, n, LOAD(dys));
        SUM_ROW(*args->second, n, LOAD(dys) * (LOAD(xs) - mean));
    }
}

/* to[j] for the `parts` vectors of columns from c on = the sum of `value`, which may use row, i, count and k, down the rows */
#define SUM_COLUMNS(to, value)                                                             \
    do {                                                                                   \
        vec sum[PARTS];                                                                    \
        UNROLL for (int k = 0; k < parts; k++) sum[k] = v_set1(0);                         \
        for (int64_t row = 0; row < args->rows; row++)                                     \
            UNROLL for (int k = 0; k < parts; k++) {                                       \
                const int64_t i = c + k * LANES;                                           \
                sum[k] = sum[k] + (value);                                                 \
            }                                                                              \
        UNROLL for (int k = 0; k < parts; k++) {                                           \
            real lane[LANES];                                                              \
            v_store(lane, sum[k]);                                                         \
            for (int64_t l = 0; l < count; l++) (to)[c + k * LANES + l] = (double)lane[l]; \
        }                                                                                  \
    } while (0)
#define ROW_OF(array, step) LOAD((array) + row * (step))

INLINE void NAME(reduce_block)(const int parts, const int64_t count, int statistic, const reduce_args *args, int64_t c) {
    const real *xs = args->x, *dys = args->dy, *means = args->mean;
    const int64_t columns = (parts - 1) * LANES + count;
    vec mean[PARTS];
    if (statistic == SUMS) {
        SUM_COLUMNS(args->first, ROW_OF(xs, args->x_step));
    } else if (statistic == MOMENTS) {
        real rounded[PARTS * LANES] = {0};
        SUM_COLUMNS(args->first, ROW_OF(xs, args->x_step));
        for (int64_t l = 0; l < columns; l++) rounded[l] = (real)(args->first[c + l] /= (double)args->rows);
        UNROLL for (int k = 0; k < parts; k++) mean[k] = v_load(rounded + k * LANES);
        SUM_COLUMNS(args->second, (ROW_OF(xs, args->x_step) - mean[k]) * (ROW_OF(xs, args->x_step) - mean[k]));
        for (int64_t l = 0; l < columns; l++) {
            const double lost = args->first[c + l] - (double)rounded[l];
            args->second[c + l] -= (double)args->rows * lost * lost;
        }
    } else {
        UNROLL for (int k = 0; k < parts; k++) {
            const int64_t i = c + k * LANES;
            mean[k] = LOAD(means);
        }
        SUM_COLUMNS(args->first, ROW_OF(dys, args->dy_step));
        SUM_COLUMNS(args->second, ROW_OF(dys, args->dy_step) * (ROW_OF(xs, args->x_step) - mean[k]));
    }
}

static void NAME(reduce_columns)(int statistic, const reduce_args *args) {
    int64_t c = 0;
    for (; c + PARTS * LANES <= args->columns; c += PARTS * LANES) NAME(reduce_block)(PARTS, LANES, statistic, args, c);
    for (; c + LANES <= args->columns; c += LANES) NAME(reduce_block)(1, LANES, statistic, args, c);
    if (c < args->columns) NAME(reduce_block)(1, args->columns - c, statistic, args, c);
}
#undef SUM_COLUMNS
#undef ROW_OF
