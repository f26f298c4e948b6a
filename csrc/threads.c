/* See threads.h. */
#include "threads.h"
#include "pyconv.h"

#include <time.h>

#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __x86_64__
#include <immintrin.h>
#endif
#ifndef _WIN32
#include <pthread.h>
#endif

/* Denormals slow arithmetic a hundredfold: flush them while kernels run, and give the caller's mode back after. */
#ifdef __x86_64__
typedef unsigned float_mode;
static float_mode flush_denormals(void) {
    float_mode before = _mm_getcsr();
    _mm_setcsr(before | 0x8040); /* flush to zero, denormals are zero */
    return before;
}
static void restore_mode(float_mode before) { _mm_setcsr(before); }
#elif defined(__aarch64__)
typedef uint64_t float_mode;
static float_mode flush_denormals(void) {
    float_mode before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | (1u << 24)));
    return before;
}
static void restore_mode(float_mode before) { __asm__ volatile("msr fpcr, %0" : : "r"(before)); }
#else
typedef int float_mode;
static float_mode flush_denormals(void) { return 0; }
static void restore_mode(float_mode before) { (void)before; }
#endif

#ifdef _OPENMP
static int used_threads;  /* this process has had a team of threads */
static int forked;        /* a parent had one: its threads did not come along, and waiting for them would hang */
static int initial_limit; /* OpenMP's own limit when the library was loaded */

static void after_fork(void) { forked = forked || used_threads; }

__attribute__((constructor)) static void watch_forks(void) {
    initial_limit = omp_get_max_threads();
#ifndef _WIN32
    pthread_atfork(0, 0, after_fork);
#endif
}

int pyconv_has_openmp(void) { return 1; }

int pyconv_effective_threads(int threads) {
    if (forked || omp_in_parallel()) return 1;
    int limit = omp_get_max_threads(); /* lower than at first: somebody (threadpoolctl) asked for that */
    if (limit < initial_limit && limit < threads) threads = limit;
    return threads < 1 ? 1 : threads;
}
#else
int pyconv_has_openmp(void) { return 0; }
int pyconv_effective_threads(int threads) {
    (void)threads;
    return 1;
}
#endif

int pyconv_threads_for(int64_t bytes, int threads) { return bytes < 128 << 10 ? 1 : pyconv_effective_threads(threads); }

void pyconv_parallel_for(int64_t tasks, int threads, void (*task)(void *, int64_t, int), void *context) {
    threads = pyconv_effective_threads(threads);
    if (threads > tasks) threads = (int)tasks;
#ifdef _OPENMP
    if (threads > 1) {
        int64_t next = 0;
        __atomic_store_n(&used_threads, 1, __ATOMIC_RELAXED);
#pragma omp parallel num_threads(threads)
        {
            float_mode before = flush_denormals();
            int worker = omp_get_thread_num();
            int64_t i;
            while ((i = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED)) < tasks) task(context, i, worker);
            restore_mode(before);
        }
        return;
    }
#endif
    float_mode before = flush_denormals();
    for (int64_t i = 0; i < tasks; i++) task(context, i, 0);
    restore_mode(before);
}

double pyconv_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
