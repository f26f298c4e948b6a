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

/* The first `count` of LANES channels of one pixel; all taps are written, in order, unless `some`. */
INLINE void NAME(claim_pixel)(const int64_t taps, const int some, const int64_t count, const spread_args *args, real *dx,
                              const real *x, const real *dys) {
    const int64_t i = 0, *offset = args->offset, *to = args->to, written = some ? args->written : taps;
    vec most = LOAD(x + offset[0]);
    ivec best = SPLAT(0);
    UNROLL for (int64_t t = 1; t < taps; t++) NAME(keep_larger)(LOAD(x + offset[t]), t, &most, &best);
    const vec dy = LOAD(dys);
    UNROLL for (int64_t t = 0; t < written; t++) {
        const vec share = NAME(share)(dy, best, some ? args->tap[t] : t);
        STORE(dx + to[t], LOAD(dx + to[t]) + share);
    }
}

INLINE void NAME(claim_channels)(const int64_t taps, const int some, const spread_args *args, real *dx, const real *x,
                                 const real *dy) {
    for (int64_t p = 0; p < args->pixels; p++, x += args->x_step, dx += args->dx_step, dy += args->dy_step) {
        int64_t c = 0;
        for (; c + LANES <= args->lanes; c += LANES) NAME(claim_pixel)(taps, some, LANES, args, dx + c, x + c, dy + c);
        if (c < args->lanes) NAME(claim_pixel)(taps, some, args->lanes - c, args, dx + c, x + c, dy + c);
    }
}

static void NAME(pool_claim)(const spread_args *args) {
    const real *x = args->x, *dy = args->dy;
    real *dx = args->dx;
    for (int64_t row = 0; row < args->rows; row++, x += args->x_row, dx += args->dx_row, dy += args->dy_row)
        if (args->written < args->taps) NAME(claim_channels)(args->taps, 1, args, dx, x, dy);
        else if (args->taps == 9) NAME(claim_channels)(9, 0, args, dx, x, dy);
        else if (args->taps == 4) NAME(claim_channels)(4, 0, args, dx, x, dy);
        else NAME(claim_channels)(args->taps, 0, args, dx, x, dy);
}
#undef FOR_ROWS
#undef SPLAT
