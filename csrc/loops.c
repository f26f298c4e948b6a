/* See loops.h. */
#include "loops.h"
#include "geometry.h"
#include "threads.h"

enum { TASK = 32768 }; /* elements */

static void locate(const loops_job *job, int64_t i, loops_block *block) {
    const pyconv_loops *p = job->p;
    int64_t index[DIMS];
    index[COLUMN] = i % job->across * job->columns;
    i /= job->across;
    index[ROW] = i % job->down * job->rows;
    i /= job->down;
    for (int d = ROW - 1; d >= 0; d--) {
        index[d] = i % p->shape[d];
        i /= p->shape[d];
    }
    block->columns = min_of(job->columns, p->shape[COLUMN] - index[COLUMN]);
    block->rows = min_of(job->rows, p->shape[ROW] - index[ROW]);
    for (int a = 0; a < job->arrays; a++) {
        int64_t offset = 0;
        for (int d = 0; d < DIMS; d++) offset += index[d] * p->strides[a][d];
        block->at[a] = job->array[a] + offset * job->size[a];
    }
}

static void task(void *context, int64_t i, int worker) {
    (void)worker;
    const loops_job *job = context;
    const int64_t end = min_of(job->blocks, (i + 1) * job->blocks_a_task);
    for (int64_t k = i * job->blocks_a_task; k < end; k++) {
        loops_block block;
        locate(job, k, &block);
        job->work(job, &block);
    }
}

void run_loops(loops_job *job, int64_t columns, int64_t elements, int threads) {
    const pyconv_loops *p = job->p;
    int64_t outer = 1, bytes = 0;
    for (int d = 0; d < ROW; d++) outer *= p->shape[d];
    const int64_t all = outer * p->shape[ROW] * p->shape[COLUMN];
    if (all == 0) return;
    for (int a = 0; a < job->arrays; a++) bytes += all * job->size[a];
    job->columns = min_of(p->shape[COLUMN], columns);
    job->rows = min_of(p->shape[ROW], max_of(1, elements / job->columns));
    job->across = ceil_div(p->shape[COLUMN], job->columns);
    job->down = ceil_div(p->shape[ROW], job->rows);
    job->blocks = job->across * job->down * outer;
    job->blocks_a_task = ceil_div(TASK, job->columns * job->rows);
    pyconv_parallel_for(ceil_div(job->blocks, job->blocks_a_task), pyconv_threads_for(bytes, threads), task, job);
}
