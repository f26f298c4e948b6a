/* Softmax and its logarithm along contiguous rows, some rows a task. */
#include "geometry.h"
#include "threads.h"

enum { TASK = 16384, COST = 8 }; /* elements a task; an exponential costs as much as so many bytes */

typedef struct {
    const pyconv_rows *p;
    const kernel_table *table;
    int logarithm;
    int64_t size, rows_a_task;
    const char *x, *dy; /* backward: dy, and y as x */
    char *y;            /* backward: dx */
} softmax_job;

static void forward_task(void *context, int64_t i, int worker) {
    (void)worker;
    const softmax_job *job = context;
    const pyconv_rows *p = job->p;
    for (int64_t row = i * job->rows_a_task; row < min_of(p->rows, (i + 1) * job->rows_a_task); row++)
        job->table->softmax(job->logarithm, job->y + row * p->y_step * job->size, job->x + row * p->x_step * job->size, p->n);
}

static void backward_task(void *context, int64_t i, int worker) {
    (void)worker;
    const softmax_job *job = context;
    const pyconv_rows *p = job->p;
    for (int64_t row = i * job->rows_a_task; row < min_of(p->rows, (i + 1) * job->rows_a_task); row++)
        job->table->softmax_backward(job->logarithm, job->y + row * p->y_step * job->size,
                                     job->dy + row * p->dy_step * job->size, job->x + row * p->x_step * job->size, p->n);
}

static void run(softmax_job *job, int threads, void (*task)(void *, int64_t, int)) {
    const pyconv_rows *p = job->p;
    if (p->n == 0) return;
    job->table = pyconv_table((int)p->real_bits);
    job->size = p->real_bits / 8;
    job->rows_a_task = ceil_div(TASK, p->n);
    threads = pyconv_threads_for(p->rows * p->n * COST * job->size, threads);
    pyconv_parallel_for(ceil_div(p->rows, job->rows_a_task), threads, task, job);
}

void pyconv_softmax(const pyconv_rows *p, int logarithm, const void *x, void *y, int threads) {
    softmax_job job = {.p = p, .logarithm = logarithm, .x = x, .y = y};
    run(&job, threads, forward_task);
}

void pyconv_softmax_backward(const pyconv_rows *p, int logarithm, const void *dy, const void *y, void *dx, int threads) {
    softmax_job job = {.p = p, .logarithm = logarithm, .x = y, .dy = dy, .y = dx};
    run(&job, threads, backward_task);
}
