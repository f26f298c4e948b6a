/* Vector functions of a real variable, written on GNU vector arithmetic and the operations of the simd header.
 *
 * exp and log reduce their argument with a two-part ln 2 and sum a power series; both are good to 2 ulp, and every other
 * function is built from them so that it keeps its relative accuracy where it tends to 0. Infinities and NaN come out as
 * C's own functions give them; results below the smallest normal number are 0.
 */

typedef __typeof__((vec){0} < (vec){0}) NAME(ivec);
#define ivec NAME(ivec)

#if REAL_BITS == 32
#define integer int32_t
#define MANTISSA 23
#define BIAS 127
#define MAGIC 12582912.0f /* 1.5 · 2^23: x + MAGIC holds x rounded to an integer in its low bits */
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440e-4f
#define EXP_LOW -86.5f /* exp of less is 0 */
#define EXP_HIGH 89.0f
#define EXP_TERMS 7
#define LOG_TERMS 5
#define SQRT_HALF_BITS 0x3f3504f3
#define NORMAL_LARGE 13.15 /* Φ of less than its negative is 0 */
#define NORMAL_SCALE 0.265
#define NORMAL_COEFFICIENTS \
    {0.2343624814, 0.3988366337, 0.4860760802, 0.3934461284, 0.1543064161, -0.04978981711, -0.07729546106, \
     0.003718379971, 0.03091288266}
#else
#define integer int64_t
#define MANTISSA 52
#define BIAS 1023
#define MAGIC 6755399441055744.0 /* 1.5 · 2^52 */
#define LN2_HIGH 6.93147180369123816490e-01
#define LN2_LOW 1.90821492927058770002e-10
#define EXP_LOW -708.0
#define EXP_HIGH 710.0
#define EXP_TERMS 13
#define LOG_TERMS 11
#define SQRT_HALF_BITS 0x3fe6a09e667f3bcd
#define NORMAL_LARGE 37.62
#define NORMAL_SCALE 0.185
#define NORMAL_COEFFICIENTS \
    {0.17273727729645386, 0.349148467672252654, 0.59357581691341294, 0.846037713020877798, \
     0.997909303527482162, 0.946439383415012259, 0.677361309360692341, 0.304566503773983791, \
     0.00734999766435438954, -0.101672167282063992, -0.0570839931998656289, 0.0153470754896331524, \
     0.0299412039109935339, 0.00189176530262980985, -0.0136323628840297716, -0.00313960108955548148, \
     0.00658593727952699571, 0.00208829049498716431, -0.00338261926523986936, -0.00131344496158866244, \
     0.00136567451651291664, 0.000755916080816486531}
#endif

#define SIGN_BIT ((integer)((uint64_t)1 << (REAL_BITS - 1)))
#define CONSTANT(x) v_set1((real)(x))
#define ZERO CONSTANT(0)
#define ONE CONSTANT(1)

/* Lanes of a where the condition is -1, of b where it is 0. */
INLINE vec NAME(select)(ivec condition, vec a, vec b) {
#ifdef v_select
    return v_select(condition, a, b);
#else
    return (vec)(((ivec)a & condition) | ((ivec)b & ~condition));
#endif
}
INLINE vec NAME(clip)(vec x, vec low, vec high) { return v_min(high, v_max(low, x)); }
INLINE vec NAME(absolute)(vec x) { return (vec)((ivec)x & ~SIGN_BIT); }
INLINE vec NAME(minus_absolute)(vec x) { return (vec)((ivec)x | SIGN_BIT); }
INLINE vec NAME(copy_sign)(vec magnitude, vec sign) {
    return (vec)(((ivec)magnitude & ~SIGN_BIT) | ((ivec)sign & SIGN_BIT));
}

/* x = n ln 2 + r: gives r, and 2^(n - shift) */
INLINE vec NAME(exp_rest)(vec x, int shift, vec *scale) {
    vec rounded = v_fma(x, CONSTANT(1.44269504088896340736), CONSTANT(MAGIC));
    vec n = rounded - CONSTANT(MAGIC);
    *scale = (vec)(((ivec)rounded - (ivec)CONSTANT(MAGIC) + (BIAS - shift)) << MANTISSA);
    return v_fma(n, CONSTANT(-LN2_LOW), v_fma(n, CONSTANT(-LN2_HIGH), x));
}
/* e^r - 1 for such r */
INLINE vec NAME(exp_series)(vec r) {
    double factorial = 1;
    UNROLL for (int i = 2; i <= EXP_TERMS; i++) factorial *= i;
    vec sum = CONSTANT(1 / factorial);
    UNROLL for (int i = EXP_TERMS; i > 2; i--) {
        factorial /= i;
        sum = v_fma(sum, r, CONSTANT(1 / factorial));
    }
    return v_fma(r * r, sum, r);
}
INLINE vec NAME(exp_parts)(vec x, int shift, vec *scale) {
    return NAME(exp_series)(NAME(exp_rest)(x, shift, scale));
}

INLINE vec NAME(exp)(vec x) {
    vec half; /* of 2^n, which itself may be too large */
    vec q = NAME(exp_parts)(v_max(CONSTANT(EXP_LOW), v_min(CONSTANT(EXP_HIGH), x)), 1, &half);
    vec y = CONSTANT(2) * (half * (ONE + q)); /* half · q alone might underflow */
    return (vec)((ivec)y & ~(x < CONSTANT(EXP_LOW)));
}

/* e^x - 1 for x <= 0 */
INLINE vec NAME(expm1_negative)(vec x) {
    vec scale, q = NAME(exp_parts)(v_max(CONSTANT(EXP_LOW), x), 0, &scale);
    return v_fma(scale, q, scale - ONE);
}

/* The integers of k as reals; |k| < 2^(MANTISSA - 2) */
INLINE vec NAME(from_integer)(ivec k) { return (vec)(k + (ivec)CONSTANT(MAGIC)) - CONSTANT(MAGIC); }

/* log of a positive, finite, normal x, plus `rest` */
INLINE vec NAME(log_finite)(vec x, vec rest) {
    ivec k = ((ivec)x - (integer)SQRT_HALF_BITS) >> MANTISSA;
    vec f = (vec)((ivec)x - (k << MANTISSA)) - ONE, n = NAME(from_integer)(k);
    vec s = f / (f + CONSTANT(2)), z = s * s, half_square = CONSTANT(0.5) * f * f;
    vec sum = CONSTANT(2.0 / (2 * LOG_TERMS + 1));
    UNROLL for (int i = LOG_TERMS - 1; i > 0; i--) sum = v_fma(sum, z, CONSTANT(2.0 / (2 * i + 1)));
    vec low = v_fma(s, v_fma(sum, z, half_square), v_fma(n, CONSTANT(LN2_LOW), rest));
    return v_fma(n, CONSTANT(LN2_HIGH), f - (half_square - low));
}

INLINE vec NAME(log)(vec x) {
    const integer one = (integer)BIAS << MANTISSA;
    ivec bits = (ivec)x, denormal = bits < ((integer)1 << MANTISSA); /* or not positive */
    vec scaled = (vec)(bits | one) - ONE;                            /* denormals times 2^(BIAS - 1) */
    vec shift = (vec)((ivec)CONSTANT((BIAS - 1) * 0.69314718055994530942) & denormal);
    vec y = NAME(log_finite)(NAME(select)(denormal, scaled, x), ZERO) - shift;
    y = NAME(select)((bits & ~SIGN_BIT) == 0, CONSTANT(-__builtin_inf()), y);
    y = NAME(select)((bits < 0) & ((bits & ~SIGN_BIT) != 0), CONSTANT(__builtin_nan("")), y);
    return NAME(select)((x == CONSTANT(__builtin_inf())) | (x != x), x, y);
}

/* log(1 + x) for 0 <= x <= 1, or NaN */
INLINE vec NAME(log1p_unit)(vec x) {
    vec y = ONE + x;
    return NAME(select)(x != x, x, NAME(log_finite)(y, (x - (y - ONE)) / y));
}

INLINE vec NAME(sigmoid)(vec x) {
    vec e = NAME(exp)(NAME(minus_absolute)(x));
    return NAME(select)(x >= ZERO, ONE, e) / (ONE + e);
}

INLINE vec NAME(tanh)(vec x) {
    vec m = NAME(expm1_negative)(CONSTANT(-2) * NAME(absolute)(x));
    return NAME(copy_sign)(-m / (m + CONSTANT(2)), x);
}

/* log(1 + e^x) */
INLINE vec NAME(softplus)(vec x) {
    return v_max(ZERO, x) + NAME(log1p_unit)(NAME(exp)(NAME(minus_absolute)(x)));
}

/* e^(-x²/2): x² is taken to twice the precision */
INLINE vec NAME(gaussian)(vec x) {
    x = v_min(CONSTANT(NORMAL_LARGE), NAME(absolute)(x));
    vec head = (vec)((ivec)x & ~(((integer)1 << (MANTISSA + 2) / 2) - 1)), half = CONSTANT(0.5) * head;
    vec scale, r = NAME(exp_rest)(-half * head, 0, &scale); /* its square is exact */
    vec q = NAME(exp_series)(r - CONSTANT(0.5) * (x - head) * (x + head)), y = scale * (ONE + q);
    return (vec)((ivec)y & ~(x == CONSTANT(NORMAL_LARGE)));
}

/* Σ c[i] x^i, even and odd terms side by side */
INLINE vec NAME(polynomial)(const double *c, int terms, vec x) {
    vec square = x * x, sum[] = {CONSTANT(c[terms - 1]), CONSTANT(c[terms - 2])};
    UNROLL for (int i = 2; i < terms; i++) sum[i % 2] = v_fma(sum[i % 2], square, CONSTANT(c[terms - 1 - i]));
    return terms % 2 ? v_fma(sum[1], x, sum[0]) : v_fma(sum[0], x, sum[1]);
}

/* The normal distribution's Φ(x), good in the tail too. For x <= 0 it is e^(-x²/2) · t · P(t - 0.6), where t = 1 / (1 - cx) and
 * P is fitted; t runs from 0.1 to 1, and about 0.6 the terms of P stay small. */
INLINE vec NAME(normal_distribution)(vec x) {
    static const double coefficients[] = NORMAL_COEFFICIENTS;
    vec size = v_min(CONSTANT(NORMAL_LARGE), NAME(absolute)(x)), t = ONE / v_fma(size, CONSTANT(NORMAL_SCALE), ONE);
    vec p = NAME(polynomial)(coefficients, (int)(sizeof coefficients / sizeof *coefficients), t - CONSTANT(0.6));
    vec y = NAME(gaussian)(x) * (t * p);
    return NAME(select)(x > ZERO, ONE - y, y);
}
