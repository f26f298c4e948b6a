/* The depthwise engine: one input and one output channel a group, so channels are the vector axis and nothing is reduced
 * over them. A task takes a tile of pixels and a block of channels. */
#include "conv.h"
#include "threads.h"
#include "workspace.h"

#include <string.h>

enum { SCRATCH_BYTES = 96 << 10, BLOCK = 64 }; /* BLOCK: channels a task */

typedef struct {
    correlation q; /* of one channel a group; x and y hold all channels */
    const char *bias;
    tiling cutting;
    int64_t taps, blocks;
    char *packed, *scratch; /* packed: [tap][channel]; scratch, a worker: tap offsets, input, output */
    int64_t offset_bytes, input_bytes, output_bytes;
} depthwise_job;

static int64_t lay_out(depthwise_job *job, int64_t tiles, int threads, char *base) {
    workspace memory = {base, 0};
    correlation *q = &job->q;
    int64_t block = min_of(q->groups, BLOCK);
    job->taps = count_taps(q);
    job->blocks = ceil_div(q->groups, BLOCK);
    job->cutting = cut(q, block, SCRATCH_BYTES, ceil_div(tiles, job->blocks), 64);
    job->offset_bytes = lines(job->taps * (int64_t)sizeof(int64_t));
    job->input_bytes = lines(job->cutting.reach_pixels * block * q->size);
    job->output_bytes = lines(job->cutting.pixels * block * q->size);
    job->packed = take(&memory, job->taps * q->groups * q->size);
    job->scratch = take(&memory, threads * (job->offset_bytes + job->input_bytes + job->output_bytes));
    return memory.used;
}

static char *worker_scratch(const depthwise_job *job, int worker) {
    return job->scratch + worker * (job->offset_bytes + job->input_bytes + job->output_bytes);
}

/* Weights become [tap][channel]. */
static void pack_weights(const depthwise_job *job, const weight_view *view) {
    const correlation *q = &job->q;
    char *to = job->packed;
    for (int64_t d = 0; d < q->axes[DEPTH].taps; d++)
        for (int64_t h = 0; h < q->axes[HEIGHT].taps; h++)
            for (int64_t w = 0; w < q->axes[WIDTH].taps; w++, to += q->groups * q->size)
                q->table->copy_block(to, q->groups, view->w + tap_offset(view, d, h, w) * q->size, 0, view->group_step, 1, q->groups);
}

static void depthwise_task(void *context, int64_t i, int worker) {
    const depthwise_job *job = context;
    const correlation *q = &job->q;
    const int64_t size = q->size, channel = i % job->blocks * BLOCK, channels = min_of(BLOCK, q->groups - channel);
    tile t = tile_at(q, &job->cutting, i / job->blocks);
    char *scratch = worker_scratch(job, worker);

    int64_t *offset = (int64_t *)scratch, in_steps[AXES], out_steps[AXES];
    const char *in;
    if (q->x_channel == 1 && is_interior(q, &t)) {
        memcpy(in_steps, q->x_step, sizeof in_steps);
        in = tile_input(q, &t) + channel * size;
    } else {
        gather_tile(q, &job->cutting, &t, channel, channels, scratch + job->offset_bytes);
        dense_steps(job->cutting.reach, channels, in_steps);
        in = scratch + job->offset_bytes;
    }
    list_taps(q, in_steps, 0, offset);

    int in_place = q->y_channel == 1;
    char *y = q->y + (channel * q->y_channel + output_offset(t.begin, q->y_step)) * size;
    char *out = in_place ? y : scratch + job->offset_bytes + job->input_bytes;
    if (in_place) memcpy(out_steps, q->y_step, sizeof out_steps);
    else dense_steps(t.extent, channels, out_steps);

    depthwise_args args = {.w = job->packed + channel * size,
                           .bias = job->bias ? job->bias + channel * size : 0,
                           .offset = offset,
                           .taps = job->taps,
                           .pixels = t.extent[WIDTH],
                           .channels = channels,
                           .x_step = in_steps[WIDTH] * q->axes[WIDTH].step,
                           .w_step = q->groups,
                           .y_step = out_steps[WIDTH]};
    FOR_EACH_ROW(&t, at) {
        args.x = in + input_offset(q, at, in_steps) * size;
        args.y = out + output_offset(at, out_steps) * size;
        q->table->depthwise(&args);
        if (!in_place)
            q->table->spread_block(y + output_offset(at, q->y_step) * size, q->y_step[WIDTH], q->y_channel, args.y, channels,
                                   t.extent[WIDTH], channels);
    }
}

static int64_t depthwise_workspace(const conv_problem *problem, int threads) {
    depthwise_job job = {.q = problem->q};
    return lay_out(&job, 4 * threads, threads, 0);
}

static void depthwise_solve(const conv_problem *problem, int threads, char *base) {
    depthwise_job job = {.q = problem->q, .bias = problem->bias};
    lay_out(&job, 4 * threads, threads, base);
    pack_weights(&job, &problem->weights);
    pyconv_parallel_for(job.cutting.tiles * job.blocks, threads, depthwise_task, &job);
}

const conv_engine depthwise_engine = {depthwise_workspace, depthwise_solve};

/* Backward weights: a task takes a block of channels through all tiles in order, so the sums have one order. */

typedef struct {
    depthwise_job job; /* the forward pass; y is dy, packed is dw as [tap][channel] */
    const char *dy;
} weights_job;

static void weights_task(void *context, int64_t i, int worker) {
    const weights_job *it = context;
    const depthwise_job *job = &it->job;
    const correlation *q = &job->q;
    const axis *w = &q->axes[WIDTH];
    const int64_t size = q->size, channel = i * BLOCK, channels = min_of(BLOCK, q->groups - channel);
    char *scratch = worker_scratch(job, worker), *input = scratch + job->offset_bytes, *block = input + job->input_bytes;
    int64_t *offset = (int64_t *)scratch, in_steps[AXES], dy_steps[AXES];
    dense_steps(job->cutting.reach, channels, in_steps);
    int64_t rows = list_taps(q, in_steps, 1, offset);
    for (int64_t tap = 0; tap < job->taps; tap++)
        memset(job->packed + (tap * q->groups + channel) * size, 0, (size_t)(channels * size));
    for (int64_t n = 0; n < job->cutting.tiles; n++) {
        tile t = tile_at(q, &job->cutting, n);
        gather_tile(q, &job->cutting, &t, channel, channels, input);
        dense_steps(t.extent, channels, dy_steps);
        const char *dy = it->dy + (channel * q->y_channel + output_offset(t.begin, q->y_step)) * size;
        FOR_EACH_ROW(&t, at)
            q->table->copy_block(block + output_offset(at, dy_steps) * size, channels, dy + output_offset(at, q->y_step) * size,
                                 q->y_step[WIDTH], q->y_channel, t.extent[WIDTH], channels);
        for (int64_t row = 0; row < rows; row++) {
            depthwise_weights_args args = {.dw = job->packed + (row * w->taps * q->groups + channel) * size,
                                           .taps = w->taps,
                                           .pixels = t.extent[WIDTH],
                                           .channels = channels,
                                           .x_step = in_steps[WIDTH] * w->step,
                                           .y_step = dy_steps[WIDTH],
                                           .w_step = q->groups,
                                           .tap_step = in_steps[WIDTH] * w->dilation};
            FOR_EACH_ROW(&t, at) {
                args.x = input + (input_offset(q, at, in_steps) + offset[row]) * size;
                args.dy = block + output_offset(at, dy_steps) * size;
                q->table->depthwise_weights(&args);
            }
        }
    }
}

static int64_t weights_layout(weights_job *it, const pyconv_conv *p, int threads, char *base) {
    it->job.q = correlation_forward(p);
    return lay_out(&it->job, 1, threads, base);
}

void depthwise_weights(const pyconv_conv *p, const void *dy, const void *x, void *dw, void *base, int threads) {
    weights_job it = {.dy = dy};
    weights_layout(&it, p, threads, base);
    correlation *q = &it.job.q;
    q->x = x;
    pyconv_parallel_for(it.job.blocks, threads, weights_task, &it);
    const char *from = it.job.packed;
    for (int64_t d = 0; d < q->axes[DEPTH].taps; d++)
        for (int64_t h = 0; h < q->axes[HEIGHT].taps; h++)
            for (int64_t w = 0; w < q->axes[WIDTH].taps; w++, from += q->groups * q->size)
                q->table->spread_block((char *)dw + (d * p->w_strides[2] + h * p->w_strides[3] + w * p->w_strides[4]) * q->size, 0,
                                       p->w_strides[0], from, 0, 1, q->groups);
}

int64_t depthwise_weights_workspace(const pyconv_conv *p, int threads) {
    weights_job it = {0};
    return weights_layout(&it, p, threads, 0);
}
