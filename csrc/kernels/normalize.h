/* Affine functions of an element, their coefficients one a column or one for all: normalization and its gradient. */

#define ONE_OR_LOAD(p) (repeats ? v_set1(*(p)) : LOAD(p))

INLINE void NAME(normalize_rows)(const int repeats, const normalize_args *args) {
    real *to = args->y;
    const real *xs = args->x, *means = args->mean, *scales = args->scale, *shifts = args->shift;
    for (int64_t row = 0; row < args->rows; row++, to += args->y_step, xs += args->x_step)
        FOR_VECTORS(args->columns, {
            vec centred = LOAD(xs) - ONE_OR_LOAD(means);
            STORE(to, v_fma(centred, ONE_OR_LOAD(scales), ONE_OR_LOAD(shifts)));
        });
}

/* y = (x - mean) · scale + shift */
static void NAME(normalize)(const normalize_args *args) {
    if (args->repeats) NAME(normalize_rows)(1, args);
    else NAME(normalize_rows)(0, args);
}

INLINE void NAME(normalize_backward_rows)(const int repeats, const normalize_args *args) {
    real *to = args->y;
    const real *xs = args->x, *dys = args->dy, *means = args->mean, *scales = args->scale, *shifts = args->shift,
               *slopes = args->slope;
    for (int64_t row = 0; row < args->rows; row++, to += args->y_step, xs += args->x_step, dys += args->dy_step)
        FOR_VECTORS(args->columns, {
            vec centred = LOAD(xs) - ONE_OR_LOAD(means);
            vec rest = v_fma(centred, ONE_OR_LOAD(slopes), LOAD(dys) + ONE_OR_LOAD(shifts));
            STORE(to, rest * ONE_OR_LOAD(scales));
        });
}

/* y = (dy + shift + (x - mean) · slope) · scale */
static void NAME(normalize_backward)(const normalize_args *args) {
    if (args->repeats) NAME(normalize_backward_rows)(1, args);
    else NAME(normalize_backward_rows)(0, args);
}
#undef ONE_OR_LOAD
