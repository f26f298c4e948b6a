/* Pooling of pixels that are contiguous channels: every output folds a list of taps, the same for a whole grid of them.
 *
 * Vectors run along the channels. Long sums are made of short partial sums, so that large windows stay accurate.
 * Places stand beside values as integers of the same width, and move through the same loads and stores.
 */

#define FOLDED_TAPS 16 /* summed at once, at least */

enum { NAME(fold_max), NAME(fold_sum) };

INLINE vec NAME(fold)(const int kind, vec x, vec folded) {
    return kind == NAME(fold_max) ? v_max_nan(x, folded) : (vec)(folded + x);
}

/* 1 / x where multiplying by it is exact, else 0 */
INLINE real NAME(exact_inverse)(double x) {
    const int64_t n = (int64_t)x;
    return (double)n == x && n > 0 && (n & (n - 1)) == 0 ? (real)(1 / x) : 0;
}

/* Runs the body for each group of a grid: `parts` vectors of `count` elements, which are neighbours among the channels of a
 * pixel or, where these are no more than a vector, the pixels themselves. The group begins at offsets x_at, y_at and place
 * here; from vector to vector they grow by x_gap, y_gap and here_gap. */
#define GROUP(parts_, count_, c, ...)                                     \
    {                                                                     \
        enum { parts = parts_ };                                          \
        const int64_t count = count_, x_at = x_pixel + (c), y_at = y_pixel + (c); \
        __VA_ARGS__                                                       \
    }
#define FOR_PIXELS(n) for (; pixel + (n) <= pixels; pixel += (n), x_pixel += (n) * x_step, y_pixel += (n) * y_step, here += (n) * here_step)
#define FOR_GROUPS(args, ...)                                                                                \
    for (int64_t row = 0; row < (args)->rows; row++) {                                                       \
        const int64_t pixels = (args)->pixels, channels = (args)->channels, x_step = (args)->x_step,         \
                      y_step = (args)->y_step, here_step = (args)->here_step;                                \
        int64_t pixel = 0, x_pixel = row * (args)->x_row, y_pixel = row * (args)->y_row,                     \
                here = (args)->here + row * (args)->here_row;                                                \
        if (channels > LANES) {                                                                              \
            const int64_t x_gap = LANES, y_gap = LANES, here_gap __attribute__((unused)) = 0;                \
            FOR_PIXELS(1) {                                                                                  \
                int64_t c = 0;                                                                               \
                for (; c + PARTS * LANES <= channels; c += PARTS * LANES) GROUP(PARTS, LANES, c, __VA_ARGS__) \
                for (; c + LANES <= channels; c += LANES) GROUP(1, LANES, c, __VA_ARGS__)                    \
                if (c < channels) GROUP(1, channels - c, c, __VA_ARGS__)                                     \
            }                                                                                                \
        } else {                                                                                             \
            const int64_t x_gap = x_step, y_gap = y_step, here_gap __attribute__((unused)) = here_step;      \
            if (channels == LANES) FOR_PIXELS(PARTS) GROUP(PARTS, LANES, 0, __VA_ARGS__)                     \
            FOR_PIXELS(PARTS) GROUP(PARTS, channels, 0, __VA_ARGS__)                                         \
            FOR_PIXELS(1) GROUP(1, channels, 0, __VA_ARGS__)                                                 \
        }                                                                                                    \
    }
#define GROUP_LOAD(p, gap) (count == LANES ? v_load((p) + k * (gap)) : v_load_n((p) + k * (gap), count))
#define GROUP_STORE(p, gap, v)                              \
    do {                                                    \
        if (count == LANES) v_store((p) + k * (gap), (v));  \
        else v_store_n((p) + k * (gap), (v), count);        \
    } while (0)
#define FOR_GROUP UNROLL for (int k = 0; k < parts; k++)

INLINE void NAME(fold_group)(const int parts, const int64_t count, const int kind, const int64_t taps, real *y, int64_t y_gap,
                             const real *x, int64_t x_gap, const int64_t *offset, real divisor, real inverse) {
    vec folded[PARTS] = {ZERO};
    int64_t piece = taps; /* of a sum: about the square root of it */
    if (kind == NAME(fold_sum))
        for (piece = FOLDED_TAPS; piece * piece < taps;) piece *= 2;
    for (int64_t begin = 0; begin < taps; begin += piece) {
        const int64_t end = begin + piece < taps ? begin + piece : taps;
        vec part[PARTS];
        FOR_GROUP part[k] = GROUP_LOAD(x + offset[begin], x_gap);
        for (int64_t t = begin + 1; t < end; t++)
            FOR_GROUP part[k] = NAME(fold)(kind, GROUP_LOAD(x + offset[t], x_gap), part[k]);
        FOR_GROUP folded[k] = begin ? NAME(fold)(kind, part[k], folded[k]) : part[k];
    }
    if (kind == NAME(fold_sum)) {
        if (inverse != 0) FOR_GROUP folded[k] = folded[k] * v_set1(inverse);
        else FOR_GROUP folded[k] = folded[k] / v_set1(divisor);
    } else if (taps == 0) {
        FOR_GROUP folded[k] = CONSTANT(-__builtin_inf());
    }
    FOR_GROUP GROUP_STORE(y, y_gap, folded[k]);
}

INLINE void NAME(fold_grid)(const int kind, const int64_t taps, const pool_args *args) {
    const real *x = args->x, divisor = (real)args->divisor, inverse = NAME(exact_inverse)(args->divisor);
    const int64_t *offset = args->offset;
    real *y = args->y;
    FOR_GROUPS(args, NAME(fold_group)(parts, count, kind, taps, y + y_at, y_gap, x + x_at, x_gap, offset, divisor, inverse);)
}

INLINE void NAME(pool)(const int kind, const pool_args *args) {
    switch (args->taps) { /* the common ones with loops unrolled */
    case 1: NAME(fold_grid)(kind, 1, args); break;
    case 4: NAME(fold_grid)(kind, 4, args); break;
    case 9: NAME(fold_grid)(kind, 9, args); break;
    default: NAME(fold_grid)(kind, args->taps, args);
    }
}
static void NAME(pool_max)(const pool_args *args) { NAME(pool)(NAME(fold_max), args); }
static void NAME(pool_sum)(const pool_args *args) { NAME(pool)(NAME(fold_sum), args); }

#define SPLAT(n) ((ivec)ZERO + (integer)(n))

/* The first of equals and the last NaN wins. Taps come in that order, and stand at here + place[t]; or, if `paired`, in
 * any, and their places are read from x_place. */
INLINE void NAME(argmax_group)(const int parts, const int64_t count, const int paired, const int64_t taps, real *y, real *y_place,
                               int64_t y_gap, const real *x, const real *x_place, int64_t x_gap, const int64_t *offset,
                               const int64_t *place, int64_t here, int64_t here_gap) {
    vec most[PARTS];
    ivec best[PARTS];
    FOR_GROUP most[k] = taps ? GROUP_LOAD(x + offset[0], x_gap) : CONSTANT(-__builtin_inf());
    FOR_GROUP best[k] = !taps ? SPLAT(-1) : paired ? (ivec)GROUP_LOAD(x_place + offset[0], x_gap) : SPLAT(here + k * here_gap + place[0]);
    for (int64_t t = 1; t < taps; t++)
        FOR_GROUP {
            const vec v = GROUP_LOAD(x + offset[t], x_gap);
            const ivec there = paired ? (ivec)GROUP_LOAD(x_place + offset[t], x_gap) : SPLAT(here + k * here_gap + place[t]);
            ivec better = (v > most[k]) | (v != v);
            if (paired)
                better = (v > most[k]) | ((v == most[k]) & (there < best[k])) |
                         ((v != v) & ((most[k] == most[k]) | (there > best[k])));
            most[k] = NAME(select)(better, v, most[k]);
            best[k] = (there & better) | (best[k] & ~better);
        }
    if (y) FOR_GROUP GROUP_STORE(y, y_gap, most[k]);
    FOR_GROUP GROUP_STORE(y_place, y_gap, (vec)best[k]);
}

INLINE void NAME(argmax_grid)(const int paired, const int64_t taps, const pool_args *args) {
    const real *x = args->x, *x_place = args->x_place;
    const int64_t *offset = args->offset, *place = args->place;
    real *y = args->y, *y_place = args->y_place;
    FOR_GROUPS(args, NAME(argmax_group)(parts, count, paired, taps, y ? y + y_at : 0, y_place + y_at, y_gap, x + x_at,
                                        paired ? x_place + x_at : 0, x_gap, offset, place, here, here_gap);)
}

static void NAME(pool_argmax)(const pool_args *args) {
    if (args->x_place) NAME(argmax_grid)(1, args->taps, args);
    else if (args->taps == 4) NAME(argmax_grid)(0, 4, args);
    else if (args->taps == 9) NAME(argmax_grid)(0, 9, args);
    else NAME(argmax_grid)(0, args->taps, args);
}

INLINE void NAME(claim_group)(const int parts, const int64_t count, const int64_t taps, real *y, int64_t y_gap, const real *x,
                              const real *x_place, int64_t x_gap, const int64_t *offset, int64_t here, int64_t here_gap) {
    vec sum[PARTS];
    FOR_GROUP sum[k] = ZERO;
    for (int64_t t = 0; t < taps; t++)
        FOR_GROUP {
            const ivec mine = (ivec)GROUP_LOAD(x_place + offset[t], x_gap) == SPLAT(here + k * here_gap);
            sum[k] = sum[k] + (vec)(mine & (ivec)GROUP_LOAD(x + offset[t], x_gap));
        }
    FOR_GROUP GROUP_STORE(y, y_gap, sum[k]);
}

INLINE void NAME(claim_grid)(const int64_t taps, const pool_args *args) {
    const real *x = args->x, *x_place = args->x_place;
    const int64_t *offset = args->offset;
    real *y = args->y;
    FOR_GROUPS(args, NAME(claim_group)(parts, count, taps, y + y_at, y_gap, x + x_at, x_place + x_at, x_gap, offset, here,
                                       here_gap);)
}

static void NAME(pool_claim)(const pool_args *args) {
    switch (args->taps) {
    case 1: NAME(claim_grid)(1, args); break;
    case 2: NAME(claim_grid)(2, args); break;
    case 4: NAME(claim_grid)(4, args); break;
    default: NAME(claim_grid)(args->taps, args);
    }
}

static void NAME(pool_scatter)(void *dx_, const void *dy_, const void *place_, int64_t pixels, int64_t channels) {
    real *dx = dx_;
    const real *dy = dy_;
    const integer *place = place_;
    for (int64_t p = 0; p < pixels; p++, dy += channels, place += channels)
        for (int64_t c = 0; c < channels; c++)
            if (place[c] >= 0) dx[place[c] * channels + c] += dy[c];
}

static void NAME(pool_number)(int64_t *y, int64_t step, int64_t channel_step, const void *place_, int64_t base, int64_t pixels,
                              int64_t channels) {
    const integer *place = place_;
    if (channel_step == 1)
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t c = 0; c < channels; c++) {
                const int64_t at = place[p * channels + c];
                y[p * step + c] = at < 0 ? -1 : base + at;
            }
    else
        for (int64_t c = 0; c < channels; c++)
            for (int64_t p = 0; p < pixels; p++) {
                const int64_t at = place[p * channels + c];
                y[p * step + c * channel_step] = at < 0 ? -1 : base + at;
            }
}
#undef FOLDED_TAPS
#undef GROUP
#undef FOR_PIXELS
#undef FOR_GROUPS
#undef GROUP_LOAD
#undef GROUP_STORE
#undef FOR_GROUP
#undef SPLAT
