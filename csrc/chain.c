/* Chains of elementwise functions, block by block: what comes in between stays in L1. */
#include "geometry.h"
#include "threads.h"

enum {
    ROW_BYTES = 8192, /* of a block */
    TASK = 8192,      /* elements */
    DIMS = 6, COLUMN = DIMS - 1, INPUTS = 10, COPIES = 4, ROWS = 6, NUMBERS = 16
};

typedef struct {
    const pyconv_steps *p;
    const kernel_table *table;
    char *y;
    const char *input[INPUTS];
    int64_t size, block, across, blocks, blocks_a_task; /* elements of a block; blocks along the last axis, in all */
} chain_job;

static int is_single(const pyconv_steps *p, int64_t i) { return p->strides[1 + i][COLUMN] == 0; }

/* Runs the steps on n elements of contiguous rows. */
static void run_steps(const chain_job *job, int64_t n, char *y, const char *const input[INPUTS]) {
    const pyconv_steps *p = job->p;
    char row[ROWS][ROW_BYTES] __attribute__((aligned(64)));
    double wide[NUMBERS];
    float narrow[NUMBERS];
    for (int64_t i = 0; i < p->numbers; i++) wide[i] = p->number[i], narrow[i] = (float)p->number[i];
    for (int64_t s = 0; s < p->count; s++) {
        const pyconv_step *step = p->steps + s;
        char *to = step->to < 0 ? y : row[step->to];
        const char *from[2];
        int repeats[2];
        for (int k = 0; k < 2; k++) {
            const int64_t i = step->from[k], number = i - p->inputs;
            repeats[k] = number < 0 ? is_single(p, i) : number < p->numbers;
            if (number < 0) from[k] = input[i];
            else if (number >= p->numbers) from[k] = row[number - p->numbers];
            else if (job->size == sizeof *wide) from[k] = (char *)(wide + number);
            else from[k] = (char *)(narrow + number);
        }
        if (step->is_unary) {
            job->table->unary((int)step->op, to, from[0], n, step->parameters);
            continue;
        }
        const binary_args args = {
            .y = to, .a = from[0], .b = from[1], .rows = 1, .columns = n, .a_repeats = repeats[0], .b_repeats = repeats[1]};
        job->table->binary((int)step->op, &args);
    }
}

static void block_task(const chain_job *job, int64_t i) {
    const pyconv_steps *p = job->p;
    const int64_t begin = i % job->across * job->block, n = min_of(job->block, p->shape[COLUMN] - begin);
    char copies[COPIES][ROW_BYTES] __attribute__((aligned(64)));
    const char *input[INPUTS];
    int64_t offset[1 + INPUTS] = {0};
    for (int64_t a = 0; a <= p->inputs; a++) offset[a] = begin * p->strides[a][COLUMN];
    i /= job->across;
    for (int d = COLUMN - 1; d >= 0; i /= p->shape[d], d--)
        for (int64_t a = 0; a <= p->inputs; a++) offset[a] += i % p->shape[d] * p->strides[a][d];
    int copied = 0;
    const int keeps = p->condition >= 0 && !*job->input[p->condition];
    for (int64_t a = 0; a < p->inputs; a++) {
        const int64_t step = p->strides[1 + a][COLUMN];
        input[a] = job->input[a] + offset[1 + a] * job->size;
        if (step == 0 || step == 1 || n == 1 || (keeps && a != p->otherwise)) continue;
        job->table->copy_block(copies[copied], n, input[a], 0, step, 1, n);
        input[a] = copies[copied++];
    }
    char *y = job->y + offset[0] * job->size;
    if (!keeps) run_steps(job, n, y, input);
    else if (y != input[p->otherwise]) memcpy(y, input[p->otherwise], (size_t)(n * job->size));
}

static void task(void *context, int64_t i, int worker) {
    (void)worker;
    const chain_job *job = context;
    for (int64_t k = i * job->blocks_a_task; k < min_of(job->blocks, (i + 1) * job->blocks_a_task); k++) block_task(job, k);
}

void pyconv_chain(const pyconv_steps *p, void *y, const void *x0, const void *x1, const void *x2, const void *x3, const void *x4,
                  const void *x5, const void *x6, const void *x7, const void *x8, const void *x9, int threads) {
    chain_job job = {.p = p,
                     .table = pyconv_table((int)p->real_bits),
                     .y = y,
                     .input = {x0, x1, x2, x3, x4, x5, x6, x7, x8, x9},
                     .size = p->real_bits / 8,
                     .block = ROW_BYTES / (p->real_bits / 8)};
    int64_t elements = 1, outer = 1;
    for (int d = 0; d < DIMS; d++) elements *= p->shape[d], outer *= d < COLUMN ? p->shape[d] : 1;
    if (elements == 0) return;
    job.across = ceil_div(p->shape[COLUMN], job.block);
    job.blocks = outer * job.across;
    job.blocks_a_task = max_of(1, TASK / min_of(job.block, p->shape[COLUMN]));
    const int used = pyconv_threads_for(elements * (1 + p->inputs) * job.size, threads);
    pyconv_parallel_for(ceil_div(job.blocks, job.blocks_a_task), used, task, &job);
}
