/* Depthwise convolution over channels-last rows: one vector of channels at a time, PIXELS output pixels in registers. */

#define PIXELS 6

INLINE void NAME(depthwise_pixels)(const int pixels, const depthwise_args *args, int64_t first, int64_t c, int64_t n) {
    const real *x = (const real *)args->x + first * args->x_step + c, *w = (const real *)args->w + c;
    const real *bias = args->bias;
    real *y = (real *)args->y + first * args->y_step + c;
    vec sum[PIXELS];
    vec start = !bias ? v_set1(0) : n == LANES ? v_load(bias + c) : v_load_n(bias + c, n);
    UNROLL for (int p = 0; p < pixels; p++) sum[p] = start;
    for (int64_t t = 0; t < args->taps; t++, w += args->w_step) {
        const real *from = x + args->offset[t];
        if (n == LANES) {
            vec weight = v_load(w);
            UNROLL for (int p = 0; p < pixels; p++) sum[p] = v_fma(v_load(from + p * args->x_step), weight, sum[p]);
        } else {
            vec weight = v_load_n(w, n);
            UNROLL for (int p = 0; p < pixels; p++) sum[p] = v_fma(v_load_n(from + p * args->x_step, n), weight, sum[p]);
        }
    }
    if (n == LANES) {
        UNROLL for (int p = 0; p < pixels; p++) v_store(y + p * args->y_step, sum[p]);
    } else {
        UNROLL for (int p = 0; p < pixels; p++) v_store_n(y + p * args->y_step, sum[p], n);
    }
}

static void NAME(depthwise)(const depthwise_args *args) {
    for (int64_t c = 0; c < args->channels; c += LANES) {
        int64_t n = args->channels - c < LANES ? args->channels - c : LANES, p = 0;
        for (; p + PIXELS <= args->pixels; p += PIXELS) NAME(depthwise_pixels)(PIXELS, args, p, c, n);
        for (; p < args->pixels; p++) NAME(depthwise_pixels)(1, args, p, c, n);
    }
}

#define TAPS 8 /* of one kernel row, held in registers while the pixels pass */

INLINE void NAME(depthwise_weights_taps)(const int taps, const depthwise_weights_args *args, int64_t first, int64_t c,
                                         int64_t n) {
    const real *x = (const real *)args->x + first * args->tap_step + c, *dy = (const real *)args->dy + c;
    real *dw = (real *)args->dw + first * args->w_step + c;
    vec sum[TAPS];
    UNROLL for (int t = 0; t < taps; t++) sum[t] = v_load_n(dw + t * args->w_step, n);
    for (int64_t p = 0; p < args->pixels; p++, x += args->x_step, dy += args->y_step) {
        if (n == LANES) {
            vec d = v_load(dy);
            UNROLL for (int t = 0; t < taps; t++) sum[t] = v_fma(v_load(x + t * args->tap_step), d, sum[t]);
        } else {
            vec d = v_load_n(dy, n);
            UNROLL for (int t = 0; t < taps; t++) sum[t] = v_fma(v_load_n(x + t * args->tap_step, n), d, sum[t]);
        }
    }
    UNROLL for (int t = 0; t < taps; t++) v_store_n(dw + t * args->w_step, sum[t], n);
}

static void NAME(depthwise_weights)(const depthwise_weights_args *args) {
    for (int64_t c = 0; c < args->channels; c += LANES) {
        int64_t n = args->channels - c < LANES ? args->channels - c : LANES;
        int64_t t = 0;
        for (; t + TAPS <= args->taps; t += TAPS) NAME(depthwise_weights_taps)(TAPS, args, t, c, n);
        switch (args->taps - t) {
            case 1: NAME(depthwise_weights_taps)(1, args, t, c, n); break;
            case 2: NAME(depthwise_weights_taps)(2, args, t, c, n); break;
            case 3: NAME(depthwise_weights_taps)(3, args, t, c, n); break;
            case 4: NAME(depthwise_weights_taps)(4, args, t, c, n); break;
            case 5: NAME(depthwise_weights_taps)(5, args, t, c, n); break;
            case 6: NAME(depthwise_weights_taps)(6, args, t, c, n); break;
            case 7: NAME(depthwise_weights_taps)(7, args, t, c, n); break;
            default: break;
        }
    }
}
#undef PIXELS
#undef TAPS
