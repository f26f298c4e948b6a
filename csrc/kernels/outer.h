/* The register tile of sums of outer products (see outer_args): both factors lie pixel by pixel, and none is packed. */

INLINE void NAME(outer_body)(const int vectors, const outer_args *args) {
    vec sum[GROUPS * GROUP_ROWS][NV];
    const int64_t a_step = args->a_step, b_step = args->b_step, c_step = args->c_step;
    const real *a = args->a, *b = args->b;
    real *c = args->c;
    UNROLL for (int i = 0; i < GROUPS * GROUP_ROWS; i++) {
        __builtin_prefetch(c + i * c_step, 1); /* it comes from far away, and is wanted at the end */
        UNROLL for (int v = 0; v < vectors; v++) sum[i][v] = v_set1(0);
    }
    for (int64_t t = 0; t < args->length; t++, a += a_step, b += b_step) {
        vec column[NV];
        UNROLL for (int v = 0; v < vectors; v++) column[v] = v_load(b + v * LANES);
        UNROLL for (int i = 0; i < GROUPS * GROUP_ROWS; i++) {
            vec row = v_set1(a[i]);
            KEEP_IN_REGISTER(row);
            UNROLL for (int v = 0; v < vectors; v++) sum[i][v] = v_fma(row, column[v], sum[i][v]);
        }
    }
    UNROLL for (int i = 0; i < GROUPS * GROUP_ROWS; i++)
        UNROLL for (int v = 0; v < vectors; v++) {
            real *to = c + i * c_step + v * LANES;
            if (args->accumulate) sum[i][v] = sum[i][v] + v_load(to);
            v_store(to, sum[i][v]);
        }
}

static void NAME(outer)(const outer_args *args) {
    if (args->narrow) NAME(outer_body)(NV / 2, args);
    else NAME(outer_body)(NV, args);
}
