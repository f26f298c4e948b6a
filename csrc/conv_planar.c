/* The planar engine: neighbouring pixels of a row fill the vectors, output channels are broadcast weights. For few output
 * channels, where a panel of nr of them would mostly be empty. The input of a tile is copied plane by plane, one row of the
 * width a channel, split by the phase of the stride so that neighbouring outputs read neighbouring inputs. */
#include "conv.h"
#include "threads.h"
#include "workspace.h"

enum { SCRATCH_BYTES = 512 << 10 };

typedef struct {
    const conv_problem *problem;
    correlation q;
    tiling cutting;
    int64_t terms, blocks, block_rows; /* terms of a sum; blocks of output channels, evenly large */
    int wide;                          /* which of the two tiles */
    int64_t columns, pitch;            /* pixels a register tile; pixels of a phase's row, padded for whole tiles */
    char *packed, *offsets, *scratch, *rows; /* packed: [group][block][term][block_rows] */
    int64_t packed_bytes, scratch_bytes, row_bytes;
} planar_job;

static int64_t lay_out(planar_job *job, const conv_problem *problem, int threads, char *base) {
    workspace memory = {base, 0};
    job->problem = problem;
    job->q = problem->q;
    const correlation *q = &job->q;
    const axis *width = &q->axes[WIDTH];
    const kernel_table *table = q->table;
    job->blocks = ceil_div(q->co, table->planar_rows);
    job->block_rows = ceil_div(q->co, job->blocks);
    job->wide = job->block_rows <= table->planar_rows / 2;
    job->columns = job->wide ? table->planar_columns : table->planar_columns / 2;
    job->terms = q->ci * count_taps(q);
    job->cutting = cut(q, q->ci, SCRATCH_BYTES, 4 * threads, 4 * job->columns);
    int64_t reach = (width->taps - 1) * width->dilation / width->step + 1; /* of a phase, beyond its outputs */
    job->pitch = round_up(job->cutting.extent[WIDTH], job->columns) + max_of(0, reach);
    int64_t reach_rows = job->cutting.reach[IMAGE] * job->cutting.reach[DEPTH] * job->cutting.reach[HEIGHT];
    job->packed_bytes = job->terms * job->block_rows * q->size;
    job->scratch_bytes = lines(reach_rows * q->ci * width->step * job->pitch * q->size);
    job->row_bytes = lines(q->co * round_up(job->cutting.extent[WIDTH], job->columns) * q->size);
    job->packed = take(&memory, q->groups * job->blocks * job->packed_bytes);
    job->offsets = take(&memory, job->terms * (int64_t)sizeof(int64_t));
    job->scratch = take(&memory, threads * job->scratch_bytes);
    job->rows = take(&memory, threads * job->row_bytes);
    return memory.used;
}

static void pack_weights(const planar_job *job) {
    const correlation *q = &job->q;
    const weight_view *view = &job->problem->weights;
    for (int64_t group = 0; group < q->groups; group++)
        for (int64_t block = 0; block < job->blocks; block++) {
            char *to = job->packed + (group * job->blocks + block) * job->packed_bytes;
            int64_t k = block * job->block_rows, rows = min_of(job->block_rows, q->co - k);
            const char *from = view->w + (group * view->group_step + k * view->k_step) * q->size;
            for (int64_t c = 0; c < q->ci; c++, from += view->c_step * q->size)
                for (int64_t d = 0; d < q->axes[DEPTH].taps; d++)
                    for (int64_t h = 0; h < q->axes[HEIGHT].taps; h++)
                        for (int64_t w = 0; w < q->axes[WIDTH].taps; w++, to += rows * q->size)
                            q->table->copy_block(to, rows, from + tap_offset(view, d, h, w) * q->size, 0, view->k_step, 1, rows);
        }
}

static void list_terms(const planar_job *job, const int64_t steps[AXES]) {
    const correlation *q = &job->q;
    const axis *w = &q->axes[WIDTH];
    int64_t *offset = (int64_t *)job->offsets;
    for (int64_t c = 0; c < q->ci; c++)
        for (int64_t i = 0; i < q->axes[DEPTH].taps; i++)
            for (int64_t j = 0; j < q->axes[HEIGHT].taps; j++)
                for (int64_t l = 0; l < w->taps; l++) {
                    int64_t at = l * w->dilation;
                    *offset++ = c * w->step * job->pitch + i * q->axes[DEPTH].dilation * steps[DEPTH] +
                                j * q->axes[HEIGHT].dilation * steps[HEIGHT] + at % w->step * job->pitch + at / w->step;
                }
}

static void scratch_steps(const planar_job *job, int64_t steps[AXES]) {
    int64_t rows[AXES] = {job->cutting.reach[IMAGE], job->cutting.reach[DEPTH], job->cutting.reach[HEIGHT], 1};
    dense_steps(rows, job->q.ci * job->q.axes[WIDTH].step * job->pitch, steps);
    steps[WIDTH] = 0; /* a row is walked by the kernel */
}

static void planar_task(void *context, int64_t i, int worker) {
    const planar_job *job = context;
    const correlation *q = &job->q;
    const int64_t size = q->size, group = i % q->groups;
    tile t = tile_at(q, &job->cutting, i / q->groups);
    char *scratch = job->scratch + worker * job->scratch_bytes, *row = job->rows + worker * job->row_bytes;
    int64_t width = t.extent[WIDTH], row_step = round_up(width, job->columns), steps[AXES];
    scratch_steps(job, steps);
    gather_planar(q, &job->cutting, &t, group * q->ci, q->ci, job->pitch, scratch);
    char *y = q->y + (group * q->co * q->y_channel + output_offset(t.begin, q->y_step)) * size;
    FOR_EACH_ROW(&t, at) {
        const char *x = scratch + input_offset(q, at, steps) * size;
        for (int64_t block = 0; block < job->blocks; block++) {
            int64_t k = block * job->block_rows, rows = min_of(job->block_rows, q->co - k);
            planar_args args = {.a = job->packed + (group * job->blocks + block) * job->packed_bytes,
                                .bias = job->problem->bias ? job->problem->bias + (group * q->co + k) * size : 0,
                                .offset = (const int64_t *)job->offsets,
                                .terms = job->terms,
                                .y_row = row_step};
            for (int64_t w = 0; w < width; w += job->columns) {
                args.x = x + w * size;
                args.y = row + (k * row_step + w) * size;
                q->table->planar((int)rows, job->wide, &args);
            }
        }
        q->table->spread_block(y + output_offset(at, q->y_step) * size, q->y_channel, q->y_step[WIDTH], row, row_step, q->co, width);
    }
}

static int64_t planar_workspace(const conv_problem *problem, int threads) {
    planar_job job;
    return lay_out(&job, problem, threads, 0);
}

static void planar_solve(const conv_problem *problem, int threads, char *base) {
    planar_job job;
    lay_out(&job, problem, threads, base);
    int64_t steps[AXES];
    scratch_steps(&job, steps);
    list_terms(&job, steps);
    pack_weights(&job);
    pyconv_parallel_for(job.cutting.tiles * job.q.groups, threads, planar_task, &job);
}

const conv_engine planar_engine = {planar_workspace, planar_solve};
