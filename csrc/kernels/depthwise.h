/* Depthwise convolution over channels-last rows: one vector of channels at a time, PIXELS output pixels in registers. Each
 * position of a row of x is loaded once and serves all outputs that look at it. */

#define PIXELS 8

#define UNROLL_ROW _Pragma("GCC unroll 32") /* as many positions as a block looks at */

/* A block of pixels with constant taps and stride, without dilation. `inside` its positions lie x_step apart. */
INLINE void NAME(depthwise_block)(const int pixels, const int taps, const int stride, const int inside,
                                  const depthwise_args *args, int64_t first, int64_t count, int64_t c) {
    const int64_t *column = args->column + first * stride;
    real *y = (real *)args->y + first * args->y_step + c;
    const vec start = args->bias ? v_load((const real *)args->bias + c) : v_set1(0);
    vec sum[PIXELS], weight[8];
    UNROLL for (int p = 0; p < pixels; p++) sum[p] = start;
    for (int64_t r = 0; r < args->rows; r++) {
        const real *x = (const real *)args->x + args->x_row[r] + c + (inside ? column[0] : 0);
        const real *w = (const real *)args->w + args->w_row[r] + c * args->w_taps;
        UNROLL for (int t = 0; t < taps; t++) weight[t] = v_load(w + t * LANES);
        UNROLL_ROW for (int j = 0; j < (pixels - 1) * stride + taps; j++) {
            if (!inside && column[j] == PADDED) continue;
            const vec v = v_load(x + (inside ? j * args->x_step : column[j]));
            UNROLL for (int t = 0; t < taps; t++)
                if (j >= t && (j - t) % stride == 0 && (j - t) / stride < pixels)
                    sum[(j - t) / stride] = v_fma(v, weight[t], sum[(j - t) / stride]);
        }
    }
    if (count >= pixels) UNROLL for (int p = 0; p < pixels; p++) v_store(y + p * args->y_step, sum[p]);
    else UNROLL for (int p = 0; p < pixels; p++) if (p < count) v_store(y + p * args->y_step, sum[p]);
}

/* Any other, and the last channels, fewer than a vector. */
static void NAME(depthwise_any)(const depthwise_args *args, int64_t first, int64_t count, int64_t c, int64_t n) {
    const int64_t *column = args->column + first * args->stride;
    const real *bias = args->bias;
    real *y = (real *)args->y + first * args->y_step + c;
    vec sum[PIXELS], start = bias ? v_load_n(bias + c, n) : v_set1(0);
    UNROLL for (int p = 0; p < PIXELS; p++) sum[p] = start;
    for (int64_t r = 0; r < args->rows; r++) {
        const real *x = (const real *)args->x + args->x_row[r] + c, *w = (const real *)args->w + args->w_row[r] + c * args->w_taps;
        for (int64_t t = 0; t < args->taps; t++) {
            const int64_t *at = column + t * args->dilation;
            const vec weight = v_load(w + t * LANES);
            UNROLL for (int p = 0; p < PIXELS; p++) {
                const int64_t place = at[p * args->stride];
                if (place != PADDED) sum[p] = v_fma(n == LANES ? v_load(x + place) : v_load_n(x + place, n), weight, sum[p]);
            }
        }
    }
    UNROLL for (int p = 0; p < PIXELS; p++) if (p < count) v_store_n(y + p * args->y_step, sum[p], n);
}

INLINE void NAME(depthwise_form)(const int taps, const int stride, const depthwise_args *args) {
    const int64_t whole = args->channels / LANES * LANES, rest = args->channels - whole;
    for (int64_t p = 0; p < args->pixels; p += PIXELS) {
        const int64_t count = args->pixels - p, begin = p * stride, end = begin + (PIXELS - 1) * stride + taps;
        if (count >= PIXELS && begin >= args->inside_begin && end <= args->inside_end)
            for (int64_t c = 0; c < whole; c += LANES) NAME(depthwise_block)(PIXELS, taps, stride, 1, args, p, count, c);
        else if (2 * count > PIXELS)
            for (int64_t c = 0; c < whole; c += LANES) NAME(depthwise_block)(PIXELS, taps, stride, 0, args, p, count, c);
        else
            for (int64_t c = 0; c < whole; c += LANES) NAME(depthwise_block)(PIXELS / 2, taps, stride, 0, args, p, count, c);
        if (rest) NAME(depthwise_any)(args, p, count, whole, rest);
    }
}

static void NAME(depthwise)(const depthwise_args *args) {
    if (args->taps < 8 && (args->dilation == 1 || args->taps == 1))
        switch (args->stride * 8 + args->taps) {
            case 8 + 1: NAME(depthwise_form)(1, 1, args); return;
            case 8 + 2: NAME(depthwise_form)(2, 1, args); return;
            case 8 + 3: NAME(depthwise_form)(3, 1, args); return;
            case 8 + 4: NAME(depthwise_form)(4, 1, args); return;
            case 8 + 5: NAME(depthwise_form)(5, 1, args); return;
            case 8 + 7: NAME(depthwise_form)(7, 1, args); return;
            case 16 + 3: NAME(depthwise_form)(3, 2, args); return;
            case 16 + 5: NAME(depthwise_form)(5, 2, args); return;
            case 16 + 7: NAME(depthwise_form)(7, 2, args); return;
            default: break;
        }
    for (int64_t p = 0; p < args->pixels; p += PIXELS)
        for (int64_t c = 0; c < args->channels; c += LANES)
            NAME(depthwise_any)(args, p, args->pixels - p, c, args->channels - c < LANES ? args->channels - c : LANES);
}
/* Backward weights: the sums of a few kernel rows stay in registers while a row of output pixels passes, FEW at a time, so
 * that each position of x and each pixel of dy is loaded once for all of them. */

#define FEW 4
#define MOST_SUMS 10

INLINE void NAME(depthwise_weights_pixels)(const int pixels, const int rows, const int taps, const int stride, const int inside,
                                           const depthwise_weights_args *args, const int64_t *x_row, int64_t first, int64_t c,
                                           vec sum[MOST_SUMS]) {
    const real *dy = (const real *)args->dy + first * args->y_step + c;
    const int64_t *column = args->column + first * stride;
    vec d[FEW];
    UNROLL for (int p = 0; p < pixels; p++) d[p] = v_load(dy + p * args->y_step);
    UNROLL for (int r = 0; r < rows; r++) {
        if (x_row[r] == PADDED) continue;
        const real *x = (const real *)args->x + x_row[r] + c + (inside ? column[0] : 0);
        UNROLL_ROW for (int j = 0; j < (pixels - 1) * stride + taps; j++) {
            if (!inside && column[j] == PADDED) continue;
            const vec v = v_load(x + (inside ? j * args->x_step : column[j]));
            UNROLL for (int t = 0; t < taps; t++)
                if (j >= t && (j - t) % stride == 0 && (j - t) / stride < pixels)
                    sum[r * taps + t] = v_fma(v, d[(j - t) / stride], sum[r * taps + t]);
        }
    }
}

INLINE void NAME(depthwise_weights_rows)(const int rows, const int taps, const int stride, const depthwise_weights_args *args,
                                         int64_t row, int64_t c) {
    real *dw = (real *)args->dw + c * args->w_taps + row * taps * LANES;
    const int64_t *x_row = args->x_row + row;
    vec sum[MOST_SUMS];
    int64_t p = 0;
    UNROLL for (int i = 0; i < rows * taps; i++) sum[i] = v_load(dw + i * LANES);
    for (; p + FEW <= args->pixels; p += FEW) {
        const int64_t begin = p * stride, end = begin + (FEW - 1) * stride + taps;
        if (begin >= args->inside_begin && end <= args->inside_end)
            NAME(depthwise_weights_pixels)(FEW, rows, taps, stride, 1, args, x_row, p, c, sum);
        else
            NAME(depthwise_weights_pixels)(FEW, rows, taps, stride, 0, args, x_row, p, c, sum);
    }
    for (; p < args->pixels; p++) NAME(depthwise_weights_pixels)(1, rows, taps, stride, 0, args, x_row, p, c, sum);
    UNROLL for (int i = 0; i < rows * taps; i++) v_store(dw + i * LANES, sum[i]);
}

/* Any taps, one by one, over n channels. */
static void NAME(depthwise_weights_any)(const depthwise_weights_args *args, int64_t c, int64_t n) {
    real *dw = (real *)args->dw + c * args->w_taps;
    for (int64_t r = 0; r < args->rows; r++) {
        if (args->x_row[r] == PADDED) continue;
        const real *x = (const real *)args->x + args->x_row[r] + c;
        for (int64_t t = 0; t < args->taps; t++) {
            real *to = dw + (r * args->taps + t) * LANES;
            const real *dy = (const real *)args->dy + c;
            vec sum = v_load(to);
            for (int64_t p = 0; p < args->pixels; p++, dy += args->y_step) {
                const int64_t place = args->column[p * args->stride + t * args->dilation];
                if (place == PADDED) continue;
                if (n == LANES) sum = v_fma(v_load(x + place), v_load(dy), sum);
                else sum = v_fma(v_load_n(x + place, n), v_load_n(dy, n), sum);
            }
            v_store(to, sum);
        }
    }
}

/* Kernel rows two or three at a time where registers allow. */
INLINE void NAME(depthwise_weights_form)(const int rows, const int taps, const int stride, const depthwise_weights_args *args) {
    const int64_t whole = args->channels / LANES * LANES;
    for (int64_t c = 0; c < whole; c += LANES) {
        int64_t r = 0;
        for (; r + rows <= args->rows; r += rows) NAME(depthwise_weights_rows)(rows, taps, stride, args, r, c);
        if (rows > 1)
            for (; r < args->rows; r++) NAME(depthwise_weights_rows)(1, taps, stride, args, r, c);
    }
    if (whole < args->channels) NAME(depthwise_weights_any)(args, whole, args->channels - whole);
}

static void NAME(depthwise_weights)(const depthwise_weights_args *args) {
    if (args->taps < 8 && args->dilation == 1)
        switch (args->stride * 8 + args->taps) {
            case 8 + 3: NAME(depthwise_weights_form)(3, 3, 1, args); return;
            case 8 + 5: NAME(depthwise_weights_form)(2, 5, 1, args); return;
            case 8 + 7: NAME(depthwise_weights_form)(1, 7, 1, args); return;
            case 16 + 3: NAME(depthwise_weights_form)(3, 3, 2, args); return;
            case 16 + 5: NAME(depthwise_weights_form)(2, 5, 2, args); return;
            case 16 + 7: NAME(depthwise_weights_form)(1, 7, 2, args); return;
            default: break;
        }
    for (int64_t c = 0; c < args->channels; c += LANES)
        NAME(depthwise_weights_any)(args, c, args->channels - c < LANES ? args->channels - c : LANES);
}
#undef PIXELS
#undef FEW
#undef MOST_SUMS
#undef UNROLL_ROW
