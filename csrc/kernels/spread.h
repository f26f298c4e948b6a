/* The gradient of a maximum: each window looks for its maximum. Where windows do not overlap it writes dx at all of its taps,
 * elsewhere it adds to them. */

#define SPLAT(n) ((ivec)ZERO + (integer)(n))

/* v takes the place of the maximum so far: it is larger, or NaN. The first of equals stays. */
INLINE void NAME(keep_larger)(vec v, int64_t tap, vec *most, ivec *best) {
    const ivec better = (v > *most) | (v != v);
    *most = NAME(select)(better, v, *most);
    *best = (ivec)NAME(select)(better, (vec)SPLAT(tap), (vec)*best);
}

INLINE vec NAME(share)(vec dy, ivec best, int64_t tap) { return (vec)((best == SPLAT(tap)) & (ivec)dy); }

/* The first `count` of LANES channels of one pixel. */
INLINE void NAME(spread_pixel)(const int64_t taps, const int64_t count, const int64_t *offset, real *dx, const real *x,
                               const real *dys) {
    const int64_t i = 0;
    vec most = LOAD(x + offset[0]);
    ivec best = SPLAT(0);
    for (int64_t t = 1; t < taps; t++) NAME(keep_larger)(LOAD(x + offset[t]), t, &most, &best);
    const vec dy = LOAD(dys);
    for (int64_t t = 0; t < taps; t++) STORE(dx + offset[t], NAME(share)(dy, best, t));
}

INLINE void NAME(spread_channels)(const int64_t taps, const spread_args *args, real *dx, const real *x, const real *dy) {
    const int64_t *offset = args->offset, lanes = args->lanes;
    for (int64_t p = 0; p < args->pixels; p++, x += args->x_step, dx += args->x_step, dy += args->dy_step) {
        int64_t c = 0;
        for (; c + LANES <= lanes; c += LANES) NAME(spread_pixel)(taps, LANES, offset, dx + c, x + c, dy + c);
        if (c == lanes) continue;
        if (c > 0) { /* again some of the last ones */
            c = lanes - LANES;
            NAME(spread_pixel)(taps, LANES, offset, dx + c, x + c, dy + c);
        } else if (args->spills && p + 1 < args->pixels) {
            NAME(spread_pixel)(taps, LANES, offset, dx, x, dy);
        } else {
            NAME(spread_pixel)(taps, lanes, offset, dx, x, dy);
        }
    }
}

/* Runs `kernel` for each row, with the common number of taps as a constant. */
#define FOR_ROWS(kernel)                                                                                     \
    do {                                                                                                     \
        const real *x = args->x, *dy = args->dy;                                                             \
        real *dx = args->dx;                                                                                 \
        for (int64_t row = 0; row < args->rows; row++, x += args->x_row, dx += args->x_row, dy += args->dy_row) \
            if (args->taps == 4) kernel(4, args, dx, x, dy);                                                 \
            else kernel(args->taps, args, dx, x, dy);                                                        \
    } while (0)

static void NAME(pool_spread)(const spread_args *args) { FOR_ROWS(NAME(spread_channels)); }

/* LANES pixels of a row. */
INLINE void NAME(spread_pairs)(const int64_t taps, const int64_t *offset, real *dx, const real *x, const real *dys) {
    vec most = v_load_even(x + offset[0]);
    ivec best = SPLAT(0);
    for (int64_t t = 1; t < taps; t++) NAME(keep_larger)(v_load_even(x + offset[t]), t, &most, &best);
    const vec dy = v_load(dys);
    for (int64_t t = 0; t < taps; t += 2) {
        vec low, high;
        v_interleave(NAME(share)(dy, best, t), NAME(share)(dy, best, t + 1), &low, &high);
        v_store(dx + offset[t], low);
        v_store(dx + offset[t] + LANES, high);
    }
}

INLINE void NAME(spread_row)(const int64_t taps, const spread_args *args, real *dx, const real *x, const real *dy) {
    const int64_t *offset = args->offset, pixels = args->pixels;
    int64_t p = 0;
    for (; p + LANES <= pixels; p += LANES) NAME(spread_pairs)(taps, offset, dx + 2 * p, x + 2 * p, dy + p);
    if (p < pixels) { /* again some of the last ones */
        p = pixels - LANES;
        NAME(spread_pairs)(taps, offset, dx + 2 * p, x + 2 * p, dy + p);
    }
}

static void NAME(pool_spread_pairs)(const spread_args *args) { FOR_ROWS(NAME(spread_row)); }

/* Tap by tap, in the order of memory; there is no x. */
INLINE void NAME(share_channels)(const int64_t taps, const spread_args *args, real *dx, const real *unused, const real *dy) {
    const int64_t lanes = args->lanes;
    const vec part = CONSTANT(1 / args->divisor);
    for (int64_t p = 0; p < args->pixels; p++, dx += args->x_step, dy += args->dy_step)
        for (int64_t t = 0; t < taps; t++) {
            real *to = dx + args->offset[t];
            int64_t c = 0;
            for (; c + LANES <= lanes; c += LANES) v_store(to + c, v_load(dy + c) * part);
            if (c == lanes) continue;
            if (c > 0) v_store(to + lanes - LANES, v_load(dy + lanes - LANES) * part);
            else if (args->spills && p + 1 < args->pixels) v_store(to, v_load(dy) * part);
            else v_store_n(to, v_load_n(dy, lanes) * part, lanes);
        }
    (void)unused;
}
static void NAME(pool_share)(const spread_args *args) { FOR_ROWS(NAME(share_channels)); }

INLINE void NAME(share_row)(const int64_t taps, const spread_args *args, real *dx, const real *unused, const real *dy) {
    const vec part = CONSTANT(1 / args->divisor);
    for (int64_t p = 0, pixels = args->pixels; p < pixels; p += LANES) {
        const int64_t at = p + LANES <= pixels ? p : pixels - LANES;
        const vec share = v_load(dy + at) * part;
        vec low, high;
        v_interleave(share, share, &low, &high);
        for (int64_t t = 0; t < taps; t += 2) {
            v_store(dx + 2 * at + args->offset[t], low);
            v_store(dx + 2 * at + args->offset[t] + LANES, high);
        }
    }
    (void)unused;
}
static void NAME(pool_share_pairs)(const spread_args *args) { FOR_ROWS(NAME(share_row)); }

/* `parts` vectors of one pixel's channels, of the last only the first `count`; all taps are written, in order, unless `some`. */
INLINE void NAME(claim_pixel)(const int64_t taps, const int some, const int parts, const int64_t count, const spread_args *args,
                              real *const *to, const real *const *from, int64_t c, const real *dys) {
    const int64_t written = some ? args->written : taps;
    vec most[PARTS], dy[PARTS];
    ivec best[PARTS];
    UNROLL for (int k = 0; k < parts; k++) {
        const int64_t i = c + k * LANES;
        most[k] = LOAD(from[0]);
        best[k] = SPLAT(0);
        dy[k] = LOAD(dys);
    }
    for (int64_t t = 1; t < taps; t++)
        UNROLL for (int k = 0; k < parts; k++) {
            const int64_t i = c + k * LANES;
            NAME(keep_larger)(LOAD(from[t]), t, &most[k], &best[k]);
        }
    for (int64_t t = 0; t < written; t++) {
        const int64_t tap = some ? args->tap[t] : t;
        UNROLL for (int k = 0; k < parts; k++) {
            const int64_t i = c + k * LANES;
            STORE(to[t], LOAD(to[t]) + NAME(share)(dy[k], best[k], tap));
        }
    }
}

INLINE void NAME(claim_channels)(const int64_t taps, const int some, const spread_args *args, real *dx, const real *x,
                                 const real *dy) {
    const int64_t lanes = args->lanes, written = some ? args->written : taps;
    for (int64_t p = 0; p < args->pixels; p++, x += args->x_step, dx += args->dx_step, dy += args->dy_step) {
        const real *from[MOST_SPREAD_TAPS];
        real *to[MOST_SPREAD_TAPS];
        int64_t c = 0;
        for (int64_t t = 0; t < taps; t++) from[t] = x + args->offset[t];
        for (int64_t t = 0; t < written; t++) to[t] = dx + args->to[t];
        for (; c + 2 * LANES <= lanes; c += 2 * LANES) NAME(claim_pixel)(taps, some, 2, LANES, args, to, from, c, dy);
        for (; c + LANES <= lanes; c += LANES) NAME(claim_pixel)(taps, some, 1, LANES, args, to, from, c, dy);
        if (c < lanes) NAME(claim_pixel)(taps, some, 1, lanes - c, args, to, from, c, dy);
    }
}

static void NAME(pool_claim)(const spread_args *args) {
    const real *x = args->x, *dy = args->dy;
    real *dx = args->dx;
    for (int64_t row = 0; row < args->rows; row++, x += args->x_row, dx += args->dx_row, dy += args->dy_row)
        if (args->written < args->taps) NAME(claim_channels)(args->taps, 1, args, dx, x, dy);
        else if (args->taps == 1) NAME(claim_channels)(1, 0, args, dx, x, dy);
        else if (args->taps == 2) NAME(claim_channels)(2, 0, args, dx, x, dy);
        else if (args->taps == 3) NAME(claim_channels)(3, 0, args, dx, x, dy);
        else NAME(claim_channels)(args->taps, 0, args, dx, x, dy);
}
#undef FOR_ROWS
#undef SPLAT
