/* Which instruction set serves: a list, best first, asked once when the library is loaded. */
#include "kernels.h"
#include "pyconv.h"
#include "threads.h"

#include <string.h>

static int always(void) { return 1; }

#ifdef __x86_64__
/* the builtins read cpuid, and xgetbv for what the operating system saves */
static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
static int has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
}
#endif

static const isa_row rows[] = {
#ifdef __x86_64__
    {"avx512", has_avx512, &pyconv_avx512_f32, &pyconv_avx512_f64},
    {"avx2", has_avx2, &pyconv_avx2_f32, &pyconv_avx2_f64},
#endif
#ifdef __aarch64__
    {"neon", always, &pyconv_neon_f32, &pyconv_neon_f64},
#endif
    {"scalar", always, &pyconv_scalar_f32, &pyconv_scalar_f64},
};
#define ROWS ((int)(sizeof rows / sizeof *rows))

static const isa_row *current;

__attribute__((constructor)) static void choose(void) {
#ifdef __x86_64__
    __builtin_cpu_init();
#endif
    for (current = rows; !current->supported(); current++) {}
}

const char *pyconv_isa_name(int index) { return index >= 0 && index < ROWS ? rows[index].name : 0; }
int pyconv_isa_supported(int index) { return index >= 0 && index < ROWS && rows[index].supported(); }
const char *pyconv_isa(void) { return current->name; }

int pyconv_select_isa(const char *name) {
    for (int i = 0; i < ROWS; i++)
        if (!strcmp(rows[i].name, name) && rows[i].supported()) {
            current = &rows[i];
            return 0;
        }
    return -1;
}

const kernel_table *pyconv_table(int real_bits) { return real_bits == 32 ? current->f32 : current->f64; }

typedef struct {
    const kernel_table *table;
    double flops[1024];
} peak_job;

static void peak_task(void *context, int64_t i, int worker) {
    (void)worker;
    peak_job *job = context;
    job->flops[i] = job->table->fma_chain(20000);
}

double pyconv_measure_peak(int real_bits, double seconds, int threads) {
    peak_job job = {.table = pyconv_table(real_bits)};
    int64_t tasks = threads * 8 < 1024 ? threads * 8 : 1024;
    double best = 0, end = pyconv_now() + seconds;
    do {
        double begin = pyconv_now(), flops = 0;
        pyconv_parallel_for(tasks, threads, peak_task, &job);
        double took = pyconv_now() - begin;
        for (int64_t i = 0; i < tasks; i++) flops += job.flops[i];
        if (flops / took > best) best = flops / took;
    } while (pyconv_now() < end);
    return best;
}
