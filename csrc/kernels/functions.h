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
#define NORMAL_LARGE 14 /* Φ of less than its negative is 0 */
#define ERFCX_COEFFICIENTS \
    {-0.0002782656999, -0.0008009517877, 0.001992521019, 0.002579984264, -0.02378911781, 0.06829366712, \
     -0.1192728274, 0.1296465376, -0.04756227211, -0.1356211419, 1.253008058}
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
#define NORMAL_LARGE 39
#define ERFCX_COEFFICIENTS \
    {-4.21010497511919487e-9, -8.50011950211530655e-9, 3.29163439676632021e-8, 9.18624302614384661e-8, \
     -1.31116613753645882e-7, -6.05004862393350368e-7, 3.48991978897442946e-7, 3.46399753235290422e-6, \
     -7.27587574666718295e-7, -0.0000200966308759539524, 4.94814787557653947e-6, 0.000125098151748643215, \
     -0.000105159490337759744, -0.00077983203796111149, 0.0018886903120037819, 0.00252939178827044538, \
     -0.0237705149142336714, 0.0683080273458045873, -0.119273663415528533, 0.129645158702705516, \
     -0.0475622943534463728, -0.135621106124580685, 1.25300805826972964}
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

/* e^x = 2^n (1 + q): gives q, and 2^(n - shift) */
INLINE vec NAME(exp_parts)(vec x, int shift, vec *scale) {
    vec rounded = v_fma(x, CONSTANT(1.44269504088896340736), CONSTANT(MAGIC));
    vec n = rounded - CONSTANT(MAGIC);
    *scale = (vec)(((ivec)rounded - (ivec)CONSTANT(MAGIC) + (BIAS - shift)) << MANTISSA);
    vec r = v_fma(n, CONSTANT(-LN2_LOW), v_fma(n, CONSTANT(-LN2_HIGH), x));
    double factorial = 1;
    UNROLL for (int i = 2; i <= EXP_TERMS; i++) factorial *= i;
    vec sum = CONSTANT(1 / factorial);
    UNROLL for (int i = EXP_TERMS; i > 2; i--) {
        factorial /= i;
        sum = v_fma(sum, r, CONSTANT(1 / factorial));
    }
    return v_fma(r * r, sum, r);
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

/* e^(-x²/2), its exponent kept to twice the precision */
INLINE vec NAME(gaussian)(vec x) {
    vec head = (vec)((ivec)x & ~(((integer)1 << (MANTISSA + 2) / 2) - 1)); /* its square is exact */
    vec half = CONSTANT(0.5), whole = half * head * head, rest = half * (x - head) * (x + head), sum = whole + rest;
    vec lost = rest - (sum - whole), y = NAME(exp)(-sum);
    return NAME(select)(y == ZERO, y, y * (ONE - lost)); /* `lost` may be NaN where y is 0 */
}

/* The normal distribution's Φ(x), good in the tail too. For x = -√2 a <= 0 it is e^(-a²) / (1 + 2a) / 2 times a polynomial
 * in t = (a - 3)/(a + 3), fitted to (1 + 2a) e^(a²) erfc(a) in Chebyshev nodes (Shepherd and Laframboise, Chebyshev
 * approximation of (1 + 2x)exp(x²)erfc x in 0 <= x < ∞, 1981). */
INLINE vec NAME(normal_distribution)(vec x) {
    static const double coefficients[] = ERFCX_COEFFICIENTS;
    const int terms = (int)(sizeof coefficients / sizeof *coefficients);
    vec size = v_min(CONSTANT(NORMAL_LARGE), NAME(absolute)(x)), a = size * CONSTANT(0.70710678118654752440);
    vec t = (a - CONSTANT(3)) / (a + CONSTANT(3)), sum = CONSTANT(coefficients[0]);
    for (int i = 1; i < terms; i++) sum = v_fma(sum, t, CONSTANT(coefficients[i]));
    vec y = CONSTANT(0.5) * NAME(gaussian)(size) * sum / (ONE + CONSTANT(2) * a);
    return NAME(select)(x > ZERO, ONE - y, y);
}
