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

/* A group is `parts` vectors of channels, or `count` channels in one; RUN_GROUPS runs a function that takes these two
 * first, and last the channel where a group begins, over all n channels. */
#define GROUP_LOAD(p) (count == LANES ? v_load((p) + k * LANES) : v_load_n(p, count))
#define GROUP_STORE(p, v)                                  \
    do {                                                   \
        if (count == LANES) v_store((p) + k * LANES, (v)); \
        else v_store_n((p), (v), count);                   \
    } while (0)
#define FOR_GROUP UNROLL for (int k = 0; k < parts; k++)
#define RUN_GROUPS(n, function, ...)                                                             \
    do {                                                                                         \
        int64_t c = 0;                                                                           \
        for (; c + PARTS * LANES <= (n); c += PARTS * LANES) function(PARTS, LANES, __VA_ARGS__, c); \
        for (; c + LANES <= (n); c += LANES) function(1, LANES, __VA_ARGS__, c);                 \
        if (c < (n)) function(1, (n) - c, __VA_ARGS__, c);                                       \
    } while (0)

INLINE void NAME(fold_group)(const int parts, const int64_t count, const int kind, const int64_t taps, real *y, const real *x,
                             const int64_t *offset, real divisor, real inverse, int64_t c) {
    vec folded[PARTS] = {ZERO};
    int64_t piece = taps; /* of a sum: about the square root of it */
    if (kind == NAME(fold_sum))
        for (piece = FOLDED_TAPS; piece * piece < taps;) piece *= 2;
    x += c;
    for (int64_t begin = 0; begin < taps; begin += piece) {
        const int64_t end = begin + piece < taps ? begin + piece : taps;
        vec part[PARTS];
        FOR_GROUP part[k] = GROUP_LOAD(x + offset[begin]);
        for (int64_t t = begin + 1; t < end; t++)
            FOR_GROUP part[k] = NAME(fold)(kind, GROUP_LOAD(x + offset[t]), part[k]);
        FOR_GROUP folded[k] = begin ? NAME(fold)(kind, part[k], folded[k]) : part[k];
    }
    if (kind == NAME(fold_sum)) {
        if (inverse != 0) FOR_GROUP folded[k] = folded[k] * v_set1(inverse);
        else FOR_GROUP folded[k] = folded[k] / v_set1(divisor);
    }
    FOR_GROUP GROUP_STORE(y + c, folded[k]);
}

INLINE void NAME(fill_group)(const int parts, const int64_t count, real *y, vec value, int64_t c) {
    FOR_GROUP GROUP_STORE(y + c, value);
}

/* Runs the body for each pixel of the grid, at x and y and from place `here` on. */
#define FOR_GRID(...)                                                                                                   \
    for (int64_t row = 0; row < rows; row++)                                                                            \
        for (int64_t pixel = 0; pixel < pixels; pixel++) {                                                              \
            const int64_t x_at = row * x_row + pixel * x_step, y_at = row * y_row + pixel * y_step;                     \
            __VA_ARGS__                                                                                                 \
        }
#define READ_GRID(args)                                                                                                 \
    const int64_t rows = (args)->rows, pixels = (args)->pixels, channels = (args)->channels, x_row = (args)->x_row,     \
                  x_step = (args)->x_step, y_row = (args)->y_row, y_step = (args)->y_step

INLINE void NAME(fold_grid)(const int kind, const int64_t taps, const pool_args *args) {
    READ_GRID(args);
    const real *x = args->x, divisor = (real)args->divisor, inverse = NAME(exact_inverse)(args->divisor);
    const int64_t *offset = args->offset;
    real *y = args->y;
    FOR_GRID({
        if (taps) RUN_GROUPS(channels, NAME(fold_group), kind, taps, y + y_at, x + x_at, offset, divisor, inverse);
        else RUN_GROUPS(channels, NAME(fill_group), y + y_at, kind == NAME(fold_max) ? CONSTANT(-__builtin_inf()) : ZERO);
    })
}

INLINE void NAME(pool)(const int kind, const pool_args *args) {
    switch (args->taps) { /* the common ones with loops unrolled */
    case 1: NAME(fold_grid)(kind, 1, args); break;
    case 2: NAME(fold_grid)(kind, 2, args); break;
    case 3: NAME(fold_grid)(kind, 3, args); break;
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
                               const real *x, const real *x_place, const int64_t *offset, const int64_t *place, int64_t here,
                               int64_t c) {
    vec most[PARTS];
    ivec best[PARTS];
    x += c;
    x_place += paired ? c : 0;
    FOR_GROUP most[k] = GROUP_LOAD(x + offset[0]);
    FOR_GROUP best[k] = paired ? (ivec)GROUP_LOAD(x_place + offset[0]) : SPLAT(place[0]);
    for (int64_t t = 1; t < taps; t++)
        FOR_GROUP {
            const vec v = GROUP_LOAD(x + offset[t]);
            const ivec there = paired ? (ivec)GROUP_LOAD(x_place + offset[t]) : SPLAT(place[t]);
            ivec better = (v > most[k]) | (v != v);
            if (paired)
                better = (v > most[k]) | ((v == most[k]) & (there < best[k])) |
                         ((v != v) & ((most[k] == most[k]) | (there > best[k])));
            most[k] = NAME(select)(better, v, most[k]);
            best[k] = (there & better) | (best[k] & ~better);
        }
    if (!paired) FOR_GROUP best[k] += SPLAT(here);
    if (y) FOR_GROUP GROUP_STORE(y + c, most[k]);
    FOR_GROUP GROUP_STORE(y_place + c, (vec)best[k]);
}

INLINE void NAME(argmax_grid)(const int paired, const int64_t taps, const pool_args *args) {
    READ_GRID(args);
    const real *x = args->x, *x_place = args->x_place;
    real *y = args->y, *y_place = args->y_place;
    FOR_GRID({
        const int64_t here = args->here + row * args->here_row + pixel * args->here_step;
        if (taps) {
            RUN_GROUPS(channels, NAME(argmax_group), paired, taps, y ? y + y_at : 0, y_place + y_at, x + x_at,
                       paired ? x_place + x_at : 0, args->offset, args->place, here);
        } else {
            if (y) RUN_GROUPS(channels, NAME(fill_group), y + y_at, CONSTANT(-__builtin_inf()));
            RUN_GROUPS(channels, NAME(fill_group), y_place + y_at, (vec)SPLAT(-1));
        }
    })
}

static void NAME(pool_argmax)(const pool_args *args) {
    if (args->x_place) NAME(argmax_grid)(1, args->taps, args);
    else if (args->taps == 4) NAME(argmax_grid)(0, 4, args);
    else if (args->taps == 9) NAME(argmax_grid)(0, 9, args);
    else NAME(argmax_grid)(0, args->taps, args);
}

INLINE void NAME(claim_group)(const int parts, const int64_t count, const int64_t taps, real *y, const real *x,
                              const real *x_place, const int64_t *offset, int64_t here, int64_t c) {
    const ivec self = SPLAT(here);
    vec sum[PARTS];
    FOR_GROUP sum[k] = ZERO;
    x += c;
    x_place += c;
    for (int64_t t = 0; t < taps; t++)
        FOR_GROUP {
            const ivec mine = (ivec)GROUP_LOAD(x_place + offset[t]) == self;
            sum[k] = sum[k] + (vec)(mine & (ivec)GROUP_LOAD(x + offset[t]));
        }
    FOR_GROUP GROUP_STORE(y + c, sum[k]);
}

INLINE void NAME(claim_grid)(const int64_t taps, const pool_args *args) {
    READ_GRID(args);
    const real *x = args->x, *x_place = args->x_place;
    real *y = args->y;
    FOR_GRID({
        const int64_t here = args->here + row * args->here_row + pixel * args->here_step;
        RUN_GROUPS(channels, NAME(claim_group), taps, y + y_at, x + x_at, x_place + x_at, args->offset, here);
    })
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
#undef GROUP_LOAD
#undef GROUP_STORE
#undef FOR_GROUP
#undef RUN_GROUPS
#undef FOR_GRID
#undef READ_GRID
#undef SPLAT
