/* Pooling: every output of a grid folds a list of taps, the same for all. Vectors run along what lies side by side: channels,
 * or the pixels of a row, which a stride sets apart.
 *
 * Long sums are made of short partial sums, so that large windows stay accurate. Places stand beside values as integers of
 * the same width, and move through the same loads and stores.
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

/* Lanes that are `lane` elements apart; the first `count` of them. */
static __attribute__((noinline)) vec NAME(gather_lanes)(const real *p, int64_t lane, int64_t count) {
    real lanes[LANES] = {0};
    for (int64_t l = 0; l < count; l++) lanes[l] = p[l * lane];
    return v_load(lanes);
}
static __attribute__((noinline)) void NAME(scatter_lanes)(real *p, vec v, int64_t lane, int64_t count) {
    real lanes[LANES];
    v_store(lanes, v);
    for (int64_t l = 0; l < count; l++) p[l * lane] = lanes[l];
}
INLINE vec NAME(load_lanes)(const real *p, const int64_t lane, const int64_t count) {
    if (lane == 1) return count == LANES ? v_load(p) : v_load_n(p, count);
    if (lane == 2 && count == LANES) return v_load_even(p);
    return NAME(gather_lanes)(p, lane, count);
}
INLINE void NAME(store_lanes)(real *p, vec v, const int64_t lane, const int64_t count) {
    if (lane == 1 && count == LANES) v_store(p, v);
    else if (lane == 1) v_store_n(p, v, count);
    else if (lane == 2 && count == LANES) v_store_even(p, v);
    else NAME(scatter_lanes)(p, v, lane, count);
}

/* Lanes of a and b in turn: two elements of y for each. */
INLINE void NAME(store_pairs)(real *p, vec a, vec b, const int64_t count) {
    vec low, high;
    v_interleave(a, b, &low, &high);
    if (count == LANES) {
        v_store(p, low);
        v_store(p + LANES, high);
    } else {
        NAME(scatter_lanes)(p, a, 2, count);
        NAME(scatter_lanes)(p + 1, b, 2, count);
    }
}

/* What is often the same: number of taps, distances of lanes, and whether each makes a pair of elements of y. Kernels are
 * compiled with the common forms as constants. */
typedef struct {
    int64_t taps, x_lane, y_lane;
    int in_pairs;
} NAME(pool_form);

#define RUN_FORM(call, ...)                               \
    {                                                     \
        const NAME(pool_form) form = {__VA_ARGS__};       \
        call;                                             \
        return;                                           \
    }
#define RUN_TAPS(call, few, many, ...)                              \
    {                                                               \
        if (args->taps == (few)) RUN_FORM(call, few, __VA_ARGS__)   \
        if (args->taps == (many)) RUN_FORM(call, many, __VA_ARGS__) \
        RUN_FORM(call, args->taps, __VA_ARGS__)                     \
    }
/* Makes the call with the form of args, which has `few` taps, `many`, or some. */
#define RUN_COMMON_FORMS(call, few, many)                                              \
    if (args->in_pairs) RUN_FORM(call, args->taps, 1, 2, 1)                            \
    if (args->x_lane == 1 && args->y_lane == 1) RUN_TAPS(call, few, many, 1, 1, 0)     \
    if (args->x_lane == 2 && args->y_lane == 1) RUN_TAPS(call, few, many, 2, 1, 0)     \
    RUN_FORM(call, args->taps, args->x_lane, args->y_lane, 0)

/* What a kernel works on at once: `parts` vectors of `count` lanes. From one to the next x, y and the place grow by a gap. */
typedef struct {
    int parts;
    int64_t count, x_gap, y_gap, here, here_gap;
} NAME(pool_group);

/* Runs the body for each group of a grid; it begins x_at and y_at from the grid's own beginning. Its vectors are neighbours
 * along the lanes or, where a pixel has no more of these than a vector, its neighbours. Along the lanes the last vector
 * reaches back into the one before, so that it is whole. */
#define GROUP(parts, count, at, ...)                                                                                    \
    {                                                                                                                   \
        const NAME(pool_group) group = {parts, count, unit * x_unit, unit * y_unit, here + (at) * here_unit, unit * here_unit}; \
        const int64_t x_at = x_pixel + (at) * x_unit, y_at = y_pixel + (at) * y_unit;                                   \
        __VA_ARGS__                                                                                                     \
    }
#define FOR_GROUPS(...)                                                                                                 \
    do {                                                                                                                \
        const int64_t lanes = args->lanes, along = lanes > LANES, unit = along ? LANES : 1;                             \
        const int64_t pixels = along ? args->pixels : 1, n = along ? lanes : args->pixels;                              \
        const int64_t x_unit = along ? form.x_lane : args->x_step, y_unit = along ? form.y_lane : args->y_step;         \
        const int64_t here_unit = along ? args->here_lane : args->here_step;                                            \
        for (int64_t row = 0; row < args->rows; row++)                                                                  \
            for (int64_t pixel = 0; pixel < pixels; pixel++) {                                                          \
                const int64_t x_pixel = row * args->x_row + pixel * args->x_step;                                       \
                const int64_t y_pixel = row * args->y_row + pixel * args->y_step;                                       \
                const int64_t here = args->here + row * args->here_row + pixel * args->here_step;                       \
                int64_t i = 0;                                                                                          \
                if (lanes < LANES) {                                                                                    \
                    for (; i < n; i++) GROUP(1, lanes, i, __VA_ARGS__)                                                  \
                    continue;                                                                                           \
                }                                                                                                       \
                for (; i + PARTS * unit <= n; i += PARTS * unit) GROUP(PARTS, LANES, i, __VA_ARGS__)                    \
                for (; i < n; i += unit) GROUP(1, LANES, (i + unit <= n ? i : n - unit), __VA_ARGS__)                   \
            }                                                                                                           \
    } while (0)
#define FOR_PARTS UNROLL for (int k = 0; k < group.parts; k++)
#define PART_LOAD(p) NAME(load_lanes)((p) + k * group.x_gap, form.x_lane, group.count)
#define PART_STORE(p, v) NAME(store_lanes)((p) + k * group.y_gap, (v), form.y_lane, group.count)
#define PART_STORE_PAIRS(p, a, b) NAME(store_pairs)((p) + k * group.y_gap, (a), (b), group.count)

INLINE void NAME(fold_group)(const int kind, const NAME(pool_form) form, const NAME(pool_group) group, real *y, const real *x,
                             const int64_t *offset, real divisor, real inverse) {
    vec folded[PARTS] = {ZERO};
    int64_t piece = form.taps; /* of a sum: about the square root of it */
    if (kind == NAME(fold_sum))
        for (piece = FOLDED_TAPS; piece * piece < form.taps;) piece *= 2;
    for (int64_t begin = 0; begin < form.taps; begin += piece) {
        const int64_t end = begin + piece < form.taps ? begin + piece : form.taps;
        vec part[PARTS];
        FOR_PARTS part[k] = PART_LOAD(x + offset[begin]);
        for (int64_t t = begin + 1; t < end; t++)
            FOR_PARTS part[k] = NAME(fold)(kind, PART_LOAD(x + offset[t]), part[k]);
        FOR_PARTS folded[k] = begin ? NAME(fold)(kind, part[k], folded[k]) : part[k];
    }
    if (kind == NAME(fold_max) && form.taps == 0) {
        FOR_PARTS folded[k] = CONSTANT(-__builtin_inf());
    } else if (kind == NAME(fold_sum)) {
        if (inverse != 0) FOR_PARTS folded[k] = folded[k] * v_set1(inverse);
        else FOR_PARTS folded[k] = folded[k] / v_set1(divisor);
    }
    if (form.in_pairs) FOR_PARTS PART_STORE_PAIRS(y, folded[k], folded[k]);
    else FOR_PARTS PART_STORE(y, folded[k]);
}

INLINE void NAME(fold_grid)(const int kind, const NAME(pool_form) form, const pool_args *args) {
    const real *x = args->x, divisor = (real)args->divisor, inverse = NAME(exact_inverse)(args->divisor);
    const int64_t *offset = args->offset;
    real *y = args->y;
    FOR_GROUPS(NAME(fold_group)(kind, form, group, y + y_at, x + x_at, offset, divisor, inverse););
}

static void NAME(pool_max)(const pool_args *args) { RUN_COMMON_FORMS(NAME(fold_grid)(NAME(fold_max), form, args), 4, 9) }
static void NAME(pool_sum)(const pool_args *args) { RUN_COMMON_FORMS(NAME(fold_grid)(NAME(fold_sum), form, args), 4, 9) }

#define SPLAT(n) ((ivec)ZERO + (integer)(n))

/* 0, step, 2·step, … */
INLINE ivec NAME(ramp)(int64_t step) {
    union {
        integer place[LANES];
        real lanes[LANES];
    } ramp;
    for (int l = 0; l < LANES; l++) ramp.place[l] = (integer)(l * step);
    return (ivec)v_load(ramp.lanes);
}

/* The first of equals and the last NaN wins. Taps come in that order, and stand at the group's place + place[t]; or, if
 * `paired`, in any, and their places are read from x_place. */
INLINE void NAME(argmax_group)(const int paired, const NAME(pool_form) form, const NAME(pool_group) group, real *y, real *y_place,
                               const real *x, const real *x_place, const int64_t *offset, const int64_t *place, ivec ramp) {
    vec most[PARTS];
    ivec best[PARTS];
    FOR_PARTS most[k] = form.taps ? PART_LOAD(x + offset[0]) : CONSTANT(-__builtin_inf());
    FOR_PARTS best[k] = !form.taps ? SPLAT(-1) : paired ? (ivec)PART_LOAD(x_place + offset[0]) : SPLAT(place[0]);
    for (int64_t t = 1; t < form.taps; t++)
        FOR_PARTS {
            const vec v = PART_LOAD(x + offset[t]);
            const ivec there = paired ? (ivec)PART_LOAD(x_place + offset[t]) : SPLAT(place[t]);
            ivec better = (v > most[k]) | (v != v);
            if (paired)
                better = (v > most[k]) | ((v == most[k]) & (there < best[k])) |
                         ((v != v) & ((most[k] == most[k]) | (there > best[k])));
            most[k] = NAME(select)(better, v, most[k]);
            best[k] = (there & better) | (best[k] & ~better);
        }
    if (!paired && form.taps) FOR_PARTS best[k] += ramp + SPLAT(group.here + k * group.here_gap);
    if (y) FOR_PARTS PART_STORE(y, most[k]);
    FOR_PARTS PART_STORE(y_place, (vec)best[k]);
}

INLINE void NAME(argmax_grid)(const int paired, const NAME(pool_form) form, const pool_args *args) {
    const real *x = args->x, *x_place = args->x_place;
    const int64_t *offset = args->offset, *place = args->place;
    const ivec ramp = NAME(ramp)(args->here_lane);
    real *y = args->y, *y_place = args->y_place;
    FOR_GROUPS(NAME(argmax_group)(paired, form, group, y ? y + y_at : 0, y_place + y_at, x + x_at, paired ? x_place + x_at : 0,
                                  offset, place, ramp););
}

static void NAME(pool_argmax)(const pool_args *args) {
    if (args->x_place) RUN_FORM(NAME(argmax_grid)(1, form, args), args->taps, args->x_lane, args->y_lane, 0)
    RUN_COMMON_FORMS(NAME(argmax_grid)(0, form, args), 4, 9)
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
#undef RUN_FORM
#undef RUN_TAPS
#undef RUN_COMMON_FORMS
#undef GROUP
#undef FOR_GROUPS
#undef FOR_PARTS
#undef PART_LOAD
#undef PART_STORE
#undef PART_STORE_PAIRS
#undef SPLAT
