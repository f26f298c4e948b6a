/* Vector operations of AVX2 with FMA. v_max and v_min give the second operand where either is NaN,
 * v_max_nan gives NaN. */
#if REAL_BITS == 32
#define vec __m256
#define LANES 8
#define AVX2(op) _mm256_##op##_ps
#else
#define vec __m256d
#define LANES 4
#define AVX2(op) _mm256_##op##_pd
#endif

/* -1 in the first n lanes */
static inline __m256i NAME(first)(int64_t n) {
#if REAL_BITS == 32
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
#else
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
#endif
}

/* a0 b0 a1 b1 …: the first halves of a and b, and the second */
static inline void NAME(interleave)(vec a, vec b, vec *low, vec *high) {
    vec even = AVX2(unpacklo)(a, b), odd = AVX2(unpackhi)(a, b); /* within halves of a register */
#if REAL_BITS == 32
    *low = _mm256_permute2f128_ps(even, odd, 0x20), *high = _mm256_permute2f128_ps(even, odd, 0x31);
#else
    *low = _mm256_permute2f128_pd(even, odd, 0x20), *high = _mm256_permute2f128_pd(even, odd, 0x31);
#endif
}

/* The first n lanes, in halves: masked stores are slow on AMD's processors. */
static inline void NAME(store_n)(real *p, vec v, int64_t n) {
    if (n >= LANES) {
        AVX2(storeu)(p, v);
        return;
    }
#if REAL_BITS == 32
    __m128 half = _mm256_castps256_ps128(v);
    if (n & 4) _mm_storeu_ps(p, half), half = _mm256_extractf128_ps(v, 1), p += 4;
    if (n & 2) _mm_storel_pi((__m64 *)p, half), half = _mm_movehl_ps(half, half), p += 2;
    if (n & 1) _mm_store_ss(p, half);
#else
    __m128d half = _mm256_castpd256_pd128(v);
    if (n & 2) _mm_storeu_pd(p, half), half = _mm256_extractf128_pd(v, 1), p += 2;
    if (n & 1) _mm_store_sd(p, half);
#endif
}

/* p[0], p[2], … of LANES lanes; nothing past the last is read, and what lies between is kept */
static inline vec NAME(load_even)(const real *p) {
    const vec a = AVX2(loadu)(p), b = AVX2(loadu)(p + LANES - 1); /* of b the odd ones */
#if REAL_BITS == 32
    const __m256d halves = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0xd8));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(halves, 0xd8));
#else
    return _mm256_permute4x64_pd(_mm256_shuffle_pd(a, b, 0xa), 0xd8);
#endif
}
static inline void NAME(store_even)(real *p, vec v) {
    vec low, high;
    NAME(interleave)(v, v, &low, &high);
    low = AVX2(blend)(AVX2(loadu)(p), low, 0x55 & ((1 << LANES) - 1));
    high = AVX2(blend)(AVX2(loadu)(p + LANES - 1), high, 0xaa & ((1 << LANES) - 1));
    AVX2(storeu)(p, low), AVX2(storeu)(p + LANES - 1, high);
}

/* Transposes LANES vectors: within halves of the registers first, which is quick, then across. */
static inline void NAME(transpose_square)(vec a[LANES]) {
#if REAL_BITS == 32
    vec b[LANES];
    for (int i = 0; i < 8; i += 2) b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]), b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            a[i + 2 * j] = _mm256_shuffle_ps(b[i + j], b[i + j + 2], 0x44);
            a[i + 2 * j + 1] = _mm256_shuffle_ps(b[i + j], b[i + j + 2], 0xee);
        }
    for (int i = 0; i < 4; i++) {
        const vec low = a[i], high = a[i + 4];
        a[i] = _mm256_permute2f128_ps(low, high, 0x20), a[i + 4] = _mm256_permute2f128_ps(low, high, 0x31);
    }
#else
    const vec b[] = {_mm256_unpacklo_pd(a[0], a[1]), _mm256_unpackhi_pd(a[0], a[1]), _mm256_unpacklo_pd(a[2], a[3]),
                     _mm256_unpackhi_pd(a[2], a[3])};
    for (int i = 0; i < 2; i++)
        a[i] = _mm256_permute2f128_pd(b[i], b[i + 2], 0x20), a[i + 2] = _mm256_permute2f128_pd(b[i], b[i + 2], 0x31);
#endif
}

#define v_set1(x) AVX2(set1)(x)
#define v_load(p) AVX2(loadu)(p)
#define v_store(p, v) AVX2(storeu)(p, v)
#define v_load_n(p, n) AVX2(maskload)(p, NAME(first)(n))
#define v_store_n(p, v, n) NAME(store_n)(p, v, n)
#define v_fma(a, b, c) AVX2(fmadd)(a, b, c)
#define v_max(a, b) AVX2(max)(a, b)
#define v_min(a, b) AVX2(min)(a, b)
#define v_max_nan(a, b) AVX2(blendv)(v_max(a, b), a, AVX2(cmp)(a, a, _CMP_UNORD_Q))
#define v_select(condition, a, b) AVX2(blendv)(b, a, (vec)(condition))
#define v_sqrt(a) AVX2(sqrt)(a)
#define v_interleave(a, b, low, high) NAME(interleave)(a, b, low, high)
#define v_transpose(a) NAME(transpose_square)(a)
#define v_load_even(p) NAME(load_even)(p)
#define v_store_even(p, v) NAME(store_even)(p, v)
#if REAL_BITS == 32
#define v_permute(v, from) _mm256_permutevar_ps(v, (__m256i)(from)) /* groups of 2 and 4 do not cross halves */
#endif
