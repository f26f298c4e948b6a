/* Winograd F(4×4, 3×3): 36 products where a direct convolution needs 144, for 3×3 kernels of stride and dilation 1.
 *
 * Fused: a task takes some 4×4 tiles of the output (with the 6×6 pixels each of them reads), transforms their input once,
 * and for each panel of nr output channels multiplies at all 36 points and transforms the products back while they are in
 * L2. Weights are transformed first, into [group][panel][point][input channel][nr]. Where weights dominate, since tiles are
 * few, it is the other way round: the input is transformed first, and a task takes all tiles and a panel, whose weights it
 * transforms a block of input channels at a time, so that they never leave L2.
 */
#include "conv.h"
#include "rows.h"
#include "threads.h"
#include "workspace.h"

#include <string.h>

enum {
    POINTS = 36,
    OUT = 4,                  /* outputs of a tile along an axis */
    TAPS = 3,
    INPUT_BYTES = 192 << 10, /* of a task's pixels; their transform, up to 2.25 times that, should stay in L2 … */
    FEW_PIXELS = 480,        /* … unless fewer pixels than some 20 tiles read would have to share each weight */
    MANY_CHANNELS = 4,       /* output channels a tile that dominate tiles */
    BLOCK = 512,             /* input channels of a block: several short sums round less than a long one; */
    OWN_BLOCK = 128,         /* of one that a task transforms the weights of: at all points they stay in L2 */
    SLICE = 64               /* input channels that are transformed at a time */
};

typedef struct {
    const conv_problem *problem;
    correlation q, tiles; /* tiles: the same convolution with one output a 4×4 tile, which reads 6 taps 4 apart */
    tiling cutting;
    int few, packs_itself; /* all tiles are one task's; it transforms the weights that it needs */
    int64_t blocks, slices; /* of input channels */
    int64_t panels, panel_bytes, packed_bytes, shares, panels_a_share;
    char *packed, *shared, *scratch; /* shared: the transformed input of few tiles; scratch: one for each worker, */
    int64_t tap_bytes, weight_bytes, pixel_bytes, input_bytes, product_bytes, block_bytes, scratch_bytes; /* its parts */
} winograd_job;

/* Some input channels. */
typedef struct {
    int64_t begin, count;
} channel_range;

/* One of several parts of n channels, about equally large. */
static channel_range part_of(int64_t n, int64_t parts, int64_t i) {
    const int64_t begin = i * n / parts;
    return (channel_range){begin, (i + 1) * n / parts - begin};
}

/* Elements from one point's matrix of n elements to the next: a cache line more than it takes, so that the 36 places a
 * transform writes do not all fall into the same sets of the cache. */
static int64_t point_step(const correlation *q, int64_t n) { return (lines(n * q->size) + 64) / q->size; }

int fits_winograd(const conv_problem *problem) {
    const correlation *q = &problem->q;
    const axis *h = &q->axes[HEIGHT], *w = &q->axes[WIDTH];
    return problem->all_phases == 1 && q->axes[DEPTH].taps == 1 && h->taps == TAPS && w->taps == TAPS && h->step == 1 && w->step == 1 &&
           h->dilation == 1 && w->dilation == 1 && q->ci >= q->table->lanes && q->padding_mode == 0;
}

static int64_t lay_out(winograd_job *job, const conv_problem *problem, int threads, char *base) {
    workspace memory = {base, 0};
    job->problem = problem;
    job->q = job->tiles = problem->q;
    const correlation *q = &job->q;
    const int64_t nr = q->table->nr;
    int64_t tiles = q->axes[IMAGE].out * q->axes[DEPTH].out;
    for (int a = HEIGHT; a <= WIDTH; a++) {
        job->tiles.axes[a].out = ceil_div(q->axes[a].out, OUT);
        job->tiles.axes[a].step = OUT;
        job->tiles.axes[a].taps = OUT + TAPS - 1;
        tiles *= job->tiles.axes[a].out;
    }
    job->few = tiles * MANY_CHANNELS <= q->co;
    job->packs_itself = job->few && problem->packing == PACK_AND_SOLVE;
    if (job->few) job->cutting = cut(&job->tiles, 1, INT64_MAX, 1, 0);
    else job->cutting = cut(&job->tiles, q->ci, max_of(INPUT_BYTES, FEW_PIXELS * q->ci * q->size), 2 * threads, 2 * q->table->groups * q->table->group_rows);
    job->blocks = ceil_div(q->ci, job->packs_itself ? OWN_BLOCK : BLOCK);
    job->slices = max_of(1, q->ci / SLICE);
    job->panels = ceil_div(q->co, nr);
    job->panel_bytes = POINTS * point_step(q, q->ci * nr) * q->size;
    int64_t tasks = job->cutting.tiles * q->groups;
    job->shares = job->few ? job->panels : min_of(job->panels, max_of(1, ceil_div(2 * threads, max_of(1, tasks))));
    job->panels_a_share = ceil_div(job->panels, max_of(1, job->shares));
    const int64_t count = job->cutting.pixels, block = ceil_div(q->ci, job->blocks), slice = ceil_div(q->ci, job->slices);
    job->tap_bytes = TAPS * TAPS * point_step(q, slice * nr) * q->size; /* packing has the workspace of packed weights */
    job->weight_bytes = job->packs_itself ? POINTS * point_step(q, block * nr) * q->size : 0;
    job->pixel_bytes = lines(job->cutting.reach_pixels * (job->few ? slice : q->ci) * q->size);
    job->input_bytes = POINTS * point_step(q, count * q->ci) * q->size;
    job->product_bytes = POINTS * point_step(q, count * nr) * q->size;
    job->block_bytes = lines(OUT * OUT * count * nr * q->size);
    job->scratch_bytes = job->tap_bytes + job->weight_bytes + job->pixel_bytes + (job->few ? 0 : job->input_bytes) +
                         job->product_bytes + job->block_bytes;
    job->packed_bytes = q->groups * job->panels * job->panel_bytes;
    const int packs_here = problem->packing == PACK_AND_SOLVE && !job->packs_itself;
    job->packed = packs_here ? take(&memory, job->packed_bytes) : problem->packed;
    job->shared = take(&memory, job->few ? q->groups * job->input_bytes : 0);
    job->scratch = take(&memory, threads * job->scratch_bytes);
    return memory.used;
}

/* Transforms a panel's weights for some input channels into [point][input channel][nr], points `step` elements apart. */
static void transform_weights(const winograd_job *job, int64_t group, int64_t panel, channel_range channels, char *taps, char *to,
                              int64_t step) {
    const correlation *q = &job->q;
    const int64_t nr = q->table->nr, size = q->size, k = panel * nr;
    const int64_t columns = min_of(nr, q->co - k), tap = point_step(q, channels.count * nr);
    const conv_problem *problem = job->problem;
    const weight_view *view = &problem->weights;
    if (columns < nr) memset(taps, 0, (size_t)(TAPS * TAPS * tap * size));
    const char *from = view->w + (group * view->group_step + k * view->k_step + channels.begin * view->c_step) * size;
    int64_t rows[TAPS * TAPS], from_offset[MAX_NR], n = 0;
    FOR_EACH_TAP(q, at) rows[kernel_tap(problem, 0, at)] = n++ * tap;
    if (taps_are_contiguous(problem) && view->k_step != 1) { /* transposes them as they lie */
        for (int64_t j = 0; j < columns; j++) from_offset[j] = j * view->k_step;
        for (int64_t c = 0; c < channels.count; c++)
            q->table->pack(taps + c * nr * size, rows, from + c * view->c_step * size, from_offset, TAPS * TAPS, columns);
    } else {
        for (int64_t t = 0; t < TAPS * TAPS; t++)
            q->table->copy_block(taps + rows[t] * size, nr, from + tap_offset(problem, t) * size, view->c_step, view->k_step,
                                 channels.count, columns);
    }
    winograd_args args = {
        .pixels = taps, .row_step = TAPS * tap, .pixel_step = tap, .points = to, .point_step = step, .channels = channels.count * nr};
    q->table->winograd_weights(&args);
}

static void pack_panel(void *context, int64_t i, int worker) {
    const winograd_job *job = context;
    const correlation *q = &job->q;
    char *taps = job->scratch + worker * job->scratch_bytes, *to = job->packed + i * job->panel_bytes;
    for (int64_t s = 0; s < job->slices; s++) {
        const channel_range channels = part_of(q->ci, job->slices, s);
        transform_weights(job, i / job->panels, i % job->panels, channels, taps, to + channels.begin * q->table->nr * q->size,
                          point_step(q, q->ci * q->table->nr));
    }
}

/* Transforms some channels of a group's input of a tile into [point][4×4 tile][ci]. */
static void transform_input(const winograd_job *job, const tile *t, int64_t group, channel_range channels, char *pixels, char *input) {
    const correlation *q = &job->q;
    const int64_t count = t->extent[IMAGE] * t->extent[DEPTH] * t->extent[HEIGHT] * t->extent[WIDTH];
    int64_t steps[AXES];
    gather_tile(&job->tiles, &job->cutting, t, group * q->ci + channels.begin, channels.count, channels.count, pixels);
    dense_steps(job->cutting.reach, channels.count, steps);
    winograd_args args = {.row_step = steps[HEIGHT],
                          .pixel_step = steps[WIDTH],
                          .point_step = point_step(q, count * q->ci),
                          .channels = channels.count};
    input += channels.begin * q->size;
    FOR_EACH_ROW(t, at)
        for (at[WIDTH] = 0; at[WIDTH] < t->extent[WIDTH]; at[WIDTH]++) {
            args.pixels = pixels + input_offset(&job->tiles, at, steps) * q->size;
            args.points = input;
            q->table->winograd_input(&args);
            input += q->ci * q->size;
        }
}

static void input_task(void *context, int64_t i, int worker) {
    const winograd_job *job = context;
    const tile t = tile_at(&job->tiles, &job->cutting, 0);
    const int64_t group = i / job->slices;
    char *pixels = job->scratch + worker * job->scratch_bytes + job->tap_bytes + job->weight_bytes;
    transform_input(job, &t, group, part_of(job->q.ci, job->slices, i % job->slices), pixels, job->shared + group * job->input_bytes);
}

/* The outputs of a task's tiles for one panel, from products to y. */
static void transform_output(const winograd_job *job, const tile *t, char *products, int64_t count, const char *bias, char *block,
                             int64_t channel, int64_t columns) {
    const correlation *q = &job->q;
    const int64_t nr = q->table->nr, size = q->size;
    const int in_place = q->y_channel == 1 && columns == nr;
    int64_t begin[AXES], valid[AXES], extent[AXES], steps[AXES];
    for (int a = 0; a < AXES; a++) {
        int64_t out = a >= HEIGHT ? OUT : 1;
        begin[a] = t->begin[a] * out;
        extent[a] = t->extent[a] * out;
        valid[a] = min_of(extent[a], q->axes[a].out - begin[a]);
    }
    dense_steps(extent, nr, steps);
    char *y = q->y + (channel * q->y_channel + output_offset(begin, q->y_step)) * size;
    winograd_args args = {.point_step = point_step(q, count * nr), .channels = nr, .bias = bias};
    FOR_EACH_ROW(t, at)
        for (at[WIDTH] = 0; at[WIDTH] < t->extent[WIDTH]; at[WIDTH]++) {
            int64_t pixel[AXES] = {at[IMAGE], at[DEPTH], at[HEIGHT] * OUT, at[WIDTH] * OUT};
            int whole = pixel[HEIGHT] + OUT <= valid[HEIGHT] && pixel[WIDTH] + OUT <= valid[WIDTH];
            const int64_t *to = in_place && whole ? q->y_step : steps;
            args.pixels = (in_place && whole ? y : block) + output_offset(pixel, to) * size;
            args.row_step = to[HEIGHT];
            args.pixel_step = to[WIDTH];
            args.points = products;
            q->table->winograd_output(&args);
            products += nr * size;
        }
    tile rows = {.extent = {valid[IMAGE], valid[DEPTH], valid[HEIGHT], valid[WIDTH]}};
    FOR_EACH_ROW(&rows, at) {
        /* in place, only the tiles that reach past the edge are still to be copied */
        int64_t from = in_place && at[HEIGHT] < valid[HEIGHT] / OUT * OUT ? valid[WIDTH] / OUT * OUT : 0;
        int64_t pixel[AXES] = {at[IMAGE], at[DEPTH], at[HEIGHT], from};
        if (from < valid[WIDTH])
            q->table->spread_block(y + output_offset(pixel, q->y_step) * size, q->y_step[WIDTH], q->y_channel,
                                   block + output_offset(pixel, steps) * size, nr, valid[WIDTH] - from, columns);
    }
    memcpy(rows.begin, begin, sizeof begin);
    finish_tile(job->problem, q, &rows, channel, columns);
}

/* Multiplies the input of some tiles, [point][tile][ci], with a panel's weights into [point][tile][nr]. */
static void multiply(const winograd_job *job, int64_t group, int64_t panel, int64_t count, const char *input, char *taps, char *own,
                     char *products) {
    const correlation *q = &job->q;
    const int64_t nr = q->table->nr, size = q->size, zero = 0;
    for (int64_t b = 0; b < job->blocks; b++) {
        const channel_range channels = part_of(q->ci, job->blocks, b);
        const char *weights = job->packed + (group * job->panels + panel) * job->panel_bytes + channels.begin * nr * size;
        int64_t step = point_step(q, q->ci * nr);
        if (job->packs_itself) {
            step = point_step(q, channels.count * nr), weights = own;
            const int64_t slices = ceil_div(channels.count, SLICE);
            for (int64_t s = 0; s < slices; s++) {
                channel_range slice = part_of(channels.count, slices, s);
                char *to = own + slice.begin * nr * size;
                slice.begin += channels.begin;
                transform_weights(job, group, panel, slice, taps, to, step);
            }
        }
        tile_args args = {.offset = &zero, .runs = 1, .length = channels.count, .accumulate = b > 0};
        for (int64_t point = 0; point < POINTS; point++) {
            args.b = weights + point * step * size;
            multiply_rows(q->table, size, args, input + (point * point_step(q, count * q->ci) + channels.begin) * size, q->ci,
                          products + point * point_step(q, count * nr) * size, nr, count);
        }
    }
}

static void winograd_task(void *context, int64_t i, int worker) {
    const winograd_job *job = context;
    const correlation *q = &job->q;
    const int64_t nr = q->table->nr, size = q->size;
    int64_t share = i % job->shares, group = i / job->shares % q->groups;
    tile t = tile_at(&job->tiles, &job->cutting, i / job->shares / q->groups);
    int64_t count = t.extent[IMAGE] * t.extent[DEPTH] * t.extent[HEIGHT] * t.extent[WIDTH];
    char *taps = job->scratch + worker * job->scratch_bytes, *weights = taps + job->tap_bytes, *pixels = weights + job->weight_bytes;
    char *input = job->few ? job->shared + group * job->input_bytes : pixels + job->pixel_bytes;
    char *products = job->few ? pixels + job->pixel_bytes : input + job->input_bytes, *block = products + job->product_bytes;

    if (!job->few) transform_input(job, &t, group, (channel_range){0, q->ci}, pixels, input);
    int64_t last = min_of(job->panels, (share + 1) * job->panels_a_share);
    for (int64_t p = share * job->panels_a_share; p < last; p++) {
        multiply(job, group, p, count, input, taps, weights, products);
        int64_t k = group * q->co + p * nr, columns = min_of(nr, q->co - p * nr);
        char bias[64 * 8];
        if (job->problem->bias) {
            memset(bias, 0, sizeof bias);
            memcpy(bias, job->problem->bias + k * size, (size_t)(columns * size));
        }
        transform_output(job, &t, products, count, job->problem->bias ? bias : 0, block, k, columns);
    }
}

static int64_t winograd_packed(const conv_problem *problem) {
    winograd_job job;
    lay_out(&job, problem, 1, 0);
    return job.packed_bytes;
}

static int64_t winograd_workspace(const conv_problem *problem, int threads) {
    winograd_job job;
    return lay_out(&job, problem, threads, 0);
}

static void winograd_solve(const conv_problem *problem, int threads, char *base) {
    winograd_job job;
    lay_out(&job, problem, threads, base);
    const int64_t groups = job.q.groups, tiles = job.cutting.tiles;
    if (problem->packing != PACKED && !job.packs_itself) pyconv_parallel_for(groups * job.panels, threads, pack_panel, &job);
    if (problem->packing == PACK_ONLY) return;
    if (job.few) pyconv_parallel_for(tiles * groups * job.slices, threads, input_task, &job);
    pyconv_parallel_for(tiles * groups * job.shares, threads, winograd_task, &job);
}

const conv_engine winograd_engine = {.packed = winograd_packed, .workspace = winograd_workspace, .solve = winograd_solve};
