/* Softmax and its logarithm over a row of n contiguous elements, forward and backward. */

static real NAME(row_max)(const real *xs, int64_t n) {
    vec top = v_set1(-(real)__builtin_inf());
    real lane[LANES];
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) top = v_max_nan(v_load(xs + i), top);
    v_store(lane, top);
    real most = lane[0];
    for (int l = 1; l < LANES; l++) most = lane[l] > most || lane[l] != lane[l] ? lane[l] : most;
    for (; i < n; i++) most = xs[i] > most || xs[i] != xs[i] ? xs[i] : most;
    return most;
}

/* y = e^(x - max) / sum of them, or with `logarithm` its log */
static void NAME(softmax)(int logarithm, void *y, const void *x, int64_t n) {
    real *to = y;
    const real *xs = x;
    const vec top = v_set1(NAME(row_max)(xs, n));
    double sum;
    if (logarithm) {
        SUM_ROW(sum, n, NAME(exp)(LOAD(xs) - top));
        const vec log_sum = NAME(log)(v_set1((real)sum));
        FOR_VECTORS(n, { STORE(to, LOAD(xs) - top - log_sum); });
    } else {
        FOR_VECTORS(n, { STORE(to, NAME(exp)(LOAD(xs) - top)); });
        SUM_ROW(sum, n, LOAD(to));
        const vec divisor = v_set1((real)sum);
        FOR_VECTORS(n, { STORE(to, LOAD(to) / divisor); });
    }
}

/* dx = y · (dy - Σ dy · y), or of the logarithm dy - e^y · Σ dy */
static void NAME(softmax_backward)(int logarithm, void *dx, const void *dy, const void *y, int64_t n) {
    real *to = dx;
    const real *dys = dy, *ys = y;
    double sum;
    if (logarithm) {
        SUM_ROW(sum, n, LOAD(dys));
        const vec total = v_set1((real)sum);
        FOR_VECTORS(n, { STORE(to, LOAD(dys) - NAME(exp)(LOAD(ys)) * total); });
    } else {
        SUM_ROW(sum, n, LOAD(dys) * LOAD(ys));
        const vec total = v_set1((real)sum);
        FOR_VECTORS(n, { STORE(to, (LOAD(dys) - total) * LOAD(ys)); });
    }
}
