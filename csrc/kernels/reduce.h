/* Statistics of a short piece of an array, summed in `real` in several parts and handed over as doubles: of one row of
 * contiguous elements, or of each column of a few rows. The framework keeps pieces short, so that rounding stays small.
 */

enum { NAME(sums), NAME(centred), NAME(products) };

/* Adds one vector's terms to `first` and `second`: x; x - mean and its square; or dy and dy · (x - mean). */
INLINE void NAME(add_terms)(const int kind, vec x, vec dy, vec mean, vec *first, vec *second) {
    const vec distance = x - mean;
    *first = *first + (kind == NAME(sums) ? x : kind == NAME(centred) ? distance : dy);
    if (kind != NAME(sums)) *second = v_fma(distance, kind == NAME(centred) ? distance : dy, *second);
}

/* dy where low < z < high (or z is NaN), else 0 */
INLINE vec NAME(gate)(vec dy, vec z, vec low, vec high) {
    return NAME(select)((z <= low) | (z >= high), ZERO, dy);
}

INLINE double NAME(add_lanes)(vec v) {
    real lane[LANES];
    double sum = 0;
    v_store(lane, v);
    for (int l = 0; l < LANES; l++) sum += (double)lane[l];
    return sum;
}

INLINE void NAME(row_sums)(const int kind, int64_t n, const real *xs, const real *dys, real mean_, double *first_, double *second_) {
    const vec mean = v_set1(mean_);
    vec first[PARTS], second[PARTS];
    UNROLL for (int k = 0; k < PARTS; k++) first[k] = second[k] = ZERO;
    int64_t i = 0;
    while (i + PARTS * LANES <= n)
        UNROLL for (int k = 0; k < PARTS; k++, i += LANES)
            NAME(add_terms)(kind, v_load(xs + i), kind == NAME(products) ? v_load(dys + i) : ZERO, mean, first + k, second + k);
    for (; i + LANES <= n; i += LANES)
        NAME(add_terms)(kind, v_load(xs + i), kind == NAME(products) ? v_load(dys + i) : ZERO, mean, first, second);
    *first_ = NAME(add_lanes)((first[0] + first[1]) + (first[2] + first[3]));
    *second_ = NAME(add_lanes)((second[0] + second[1]) + (second[2] + second[3]));
    for (; i < n; i++) {
        const double distance = (double)(xs[i] - mean_);
        *first_ += kind == NAME(sums) ? (double)xs[i] : kind == NAME(centred) ? distance : (double)dys[i];
        *second_ += kind == NAME(sums) ? 0 : distance * (kind == NAME(centred) ? distance : (double)dys[i]);
    }
}

/* From sums of x - m and (x - m)² over n elements to the mean and the squares about it. */
INLINE void NAME(about_mean)(double *first, double *second, real m, double n) {
    *second -= *first * *first / n;
    *first = (double)m + *first / n;
}

/* The same down the rows, for `parts` vectors of columns from c on or `count` columns of one. */
INLINE void NAME(column_sums)(const int kind, const int parts, const int64_t count, const reduce_args *args, int64_t c,
                              const real *mean_, double *first_, double *second_) {
    vec mean[PARTS], first[PARTS], second[PARTS];
    UNROLL for (int k = 0; k < parts; k++) {
        const int64_t i = k * LANES;
        mean[k] = kind == NAME(sums) ? ZERO : LOAD(mean_);
        first[k] = second[k] = ZERO;
    }
    const real *xs = (const real *)args->x + c, *dys = (const real *)args->dy + (kind == NAME(products) ? c : 0);
    for (int64_t row = 0; row < args->rows; row++, xs += args->x_step) {
        UNROLL for (int k = 0; k < parts; k++) {
            const int64_t i = k * LANES;
            NAME(add_terms)(kind, LOAD(xs), kind == NAME(products) ? LOAD(dys) : ZERO, mean[k], first + k, second + k);
        }
        if (kind == NAME(products)) dys += args->dy_step;
    }
    UNROLL for (int k = 0; k < parts; k++) {
        real lane[2][LANES] = {{0}};
        v_store(lane[0], first[k]);
        v_store(lane[1], second[k]);
        for (int64_t l = 0; l < LANES && l < count; l++) {
            first_[k * LANES + l] = (double)lane[0][l];
            if (kind != NAME(sums)) second_[k * LANES + l] = (double)lane[1][l];
        }
    }
}

INLINE void NAME(reduce_block)(const int parts, const int64_t count, int statistic, const reduce_args *args, int64_t c) {
    const int64_t columns = (parts - 1) * LANES + count;
    double *first = args->first + c, *second = args->second + c;
    if (statistic == SUMS) {
        NAME(column_sums)(NAME(sums), parts, count, args, c, 0, first, 0);
    } else if (statistic == MOMENTS) {
        real about[PARTS * LANES] = {0};
        NAME(column_sums)(NAME(sums), parts, count, args, c, 0, first, 0);
        for (int64_t l = 0; l < columns; l++) about[l] = (real)(first[l] / (double)args->rows);
        NAME(column_sums)(NAME(centred), parts, count, args, c, about, first, second);
        for (int64_t l = 0; l < columns; l++) NAME(about_mean)(first + l, second + l, about[l], (double)args->rows);
    } else {
        NAME(column_sums)(NAME(products), parts, count, args, c, (const real *)args->mean + c, first, second);
    }
}

/* The same of the gated products, for `parts` vectors of one and the same `count`. */
INLINE void NAME(gated_columns)(const int parts, const int64_t count, const reduce_args *args, int64_t c) {
    enum { MOST = 2 };
    const real *means = (const real *)args->mean + c, *scales = (const real *)args->scale + c,
               *biases = (const real *)args->bias + c;
    const real *xs = (const real *)args->x + c, *dys = (const real *)args->dy + c;
    const vec low = v_set1((real)args->low), high = v_set1((real)args->high);
    vec mean[MOST], scale[MOST], bias[MOST], first[MOST], second[MOST];
    UNROLL for (int k = 0; k < parts; k++) {
        const int64_t i = k * LANES;
        mean[k] = LOAD(means), scale[k] = LOAD(scales), bias[k] = LOAD(biases);
        first[k] = second[k] = ZERO;
    }
    for (int64_t row = 0; row < args->rows; row++, xs += args->x_step, dys += args->dy_step)
        UNROLL for (int k = 0; k < parts; k++) {
            const int64_t i = k * LANES;
            const vec x = LOAD(xs), z = v_fma(x - mean[k], scale[k], bias[k]);
            NAME(add_terms)(NAME(products), x, NAME(gate)(LOAD(dys), z, low, high), mean[k], first + k, second + k);
        }
    UNROLL for (int k = 0; k < parts; k++) {
        real lane[2][LANES] = {{0}};
        v_store(lane[0], first[k]);
        v_store(lane[1], second[k]);
        for (int64_t l = 0; l < LANES && l < count; l++) {
            args->first[c + k * LANES + l] = (double)lane[0][l];
            args->second[c + k * LANES + l] = (double)lane[1][l];
        }
    }
}

static void NAME(reduce_gated_columns)(const reduce_args *args) {
    int64_t c = 0;
    for (; c + 2 * LANES <= args->columns; c += 2 * LANES) NAME(gated_columns)(2, LANES, args, c);
    for (; c + LANES <= args->columns; c += LANES) NAME(gated_columns)(1, LANES, args, c);
    if (c < args->columns) NAME(gated_columns)(1, args->columns - c, args, c);
}

static void NAME(reduce_gated_row)(const reduce_args *args) {
    const int64_t n = args->columns;
    const real *xs = args->x, *dys = args->dy;
    const vec mean = v_set1(*(const real *)args->mean), scale = v_set1(*(const real *)args->scale);
    const vec bias = v_set1(*(const real *)args->bias), low = v_set1((real)args->low), high = v_set1((real)args->high);
    vec first[PARTS], second[PARTS];
    UNROLL for (int k = 0; k < PARTS; k++) first[k] = second[k] = ZERO;
#define ADD(k, dy)                                                                                              \
    const vec x = LOAD(xs), z = v_fma(x - mean, scale, bias);                                                   \
    NAME(add_terms)(NAME(products), x, NAME(gate)(dy, z, low, high), mean, first + (k), second + (k))
    int64_t i = 0;
    while (i + PARTS * LANES <= n) {
        enum { count = LANES };
        UNROLL for (int k = 0; k < PARTS; k++, i += LANES) {
            ADD(k, LOAD(dys));
        }
    }
    for (; i + LANES <= n; i += LANES) {
        enum { count = LANES };
        ADD(0, LOAD(dys));
    }
    if (i < n) {
        const int64_t count = n - i;
        real lane[2][LANES] = {{0}}; /* what is not there has dy = 0 and x = mean */
        for (int64_t l = 0; l < LANES; l++) lane[0][l] = l < count ? xs[i + l] : *(const real *)args->mean;
        for (int64_t l = 0; l < count; l++) lane[1][l] = dys[i + l];
        const vec x = v_load(lane[0]), z = v_fma(x - mean, scale, bias);
        NAME(add_terms)(NAME(products), x, NAME(gate)(v_load(lane[1]), z, low, high), mean, first + 1, second + 1);
    }
#undef ADD
    *args->first = NAME(add_lanes)((first[0] + first[1]) + (first[2] + first[3]));
    *args->second = NAME(add_lanes)((second[0] + second[1]) + (second[2] + second[3]));
}

static void NAME(reduce_columns)(int statistic, const reduce_args *args) {
    int64_t c = 0;
    if (statistic == GATED_PRODUCTS) {
        NAME(reduce_gated_columns)(args);
        return;
    }
    for (; c + PARTS * LANES <= args->columns; c += PARTS * LANES) NAME(reduce_block)(PARTS, LANES, statistic, args, c);
    for (; c + LANES <= args->columns; c += LANES) NAME(reduce_block)(1, LANES, statistic, args, c);
    if (c < args->columns) NAME(reduce_block)(1, args->columns - c, statistic, args, c);
}

static void NAME(reduce_row)(int statistic, const reduce_args *args) {
    const int64_t n = args->columns;
    double second;
    if (statistic == SUMS) {
        NAME(row_sums)(NAME(sums), n, args->x, 0, 0, args->first, &second);
    } else if (statistic == MOMENTS) {
        NAME(row_sums)(NAME(sums), n, args->x, 0, 0, args->first, &second);
        const real about = (real)(*args->first / (double)n);
        NAME(row_sums)(NAME(centred), n, args->x, 0, about, args->first, args->second);
        NAME(about_mean)(args->first, args->second, about, (double)n);
    } else if (statistic == GATED_PRODUCTS) {
        NAME(reduce_gated_row)(args);
    } else {
        NAME(row_sums)(NAME(products), n, args->x, args->dy, *(const real *)args->mean, args->first, args->second);
    }
}
