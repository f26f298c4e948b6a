/* Winograd's algorithms, which interpolate: F(4×4, 3×3) takes 36 products where a direct convolution needs 144. For kernels of 3×3
 * and 5×5 taps and of 3 or 5 along one axis, of stride 1 and along these axes of dilation 1. Taps along a depth that is not
 * transformed are summed as they are in a direct convolution, at each point.
 *
 * Fused: a task takes some tiles of the output (with the pixels each of them reads), transforms their input once, and for each
 * panel of nr output channels multiplies at all points and transforms the products back while they are in L2. Weights are
 * transformed first, into [group][panel][point][block of input channels][tap of the depth][input channel][nr]. Where weights
 * dominate, since tiles are few, it is the other way round: the input is transformed first, and a task takes all tiles and a
 * panel, whose weights it transforms a block of input channels at a time, so that they never leave L2.
 */
#include "conv.h"
#include "rows.h"
#include "threads.h"
#include "workspace.h"

#include <string.h>

enum {
    TRANSFORMED_BYTES = 432 << 10, /* of a task's input, which should stay in L2 … */
    FEW_TILES = 20,       /* … unless so few tiles would have to share each weight */
    MANY_CHANNELS = 4,    /* output channels a tile that dominate tiles */
    BLOCK = 512,          /* terms of a sum of products: several short sums round less than a long one; */
    OWN_POINTS = 4608,    /* of one that a task transforms the weights of, times points: these stay in L2 */
    SLICE = 64,           /* input channels that are transformed at a time */
    MAX_TAPS = 125
};

/* Outputs of a tile and taps along an axis that is transformed. */
static const struct {
    int out, taps;
} shapes[] = {[F4X4_3X3] = {4, 3}, [F2X2_5X5] = {2, 5}, [F2X2_3X3] = {2, 3}, [F4_3] = {4, 3}, [F2_5] = {2, 5}, [F2_3] = {2, 3}};

typedef struct {
    const conv_problem *problem;
    int scheme, first_axis, last_axis; /* two axes are transformed, or one, which is both */
    int64_t out[AXES];                 /* outputs of a tile along each axis */
    int64_t points, taps, runs, all_taps; /* taps that are transformed together; so often, along the depth */
    correlation q, tiles; /* tiles: the same convolution with one output a tile, which reads points' worth of inputs */
    tiling cutting;
    int few, packs_itself; /* all tiles are one task's; it transforms the weights that it needs */
    int64_t blocks, slices, slice; /* of input channels; those of a slice of weights */
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

static int has_taps(const axis *a, int64_t taps) { return a->taps == taps && a->dilation == 1; }

/* The scheme for so many taps along two axes or one, or -1. */
static int scheme_for(int taps, int axes, int small) {
    if (taps == 5) return small ? -1 : axes == 2 ? F2X2_5X5 : F2_5;
    if (axes == 2) return small ? F2X2_3X3 : F4X4_3X3;
    return small ? F2_3 : F4_3;
}

/* The scheme for a problem, and the axes that it transforms, or -1. */
static int scheme_of(const conv_problem *problem, int *first, int *last) {
    const correlation *q = &problem->q;
    const axis *axes = q->axes;
    const int small = problem->algorithm == WINOGRAD_SMALL;
    for (int a = DEPTH; a < AXES; a++)
        if (axes[a].step != 1) return -1;
    if (problem->all_phases > 1 || count_taps(q) > MAX_TAPS || q->ci < q->table->lanes || q->padding_mode != 0) return -1;
    for (int taps = 3; taps <= 5; taps += 2) {
        if (has_taps(axes + HEIGHT, taps) && has_taps(axes + WIDTH, taps)) {
            *first = HEIGHT, *last = WIDTH;
            return scheme_for(taps, 2, small);
        }
        for (int a = DEPTH; a < AXES; a++)
            if (has_taps(axes + a, taps) && count_taps(q) == taps) {
                *first = *last = a;
                return scheme_for(taps, 1, small);
            }
    }
    return -1;
}

int fits_winograd(const conv_problem *problem) {
    int first, last;
    return scheme_of(problem, &first, &last) >= 0;
}

/* Planes of the input that so many planes of tiles read. */
static int64_t planes_of(const winograd_job *job, int64_t planes) { return planes + (job->runs - 1) * job->q.axes[DEPTH].dilation; }

/* The tiles of the input that a tile of the output reads, in number, and one after another. */
static tile tiles_read(const winograd_job *job, const tile *t) {
    tile read = *t;
    read.extent[DEPTH] = planes_of(job, t->extent[DEPTH]);
    return read;
}

static int64_t count_of(const tile *t) { return t->extent[IMAGE] * t->extent[DEPTH] * t->extent[HEIGHT] * t->extent[WIDTH]; }

/* Cuts into columns of tiles as deep as they may be: planes of the input that tiles share are transformed once. */
static tiling cut_deep(const winograd_job *job, int64_t most) {
    tiling cutting = cut(&job->tiles, 1, INT64_MAX, 1, 0);
    for (;;) {
        int64_t *extent = cutting.extent, read = cutting.pixels / extent[DEPTH] * planes_of(job, extent[DEPTH]);
        int a = extent[HEIGHT] > extent[WIDTH] ? HEIGHT : WIDTH;
        if (extent[IMAGE] > 1) a = IMAGE;
        else if (extent[a] == 1) a = DEPTH;
        if (read <= most || extent[a] == 1) return cutting;
        extent[a] = ceil_div(job->tiles.axes[a].out, 2 * cutting.count[a]);
        cutting = cut_alike(&job->tiles, &cutting);
    }
}

static int64_t lay_out(winograd_job *job, const conv_problem *problem, int threads, char *base) {
    workspace memory = {base, 0};
    job->problem = problem;
    job->q = job->tiles = problem->q;
    job->scheme = scheme_of(problem, &job->first_axis, &job->last_axis);
    const correlation *q = &job->q;
    const int64_t nr = q->table->nr, out = shapes[job->scheme].out, taps = shapes[job->scheme].taps;
    job->points = job->taps = 1;
    int64_t tiles = q->axes[IMAGE].out, outputs = 1;
    job->out[IMAGE] = 1;
    for (int a = DEPTH; a < AXES; a++) {
        const int transformed = a == job->first_axis || a == job->last_axis;
        job->out[a] = transformed ? out : 1;
        if (transformed) {
            axis *of_tiles = &job->tiles.axes[a];
            of_tiles->out = ceil_div(of_tiles->out, out);
            of_tiles->step = out;
            of_tiles->taps = out + taps - 1;
            job->points *= out + taps - 1;
            job->taps *= taps;
            outputs *= out;
        }
        tiles *= job->tiles.axes[a].out;
    }
    job->all_taps = count_taps(q);
    job->runs = job->all_taps / job->taps;
    job->few = tiles * MANY_CHANNELS <= q->co;
    job->packs_itself = job->few && problem->packing == PACK_AND_SOLVE;
    if (job->few) job->cutting = cut(&job->tiles, 1, INT64_MAX, 1, 0);
    else if (job->runs > 1) {
        job->cutting = cut_deep(job, max_of(FEW_TILES * 3 / 2, TRANSFORMED_BYTES / (job->points * q->ci * q->size)));
    } else {
        const int64_t pixel = q->ci * q->size, of_tiles = FEW_TILES * 3 * outputs / 2; /* pixels that these read */
        job->cutting = cut(&job->tiles, q->ci, max_of(TRANSFORMED_BYTES * outputs / job->points, of_tiles * pixel), 2 * threads,
                           2 * q->table->groups * q->table->group_rows);
    }
    job->blocks = min_of(q->ci, ceil_div(q->ci * job->runs, job->packs_itself ? min_of(BLOCK, OWN_POINTS / job->points) : BLOCK));
    job->slices = max_of(1, q->ci / SLICE);
    job->panels = ceil_div(q->co, nr);
    job->panel_bytes = job->points * point_step(q, job->runs * q->ci * nr) * q->size;
    int64_t tasks = job->cutting.tiles * q->groups;
    job->shares = job->few ? job->panels : min_of(job->panels, max_of(1, ceil_div(2 * threads, max_of(1, tasks))));
    job->panels_a_share = ceil_div(job->panels, max_of(1, job->shares));
    const int64_t *extent = job->cutting.extent, count = job->cutting.pixels, block = ceil_div(q->ci, job->blocks);
    const int64_t read = count / extent[DEPTH] * planes_of(job, extent[DEPTH]);
    job->slice = max_of(1, SLICE * 9 / job->all_taps); /* of weights */
    /* packing has the workspace of packed weights */
    job->tap_bytes = job->all_taps * point_step(q, min_of(q->ci, job->slice) * nr) * q->size;
    job->weight_bytes = job->packs_itself ? job->points * point_step(q, job->runs * block * nr) * q->size : 0;
    job->pixel_bytes = lines(job->cutting.reach_pixels * (job->few ? ceil_div(q->ci, job->slices) : q->ci) * q->size);
    job->input_bytes = job->points * point_step(q, read * q->ci) * q->size;
    job->product_bytes = job->points * point_step(q, count * nr) * q->size;
    job->block_bytes = lines(outputs * count * nr * q->size);
    job->scratch_bytes = job->tap_bytes + job->weight_bytes + job->pixel_bytes + (job->few ? 0 : job->input_bytes) +
                         job->product_bytes + job->block_bytes;
    job->packed_bytes = q->groups * job->panels * job->panel_bytes;
    const int packs_here = problem->packing == PACK_AND_SOLVE && !job->packs_itself;
    job->packed = packs_here ? take(&memory, job->packed_bytes) : problem->packed;
    job->shared = take(&memory, job->few ? q->groups * job->input_bytes : 0);
    job->scratch = take(&memory, threads * job->scratch_bytes);
    return memory.used;
}

/* Transforms a panel's weights for some input channels into [point][tap of the depth][input channel][nr], points `step` elements
 * apart, taps `tap_step`. */
static void transform_weights(const winograd_job *job, int64_t group, int64_t panel, channel_range channels, char *taps, char *to,
                              int64_t step, int64_t tap_step) {
    const correlation *q = &job->q;
    const int64_t nr = q->table->nr, size = q->size, k = panel * nr;
    const int64_t columns = min_of(nr, q->co - k), tap = point_step(q, channels.count * nr);
    const conv_problem *problem = job->problem;
    const weight_view *view = &problem->weights;
    if (columns < nr) memset(taps, 0, (size_t)(job->all_taps * tap * size));
    const char *from = view->w + (group * view->group_step + k * view->k_step + channels.begin * view->c_step) * size;
    int64_t rows[MAX_TAPS], from_offset[MAX_NR], n = 0;
    FOR_EACH_TAP(q, at) rows[kernel_tap(problem, 0, at)] = n++ * tap;
    if (taps_are_contiguous(problem) && view->k_step != 1) { /* transposes them as they lie */
        for (int64_t j = 0; j < columns; j++) from_offset[j] = j * view->k_step;
        for (int64_t c = 0; c < channels.count; c++)
            q->table->pack(taps + c * nr * size, rows, from + c * view->c_step * size, from_offset, job->all_taps, columns);
    } else {
        for (int64_t t = 0; t < job->all_taps; t++)
            q->table->copy_block(taps + rows[t] * size, nr, from + tap_offset(problem, t) * size, view->c_step, view->k_step,
                                 channels.count, columns);
    }
    winograd_args args = {.scheme = job->scheme,
                          .row_step = shapes[job->scheme].taps * tap,
                          .pixel_step = tap,
                          .point_step = step,
                          .channels = channels.count * nr};
    for (int64_t run = 0; run < job->runs; run++) {
        args.pixels = taps + run * job->taps * tap * size;
        args.points = to + run * tap_step * size;
        q->table->winograd_weights(&args);
    }
}

/* The same for a block of input channels, slice by slice. */
static void transform_block(const winograd_job *job, int64_t group, int64_t panel, channel_range block, char *taps, char *to,
                            int64_t step) {
    const int64_t nr = job->q.table->nr, slices = ceil_div(block.count, job->slice);
    for (int64_t s = 0; s < slices; s++) {
        channel_range slice = part_of(block.count, slices, s);
        char *of_slice = to + slice.begin * nr * job->q.size;
        slice.begin += block.begin;
        transform_weights(job, group, panel, slice, taps, of_slice, step, block.count * nr);
    }
}

static void pack_panel(void *context, int64_t i, int worker) {
    const winograd_job *job = context;
    const int64_t channel = job->runs * job->q.table->nr, step = point_step(&job->q, job->q.ci * channel);
    char *taps = job->scratch + worker * job->scratch_bytes, *to = job->packed + i * job->panel_bytes;
    for (int64_t b = 0; b < job->blocks; b++) {
        const channel_range block = part_of(job->q.ci, job->blocks, b);
        transform_block(job, i / job->panels, i % job->panels, block, taps, to + block.begin * channel * job->q.size, step);
    }
}

/* Transforms some channels of a group's input of a tile into [point][tile][ci]. */
static void transform_input(const winograd_job *job, const tile *t, int64_t group, channel_range channels, char *pixels, char *input) {
    const correlation *q = &job->q;
    const tile read = tiles_read(job, t);
    int64_t steps[AXES];
    gather_tile(&job->tiles, &job->cutting, t, group * q->ci + channels.begin, channels.count, channels.count, pixels);
    dense_steps(job->cutting.reach, channels.count, steps);
    winograd_args args = {.scheme = job->scheme,
                          .row_step = steps[job->first_axis],
                          .pixel_step = steps[job->last_axis],
                          .point_step = point_step(q, count_of(&read) * q->ci),
                          .channels = channels.count};
    input += channels.begin * q->size;
    FOR_EACH_ROW(&read, at)
        for (at[WIDTH] = 0; at[WIDTH] < read.extent[WIDTH]; at[WIDTH]++) {
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
        begin[a] = t->begin[a] * job->out[a];
        extent[a] = t->extent[a] * job->out[a];
        valid[a] = min_of(extent[a], q->axes[a].out - begin[a]);
    }
    dense_steps(extent, nr, steps);
    char *y = q->y + (channel * q->y_channel + output_offset(begin, q->y_step)) * size;
    winograd_args args = {.scheme = job->scheme, .point_step = point_step(q, count * nr), .channels = nr, .bias = bias};
    FOR_EACH_ROW(t, at)
        for (at[WIDTH] = 0; at[WIDTH] < t->extent[WIDTH]; at[WIDTH]++) {
            int64_t pixel[AXES];
            int direct = in_place;
            for (int a = 0; a < AXES; a++) {
                pixel[a] = at[a] * job->out[a];
                direct &= pixel[a] + job->out[a] <= valid[a];
            }
            const int64_t *to = direct ? q->y_step : steps;
            args.pixels = (direct ? y : block) + output_offset(pixel, to) * size;
            args.row_step = to[job->first_axis];
            args.pixel_step = to[job->last_axis];
            args.points = products;
            q->table->winograd_output(&args);
            products += nr * size;
        }
    tile rows = {.extent = {valid[IMAGE], valid[DEPTH], valid[HEIGHT], valid[WIDTH]}};
    FOR_EACH_ROW(&rows, at) {
        /* in place, only the tiles that reach past the edge are still to be copied */
        int64_t from = in_place ? valid[WIDTH] / job->out[WIDTH] * job->out[WIDTH] : 0;
        for (int a = DEPTH; a <= HEIGHT; a++)
            if (at[a] >= valid[a] / job->out[a] * job->out[a]) from = 0;
        int64_t pixel[AXES] = {at[IMAGE], at[DEPTH], at[HEIGHT], from};
        if (from < valid[WIDTH])
            q->table->spread_block(y + output_offset(pixel, q->y_step) * size, q->y_step[WIDTH], q->y_channel,
                                   block + output_offset(pixel, steps) * size, nr, valid[WIDTH] - from, columns);
    }
    memcpy(rows.begin, begin, sizeof begin);
    finish_tile(job->problem, q, &rows, channel, columns);
}

/* Multiplies the input of a tile, [point][tile that is read][ci], with a panel's weights into [point][tile][nr]. */
static void multiply(const winograd_job *job, int64_t group, int64_t panel, const tile *t, const char *input, char *taps, char *own,
                     char *products) {
    const correlation *q = &job->q;
    const int64_t nr = q->table->nr, size = q->size, channel = job->runs * nr;
    const int64_t plane = t->extent[HEIGHT] * t->extent[WIDTH], count = count_of(t), planes = planes_of(job, t->extent[DEPTH]);
    const int64_t input_step = point_step(q, t->extent[IMAGE] * planes * plane * q->ci), product_step = point_step(q, count * nr);
    const int64_t images = job->runs > 1 ? t->extent[IMAGE] : 1; /* whose tiles do not follow each other */
    int64_t offset[MAX_TAPS];
    for (int64_t run = 0; run < job->runs; run++) offset[run] = run * q->axes[DEPTH].dilation * plane * q->ci;
    for (int64_t b = 0; b < job->blocks; b++) {
        const channel_range channels = part_of(q->ci, job->blocks, b);
        const char *weights = job->packed + (group * job->panels + panel) * job->panel_bytes + channels.begin * channel * size;
        int64_t step = point_step(q, q->ci * channel);
        if (job->packs_itself) {
            step = point_step(q, channels.count * channel), weights = own;
            transform_block(job, group, panel, channels, taps, own, step);
        }
        tile_args args = {.offset = offset, .runs = job->runs, .length = channels.count, .accumulate = b > 0};
        for (int64_t i = 0; i < job->points * images; i++) {
            const int64_t point = i / images, image = i % images;
            args.b = weights + point * step * size;
            multiply_rows(q->table, size, args, input + (point * input_step + image * planes * plane * q->ci + channels.begin) * size,
                          q->ci, products + (point * product_step + image * count / images * nr) * size, nr, count / images);
        }
    }
}

static void winograd_task(void *context, int64_t i, int worker) {
    const winograd_job *job = context;
    const correlation *q = &job->q;
    const int64_t nr = q->table->nr, size = q->size;
    int64_t share = i % job->shares, group = i / job->shares % q->groups;
    tile t = tile_at(&job->tiles, &job->cutting, i / job->shares / q->groups);
    char *taps = job->scratch + worker * job->scratch_bytes, *weights = taps + job->tap_bytes, *pixels = weights + job->weight_bytes;
    char *input = job->few ? job->shared + group * job->input_bytes : pixels + job->pixel_bytes;
    char *products = job->few ? pixels + job->pixel_bytes : input + job->input_bytes, *block = products + job->product_bytes;

    if (!job->few) transform_input(job, &t, group, (channel_range){0, q->ci}, pixels, input);
    int64_t last = min_of(job->panels, (share + 1) * job->panels_a_share);
    for (int64_t p = share * job->panels_a_share; p < last; p++) {
        multiply(job, group, p, &t, input, taps, weights, products);
        int64_t k = group * q->co + p * nr, columns = min_of(nr, q->co - p * nr);
        char bias[64 * 8];
        if (job->problem->bias) {
            memset(bias, 0, sizeof bias);
            memcpy(bias, job->problem->bias + k * size, (size_t)(columns * size));
        }
        transform_output(job, &t, products, count_of(&t), job->problem->bias ? bias : 0, block, k, columns);
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
