/* Elementwise functions: loops over up to six axes, cut into blocks of the last two that tasks take several of. */
#include "geometry.h"
#include "threads.h"

enum { DIMS = 6, ARRAYS = 4, BLOCK = 8192, TASK = 32768 }; /* elements */

typedef struct {
    const pyconv_loops *p;
    const kernel_table *table;
    int op, arrays;
    char *array[ARRAYS];
    const double *parameters;
    int64_t size, length, rows;      /* a block: at most `rows` rows of `length` elements */
    int64_t across, down;            /* blocks that the last two axes are cut into */
    int64_t blocks, blocks_a_task;
} loops_job;

/* Where the arrays of a block begin, how many rows and elements it has. */
static void locate(const loops_job *job, int64_t block, char *at[ARRAYS], int64_t *rows, int64_t *n) {
    const pyconv_loops *p = job->p;
    int64_t index[DIMS];
    index[DIMS - 1] = block % job->across * job->length;
    block /= job->across;
    index[DIMS - 2] = block % job->down * job->rows;
    block /= job->down;
    for (int d = DIMS - 3; d >= 0; d--) {
        index[d] = block % p->shape[d];
        block /= p->shape[d];
    }
    *n = min_of(job->length, p->shape[DIMS - 1] - index[DIMS - 1]);
    *rows = min_of(job->rows, p->shape[DIMS - 2] - index[DIMS - 2]);
    for (int a = 0; a < job->arrays; a++) {
        int64_t offset = 0;
        for (int d = 0; d < DIMS; d++) offset += index[d] * p->strides[a][d];
        at[a] = job->array[a] + offset * job->size;
    }
}

static void unary_task(void *context, int64_t i, int worker) {
    (void)worker;
    const loops_job *job = context;
    for (int64_t block = i * job->blocks_a_task; block < min_of(job->blocks, (i + 1) * job->blocks_a_task); block++) {
        char *at[ARRAYS];
        int64_t rows, n;
        locate(job, block, at, &rows, &n);
        for (int64_t row = 0; row < rows; row++) {
            if (job->arrays == 2) job->table->unary(job->op, at[0], at[1], n, job->parameters);
            else job->table->unary_backward(job->op, at[0], at[1], at[2], at[3], n, job->parameters);
            for (int a = 0; a < job->arrays; a++) at[a] += job->p->strides[a][DIMS - 2] * job->size;
        }
    }
}

static void binary_task(void *context, int64_t i, int worker) {
    (void)worker;
    const loops_job *job = context;
    const pyconv_loops *p = job->p;
    for (int64_t block = i * job->blocks_a_task; block < min_of(job->blocks, (i + 1) * job->blocks_a_task); block++) {
        char *at[ARRAYS];
        binary_args args = {.y_step = p->strides[0][DIMS - 2],
                            .a_step = p->strides[1][DIMS - 2],
                            .b_step = p->strides[2][DIMS - 2],
                            .a_repeats = p->strides[1][DIMS - 1] == 0,
                            .b_repeats = p->strides[2][DIMS - 1] == 0};
        locate(job, block, at, &args.rows, &args.columns);
        args.y = at[0];
        args.a = at[1];
        args.b = at[2];
        job->table->binary(job->op, &args);
    }
}

static void run(loops_job *job, int threads, void (*task)(void *, int64_t, int)) {
    const pyconv_loops *p = job->p;
    const int64_t n = p->shape[DIMS - 1], rows = p->shape[DIMS - 2];
    int64_t outer = 1;
    for (int d = 0; d < DIMS - 2; d++) outer *= p->shape[d];
    if (n * rows * outer == 0) return;
    job->table = pyconv_table((int)p->real_bits);
    job->size = p->real_bits / 8;
    job->length = min_of(n, BLOCK);
    job->rows = min_of(rows, BLOCK / job->length);
    job->across = ceil_div(n, job->length);
    job->down = ceil_div(rows, job->rows);
    job->blocks = job->across * job->down * outer;
    job->blocks_a_task = ceil_div(TASK, job->length * job->rows);
    threads = pyconv_threads_for(n * rows * outer * job->arrays * job->size, threads);
    pyconv_parallel_for(ceil_div(job->blocks, job->blocks_a_task), threads, task, job);
}

void pyconv_unary(const pyconv_loops *p, int op, void *y, const void *x, const double parameters[2], int threads) {
    loops_job job = {.p = p, .op = op, .arrays = 2, .array = {y, (char *)x}, .parameters = parameters};
    run(&job, threads, unary_task);
}

void pyconv_unary_backward(const pyconv_loops *p, int op, void *dx, const void *dy, const void *x, const void *y,
                           const double parameters[2], int threads) {
    loops_job job = {.p = p, .op = op, .arrays = 4, .array = {dx, (char *)dy, (char *)x, (char *)y}, .parameters = parameters};
    run(&job, threads, unary_task);
}

void pyconv_binary(const pyconv_loops *p, int op, void *y, const void *a, const void *b, int threads) {
    loops_job job = {.p = p, .op = op, .arrays = 3, .array = {y, (char *)a, (char *)b}};
    run(&job, threads, binary_task);
}
