/* Parallel loops: the one place that knows threads, forked children and denormals. */
#ifndef PYCONV_THREADS_H
#define PYCONV_THREADS_H

#include <stdint.h>

/* Runs task(context, i, worker) once for each i < tasks, on at most `threads` threads; worker < threads names the thread,
 * for scratch memory. Tasks are handed out in order as threads come free, so a task must not depend on its worker. */
void pyconv_parallel_for(int64_t tasks, int threads, void (*task)(void *context, int64_t i, int worker), void *context);

/* How many of `threads` work that touches so many bytes should use: 1 where waking the others costs more than they give. */
int pyconv_threads_for(int64_t bytes, int threads);

/* Seconds since some moment in the past. */
double pyconv_now(void);

#endif
