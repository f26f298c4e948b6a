/* The one register tile of the indirect GEMM (see tile_args), for one tile or several in turn: rows × NR accumulators, never
 * spilled. What it adds to comes in last: it is in cache by then, and a sum of blocks rounds less than one long sum. */

INLINE void NAME(tile_body)(const int groups, const int vectors, const tile_args *args) {
    const int64_t row_step = args->row_step, c_row_step = args->c_row_step, length = args->length;
    const real *bias = args->accumulate ? 0 : args->bias;

    for (int64_t n = 0; n <= args->again; n++) {
        vec sum[GROUPS * GROUP_ROWS][NV];
        const real *b = args->b, *row_bias = args->row_bias;
        real *c[GROUPS];
        UNROLL for (int g = 0; g < groups; g++) c[g] = (real *)args->c[g] + n * args->c_tile;

        UNROLL for (int i = 0; i < groups * GROUP_ROWS; i++)
            __builtin_prefetch(c[i / GROUP_ROWS] + (i % GROUP_ROWS) * c_row_step, 1);
        if (row_bias && !args->accumulate) {
            UNROLL for (int i = 0; i < groups * GROUP_ROWS; i++) /* where rows of a pair are one row, so are their biases */
                UNROLL for (int v = 0; v < vectors; v++) sum[i][v] = v_set1(row_bias[c_row_step ? i : i / GROUP_ROWS]);
        } else {
            vec start[NV];
            UNROLL for (int v = 0; v < vectors; v++) start[v] = bias ? v_load(bias + v * LANES) : v_set1(0);
            UNROLL for (int i = 0; i < groups * GROUP_ROWS; i++)
                UNROLL for (int v = 0; v < vectors; v++) sum[i][v] = start[v];
        }

        for (int64_t r = 0; r < args->runs; r++) {
            const real *a[GROUPS];
            UNROLL for (int g = 0; g < groups; g++) a[g] = (const real *)args->a[g] + n * args->a_tile + args->offset[r];
            for (int64_t k = 0; k < length; k++) {
                vec column[NV];
                UNROLL for (int v = 0; v < vectors; v++) column[v] = v_load(b + v * LANES);
                UNROLL for (int i = 0; i < groups * GROUP_ROWS; i++) {
                    vec row = v_set1(a[i / GROUP_ROWS][(i % GROUP_ROWS) * row_step + k]);
                    KEEP_IN_REGISTER(row);
                    UNROLL for (int v = 0; v < vectors; v++) sum[i][v] = v_fma(row, column[v], sum[i][v]);
                }
                b += NR;
            }
        }

        if (args->accumulate) {
            UNROLL for (int i = 0; i < groups * GROUP_ROWS; i++)
                UNROLL for (int v = 0; v < vectors; v++)
                    sum[i][v] += v_load(c[i / GROUP_ROWS] + (i % GROUP_ROWS) * c_row_step + v * LANES);
        }
        if (args->beside) {
            UNROLL for (int i = 0; i < groups * GROUP_ROWS; i++) {
                const char *row = (const char *)(c[i / GROUP_ROWS] + (i % GROUP_ROWS) * c_row_step) + args->beside;
                UNROLL for (int v = 0; v < vectors; v++) sum[i][v] += v_load((const real *)row + v * LANES);
            }
        }
        if (args->clips) {
            const vec low = v_set1((real)args->low), high = v_set1((real)args->high);
            UNROLL for (int i = 0; i < groups * GROUP_ROWS; i++)
                UNROLL for (int v = 0; v < vectors; v++) sum[i][v] = NAME(clip)(sum[i][v], low, high);
        }
        UNROLL for (int i = 0; i < groups * GROUP_ROWS; i++)
            UNROLL for (int v = 0; v < vectors; v++)
                v_store(c[i / GROUP_ROWS] + (i % GROUP_ROWS) * c_row_step + v * LANES, sum[i][v]);
    }
}

#define TILE_CASE(n)                                              \
    case n:                                                       \
        if (n > GROUPS) break;                                    \
        if (args->narrow) NAME(tile_body)(n, NV / 2, args);       \
        else NAME(tile_body)(n, NV, args);                        \
        break;

static void NAME(tile)(int groups, const tile_args *args) {
    switch (groups) {
        TILE_CASE(1)
        TILE_CASE(2)
        TILE_CASE(3)
        TILE_CASE(4)
        TILE_CASE(5)
        TILE_CASE(6)
#if GROUPS > 6
        TILE_CASE(7)
#endif
#if GROUPS > 7
        TILE_CASE(8)
#endif
    }
}
#undef TILE_CASE
