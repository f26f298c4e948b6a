/* Depthwise convolution over channels-last rows: one vector of output channels at a time, PIXELS output pixels in registers.
 * Each position of a row of x is loaded once and serves all outputs that look at it. Groups of a few channels are the same
 * for each of their input channels in turn, of which every lane gets its group's. */

#define PIXELS 8
#define FEW_TAPS 4

/* How lanes get their input: each has its own; all lanes are of one group; or groups lie within a vector, whose lanes are
 * permuted where the instruction set can. */
enum { NAME(own_lanes), NAME(one_group), NAME(many_groups) };
#ifdef v_permute
#define PERMUTES 1
#define GROUP_LANES(v, lanes) v_permute(v, lanes)
#else
#define PERMUTES 0
#define GROUP_LANES(v, lanes) ((void)(lanes), v)
#endif

/* For each input channel of groups of co the lanes from which it goes to its group's. */
static void NAME(list_lanes)(integer lanes[][LANES], int64_t co) {
    for (int64_t c = 0; c < co; c++)
        for (int64_t l = 0; l < LANES; l++) lanes[c][l] = (integer)(l / co * co + c);
}
INLINE vec NAME(load_input)(const int form, const real *at, vec lanes) {
    return form == NAME(one_group) ? v_set1(*at) : form == NAME(many_groups) ? GROUP_LANES(v_load(at), lanes) : v_load(at);
}
#define LANES_OF(i) (form == NAME(many_groups) ? v_load((const real *)lanes[i]) : v_set1(0))

/* As many positions as a block looks at. Portable vectors are several registers: unrolled they took compilers minutes. */
#ifdef PORTABLE
#define UNROLL_ROW
#else
#define UNROLL_ROW _Pragma("GCC unroll 32")
#endif

/* A block of pixels with constant taps and stride, without dilation. `inside` its positions lie x_step apart. */
INLINE void NAME(depthwise_block)(const int form, const int pixels, const int taps, const int stride, const int inside,
                                  const depthwise_args *args, const integer lanes[][LANES], int64_t first, int64_t count,
                                  int64_t c) {
    const int64_t ci = form == NAME(own_lanes) ? 1 : args->ci, input = form == NAME(one_group) ? c / args->co * ci : c;
    const int64_t *column = args->column + first * stride;
    real *y = (real *)args->y + first * args->y_step + c;
    const vec start = args->bias ? v_load((const real *)args->bias + c) : v_set1(0);
    vec sum[PIXELS], weight[8];
    UNROLL for (int p = 0; p < pixels; p++) sum[p] = start;
    for (int64_t r = 0; r < args->rows; r++) {
        const real *x = (const real *)args->x + args->x_row[r] + input + (inside ? column[0] : 0);
        const real *w = (const real *)args->w + args->w_row[r] + c * args->w_taps;
        for (int64_t i = 0; i < ci; i++, w += taps * LANES, x += form == NAME(one_group)) {
            const vec from = LANES_OF(i);
            UNROLL for (int t = 0; t < taps; t++) weight[t] = v_load(w + t * LANES);
            UNROLL_ROW for (int j = 0; j < (pixels - 1) * stride + taps; j++) {
                if (!inside && column[j] == PADDED) continue;
                const vec v = NAME(load_input)(form, x + (inside ? j * args->x_step : column[j]), from);
                UNROLL for (int t = 0; t < taps; t++)
                    if (j >= t && (j - t) % stride == 0 && (j - t) / stride < pixels)
                        sum[(j - t) / stride] = v_fma(v, weight[t], sum[(j - t) / stride]);
            }
        }
    }
    if (count >= pixels) UNROLL for (int p = 0; p < pixels; p++) v_store(y + p * args->y_step, sum[p]);
    else UNROLL for (int p = 0; p < pixels; p++) if (p < count) v_store(y + p * args->y_step, sum[p]);
}

/* Adds so many taps of a kernel row, of stride 1 and without dilation. */
INLINE void NAME(depthwise_taps)(const int taps, const int inside, const real *x, const int64_t *column, int64_t x_step,
                                 const real *w, vec sum[PIXELS]) {
    vec weight[FEW_TAPS];
    UNROLL for (int t = 0; t < taps; t++) weight[t] = v_load(w + t * LANES);
    UNROLL_ROW for (int j = 0; j < PIXELS - 1 + taps; j++) {
        if (!inside && column[j] == PADDED) continue;
        const vec v = v_load(x + (inside ? column[0] + j * x_step : column[j]));
        UNROLL for (int t = 0; t < taps; t++)
            if (j >= t && j - t < PIXELS) sum[j - t] = v_fma(v, weight[t], sum[j - t]);
    }
}

/* A block of pixels with many taps, of stride 1 and without dilation: a few taps at a time stay in registers. */
static void NAME(depthwise_long)(const depthwise_args *args, int64_t first, int64_t count, int64_t c) {
    const int64_t *column = args->column + first, taps = args->taps, x_step = args->x_step;
    real *y = (real *)args->y + first * args->y_step + c;
    const vec start = args->bias ? v_load((const real *)args->bias + c) : v_set1(0);
    vec sum[PIXELS];
    UNROLL for (int p = 0; p < PIXELS; p++) sum[p] = start;
    for (int64_t r = 0; r < args->rows; r++) {
        const real *x = (const real *)args->x + args->x_row[r] + c, *w = (const real *)args->w + args->w_row[r] + c * args->w_taps;
        int64_t t = 0;
        for (; t + FEW_TAPS <= taps; t += FEW_TAPS) {
            const int64_t begin = first + t, end = begin + PIXELS - 1 + FEW_TAPS;
            if (begin >= args->inside_begin && end <= args->inside_end)
                NAME(depthwise_taps)(FEW_TAPS, 1, x, column + t, x_step, w + t * LANES, sum);
            else NAME(depthwise_taps)(FEW_TAPS, 0, x, column + t, x_step, w + t * LANES, sum);
        }
        for (; t < taps; t++) NAME(depthwise_taps)(1, 0, x, column + t, x_step, w + t * LANES, sum);
    }
    UNROLL for (int p = 0; p < PIXELS; p++) if (p < count) v_store(y + p * args->y_step, sum[p]);
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

INLINE void NAME(depthwise_form)(const int form, const int taps, const int stride, const depthwise_args *args,
                                 const integer lanes[][LANES]) {
    const int64_t whole = args->channels / LANES * LANES, rest = args->channels - whole;
    for (int64_t p = 0; p < args->pixels; p += PIXELS) {
        const int64_t count = args->pixels - p, begin = p * stride, end = begin + (PIXELS - 1) * stride + taps;
        if (count >= PIXELS && begin >= args->inside_begin && end <= args->inside_end)
            for (int64_t c = 0; c < whole; c += LANES) NAME(depthwise_block)(form, PIXELS, taps, stride, 1, args, lanes, p, count, c);
        else if (2 * count > PIXELS)
            for (int64_t c = 0; c < whole; c += LANES) NAME(depthwise_block)(form, PIXELS, taps, stride, 0, args, lanes, p, count, c);
        else
            for (int64_t c = 0; c < whole; c += LANES) NAME(depthwise_block)(form, PIXELS / 2, taps, stride, 0, args, lanes, p, count, c);
        if (rest) NAME(depthwise_any)(args, p, count, whole, rest);
    }
}

/* The forms that groups of more than one channel have; there are no taps where a phase has none. */
INLINE void NAME(depthwise_groups)(const int form, const depthwise_args *args) {
    integer lanes[LANES][LANES];
    if (form == NAME(many_groups)) NAME(list_lanes)(lanes, args->co);
    switch (args->stride * 4 + args->taps) {
        case 4 + 1: NAME(depthwise_form)(form, 1, 1, args, lanes); return;
        case 4 + 2: NAME(depthwise_form)(form, 2, 1, args, lanes); return;
        case 4 + 3: NAME(depthwise_form)(form, 3, 1, args, lanes); return;
        case 8 + 3: NAME(depthwise_form)(form, 3, 2, args, lanes); return;
        default: NAME(depthwise_form)(form, 0, 1, args, lanes); return;
    }
}

static void NAME(depthwise)(const depthwise_args *args) {
    if (args->ci > 1 || args->co > 1) {
        if (args->co % LANES == 0) NAME(depthwise_groups)(NAME(one_group), args);
        else NAME(depthwise_groups)(NAME(many_groups), args);
        return;
    }
    if (args->taps < 8 && (args->dilation == 1 || args->taps == 1))
        switch (args->stride * 8 + args->taps) {
            case 8 + 1: NAME(depthwise_form)(NAME(own_lanes), 1, 1, args, 0); return;
            case 8 + 2: NAME(depthwise_form)(NAME(own_lanes), 2, 1, args, 0); return;
            case 8 + 3: NAME(depthwise_form)(NAME(own_lanes), 3, 1, args, 0); return;
            case 8 + 4: NAME(depthwise_form)(NAME(own_lanes), 4, 1, args, 0); return;
            case 8 + 5: NAME(depthwise_form)(NAME(own_lanes), 5, 1, args, 0); return;
            case 8 + 7: NAME(depthwise_form)(NAME(own_lanes), 7, 1, args, 0); return;
            case 16 + 3: NAME(depthwise_form)(NAME(own_lanes), 3, 2, args, 0); return;
            case 16 + 5: NAME(depthwise_form)(NAME(own_lanes), 5, 2, args, 0); return;
            case 16 + 7: NAME(depthwise_form)(NAME(own_lanes), 7, 2, args, 0); return;
            default: break;
        }
    const int is_long = args->taps > FEW_TAPS && args->stride == 1 && args->dilation == 1;
    for (int64_t p = 0; p < args->pixels; p += PIXELS)
        for (int64_t c = 0; c < args->channels; c += LANES) {
            const int64_t count = args->pixels - p, lanes = args->channels - c < LANES ? args->channels - c : LANES;
            if (is_long && lanes == LANES) NAME(depthwise_long)(args, p, count, c);
            else NAME(depthwise_any)(args, p, count, c, lanes);
        }
}
/* Backward weights: the sums of a few kernel rows stay in registers while a row of output pixels passes, FEW at a time, so
 * that each position of x and each pixel of dy is loaded once for all of them. */

#define FEW 4
#define MOST_SUMS 10

INLINE void NAME(depthwise_weights_pixels)(const int form, const int pixels, const int rows, const int taps, const int stride,
                                           const int inside, const depthwise_weights_args *args, const int64_t *x_row,
                                           const real *inputs, vec from, int64_t first, int64_t c, vec sum[MOST_SUMS]) {
    const real *dy = (const real *)args->dy + first * args->y_step + c;
    const int64_t *column = args->column + first * stride;
    vec d[FEW];
    UNROLL for (int p = 0; p < pixels; p++) d[p] = v_load(dy + p * args->y_step);
    UNROLL for (int r = 0; r < rows; r++) {
        if (x_row[r] == PADDED) continue;
        const real *x = inputs + x_row[r] + (inside ? column[0] : 0);
        UNROLL_ROW for (int j = 0; j < (pixels - 1) * stride + taps; j++) {
            if (!inside && column[j] == PADDED) continue;
            const vec v = NAME(load_input)(form, x + (inside ? j * args->x_step : column[j]), from);
            UNROLL for (int t = 0; t < taps; t++)
                if (j >= t && (j - t) % stride == 0 && (j - t) / stride < pixels)
                    sum[r * taps + t] = v_fma(v, d[(j - t) / stride], sum[r * taps + t]);
        }
    }
}

/* Of `rows` kernel rows and the input channel i of each group. */
INLINE void NAME(depthwise_weights_rows)(const int form, const int rows, const int taps, const int stride,
                                         const depthwise_weights_args *args, const integer lanes[][LANES], int64_t row, int64_t i,
                                         int64_t c) {
    const int64_t ci = form == NAME(own_lanes) ? 1 : args->ci, input = form == NAME(one_group) ? c / args->co * ci + i : c;
    const real *x = (const real *)args->x + input;
    const int64_t *x_row = args->x_row + row;
    const vec from = LANES_OF(i);
    real *dw = (real *)args->dw + c * args->w_taps + (row * ci + i) * taps * LANES;
    vec sum[MOST_SUMS];
    int64_t p = 0;
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int t = 0; t < taps; t++) sum[r * taps + t] = v_load(dw + (r * ci * taps + t) * LANES);
    for (; p + FEW <= args->pixels; p += FEW) {
        const int64_t begin = p * stride, end = begin + (FEW - 1) * stride + taps;
        if (begin >= args->inside_begin && end <= args->inside_end)
            NAME(depthwise_weights_pixels)(form, FEW, rows, taps, stride, 1, args, x_row, x, from, p, c, sum);
        else
            NAME(depthwise_weights_pixels)(form, FEW, rows, taps, stride, 0, args, x_row, x, from, p, c, sum);
    }
    for (; p < args->pixels; p++)
        NAME(depthwise_weights_pixels)(form, 1, rows, taps, stride, 0, args, x_row, x, from, p, c, sum);
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int t = 0; t < taps; t++) v_store(dw + (r * ci * taps + t) * LANES, sum[r * taps + t]);
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
INLINE void NAME(depthwise_weights_form)(const int form, const int rows, const int taps, const int stride,
                                         const depthwise_weights_args *args) {
    integer lanes[LANES][LANES];
    if (form == NAME(many_groups)) NAME(list_lanes)(lanes, args->co);
    const int64_t whole = args->channels / LANES * LANES, ci = form == NAME(own_lanes) ? 1 : args->ci;
    for (int64_t c = 0; c < whole; c += LANES)
        for (int64_t i = 0; i < ci; i++) {
            int64_t r = 0;
            for (; r + rows <= args->rows; r += rows) NAME(depthwise_weights_rows)(form, rows, taps, stride, args, lanes, r, i, c);
            if (rows > 1)
                for (; r < args->rows; r++) NAME(depthwise_weights_rows)(form, 1, taps, stride, args, lanes, r, i, c);
        }
    if (whole < args->channels) NAME(depthwise_weights_any)(args, whole, args->channels - whole);
}

static void NAME(depthwise_weights)(const depthwise_weights_args *args) {
    if (args->ci > 1 || args->co > 1) {
        const int form = args->co % LANES == 0 ? NAME(one_group) : NAME(many_groups);
        if (form == NAME(one_group) && args->stride == 1) NAME(depthwise_weights_form)(NAME(one_group), 3, 3, 1, args);
        else if (form == NAME(one_group)) NAME(depthwise_weights_form)(NAME(one_group), 3, 3, 2, args);
        else if (args->stride == 1) NAME(depthwise_weights_form)(NAME(many_groups), 3, 3, 1, args);
        else NAME(depthwise_weights_form)(NAME(many_groups), 3, 3, 2, args);
        return;
    }
    if (args->taps < 8 && args->dilation == 1)
        switch (args->stride * 8 + args->taps) {
            case 8 + 3: NAME(depthwise_weights_form)(NAME(own_lanes), 3, 3, 1, args); return;
            case 8 + 5: NAME(depthwise_weights_form)(NAME(own_lanes), 2, 5, 1, args); return;
            case 8 + 7: NAME(depthwise_weights_form)(NAME(own_lanes), 1, 7, 1, args); return;
            case 16 + 3: NAME(depthwise_weights_form)(NAME(own_lanes), 3, 3, 2, args); return;
            case 16 + 5: NAME(depthwise_weights_form)(NAME(own_lanes), 2, 5, 2, args); return;
            case 16 + 7: NAME(depthwise_weights_form)(NAME(own_lanes), 1, 7, 2, args); return;
            default: break;
        }
    for (int64_t c = 0; c < args->channels; c += LANES)
        NAME(depthwise_weights_any)(args, c, args->channels - c < LANES ? args->channels - c : LANES);
}
#undef PIXELS
#undef FEW_TAPS
#undef FEW
#undef MOST_SUMS
#undef GROUP_LANES
#undef LANES_OF
#undef UNROLL_ROW
