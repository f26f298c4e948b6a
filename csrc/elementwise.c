/* Functions of one and two arrays of reals. An array that is not contiguous along a block's rows is worked on in a copy of the
 * block, which costs a transposition in L1 where its memory order is another one. */
#include "geometry.h"
#include "loops.h"

enum {
    BLOCK = 8192, /* elements */
    STAGED = 2048, STAGED_COLUMNS = 64 /* of a block some arrays of which are copied */
};

/* A block as kernels see it: rows of contiguous elements, or one row where the rows of all arrays follow each other. */
typedef struct {
    char *at[ARRAYS];
    int64_t step[ARRAYS]; /* from row to row */
    int64_t rows, columns;
} rows_view;

typedef struct {
    char bytes[ARRAYS][STAGED * 8] __attribute__((aligned(64)));
} stage_memory;

static int64_t row_stride(const loops_job *job, int a) { return job->p->strides[a][ROW]; }
static int64_t column_stride(const loops_job *job, int a) { return job->p->strides[a][COLUMN]; }

static rows_view stage(const loops_job *job, const loops_block *block, stage_memory *memory) {
    rows_view view = {.rows = block->rows, .columns = block->columns};
    int dense = 1;
    for (int a = 0; a < job->arrays; a++) {
        view.at[a] = block->at[a];
        view.step[a] = row_stride(job, a);
        if (!(job->staged >> a & 1)) {
            dense = dense && view.step[a] == block->columns && column_stride(job, a) == 1;
            continue;
        }
        view.at[a] = memory->bytes[a];
        view.step[a] = block->columns;
        if (a > 0)
            job->table->copy_block(view.at[a], block->columns, block->at[a], row_stride(job, a), column_stride(job, a),
                                   block->rows, block->columns);
    }
    if (dense) view.columns *= view.rows, view.rows = 1;
    return view;
}

static void unstage(const loops_job *job, const loops_block *block, const rows_view *view) {
    if (job->staged & 1)
        job->table->spread_block(block->at[0], row_stride(job, 0), column_stride(job, 0), view->at[0], block->columns,
                                 block->rows, block->columns);
}

static void unary_block(const loops_job *job, const loops_block *block) {
    stage_memory memory;
    const rows_view view = stage(job, block, &memory);
    const int64_t n = view.columns;
    for (int64_t row = 0; row < view.rows; row++) {
        char *at[ARRAYS];
        for (int a = 0; a < job->arrays; a++) at[a] = view.at[a] + row * view.step[a] * job->size[a];
        if (job->arrays == 2) job->table->unary(job->op, at[0], at[1], n, job->parameters);
        else job->table->unary_backward(job->op, at[0], at[1], at[2], at[3], n, job->parameters);
    }
    unstage(job, block, &view);
}

static int repeats(const loops_job *job, int a) { return column_stride(job, a) == 0; }

static void binary_block(const loops_job *job, const loops_block *block) {
    stage_memory memory;
    const rows_view view = stage(job, block, &memory);
    const binary_args args = {.y = view.at[0],
                              .a = view.at[1],
                              .b = view.at[2],
                              .rows = view.rows,
                              .columns = view.columns,
                              .y_step = view.step[0],
                              .a_step = view.step[1],
                              .b_step = view.step[2],
                              .a_repeats = repeats(job, 1),
                              .b_repeats = repeats(job, 2)};
    job->table->binary(job->op, &args);
    unstage(job, block, &view);
}

static void run(loops_job *job, int may_repeat, int threads) {
    const pyconv_loops *p = job->p;
    job->table = pyconv_table((int)p->real_bits);
    for (int a = 0; a < job->arrays; a++) {
        const int direct = p->shape[COLUMN] == 1 || column_stride(job, a) == 1 || (may_repeat && a > 0 && repeats(job, a));
        job->size[a] = p->real_bits / 8;
        job->staged |= (unsigned)!direct << a;
    }
    run_loops(job, job->staged ? STAGED_COLUMNS : BLOCK, job->staged ? STAGED : BLOCK, threads);
}

void pyconv_unary(const pyconv_loops *p, int op, void *y, const void *x, const double parameters[2], int threads) {
    loops_job job = {.p = p, .work = unary_block, .op = op, .arrays = 2, .array = {y, (char *)x}, .parameters = parameters};
    run(&job, 0, threads);
}

void pyconv_unary_backward(const pyconv_loops *p, int op, void *dx, const void *dy, const void *x, const void *y,
                           const double parameters[2], int threads) {
    loops_job job = {.p = p,
                     .work = unary_block,
                     .op = op,
                     .arrays = 4,
                     .array = {dx, (char *)dy, (char *)x, (char *)y},
                     .parameters = parameters};
    run(&job, 0, threads);
}

void pyconv_binary(const pyconv_loops *p, int op, void *y, const void *a, const void *b, int threads) {
    loops_job job = {.p = p, .work = binary_block, .op = op, .arrays = 3, .array = {y, (char *)a, (char *)b}};
    run(&job, 1, threads);
}
