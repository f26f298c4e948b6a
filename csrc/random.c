/* Random masks from a counter-based generator: Philox 4×64-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3,
 * 2011). Block b of four words depends on the key and on its counter (b + 1, counter, 0, 0) alone, so tasks share nothing. */
#include "geometry.h"
#include "threads.h"

#include <math.h>

enum { WORDS = 8, BATCH = 256, TASK = 1 << 14 }; /* words of 32 bits: of a block, at a time; elements a task */

static uint64_t multiply(uint64_t a, uint64_t b, uint64_t *high) {
    const unsigned __int128 product = (unsigned __int128)a * b;
    *high = (uint64_t)(product >> 64);
    return (uint64_t)product;
}

static void philox(uint64_t key, uint64_t counter, uint64_t block, uint64_t words[4]) {
    uint64_t c[4] = {block + 1, counter, 0, 0}, k[2] = {key, 0};
    for (int round = 0; round < 10; round++) {
        uint64_t high[2], low[2];
        low[0] = multiply(0xD2E7470EE14C6C93, c[0], &high[0]);
        low[1] = multiply(0xCA5A826395121157, c[2], &high[1]);
        const uint64_t next[4] = {high[1] ^ c[1] ^ k[0], low[1], high[0] ^ c[3] ^ k[1], low[0]};
        memcpy(c, next, sizeof c);
        k[0] += 0x9E3779B97F4A7C15;
        k[1] += 0xBB67AE8584CAA73B;
    }
    memcpy(words, c, sizeof c);
}

typedef struct {
    void *mask;
    const uint64_t *state;
    const double *value;
    int64_t n;
    int real_bits;
} mask_job;

#define CHOOSE(real)                                                                                \
    static void choose_##real(real *mask, const uint32_t *words, uint32_t least, real value, int64_t n) { \
        for (int64_t i = 0; i < n; i++) mask[i] = words[i] >= least ? value : 0;                    \
    }
CHOOSE(float)
CHOOSE(double)

static void mask_task(void *context, int64_t i, int worker) {
    (void)worker;
    const mask_job *job = context;
    const int64_t end = min_of(job->n, (i + 1) * TASK);
    const double least = ceil(job->value[0]);
    const uint32_t bound = least < UINT32_MAX ? (uint32_t)least : UINT32_MAX; /* past that the other value is 0 too */
    for (int64_t begin = i * TASK; begin < end; begin += BATCH) {
        const int64_t n = min_of(BATCH, end - begin);
        uint32_t words[BATCH];
        for (int64_t block = 0; block < ceil_div(n, WORDS); block++) {
            uint64_t wide[4];
            philox(job->state[0], job->state[1], (uint64_t)(begin / WORDS + block), wide);
            for (int k = 0; k < WORDS; k++) words[block * WORDS + k] = (uint32_t)(wide[k / 2] >> 32 * (k % 2));
        }
        if (job->real_bits == 32) choose_float((float *)job->mask + begin, words, bound, (float)job->value[1], n);
        else choose_double((double *)job->mask + begin, words, bound, job->value[1], n);
    }
}

void pyconv_dropout_mask(void *mask, const uint64_t state[2], const double value[2], int64_t n, int real_bits, int threads) {
    mask_job job = {mask, state, value, n, real_bits};
    pyconv_parallel_for(ceil_div(n, TASK), pyconv_threads_for(8 * n, threads), mask_task, &job);
}
