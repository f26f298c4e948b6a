/* The gradient of a maximum over windows that do not overlap: each looks for its maximum and writes dx at all of its taps. */

#define SPLAT(n) ((ivec)ZERO + (integer)(n))

/* v takes the place of the maximum so far: it is larger, or NaN. The first of equals stays. */
INLINE void NAME(keep_larger)(vec v, int64_t tap, vec *most, ivec *best) {
    const ivec better = (v > *most) | (v != v);
    *most = NAME(select)(better, v, *most);
    *best = (SPLAT(tap) & better) | (*best & ~better);
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
#undef FOR_ROWS
#undef SPLAT
