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
