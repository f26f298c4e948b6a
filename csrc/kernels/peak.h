/* Independent FMAs and nothing else: what the peak of this machine is measured with. */

#define CHAINS 12

static double NAME(fma_chain)(int64_t iterations) {
    vec sum[CHAINS], factor = v_set1((real)0.999), term = v_set1((real)0.001);
    UNROLL for (int i = 0; i < CHAINS; i++) sum[i] = v_set1((real)i);
    for (int64_t n = 0; n < iterations; n++) {
        UNROLL for (int i = 0; i < CHAINS; i++) {
            sum[i] = v_fma(sum[i], factor, term);
            KEEP_IN_REGISTER(sum[i]);
        }
    }
    UNROLL for (int i = 1; i < CHAINS; i++) sum[0] = v_fma(sum[i], factor, sum[0]);
    real kept[LANES];
    v_store_n(kept, sum[0], LANES);
    volatile real used = kept[0]; /* or the compiler drops it all */
    (void)used;
    return 2.0 * CHAINS * LANES * (double)iterations;
}
#undef CHAINS
