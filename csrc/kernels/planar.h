/* The register tile of the planar engine (see planar_args): pixels along the vectors, output channels as rows. */

INLINE void NAME(planar_body)(const int rows, const int vectors, const planar_args *args) {
    vec sum[PLANAR_ROWS][PLANAR_VECTORS];
    const real *a = args->a, *x = args->x, *bias = args->bias;
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int v = 0; v < vectors; v++)
            sum[i][v] = args->accumulate ? v_load((const real *)args->y + i * args->y_row + v * LANES) : v_set1(bias ? bias[i] : 0);
    for (int64_t k = 0; k < args->terms; k++) {
        const real *from = x + args->offset[k];
        vec pixels[PLANAR_VECTORS], weights[PLANAR_ROWS];
        if (rows < vectors) { /* what there is less of stays in registers */
            UNROLL for (int i = 0; i < rows; i++) weights[i] = v_set1(a[i]);
            UNROLL for (int v = 0; v < vectors; v++) {
                pixels[v] = v_load(from + v * LANES);
                KEEP_IN_REGISTER(pixels[v]);
                UNROLL for (int i = 0; i < rows; i++) sum[i][v] = v_fma(weights[i], pixels[v], sum[i][v]);
            }
        } else {
            UNROLL for (int v = 0; v < vectors; v++) pixels[v] = v_load(from + v * LANES);
            UNROLL for (int i = 0; i < rows; i++) {
                weights[i] = v_set1(a[i]);
                KEEP_IN_REGISTER(weights[i]);
                UNROLL for (int v = 0; v < vectors; v++) sum[i][v] = v_fma(weights[i], pixels[v], sum[i][v]);
            }
        }
        a += rows;
    }
    if (args->relu)
        UNROLL for (int i = 0; i < rows; i++)
            UNROLL for (int v = 0; v < vectors; v++) sum[i][v] = v_max(v_set1(0), sum[i][v]);
    if (args->above)
        UNROLL for (int i = 0; i < rows; i++)
            UNROLL for (int v = 0; v < vectors; v++)
                sum[i][v] = v_max_nan(v_load((const real *)args->above + i * args->y_row + v * LANES), sum[i][v]);
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int v = 0; v < vectors; v++) v_store((real *)args->y + i * args->y_row + v * LANES, sum[i][v]);
}

#define PLANAR_CASE(n)                                                                             \
    case n:                                                                                        \
        if (wide && n <= PLANAR_ROWS / 2) NAME(planar_body)(n, PLANAR_VECTORS, args);              \
        else NAME(planar_body)(n, PLANAR_VECTORS / 2, args);                                       \
        break;

static void NAME(planar)(int rows, int wide, const planar_args *args) {
    switch (rows) {
        PLANAR_CASE(1)
        PLANAR_CASE(2)
        PLANAR_CASE(3)
        PLANAR_CASE(4)
        PLANAR_CASE(5)
        PLANAR_CASE(6)
    }
}
#undef PLANAR_CASE
