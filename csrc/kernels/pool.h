/* Pooling: every output of a grid folds a list of taps, the same for all. Vectors run along what lies side by side: channels,
 * or the pixels of a row, which a stride sets apart.
 *
 * Long sums are made of short partial sums, so that large windows stay accurate. Places stand beside values as integers of
 * the same width, and move through the same loads and stores.
 */

#define FOLDED_TAPS 16 /* summed at once, at least */

/* A quick maximum loses NaN, and says so. */
enum { NAME(fold_max), NAME(fold_sum), NAME(fold_quick_max) };

INLINE vec NAME(fold)(const int kind, vec x, vec folded) {
    if (kind == NAME(fold_quick_max)) return v_max(x, folded);
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
/* Makes the call with the form of args. */
#define RUN_COMMON_FORMS(call)                                                                   \
    if (args->in_pairs && args->x_lane == 1) RUN_FORM(call, args->taps, 1, 2, 1)                 \
    if (args->in_pairs) RUN_FORM(call, args->taps, args->x_lane, 2, 1)                           \
    if (args->x_lane == 1 && args->y_lane == 1 && args->taps == 4) RUN_FORM(call, 4, 1, 1, 0)    \
    if (args->x_lane == 1 && args->y_lane == 1 && args->taps == 9) RUN_FORM(call, 9, 1, 1, 0)    \
    if (args->x_lane == 1 && args->y_lane == 1) RUN_FORM(call, args->taps, 1, 1, 0)              \
    if (args->x_lane == 2 && args->y_lane == 1 && args->taps == 4) RUN_FORM(call, 4, 2, 1, 0)    \
    if (args->x_lane == 2 && args->y_lane == 1 && args->taps == 9) RUN_FORM(call, 9, 2, 1, 0)    \
    if (args->x_lane == 2 && args->y_lane == 1) RUN_FORM(call, args->taps, 2, 1, 0)              \
    RUN_FORM(call, args->taps, args->x_lane, args->y_lane, 0)

/* What a kernel works on at once: `parts` vectors of `count` lanes. From one to the next x, y and the place grow by a gap. */
typedef struct {
    int parts;
    int64_t count, x_gap, y_gap, here, here_gap;
} NAME(pool_group);

/* Runs the body for each group of a grid; it begins x_at and y_at from the grid's own beginning. Its vectors are neighbours
 * along the lanes or, where a pixel has no more of these than a vector, its neighbours. Along the lanes the last vector
 * reaches back into the one before, so that it is whole. A pixel of fewer lanes may take some of the next one's, which is
 * written after it. */
#define GROUP(parts, count, at, ...)                                                                                    \
    {                                                                                                                   \
        const NAME(pool_group) group = {parts, count, unit * x_unit, unit * y_unit, here + (at) * here_unit, unit * here_unit}; \
        const int64_t x_at = x_pixel + (at) * x_unit, y_at = y_pixel + (at) * y_unit;                                   \
        __VA_ARGS__                                                                                                     \
    }
#define FOR_GROUPS(...)                                                                                                 \
    do {                                                                                                                \
        const int64_t lanes = args->lanes, along = lanes > LANES, unit = along ? LANES : 1;                             \
        const int spills = 2 * lanes >= LANES && form.x_lane == 1 && form.y_lane == 1 && args->x_step >= lanes && args->y_step == lanes; \
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
                    if (spills)                                                                                         \
                        for (; i < n - 1; i++) GROUP(1, LANES, i, __VA_ARGS__)                                          \
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
                             const int64_t *offset, real divisor, real inverse, vec *doubt) {
    vec folded[PARTS] = {ZERO}, sum[PARTS];
    int64_t piece = form.taps; /* of a sum: about the square root of it */
    if (kind == NAME(fold_sum))
        for (piece = FOLDED_TAPS; piece * piece < form.taps;) piece *= 2;
    for (int64_t begin = 0; begin < form.taps; begin += piece) {
        const int64_t end = begin + piece < form.taps ? begin + piece : form.taps;
        vec part[PARTS];
        FOR_PARTS part[k] = sum[k] = PART_LOAD(x + offset[begin]);
        for (int64_t t = begin + 1; t < end; t++)
            FOR_PARTS {
                vec v = PART_LOAD(x + offset[t]);
                if (kind == NAME(fold_quick_max)) KEEP_IN_REGISTER(v); /* loaded once */
                part[k] = NAME(fold)(kind, v, part[k]);
                if (kind == NAME(fold_quick_max)) sum[k] = sum[k] + v;
            }
        FOR_PARTS folded[k] = begin ? NAME(fold)(kind, part[k], folded[k]) : part[k];
    }
    if (kind == NAME(fold_quick_max) && form.taps > 0) {
        for (int k = 1; k < group.parts; k++) sum[0] = sum[0] + sum[k];
        *doubt = v_fma(sum[0], ZERO, *doubt);
    }
    if (kind != NAME(fold_sum) && form.taps == 0) {
        FOR_PARTS folded[k] = CONSTANT(-__builtin_inf());
    } else if (kind == NAME(fold_sum)) {
        if (inverse != 0) FOR_PARTS folded[k] = folded[k] * v_set1(inverse);
        else FOR_PARTS folded[k] = folded[k] / v_set1(divisor);
    }
    if (form.in_pairs) FOR_PARTS PART_STORE_PAIRS(y, folded[k], folded[k]);
    else FOR_PARTS PART_STORE(y, folded[k]);
}

/* Makes `doubt` NaN if a quick maximum may have lost one. */
INLINE void NAME(fold_grid)(const int kind, const NAME(pool_form) form, const pool_args *args, vec *doubt_) {
    const real *x = args->x, divisor = (real)args->divisor, inverse = NAME(exact_inverse)(args->divisor);
    const int64_t *offset = args->offset;
    real *y = args->y;
    vec doubt = ZERO;
    FOR_GROUPS(NAME(fold_group)(kind, form, group, y + y_at, x + x_at, offset, divisor, inverse, &doubt););
    *doubt_ = doubt;
}

/* One or two vectors of lanes, `at` from where the taps begin. */
INLINE void NAME(fold_line)(const int kind, const int64_t taps, const int parts, const real *const *tap, real *y, int64_t at,
                            real divisor, real inverse, vec *doubt) {
    vec folded[2], sum[2];
    UNROLL for (int k = 0; k < parts; k++) folded[k] = sum[k] = v_load(tap[0] + at + k * LANES);
    UNROLL for (int64_t t = 1; t < taps; t++)
        UNROLL for (int k = 0; k < parts; k++) {
            vec v = v_load(tap[t] + at + k * LANES);
            KEEP_IN_REGISTER(v); /* loaded once */
            folded[k] = NAME(fold)(kind, v, folded[k]);
            if (kind == NAME(fold_quick_max)) sum[k] = sum[k] + v;
        }
    if (kind == NAME(fold_quick_max)) *doubt = v_fma(parts == 2 ? (vec)(sum[0] + sum[1]) : sum[0], ZERO, *doubt);
    UNROLL for (int k = 0; k < parts; k++) {
        if (kind == NAME(fold_sum)) folded[k] = inverse != 0 ? (vec)(folded[k] * v_set1(inverse)) : (vec)(folded[k] / v_set1(divisor));
        v_store(y + at + k * LANES, folded[k]);
    }
}

/* Lanes side by side, at least a vector of them, and so few taps that pointers to all of them stay in registers. */
INLINE void NAME(fold_lines)(const int kind, const int64_t taps, const pool_args *args, vec *doubt_) {
    const int64_t lanes = args->lanes;
    const real divisor = (real)args->divisor, inverse = NAME(exact_inverse)(args->divisor);
    vec doubt = ZERO;
    for (int64_t row = 0; row < args->rows; row++)
        for (int64_t pixel = 0; pixel < args->pixels; pixel++) {
            const real *x = (const real *)args->x + row * args->x_row + pixel * args->x_step, *tap[9];
            real *y = (real *)args->y + row * args->y_row + pixel * args->y_step;
            UNROLL for (int64_t t = 0; t < taps; t++) tap[t] = x + args->offset[t];
            int64_t i = 0;
            for (; i + 2 * LANES <= lanes; i += 2 * LANES)
                NAME(fold_line)(kind, taps, 2, tap, y, i, divisor, inverse, &doubt);
            if (i + LANES <= lanes) NAME(fold_line)(kind, taps, 1, tap, y, i, divisor, inverse, &doubt), i += LANES;
            if (i < lanes) NAME(fold_line)(kind, taps, 1, tap, y, lanes - LANES, divisor, inverse, &doubt);
        }
    *doubt_ = doubt;
}

#define SWEPT 3   /* columns of a window */
#define CHUNK 256 /* lanes whose columns are kept, in L1 */

/* One column of a window, a vector of it. */
INLINE vec NAME(fold_column)(const int kind, const int64_t down, const real *const *tap, int64_t at, vec *sum) {
    vec folded = v_load(tap[0] + at);
    *sum = *sum + folded;
    UNROLL for (int64_t t = 1; t < down; t++) {
        vec v = v_load(tap[t] + at);
        KEEP_IN_REGISTER(v); /* loaded once */
        folded = NAME(fold)(kind, v, folded);
        if (kind == NAME(fold_quick_max)) *sum = *sum + v;
    }
    return folded;
}

/* Windows of three columns that are `stride` columns apart: a column is made once and kept for the windows after it. What is
 * read lies ahead of what is written, so that loads need not wait for stores to addresses of the same low bits, which
 * arrays of one shape often have. */
INLINE void NAME(sweep)(const int kind, const int64_t down, const int64_t stride, const pool_args *args, vec *doubt_) {
    const int64_t lanes = args->lanes, x_tap = args->x_tap;
    const real divisor = (real)args->divisor, inverse = NAME(exact_inverse)(args->divisor);
    vec doubt = ZERO;
    real kept[SWEPT - 1][CHUNK];
    for (int64_t first = 0; first < lanes; first += CHUNK)
        for (int64_t row = 0; row < args->rows; row++) {
            const int64_t end = first + CHUNK < lanes ? first + CHUNK : lanes;
            const real *x = (const real *)args->x + row * args->x_row, *tap[3];
            real *y = (real *)args->y + row * args->y_row, *before = kept[0], *last = kept[1];
            UNROLL for (int64_t t = 0; t < down; t++) tap[t] = x + args->offset[t * SWEPT];
            for (int64_t i = first; i < end; i += LANES) {
                const int64_t at = i + LANES <= lanes ? i : lanes - LANES;
                vec sum = ZERO;
                v_store(last + i - first, NAME(fold_column)(kind, down, tap, at, &sum));
                if (stride == 1) {
                    v_store(before + i - first, v_load(last + i - first));
                    v_store(last + i - first, NAME(fold_column)(kind, down, tap, at + x_tap, &sum));
                }
                if (kind == NAME(fold_quick_max)) doubt = v_fma(sum, ZERO, doubt);
            }
            UNROLL for (int64_t t = 0; t < down; t++) tap[t] += (SWEPT - stride) * x_tap;
            for (int64_t pixel = 0; pixel < args->pixels; pixel++, y += args->y_step) {
                for (int64_t i = first; i < end; i += LANES) {
                    const int64_t at = i + LANES <= lanes ? i : lanes - LANES, here = i - first;
                    vec sum = ZERO, middle = stride == 1 ? v_load(last + here) : NAME(fold_column)(kind, down, tap, at, &sum);
                    const vec newest = NAME(fold_column)(kind, down, tap, at + (stride - 1) * x_tap, &sum);
                    vec folded = NAME(fold)(kind, middle, v_load((stride == 1 ? before : last) + here));
                    folded = NAME(fold)(kind, newest, folded);
                    v_store((stride == 1 ? before : last) + here, newest);
                    if (kind == NAME(fold_quick_max)) doubt = v_fma(sum, ZERO, doubt);
                    else folded = inverse != 0 ? (vec)(folded * v_set1(inverse)) : (vec)(folded / v_set1(divisor));
                    v_store(y + at, folded);
                }
                UNROLL for (int64_t t = 0; t < down; t++) tap[t] += stride * x_tap;
                if (stride == 1) {
                    real *const swap = before;
                    before = last;
                    last = swap;
                }
            }
        }
    *doubt_ = doubt;
}

#define SWEEP(kind, down, stride)                                                       \
    if (args->taps == (down) * SWEPT && args->x_step == (stride) * args->x_tap) {       \
        NAME(sweep)(NAME(kind), down, stride, args, doubt);                             \
        return;                                                                         \
    }

/* Folds lines where it can; the case of each number of taps returns. */
#define LINES(kind, number)                                  \
    if (args->taps == (number)) {                            \
        NAME(fold_lines)(NAME(kind), number, args, doubt);   \
        return;                                              \
    }
#define RUN_LINES(kind)                                                                          \
    if (args->x_lane == 1 && args->y_lane == 1 && args->lanes >= LANES && !args->in_pairs) {     \
        if (args->along == SWEPT && args->pixels > 2) {                                          \
            SWEEP(kind, 2, 1) SWEEP(kind, 3, 1) SWEEP(kind, 2, 2) SWEEP(kind, 3, 2)              \
        }                                                                                        \
        LINES(kind, 2) LINES(kind, 3) LINES(kind, 4) LINES(kind, 6) LINES(kind, 8) LINES(kind, 9) \
    }

#define STREAMED_TAPS 8

/* Sums of many taps over many lanes, a few taps at a time, so that memory is read in its order. */
static void NAME(sum_streams)(const pool_args *args) {
    const real divisor = (real)args->divisor;
    const int64_t *offset = args->offset;
    for (int64_t row = 0; row < args->rows; row++)
        for (int64_t pixel = 0; pixel < args->pixels; pixel++) {
            const real *x = (const real *)args->x + row * args->x_row + pixel * args->x_step;
            real *y = (real *)args->y + row * args->y_row + pixel * args->y_step;
            for (int64_t begin = 0; begin < args->taps; begin += STREAMED_TAPS) {
                const int64_t end = begin + STREAMED_TAPS < args->taps ? begin + STREAMED_TAPS : args->taps;
                const int whole = end - begin == STREAMED_TAPS;
                const int64_t *o = offset + begin;
                FOR_VECTORS(args->lanes, {
                    vec sum = LOAD(x + o[0]);
                    if (whole) UNROLL for (int t = 1; t < STREAMED_TAPS; t++) sum = sum + LOAD(x + o[t]);
                    else
                        for (int64_t t = 1; t < end - begin; t++) sum = sum + LOAD(x + o[t]);
                    if (begin) sum = sum + LOAD(y);
                    if (end == args->taps) sum = sum / v_set1(divisor);
                    STORE(y, sum);
                });
            }
        }
}

static void NAME(pool_quick_max)(const pool_args *args, vec *doubt) {
    RUN_LINES(fold_quick_max)
    RUN_COMMON_FORMS(NAME(fold_grid)(NAME(fold_quick_max), form, args, doubt))
}

static void NAME(pool_max)(const pool_args *args) {
    vec doubt;
    real lanes[LANES], sum = 0;
    NAME(pool_quick_max)(args, &doubt);
    v_store(lanes, doubt);
    for (int l = 0; l < LANES; l++) sum += lanes[l];
    if (sum == 0) return; /* else it is NaN */
    RUN_COMMON_FORMS(NAME(fold_grid)(NAME(fold_max), form, args, &doubt))
}

static void NAME(pool_sum)(const pool_args *args) {
    vec unused, *doubt = &unused;
    RUN_LINES(fold_sum)
    const int is_stream = args->pixels == 1 && args->lanes >= 8 * LANES && args->x_lane == 1 && args->y_lane == 1;
    if (is_stream && args->taps >= FOLDED_TAPS && args->taps <= FOLDED_TAPS * FOLDED_TAPS) {
        NAME(sum_streams)(args);
        return;
    }
    RUN_COMMON_FORMS(NAME(fold_grid)(NAME(fold_sum), form, args, doubt))
}

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

/* The first of equals and the last NaN wins. Taps stand at the group's place + place[t] or, if `paired`, where x_place says. */
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
            const ivec better = (v > most[k]) | (v != v);
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
    RUN_COMMON_FORMS(NAME(argmax_grid)(0, form, args))
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
#undef STREAMED_TAPS
#undef LINES
#undef SWEPT
#undef CHUNK
#undef SWEEP
#undef RUN_LINES
#undef RUN_FORM
#undef RUN_COMMON_FORMS
#undef GROUP
#undef FOR_GROUPS
#undef FOR_PARTS
#undef PART_LOAD
#undef PART_STORE
#undef PART_STORE_PAIRS
#undef SPLAT
