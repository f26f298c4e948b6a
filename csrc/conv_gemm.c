/* The general engine: an indirect GEMM over tiles of the output.
 *
 * A task takes one tile of pixels, one group and a share of the output channels. The tile's input is read in place where
 * it is channels-last and needs no padding, else from a copy in the worker's scratch. Weights are packed first, into
 * panels of nr output channels: [group][panel][tap][input channel][nr].
 */
#include "conv.h"
#include "threads.h"
#include "workspace.h"

#include <string.h>

enum { SCRATCH_BYTES = 192 << 10 }; /* a tile's input: together with a weight panel it should stay in L2 */

typedef struct {
    correlation q;
    const conv_problem *problem;
    tiling cutting;
    int64_t panels, taps, panel_bytes;
    int64_t shares, panels_a_share; /* how the panels of a group are split between tasks */
    char *packed, *offsets, *scratch;
    int64_t scratch_bytes, tile_bytes;
} conv_job;

/* Runs of the GEMM: one a kernel row where a row's taps and channels lie side by side, else one a tap. */
static int merges_row(const correlation *q, int64_t pixel_step) { return q->axes[WIDTH].dilation == 1 && pixel_step == q->ci; }

static void pack_panel(void *context, int64_t i, int worker) {
    (void)worker;
    const conv_job *job = context;
    const correlation *q = &job->q;
    const kernel_table *table = q->table;
    int64_t size = q->size, group = i / job->panels, k = i % job->panels * table->nr;
    int64_t columns = min_of(table->nr, q->co - k);
    char *to = job->packed + i * job->panel_bytes;
    if (columns < table->nr) memset(to, 0, (size_t)job->panel_bytes);
    const weight_view *view = &job->problem->weights;
    const char *from = view->w + (group * view->group_step + k * view->k_step) * size;
    for (int64_t d = 0; d < q->axes[DEPTH].taps; d++)
        for (int64_t h = 0; h < q->axes[HEIGHT].taps; h++)
            for (int64_t w = 0; w < q->axes[WIDTH].taps; w++) {
                table->copy_block(to, table->nr, from + tap_offset(view, d, h, w) * size, view->c_step, view->k_step, q->ci,
                                  columns);
                to += q->ci * table->nr * size;
            }
}

/* Where a tile is read from. */
typedef struct {
    const char *base;
    int64_t steps[AXES], runs, length;
    const int64_t *offset;
} input_view;

static input_view view_input(const conv_job *job, const tile *t, int64_t group, char *scratch) {
    const correlation *q = &job->q;
    int64_t all_taps = max_of(1, job->taps);
    input_view view;
    int in_place = q->x_channel == 1 && is_interior(q, t);
    if (in_place) {
        memcpy(view.steps, q->x_step, sizeof view.steps);
        view.base = tile_input(q, t) + group * q->ci * q->size;
    } else {
        gather_tile(q, &job->cutting, t, group * q->ci, q->ci, scratch);
        dense_steps(job->cutting.reach, q->ci, view.steps);
        view.base = scratch;
    }
    int merged = merges_row(q, view.steps[WIDTH]);
    view.offset = (const int64_t *)job->offsets + (in_place ? 0 : all_taps);
    view.length = merged ? q->ci * q->axes[WIDTH].taps : q->ci;
    view.runs = merged ? q->axes[DEPTH].taps * q->axes[HEIGHT].taps * min_of(1, q->axes[WIDTH].taps) : job->taps;
    return view;
}

/* Runs the register tile over all pixels of a tile for one panel; pixel p of the tile goes to c + p·c_steps. */
static void multiply(const conv_job *job, const tile *t, const input_view *in, const char *panel, const char *bias, char *c,
                     const int64_t c_steps[AXES]) {
    const correlation *q = &job->q;
    const kernel_table *table = q->table;
    const int pair = table->group_rows;
    const int64_t size = q->size, width = t->extent[WIDTH], a_step = in->steps[WIDTH] * q->axes[WIDTH].step;
    tile_args args = {.offset = in->offset, .runs = in->runs, .length = in->length, .step = 1, .b = panel, .bias = bias};
    /* rows of one base pointer are neighbours along the width; where it has but one pixel they are that pixel again */
    args.row_step = width < pair ? 0 : a_step;
    args.c_row_step = width < pair ? 0 : c_steps[WIDTH];
    int groups = 0;
    FOR_EACH_ROW(t, at) {
        const char *a_row = in->base + input_offset(q, at, in->steps) * size;
        char *c_row = c + output_offset(at, c_steps) * size;
        for (int64_t w = 0; w < width; w += pair) {
            int64_t pixel = max_of(0, min_of(w, width - pair)); /* an odd last pixel is computed with its neighbour */
            args.a[groups] = a_row + pixel * a_step * size;
            args.c[groups] = c_row + pixel * c_steps[WIDTH] * size;
            if (++groups == table->groups) {
                table->tile(groups, &args);
                groups = 0;
            }
        }
    }
    if (groups) table->tile(groups, &args);
}

/* Copies a tile of nr columns a pixel to where it belongs in y. */
static void spread(const correlation *q, const tile *t, const char *from, const int64_t steps[AXES], char *y, int64_t columns) {
    FOR_EACH_ROW(t, at)
        q->table->spread_block(y + output_offset(at, q->y_step) * q->size, q->y_step[WIDTH], q->y_channel,
                               from + output_offset(at, steps) * q->size, steps[WIDTH], t->extent[WIDTH], columns);
}

static void conv_task(void *context, int64_t i, int worker) {
    const conv_job *job = context;
    const correlation *q = &job->q;
    const int64_t nr = q->table->nr, size = q->size;
    int64_t share = i % job->shares, group = i / job->shares % q->groups;
    tile t = tile_at(q, &job->cutting, i / job->shares / q->groups);
    char *scratch = job->scratch + worker * (job->scratch_bytes + job->tile_bytes), *block = scratch + job->scratch_bytes;
    input_view in = view_input(job, &t, group, scratch);

    char *y = q->y + (group * q->co * q->y_channel + output_offset(t.begin, q->y_step)) * size;
    int64_t block_steps[AXES];
    dense_steps(t.extent, nr, block_steps);

    int64_t last = min_of(job->panels, (share + 1) * job->panels_a_share);
    for (int64_t p = share * job->panels_a_share; p < last; p++) {
        const char *panel = job->packed + (group * job->panels + p) * job->panel_bytes;
        char padded_bias[64 * 8];
        const char *bias = 0;
        int64_t columns = min_of(nr, q->co - p * nr);
        if (job->problem->bias) {
            bias = job->problem->bias + (group * q->co + p * nr) * size;
            if (columns < nr) {
                memcpy(padded_bias, bias, (size_t)(columns * size));
                memset(padded_bias + columns * size, 0, (size_t)((nr - columns) * size));
                bias = padded_bias;
            }
        }
        char *to = y + p * nr * q->y_channel * size;
        if (q->y_channel == 1 && columns == nr) {
            multiply(job, &t, &in, panel, bias, to, q->y_step);
        } else {
            multiply(job, &t, &in, panel, bias, block, block_steps);
            spread(q, &t, block, block_steps, to, columns);
        }
    }
}

/* Lays out the job and returns the bytes of workspace it takes. */
static int64_t lay_out(conv_job *job, const conv_problem *problem, int threads, char *base) {
    workspace memory = {base, 0};
    job->problem = problem;
    job->q = problem->q;
    correlation *q = &job->q;
    const kernel_table *table = q->table;
    merge_axes(q);
    job->panels = ceil_div(q->co, table->nr);
    job->taps = count_taps(q);
    job->panel_bytes = lines(job->taps * q->ci * table->nr * q->size);
    job->cutting = cut(q, q->ci, SCRATCH_BYTES, 4 * threads, 8 * table->groups * table->group_rows);
    int64_t tasks = job->cutting.tiles * q->groups;
    job->shares = min_of(job->panels, max_of(1, ceil_div(2 * threads, max_of(1, tasks))));
    job->panels_a_share = ceil_div(job->panels, max_of(1, job->shares));
    job->scratch_bytes = lines(job->cutting.reach_pixels * q->ci * q->size);
    job->tile_bytes = lines(job->cutting.pixels * table->nr * q->size);
    job->packed = take(&memory, q->groups * job->panels * job->panel_bytes);
    job->offsets = take(&memory, 2 * max_of(1, job->taps) * (int64_t)sizeof(int64_t));
    job->scratch = take(&memory, threads * (job->scratch_bytes + job->tile_bytes));
    return memory.used;
}

static int64_t gemm_workspace(const conv_problem *problem, int threads) {
    conv_job job;
    return lay_out(&job, problem, threads, 0);
}

static void gemm_solve(const conv_problem *problem, int threads, char *base) {
    conv_job job;
    lay_out(&job, problem, threads, base);
    correlation *q = &job.q;
    int64_t *offset = (int64_t *)job.offsets, steps[AXES];
    dense_steps(job.cutting.reach, q->ci, steps);
    list_taps(q, q->x_step, merges_row(q, q->x_step[WIDTH]), offset);
    list_taps(q, steps, merges_row(q, q->ci), offset + max_of(1, job.taps));
    pyconv_parallel_for(q->groups * job.panels, threads, pack_panel, &job);
    pyconv_parallel_for(job.cutting.tiles * q->groups * job.shares, threads, conv_task, &job);
}

const conv_engine gemm_engine = {gemm_workspace, gemm_solve};
