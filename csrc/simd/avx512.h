/* Vector operations of AVX-512 (F, VL, BW, DQ). v_max and v_min give the second operand where either is
 * NaN, v_max_nan gives NaN. */
#if REAL_BITS == 32
#define vec __m512
#define LANES 16
#define AVX512(op) _mm512_##op##_ps
#define AVX512_MASK(n) ((__mmask16)((1u << (n)) - 1))
#define AVX512_NAN(a) _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q)
#else
#define vec __m512d
#define LANES 8
#define AVX512(op) _mm512_##op##_pd
#define AVX512_MASK(n) ((__mmask8)((1u << (n)) - 1))
#define AVX512_NAN(a) _mm512_cmp_pd_mask(a, a, _CMP_UNORD_Q)
#endif

/* a0 b0 a1 b1 …: the first halves of a and b, and the second */
static inline void NAME(interleave)(vec a, vec b, vec *low, vec *high) {
#if REAL_BITS == 32
    __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
#else
    __m512i first = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), second = _mm512_add_epi64(first, _mm512_set1_epi64(4));
#endif
    *low = AVX512(permutex2var)(a, first, b), *high = AVX512(permutex2var)(a, second, b);
}

/* p[0], p[2], … of LANES lanes; nothing past the last is read, and what lies between is kept */
static inline vec NAME(load_even)(const real *p) {
#if REAL_BITS == 32
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31);
#else
    const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 9, 11, 13, 15);
#endif
    return AVX512(permutex2var)(AVX512(loadu)(p), even, AVX512(loadu)(p + LANES - 1));
}
static inline void NAME(store_even)(real *p, vec v) {
    vec low, high;
    NAME(interleave)(v, v, &low, &high);
    AVX512(mask_storeu)(p, AVX512_MASK(LANES) & 0x5555, low);
    AVX512(mask_storeu)(p + LANES - 1, AVX512_MASK(LANES) & 0xaaaa, high);
}

#define v_set1(x) AVX512(set1)(x)
#define v_load(p) AVX512(loadu)(p)
#define v_store(p, v) AVX512(storeu)(p, v)
#define v_load_n(p, n) AVX512(maskz_loadu)(AVX512_MASK(n), p)
#define v_store_n(p, v, n) AVX512(mask_storeu)(p, AVX512_MASK(n), v)
#define v_fma(a, b, c) AVX512(fmadd)(a, b, c)
#define v_max(a, b) AVX512(max)(a, b)
#define v_min(a, b) AVX512(min)(a, b)
#define v_max_nan(a, b) AVX512(mask_mov)(v_max(a, b), AVX512_NAN(a), a)
#define v_sqrt(a) AVX512(sqrt)(a)
#define v_interleave(a, b, low, high) NAME(interleave)(a, b, low, high)
#define v_load_even(p) NAME(load_even)(p)
#define v_store_even(p, v) NAME(store_even)(p, v)
#define v_permute(v, from) AVX512(permutexvar)((__m512i)(from), v)
