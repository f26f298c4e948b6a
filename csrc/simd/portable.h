/* Vector operations in portable GNU C, on vectors of VECTOR_BYTES (16 unless told); compilers lower them to what they have.
 * v_max and v_min give the second operand where either is NaN, v_max_nan gives NaN. */
#ifndef VECTOR_BYTES
#define VECTOR_BYTES 16
#endif
#define PORTABLE
#define LANES (VECTOR_BYTES / (int)sizeof(real))

typedef real NAME(vec) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));
#define vec NAME(vec)

static inline vec NAME(set1)(real x) { vec v = {0}; return v + x; }
static inline vec NAME(load_n)(const real *p, int64_t n) {
    vec v = {0};
    for (int i = 0; i < LANES; i++) if (i < n) v[i] = p[i];
    return v;
}
static inline void NAME(store_n)(real *p, vec v, int64_t n) {
    for (int i = 0; i < LANES; i++) if (i < n) p[i] = v[i];
}
static inline vec NAME(max)(vec a, vec b) {
    for (int i = 0; i < LANES; i++) a[i] = a[i] > b[i] ? a[i] : b[i];
    return a;
}
static inline vec NAME(max_nan)(vec a, vec b) {
    for (int i = 0; i < LANES; i++) a[i] = a[i] > b[i] || a[i] != a[i] ? a[i] : b[i];
    return a;
}
static inline vec NAME(min)(vec a, vec b) {
    for (int i = 0; i < LANES; i++) a[i] = a[i] < b[i] ? a[i] : b[i];
    return a;
}
static inline vec NAME(sqrt)(vec a) {
    for (int i = 0; i < LANES; i++) a[i] = (real)__builtin_sqrt(a[i]);
    return a;
}

/* a0 b0 a1 b1 …: the first halves of a and b, and the second */
static inline void NAME(interleave)(vec a, vec b, vec *low, vec *high) {
    vec l = a, h = b;
    for (int i = 0; i < LANES / 2; i++) {
        l[2 * i] = a[i], l[2 * i + 1] = b[i];
        h[2 * i] = a[LANES / 2 + i], h[2 * i + 1] = b[LANES / 2 + i];
    }
    *low = l, *high = h;
}

/* p[0], p[2], … of LANES lanes */
static inline vec NAME(load_even)(const real *p) {
    vec v;
    for (int i = 0; i < LANES; i++) v[i] = p[2 * i];
    return v;
}
static inline void NAME(store_even)(real *p, vec v) {
    for (int i = 0; i < LANES; i++) p[2 * i] = v[i];
}

#define v_set1(x) NAME(set1)(x)
#define v_load(p) (*(const vec *)(p))
#define v_store(p, v) (*(vec *)(p) = (v))
#define v_load_n(p, n) NAME(load_n)(p, n)
#define v_store_n(p, v, n) NAME(store_n)(p, v, n)
#define v_fma(a, b, c) ((a) * (b) + (c))
#define v_max(a, b) NAME(max)(a, b)
#define v_min(a, b) NAME(min)(a, b)
#define v_max_nan(a, b) NAME(max_nan)(a, b)
#define v_sqrt(a) NAME(sqrt)(a)
#define v_interleave(a, b, low, high) NAME(interleave)(a, b, low, high)
#define v_load_even(p) NAME(load_even)(p)
#define v_store_even(p, v) NAME(store_even)(p, v)
