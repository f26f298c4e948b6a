/* Vector operations of AArch64 Advanced SIMD. v_max, v_min and v_max_nan give NaN where either is NaN. */
#if REAL_BITS == 32
#define vec float32x4_t
#define LANES 4
#define NEON(op) op##q_f32
#define NEON_SET1 vdupq_n_f32
#else
#define vec float64x2_t
#define LANES 2
#define NEON(op) op##q_f64
#define NEON_SET1 vdupq_n_f64
#endif

static inline vec NAME(load_n)(const real *p, int64_t n) {
    real lanes[LANES] = {0};
    for (int i = 0; i < LANES; i++) if (i < n) lanes[i] = p[i];
    return NEON(vld1)(lanes);
}
static inline void NAME(store_n)(real *p, vec v, int64_t n) {
    real lanes[LANES];
    NEON(vst1)(lanes, v);
    for (int i = 0; i < LANES; i++) if (i < n) p[i] = lanes[i];
}

/* p[0], p[2], … of LANES lanes; nothing past the last is read, and what lies between is kept */
static inline vec NAME(load_even)(const real *p) {
    const vec b = NEON(vld1)(p + LANES - 1);
    return NEON(vuzp1)(NEON(vld1)(p), NEON(vext)(b, b, 1));
}
static inline void NAME(store_even)(real *p, vec v) {
    for (int i = 0; i < LANES; i++) p[2 * i] = v[i];
}

#define v_set1(x) NEON_SET1(x)
#define v_load(p) NEON(vld1)(p)
#define v_store(p, v) NEON(vst1)(p, v)
#define v_load_n(p, n) NAME(load_n)(p, n)
#define v_store_n(p, v, n) NAME(store_n)(p, v, n)
#define v_fma(a, b, c) NEON(vfma)(c, a, b)
#define v_max(a, b) NEON(vmax)(a, b)
#define v_min(a, b) NEON(vmin)(a, b)
#define v_max_nan(a, b) NEON(vmax)(a, b)
#define v_sqrt(a) NEON(vsqrt)(a)
#define v_interleave(a, b, low, high) (*(low) = NEON(vzip1)(a, b), *(high) = NEON(vzip2)(a, b))
#define v_load_even(p) NAME(load_even)(p)
#define v_store_even(p, v) NAME(store_even)(p, v)
