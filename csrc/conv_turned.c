/* The turned engine: the GEMM engine with the roles exchanged. Output channels are the rows of the register tile, read from the
 * weights where they lie; pixels are its columns, packed into panels: [panel][input channel, tap][nr]. For 1×1 convolutions of
 * channels-first images, which are neither transposed nor spread then, and for few pixels, where packing the weights would
 * cost more than multiplying them.
 *
 * A task takes a tile of pixels, one group and a share of the output channels, and adds up its products a block of input
 * channels at a time, so that a panel stays in L1.
 */
#include "conv.h"
#include "rows.h"
#include "threads.h"
#include "workspace.h"

enum {
    PANEL_BYTES = 20 << 10, /* of a panel of pixels, one block of channels */
    TILE_BYTES = 200 << 10, /* of a tile's panels: they stay in L2 */
    SHARE_ROWS = 192,       /* output channels of a task, about: their weights stay in L2 too, */
    FEW_ROWS = 48,          /* and hardly fewer than this, to repay packing the pixels, */
    FEW_PANELS = 3,         /* nor fewer panels, to repay reading the weights */
    TASKS_A_THREAD = 6,
    FEW_PIXELS_PANELS = 4   /* pixels are few that fill no more panels */
};

typedef struct {
    const conv_problem *problem;
    correlation q;
    tiling cutting;
    int64_t taps, block_channels, blocks; /* of input channels */
    int64_t panels, shares, share_rows;   /* panels a tile */
    int64_t pitch;                        /* pixels of a row of the copy of a padded tile */
    int copies_weights;                   /* their rows are not contiguous */
    char *scratch;
    int64_t input_bytes, panel_bytes, weight_bytes, sums_bytes, scratch_bytes;
} turned_job;

/* Whether a row of the weights, (input channel, tap), is contiguous in the order that the panels have. */
static int reads_weights_in_place(const conv_problem *problem) {
    const int64_t taps = count_taps(&problem->q);
    return (problem->q.ci == 1 || problem->weights.c_step == taps) && (taps == 1 || (taps_are_contiguous(problem) && !problem->backward));
}

int turned_engine_suits(const conv_problem *problem) {
    correlation q = problem->q;
    if (problem->all_phases > 1 || q.co < q.table->nr) return 0;
    int pointwise = count_taps(&q) == 1 && q.x_step[WIDTH] == 1 && q.y_step[WIDTH] == 1;
    for (int a = DEPTH; a < AXES; a++) pointwise = pointwise && q.axes[a].step == 1 && q.axes[a].first == 0 && q.axes[a].in == q.axes[a].out;
    int64_t pixels = 1;
    for (int a = IMAGE; a < AXES; a++) pixels *= q.axes[a].out;
    return pointwise || (pixels <= FEW_PIXELS_PANELS * q.table->nr && reads_weights_in_place(problem));
}

/* Copies the pixels of a tile, a block of channels of them, into panels. */
static void pack_pixels(const turned_job *job, const tile *t, int64_t channel, int64_t channels, char *input, char *panels) {
    const correlation *q = &job->q;
    const axis *width = &q->axes[WIDTH];
    const int64_t nr = q->table->nr, size = q->size;
    int64_t steps[AXES], channel_step = q->x_channel, column_step = q->x_step[WIDTH] * width->step, pixel = 0;
    const char *from = tile_input(q, t) + channel * q->x_channel * size;
    const int inside = is_interior(q, t);
    memcpy(steps, q->x_step, sizeof steps);
    if (!inside) {
        int64_t rows[AXES] = {job->cutting.reach[IMAGE], job->cutting.reach[DEPTH], job->cutting.reach[HEIGHT], 1};
        gather_planar(q, &job->cutting, t, channel, channels, job->pitch, input);
        dense_steps(rows, channels * width->step * job->pitch, steps);
        steps[WIDTH] = 0;
        channel_step = width->step * job->pitch;
        column_step = 1;
        from = input;
    }
    FOR_EACH_ROW(t, at) {
        const char *row = from + input_offset(q, at, steps) * size;
        for (int64_t w = 0, n; w < t->extent[WIDTH]; w += n, pixel += n) {
            n = min_of(t->extent[WIDTH] - w, nr - pixel % nr);
            char *to = panels + pixel / nr * job->panel_bytes + pixel % nr * size;
            FOR_EACH_TAP(q, tap) {
                int64_t across = tap[WIDTH] * width->dilation;
                int64_t offset = tap[DEPTH] * q->axes[DEPTH].dilation * steps[DEPTH] + tap[HEIGHT] * q->axes[HEIGHT].dilation * steps[HEIGHT] +
                                 (inside ? across * steps[WIDTH] : across % width->step * job->pitch + across / width->step);
                q->table->copy_block(to, job->taps * nr, row + (offset + w * column_step) * size, channel_step, column_step, channels, n);
                to += nr * size;
            }
        }
    }
}

/* Whether the pixels of a tile follow each other in y. */
static int is_flat(const correlation *q, const tile *t) {
    int64_t next = t->extent[WIDTH];
    if (q->y_step[WIDTH] != 1) return 0;
    for (int a = HEIGHT; a >= IMAGE; a--) {
        if (t->extent[a] > 1 && q->y_step[a] != next) return 0;
        next *= t->extent[a];
    }
    return 1;
}

/* Copies rows of a panel's sums to the pixels of y that they belong to, the first being `first` of the tile. */
static void spread(const correlation *q, const tile *t, const char *sums, int64_t first, int64_t rows, char *y) {
    const int64_t nr = q->table->nr, size = q->size, width = t->extent[WIDTH];
    int64_t pixel = 0;
    FOR_EACH_ROW(t, at) {
        int64_t begin = max_of(first, pixel), end = min_of(first + nr, pixel + width);
        if (begin < end)
            q->table->spread_block(y + (output_offset(at, q->y_step) + (begin - pixel) * q->y_step[WIDTH]) * size, q->y_channel,
                                   q->y_step[WIDTH], sums + (begin - first) * size, nr, rows, end - begin);
        pixel += width;
    }
}

static void turned_task(void *context, int64_t i, int worker) {
    const turned_job *job = context;
    const correlation *q = &job->q;
    const weight_view *view = &job->problem->weights;
    const kernel_table *table = q->table;
    const int64_t nr = table->nr, size = q->size;
    const int64_t share = i % job->shares, group = i / job->shares % q->groups, first = share * job->share_rows;
    const int64_t rows = min_of(job->share_rows, q->co - first), zero = 0;
    const tile t = tile_at(q, &job->cutting, i / job->shares / q->groups);
    const int64_t pixels = t.extent[IMAGE] * t.extent[DEPTH] * t.extent[HEIGHT] * t.extent[WIDTH];
    char *input = job->scratch + worker * job->scratch_bytes, *panels = input + job->input_bytes;
    char *copy = panels + job->panels * job->panel_bytes, *sums = copy + job->weight_bytes;
    char *y = q->y + ((group * q->co + first) * q->y_channel + output_offset(t.begin, q->y_step)) * size;
    const char *bias = job->problem->bias ? job->problem->bias + (group * q->co + first) * size : 0;
    const int flat = is_flat(q, &t);
    for (int64_t block = 0; block < job->blocks; block++) {
        const int64_t channel = block * job->block_channels, channels = min_of(job->block_channels, q->ci - channel);
        const char *weights = view->w + (group * view->group_step + first * view->k_step + channel * view->c_step) * size;
        int64_t row_step = view->k_step;
        pack_pixels(job, &t, group * q->ci + channel, channels, input, panels);
        if (job->copies_weights) {
            row_step = channels;
            table->copy_block(copy, row_step, weights, view->k_step, view->c_step, rows, channels);
            weights = copy;
        }
        for (int64_t p = 0; p * nr < pixels; p++) {
            const int in_place = flat && (p + 1) * nr <= pixels;
            char *c = in_place ? y + p * nr * size : sums + p * job->share_rows * nr * size;
            const int64_t c_row = in_place ? q->y_channel : nr;
            tile_args args = {.offset = &zero, .runs = 1, .length = channels * job->taps, .step = 1,
                              .b = panels + p * job->panel_bytes, .accumulate = block > 0 || bias};
            if (bias && block == 0) table->copy_block(c, c_row, bias, 1, 0, rows, nr); /* each row starts as its bias, nr times */
            multiply_rows(table, size, args, weights, row_step, c, c_row, rows);
            if (!in_place && block == job->blocks - 1) spread(q, &t, c, p * nr, rows, y);
        }
    }
}

/* How pixels and output channels are split into tasks: by pixels first, since tasks that share some pack them twice. */
static void divide(turned_job *job, int threads) {
    const correlation *q = &job->q;
    const int64_t nr = q->table->nr, together = q->table->groups * q->table->group_rows;
    const int64_t wanted = threads == 1 ? 1 : TASKS_A_THREAD * threads, most = max_of(1, TILE_BYTES / job->panel_bytes) * nr;
    job->cutting = cut_pixels(q, most, nr);
    job->shares = max_of(1, q->co / SHARE_ROWS);
    if (job->cutting.tiles * q->groups * job->shares < wanted) {
        int64_t all = job->cutting.tiles * job->cutting.pixels;
        job->cutting = cut_pixels(q, min_of(most, max_of(FEW_PANELS * nr, all * q->groups * job->shares / wanted)), nr);
        job->shares = max_of(job->shares, min_of(q->co / FEW_ROWS, ceil_div(wanted, max_of(1, job->cutting.tiles * q->groups))));
    }
    job->panels = ceil_div(job->cutting.pixels, nr);
    job->share_rows = round_up(ceil_div(q->co, job->shares), together);
    job->shares = ceil_div(q->co, job->share_rows);
}

static int64_t lay_out(turned_job *job, const conv_problem *problem, int threads, char *base) {
    workspace memory = {base, 0};
    correlation *q = &job->q;
    job->problem = problem;
    *q = problem->q;
    merge_axes(q);
    const axis *width = &q->axes[WIDTH];
    const int64_t nr = q->table->nr;
    job->taps = count_taps(q);
    job->block_channels = max_of(1, PANEL_BYTES / (nr * q->size * job->taps));
    job->blocks = ceil_div(q->ci, job->block_channels);
    job->block_channels = ceil_div(q->ci, job->blocks);
    job->panel_bytes = lines(job->block_channels * job->taps * nr * q->size);
    divide(job, threads);
    const int64_t rows = job->cutting.reach[IMAGE] * job->cutting.reach[DEPTH] * job->cutting.reach[HEIGHT];
    job->pitch = job->cutting.extent[WIDTH] + (width->taps - 1) * width->dilation / width->step + 1;
    job->copies_weights = !reads_weights_in_place(problem);
    job->input_bytes = lines(rows * job->block_channels * width->step * job->pitch * q->size);
    job->weight_bytes = lines(job->copies_weights ? job->share_rows * job->block_channels * job->taps * q->size : 0);
    job->sums_bytes = lines(job->panels * job->share_rows * nr * q->size);
    job->scratch_bytes = job->input_bytes + job->panels * job->panel_bytes + job->weight_bytes + job->sums_bytes;
    job->scratch = take(&memory, threads * job->scratch_bytes);
    return memory.used;
}

static int64_t turned_workspace(const conv_problem *problem, int threads) {
    turned_job job;
    return lay_out(&job, problem, threads, 0);
}

static void turned_solve(const conv_problem *problem, int threads, char *base) {
    turned_job job;
    lay_out(&job, problem, threads, base);
    pyconv_parallel_for(job.cutting.tiles * job.q.groups * job.shares, threads, turned_task, &job);
}

const conv_engine turned_engine = {turned_workspace, turned_solve};
