/* See threads.h. A loop is finished when its tasks are, whoever did them: a worker that wakes late finds it closed. With
 * OpenMP the caller would wait for every thread of the team, which on virtual machines takes up to half a millisecond. */
#include "threads.h"
#include "pyconv.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __x86_64__
#include <immintrin.h>
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
static int initial_limit; /* OpenMP's own limit when the library was loaded */
__attribute__((constructor)) static void note_limit(void) { initial_limit = omp_get_max_threads(); }

int pyconv_has_openmp(void) { return 1; }

/* What OpenMP's callers know of: a region of threads around this call, and a limit lower than at first (threadpoolctl). */
static int limit_of_openmp(int threads) {
    const int limit = omp_get_max_threads();
    if (omp_in_parallel()) return 1;
    return limit < initial_limit && limit < threads ? limit : threads;
}
#else
int pyconv_has_openmp(void) { return 0; }
static int limit_of_openmp(int threads) { return threads; }
#endif

static void relax(void) {
#ifdef __x86_64__
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

enum { MOST_WORKERS = 511, ACTIVE = (1 << 16) - 1, OPEN = 1 << 16, NEXT_LOOP = 1 << 17, PATIENCE = 4096 };
#define SPIN_SECONDS 200e-6 /* a worker looks for the next loop so long before it sleeps */

/* The workers of one calling thread, and the loop that they may join while it is open. */
typedef struct {
    void (*task)(void *, int64_t, int);
    void *context;
    int64_t tasks, next;
    int threads;    /* workers with lower numbers may join */
    uint64_t state; /* a number of the loop, whether it is open, how many workers are in it */
    int workers, sleeping, dismissed;
    pthread_mutex_t lock;
    pthread_cond_t called;
    pthread_t worker[MOST_WORKERS];
} team;

typedef struct {
    team *of;
    int number;
} recruit;

static _Thread_local team *own_team;
static _Thread_local int in_loop; /* this thread runs tasks: a loop inside of one is serial */
static pthread_key_t team_key;    /* has the team dismissed when its thread ends */

static void run_tasks(team *t, int number) {
    int64_t i;
    while ((i = __atomic_fetch_add(&t->next, 1, __ATOMIC_RELAXED)) < t->tasks) t->task(t->context, i, number);
}

static int is_news(uint64_t state, uint64_t last) { return (state & OPEN) && state / NEXT_LOOP != last; }

/* Joins the open loop unless this worker was in it; whether it did. */
static int join_loop(team *t, int number, uint64_t *last) {
    uint64_t state = __atomic_load_n(&t->state, __ATOMIC_SEQ_CST);
    while (is_news(state, *last)) {
        if (number >= __atomic_load_n(&t->threads, __ATOMIC_RELAXED)) {
            *last = state / NEXT_LOOP;
            return 0;
        }
        if (__atomic_compare_exchange_n(&t->state, &state, state + 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            *last = state / NEXT_LOOP;
            return 1;
        }
    }
    return 0;
}

static void sleep_until_called(team *t, uint64_t last) {
    pthread_mutex_lock(&t->lock);
    __atomic_fetch_add(&t->sleeping, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&t->dismissed, __ATOMIC_SEQ_CST) && !is_news(__atomic_load_n(&t->state, __ATOMIC_SEQ_CST), last))
        pthread_cond_wait(&t->called, &t->lock);
    __atomic_fetch_sub(&t->sleeping, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&t->lock);
}

static void *work(void *context) {
    const recruit self = *(recruit *)context;
    team *t = self.of;
    uint64_t last = 0;
    free(context);
    flush_denormals();
    in_loop = 1;
    while (!__atomic_load_n(&t->dismissed, __ATOMIC_ACQUIRE)) {
        const double begin = pyconv_now();
        int joined;
        while (!(joined = join_loop(t, self.number, &last)) && pyconv_now() - begin < SPIN_SECONDS)
            for (int i = 0; i < 16; i++) relax();
        if (joined) {
            run_tasks(t, self.number);
            __atomic_fetch_sub(&t->state, 1, __ATOMIC_RELEASE);
        } else {
            sleep_until_called(t, last);
        }
    }
    return 0;
}

static void call_workers(team *t) {
    pthread_mutex_lock(&t->lock); /* whoever has found nothing to do waits by now */
    pthread_mutex_unlock(&t->lock);
    pthread_cond_broadcast(&t->called);
}

static void dismiss(void *context) {
    team *t = context;
    __atomic_store_n(&t->dismissed, 1, __ATOMIC_SEQ_CST);
    call_workers(t);
    for (int i = 0; i < t->workers; i++) pthread_join(t->worker[i], 0);
    pthread_cond_destroy(&t->called);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static void after_fork(void) { /* the parent's workers did not come along */
    own_team = 0;
    pthread_setspecific(team_key, 0);
}

__attribute__((constructor)) static void prepare_teams(void) {
    pthread_key_create(&team_key, dismiss);
#ifndef _WIN32
    pthread_atfork(0, 0, after_fork);
#endif
}

/* Starts workers up to number threads - 1, or as many as the system gives. */
static void recruit_workers(team *t, int threads) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the caller's threads */
    while (t->workers < threads - 1) {
        recruit *next = malloc(sizeof *next);
        if (!next) break;
        *next = (recruit){t, t->workers + 1};
        if (pthread_create(&t->worker[t->workers], 0, work, next)) {
            free(next);
            break;
        }
        t->workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, 0);
}

/* The calling thread's team, or NULL where there is no memory for one. */
static team *team_of(int threads) {
    if (!own_team) {
        team *t = calloc(1, sizeof *t);
        if (!t) return 0;
        pthread_mutex_init(&t->lock, 0);
        pthread_cond_init(&t->called, 0);
        pthread_setspecific(team_key, t);
        own_team = t;
    }
    if (own_team->workers < threads - 1) recruit_workers(own_team, threads);
    return own_team;
}

int pyconv_effective_threads(int threads) {
    if (in_loop) return 1;
    threads = limit_of_openmp(threads);
    return threads < 1 ? 1 : threads > MOST_WORKERS + 1 ? MOST_WORKERS + 1 : threads;
}

int pyconv_threads_for(int64_t bytes, int threads) { return bytes < 64 << 10 ? 1 : pyconv_effective_threads(threads); }

void pyconv_parallel_for(int64_t tasks, int threads, void (*task)(void *, int64_t, int), void *context) {
    threads = pyconv_effective_threads(threads);
    if (threads > tasks) threads = (int)tasks;
    team *t = threads > 1 ? team_of(threads) : 0;
    const float_mode before = flush_denormals();
    if (!t) {
        for (int64_t i = 0; i < tasks; i++) task(context, i, 0);
        restore_mode(before);
        return;
    }
    t->task = task;
    t->context = context;
    t->tasks = tasks;
    __atomic_store_n(&t->next, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&t->threads, threads, __ATOMIC_RELAXED);
    const uint64_t loop = __atomic_load_n(&t->state, __ATOMIC_RELAXED) / NEXT_LOOP + 1;
    __atomic_store_n(&t->state, loop * NEXT_LOOP + OPEN, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&t->sleeping, __ATOMIC_SEQ_CST)) call_workers(t);
    in_loop = 1;
    run_tasks(t, 0);
    in_loop = 0;
    __atomic_fetch_and(&t->state, ~(uint64_t)OPEN, __ATOMIC_ACQ_REL); /* who has not come is not waited for */
    for (int i = 0; __atomic_load_n(&t->state, __ATOMIC_ACQUIRE) & ACTIVE; i++)
        if (i < PATIENCE) relax();
        else sched_yield(), i = PATIENCE;
    restore_mode(before);
}

double pyconv_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
