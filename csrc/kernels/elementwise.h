/* Functions of one and of two arrays, over rows of contiguous elements. The operations are numbered in pyconv.h. */

INLINE vec NAME(hard_gate)(vec x) { return NAME(clip)(x + CONSTANT(3), ZERO, CONSTANT(6)) / CONSTANT(6); }
INLINE vec NAME(gelu_tanh_gate)(vec x) { /* (1 + tanh u) / 2 is σ(2u) */
    return NAME(sigmoid)(CONSTANT(2 * 0.79788456080286535588) * v_fma(CONSTANT(0.044715) * x * x, x, x));
}
/* tanh(log(1 + e^x)) is m / (m + 1), where m = ((1 + e^x)² - 1) / 2; that is 1 long before x = 40 */
INLINE vec NAME(mish_gate)(vec x) {
    vec e = NAME(exp)(v_min(CONSTANT(40), x)), m = e * v_fma(CONSTANT(0.5), e, ONE);
    return m / (m + ONE);
}
INLINE vec NAME(scaled_softplus)(vec x, vec beta, vec threshold) {
    vec scaled = x * beta;
    return NAME(select)(scaled > threshold, x, NAME(softplus)(scaled) / beta);
}

INLINE vec NAME(sign)(vec x) { return NAME(select)(x > ZERO, ONE, NAME(select)(x < ZERO, -ONE, ZERO)); }

/* √x, where √-0 is 0 and √-∞ is ∞, as C's pow has it */
INLINE vec NAME(root)(vec x) {
    const vec infinity = CONSTANT(__builtin_inf());
    return v_sqrt(NAME(select)(x == -infinity, infinity, x) + ZERO);
}

#define POWER(exponent, value)       \
    if (p == (exponent))             \
        FOR_VECTORS(n, {             \
            vec x = LOAD(from);      \
            STORE(to, value);        \
        })
/* to = from to the power p, for the exponents that roots and products give */
static void NAME(power)(double p, real *to, const real *from, int64_t n) {
    POWER(-2, ONE / (x * x));
    POWER(-1, ONE / x);
    POWER(-0.5, ONE / NAME(root)(x));
    POWER(0.5, v_sqrt(x));
    POWER(0.75, NAME(root)(x) * v_sqrt(NAME(root)(x)));
    POWER(1, x);
    POWER(2, x * x);
    POWER(3, x * x * x);
}
#undef POWER

#define UNARY(op, value)                   \
    case PYCONV_##op:                      \
        FOR_VECTORS(n, {                   \
            vec x = LOAD(from);            \
            STORE(to, value);              \
        });                                \
        break;

/* to = f(from) */
static void NAME(unary)(int op, void *to_, const void *from_, int64_t n, const double *parameters) {
    real *to = to_;
    const real *from = from_;
    const vec a = CONSTANT(parameters[0]), b = CONSTANT(parameters[1]);
    switch (op) {
        UNARY(NEG, -x)
        UNARY(ABS, NAME(absolute)(x))
        UNARY(SIGN, NAME(sign)(x))
        UNARY(SQRT, v_sqrt(x))
        UNARY(EXP, NAME(exp)(x))
        UNARY(LOG, NAME(log)(x))
        UNARY(RELU, v_max(ZERO, x))
        UNARY(LEAKY_RELU, NAME(select)(x > ZERO, x, x * a))
        UNARY(CLIP, NAME(clip)(x, a, b))
        UNARY(HARDTANH, NAME(clip)(x, a, b))
        UNARY(ELU, NAME(select)(x > ZERO, x, a * NAME(expm1_negative)(v_min(ZERO, x))))
        UNARY(SIGMOID, NAME(sigmoid)(x))
        UNARY(TANH, NAME(tanh)(x))
        UNARY(SOFTPLUS, NAME(scaled_softplus)(x, a, b))
        UNARY(GELU, x * NAME(normal_distribution)(x))
        UNARY(GELU_TANH, x * NAME(gelu_tanh_gate)(x))
        UNARY(SILU, x * NAME(sigmoid)(x))
        UNARY(MISH, x * NAME(mish_gate)(x))
        UNARY(HARDSIGMOID, NAME(hard_gate)(x))
        UNARY(HARDSWISH, x * NAME(hard_gate)(x))
        case PYCONV_POWER: NAME(power)(parameters[0], to, from, n); break;
        default: break;
    }
}

INLINE vec NAME(gelu_slope)(vec x) {
    return NAME(normal_distribution)(x) + x * NAME(gaussian)(x) * CONSTANT(0.39894228040143267794);
}
INLINE vec NAME(gelu_tanh_slope)(vec x) {
    vec s = NAME(gelu_tanh_gate)(x);
    vec du = CONSTANT(2 * 0.79788456080286535588) * v_fma(CONSTANT(3 * 0.044715) * x, x, ONE);
    return s + x * s * (ONE - s) * du;
}
INLINE vec NAME(silu_slope)(vec x) {
    vec s = NAME(sigmoid)(x);
    return s * v_fma(x, ONE - s, ONE);
}
INLINE vec NAME(mish_slope)(vec x) {
    vec t = NAME(mish_gate)(x);
    return v_fma(x * (ONE - t * t), NAME(sigmoid)(x), t);
}
INLINE vec NAME(hardswish_slope)(vec x) {
    vec above = NAME(select)(x >= CONSTANT(3), ONE, x / CONSTANT(3) + CONSTANT(0.5));
    return NAME(select)(x <= CONSTANT(-3), ZERO, above);
}
INLINE vec NAME(softplus_slope)(vec x, vec beta, vec threshold) {
    vec scaled = x * beta;
    return NAME(select)(scaled > threshold, ONE, NAME(sigmoid)(scaled));
}

/* p · x^(p - 1), from y = x^p where that costs no accuracy */
INLINE vec NAME(power_slope)(double p, vec x, vec y) {
    const vec factor = CONSTANT(p);
    if (p == 1) return ONE;
    if (p == 2) return factor * x;
    if (p == 3) return factor * (x * x);
    if (p == 0.5) return factor / NAME(root)(x);
    if (p == 0.75) return factor / v_sqrt(NAME(root)(x));
    if (p == -0.5) return factor * (y * y * y);
    if (p == -1) return factor * (y * y);
    return factor * (y / x);
}

#define UNARY_BACKWARD(op, value)                               \
    case PYCONV_##op:                                           \
        FOR_VECTORS(n, {                                        \
            vec dy = LOAD(dys), x = LOAD(xs), y = LOAD(ys);     \
            (void)dy, (void)x, (void)y;                         \
            STORE(to, value);                                   \
        });                                                     \
        break;

/* to = dy · f'(x), where y = f(x). Where f is flat some rows cut dy off even if it is infinite, as PyTorch does. */
static void NAME(unary_backward)(int op, void *to_, const void *dy_, const void *x_, const void *y_, int64_t n,
                                 const double *parameters) {
    real *to = to_;
    const real *dys = dy_, *xs = x_, *ys = y_;
    const vec a = CONSTANT(parameters[0]), b = CONSTANT(parameters[1]);
    switch (op) {
        UNARY_BACKWARD(NEG, -dy)
        UNARY_BACKWARD(ABS, dy * NAME(sign)(x))
        UNARY_BACKWARD(SIGN, ZERO)
        UNARY_BACKWARD(SQRT, dy * (CONSTANT(0.5) / y))
        UNARY_BACKWARD(EXP, dy * y)
        UNARY_BACKWARD(LOG, dy * (ONE / x))
        UNARY_BACKWARD(RELU, NAME(select)(y <= ZERO, ZERO, dy))
        UNARY_BACKWARD(LEAKY_RELU, dy * NAME(select)(x > ZERO, ONE, a))
        UNARY_BACKWARD(CLIP, NAME(select)((x >= a) & (x <= b), dy, ZERO))
        UNARY_BACKWARD(HARDTANH, NAME(select)((x > a) & (x < b), dy, ZERO))
        UNARY_BACKWARD(ELU, dy * NAME(select)(x > ZERO, ONE, a * NAME(exp)(v_min(ZERO, x))))
        UNARY_BACKWARD(SIGMOID, dy * (y * (ONE - y)))
        UNARY_BACKWARD(TANH, dy * (ONE - y * y))
        UNARY_BACKWARD(SOFTPLUS, dy * NAME(softplus_slope)(x, a, b))
        UNARY_BACKWARD(GELU, dy * NAME(gelu_slope)(x))
        UNARY_BACKWARD(GELU_TANH, dy * NAME(gelu_tanh_slope)(x))
        UNARY_BACKWARD(SILU, dy * NAME(silu_slope)(x))
        UNARY_BACKWARD(MISH, dy * NAME(mish_slope)(x))
        UNARY_BACKWARD(HARDSIGMOID, dy * NAME(select)((x > CONSTANT(-3)) & (x < CONSTANT(3)), CONSTANT(1.0 / 6), ZERO))
        UNARY_BACKWARD(HARDSWISH, dy * NAME(hardswish_slope)(x))
        UNARY_BACKWARD(POWER, dy * NAME(power_slope)(parameters[0], x, y))
        default: break;
    }
}

#define BINARY_ROW(a_value, b_value, value) \
    FOR_VECTORS(n, {                        \
        vec a = a_value, b = b_value;       \
        STORE(to, value);                   \
    })
#define BINARY(op, value)                                                                \
    case PYCONV_##op:                                                                    \
        if (!args->a_repeats && !args->b_repeats) BINARY_ROW(LOAD(as), LOAD(bs), value); \
        else if (!args->a_repeats) BINARY_ROW(LOAD(as), v_set1(*bs), value);             \
        else if (!args->b_repeats) BINARY_ROW(v_set1(*as), LOAD(bs), value);             \
        else BINARY_ROW(v_set1(*as), v_set1(*bs), value);                                \
        break;

static void NAME(binary)(int op, const binary_args *args) {
    const int64_t n = args->columns;
    real *to = args->y;
    const real *as = args->a, *bs = args->b;
    for (int64_t row = 0; row < args->rows; row++, to += args->y_step, as += args->a_step, bs += args->b_step)
        switch (op) {
            BINARY(ADD, a + b)
            BINARY(SUB, a - b)
            BINARY(MUL, a * b)
            BINARY(DIV, a / b)
            BINARY(MAXIMUM, v_max_nan(a, b))
            BINARY(MINIMUM, -v_max_nan(-a, -b))
            default: break;
        }
}
#undef UNARY
#undef UNARY_BACKWARD
#undef BINARY
#undef BINARY_ROW
