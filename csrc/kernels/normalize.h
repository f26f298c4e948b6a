/* Affine functions of an element, their coefficients one a column or one for all: normalization and its gradient. */

#define ONE_OR_LOAD(p) (repeats ? v_set1(*(p)) : LOAD(p))

INLINE void NAME(normalize_rows)(const int repeats, const normalize_args *args) {
    real *to = args->y;
    const real *xs = args->x, *means = args->mean, *scales = args->scale, *biases = args->bias;
    for (int64_t row = 0; row < args->rows; row++, to += args->y_step, xs += args->x_step)
        FOR_VECTORS(args->columns, {
            vec centred = LOAD(xs) - ONE_OR_LOAD(means);
            STORE(to, v_fma(centred, ONE_OR_LOAD(scales), ONE_OR_LOAD(biases)));
        });
}

/* y = (x - mean) · scale + bias */
static void NAME(normalize)(const normalize_args *args) {
    if (args->repeats) NAME(normalize_rows)(1, args);
    else NAME(normalize_rows)(0, args);
}

INLINE void NAME(normalize_backward_rows)(const int repeats, const int gated, const normalize_args *args) {
    real *to = args->y;
    const real *xs = args->x, *dys = args->dy, *means = args->mean, *scales = args->scale, *shifts = args->shift,
               *slopes = args->slope, *biases = args->bias;
    const vec low = v_set1((real)args->low), high = v_set1((real)args->high);
    for (int64_t row = 0; row < args->rows; row++, to += args->y_step, xs += args->x_step, dys += args->dy_step)
        FOR_VECTORS(args->columns, {
            vec centred = LOAD(xs) - ONE_OR_LOAD(means);
            vec dy = LOAD(dys);
            if (gated) dy = NAME(gate)(dy, v_fma(centred, ONE_OR_LOAD(scales), ONE_OR_LOAD(biases)), low, high);
            vec rest = v_fma(centred, ONE_OR_LOAD(slopes), dy + ONE_OR_LOAD(shifts));
            STORE(to, rest * ONE_OR_LOAD(scales));
        });
}

/* y = (dy + shift + (x - mean) · slope) · scale */
static void NAME(normalize_backward)(const normalize_args *args) {
    if (args->repeats && args->gated) NAME(normalize_backward_rows)(1, 1, args);
    else if (args->repeats) NAME(normalize_backward_rows)(1, 0, args);
    else if (args->gated) NAME(normalize_backward_rows)(0, 1, args);
    else NAME(normalize_backward_rows)(0, 0, args);
}
#undef ONE_OR_LOAD
