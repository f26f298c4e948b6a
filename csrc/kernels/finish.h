/* The epilogue of a layer: a residual is added to finished outputs, and an activation applied, while they are in cache. */

#define FINISH(value)                                                                       \
    for (int64_t row = 0; row < rows; row++, y += args->step, residual += args->step)       \
        if (args->residual)                                                                 \
            FOR_VECTORS(n, {                                                                \
                vec x = LOAD(y) + LOAD(residual);                                           \
                STORE(y, value);                                                            \
            });                                                                             \
        else                                                                                \
            FOR_VECTORS(n, {                                                                \
                vec x = LOAD(y);                                                            \
                STORE(y, value);                                                            \
            })

static void NAME(finish)(const finish_args *args) {
    const int dense = args->step == args->columns;
    const int64_t rows = dense ? 1 : args->rows, n = dense ? args->rows * args->columns : args->columns;
    real *y = args->y;
    const real *residual = args->residual ? args->residual : y; /* or what is not read */
    switch (args->activation) {
        case -1: FINISH(x); break;
        case PYCONV_RELU: FINISH(v_max(ZERO, x)); break;
        case PYCONV_CLIP:
        case PYCONV_HARDTANH: {
            const vec low = v_set1((real)args->parameters[0]), high = v_set1((real)args->parameters[1]);
            FINISH(NAME(clip)(x, low, high));
            break;
        }
        case PYCONV_HARDSWISH: FINISH(x * NAME(hard_gate)(x)); break;
        default:
            for (int64_t row = 0; row < rows; row++, y += args->step, residual += args->step) {
                if (args->residual) FOR_VECTORS(n, STORE(y, LOAD(y) + LOAD(residual)););
                NAME(unary)(args->activation, y, y, n, args->parameters);
            }
    }
}
#undef FINISH
