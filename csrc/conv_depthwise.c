/* The depthwise engine: one input and one output channel a group, so channels are the vector axis and nothing is reduced
 * over them. A task takes a tile of pixels and a block of channels. */
#include "conv.h"
#include "threads.h"
#include "workspace.h"

#include <string.h>

enum { SCRATCH_BYTES = 96 << 10, BLOCK = 64 }; /* BLOCK: channels a task */

typedef struct {
    correlation q; /* of one channel a group; x and y hold all channels */
    tiling cutting;
    int64_t taps, blocks;
    char *packed, *scratch; /* packed: [tap][channel]; scratch, a worker: input, output */
    int64_t input_bytes, output_bytes;
} depthwise_job;

static int64_t packed_bytes(const depthwise_job *job) { return job->taps * job->q.groups * job->q.size; }

static int64_t lay_out(depthwise_job *job, int64_t tiles, int threads, workspace *memory) {
    correlation *q = &job->q;
    int64_t block = min_of(q->groups, BLOCK);
    job->blocks = ceil_div(q->groups, BLOCK);
    job->cutting = cut(q, block, SCRATCH_BYTES, ceil_div(tiles, job->blocks), 64);
    job->input_bytes = lines(job->cutting.reach_pixels * block * q->size);
    job->output_bytes = lines(job->cutting.pixels * block * q->size);
    job->scratch = take(memory, threads * (job->input_bytes + job->output_bytes));
    return memory->used;
}

/* Forward and backward data. */

typedef struct {
    depthwise_job job;
    const conv_problem *problem;
    int64_t *counts;                               /* taps of each phase; their weights are packed in this order */
    int64_t *in_place, *whole_block, *last_block;  /* input offsets of taps, phase by phase: where x is read in place, or copied */
} pass_job;

static void list_all_taps(const conv_problem *problem, const int64_t steps[AXES], int64_t *offset, int64_t *counts) {
    for (int64_t phase = 0; phase < problem->all_phases; phase++) {
        counts[phase] = list_phase_taps(problem, phase, 1, steps, offset);
        offset += counts[phase];
    }
}

static int64_t lay_out_pass(pass_job *it, const conv_problem *problem, int threads, char *base) {
    workspace memory = {base, 0};
    it->job.q = problem->q;
    it->job.taps = problem->kernel[DEPTH] * problem->kernel[HEIGHT] * problem->kernel[WIDTH];
    it->problem = problem;
    int64_t bytes = it->job.taps * (int64_t)sizeof(int64_t);
    it->counts = (int64_t *)take(&memory, problem->all_phases * (int64_t)sizeof(int64_t));
    it->in_place = (int64_t *)take(&memory, bytes);
    it->whole_block = (int64_t *)take(&memory, bytes);
    it->last_block = (int64_t *)take(&memory, bytes);
    it->job.packed = problem->packing == PACK_AND_SOLVE ? take(&memory, packed_bytes(&it->job)) : problem->packed;
    return lay_out(&it->job, 4 * threads, threads, &memory);
}

static void pack_weights(const pass_job *it) {
    const correlation *q = &it->job.q;
    char *to = it->job.packed;
    for (int64_t phase = 0; phase < it->problem->all_phases; phase++)
        FOR_EACH_TAP(q, at) {
            int64_t tap = kernel_tap(it->problem, phase, at);
            if (tap < 0) continue;
            const char *from = it->problem->weights.w + tap_offset(it->problem, tap) * q->size;
            q->table->copy_block(to, q->groups, from, 0, it->problem->weights.group_step, 1, q->groups);
            to += q->groups * q->size;
        }
}

static void depthwise_task(void *context, int64_t i, int worker) {
    const pass_job *it = context;
    const depthwise_job *job = &it->job;
    const correlation *q = &job->q;
    const int64_t size = q->size, channel = i % job->blocks * BLOCK, channels = min_of(BLOCK, q->groups - channel);
    const char *bias = it->problem->bias;
    tile t = tile_at(q, &job->cutting, i / job->blocks);
    char *input = job->scratch + worker * (job->input_bytes + job->output_bytes), *output = input + job->input_bytes;

    int64_t in_steps[AXES], out_steps[AXES];
    const int64_t *offset = it->in_place;
    const char *in = tile_input(q, &t) + channel * size, *weights = job->packed + channel * size;
    if (q->x_channel == 1 && is_interior(q, &t)) {
        memcpy(in_steps, q->x_step, sizeof in_steps);
    } else {
        gather_tile(q, &job->cutting, &t, channel, channels, channels, input);
        dense_steps(job->cutting.reach, channels, in_steps);
        in = input;
        offset = i % job->blocks == job->blocks - 1 ? it->last_block : it->whole_block;
    }
    int in_place = q->y_channel == 1;
    if (in_place) memcpy(out_steps, q->y_step, sizeof out_steps);
    else dense_steps(t.extent, channels, out_steps);

    for (int64_t phase = 0; phase < it->problem->all_phases; phase++) {
        tile part = tile_of_phase(it->problem, &t, phase);
        char *y = q->y + (channel * q->y_channel + output_offset(t.begin, q->y_step) + phase_offset(it->problem, phase)) * size;
        depthwise_args args = {.w = weights,
                               .bias = bias ? bias + channel * size : 0,
                               .offset = offset,
                               .taps = it->counts[phase],
                               .pixels = part.extent[WIDTH],
                               .channels = channels,
                               .x_step = in_steps[WIDTH] * q->axes[WIDTH].step,
                               .w_step = q->groups,
                               .y_step = out_steps[WIDTH]};
        FOR_EACH_ROW(&part, at) {
            args.x = in + input_offset(q, at, in_steps) * size;
            args.y = (in_place ? y : output) + output_offset(at, out_steps) * size;
            q->table->depthwise(&args);
            if (!in_place)
                q->table->spread_block(y + output_offset(at, q->y_step) * size, q->y_step[WIDTH], q->y_channel, args.y, channels,
                                       part.extent[WIDTH], channels);
        }
        offset += args.taps;
        weights += args.taps * q->groups * size;
    }
    finish_tile(it->problem, q, &t, channel, channels);
}

static int64_t depthwise_packed(const conv_problem *problem) {
    pass_job it;
    lay_out_pass(&it, problem, 1, 0);
    return packed_bytes(&it.job);
}

static int64_t depthwise_workspace(const conv_problem *problem, int threads) {
    pass_job it;
    return lay_out_pass(&it, problem, threads, 0);
}

static void depthwise_solve(const conv_problem *problem, int threads, char *base) {
    pass_job it;
    int64_t steps[AXES];
    lay_out_pass(&it, problem, threads, base);
    const int64_t channels = it.job.q.groups;
    if (problem->packing != PACKED) pack_weights(&it);
    if (problem->packing == PACK_ONLY) return;
    list_all_taps(problem, it.job.q.x_step, it.in_place, it.counts);
    dense_steps(it.job.cutting.reach, min_of(channels, BLOCK), steps);
    list_all_taps(problem, steps, it.whole_block, it.counts);
    dense_steps(it.job.cutting.reach, (channels - 1) % BLOCK + 1, steps);
    list_all_taps(problem, steps, it.last_block, it.counts);
    pyconv_parallel_for(it.job.cutting.tiles * it.job.blocks, threads, depthwise_task, &it);
}

const conv_engine depthwise_engine = {depthwise_packed, depthwise_workspace, depthwise_solve};

/* Backward weights: a task takes a block of channels through all tiles in order, so the sums have one order. */

typedef struct {
    depthwise_job job; /* the forward pass; y is dy, packed is dw as [tap][channel] */
    const char *dy;
    int64_t *offset; /* a worker: of the kernel's rows in its input */
} weights_job;

static void weights_task(void *context, int64_t i, int worker) {
    const weights_job *it = context;
    const depthwise_job *job = &it->job;
    const correlation *q = &job->q;
    const axis *w = &q->axes[WIDTH];
    const int64_t size = q->size, channel = i * BLOCK, channels = min_of(BLOCK, q->groups - channel);
    char *input = job->scratch + worker * (job->input_bytes + job->output_bytes), *block = input + job->input_bytes;
    int64_t *offset = it->offset + worker * job->taps, in_steps[AXES], dy_steps[AXES];
    dense_steps(job->cutting.reach, channels, in_steps);
    int64_t rows = list_kernel_rows(q, in_steps, offset);
    for (int64_t tap = 0; tap < job->taps; tap++)
        memset(job->packed + (tap * q->groups + channel) * size, 0, (size_t)(channels * size));
    for (int64_t n = 0; n < job->cutting.tiles; n++) {
        tile t = tile_at(q, &job->cutting, n);
        gather_tile(q, &job->cutting, &t, channel, channels, channels, input);
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
    workspace memory = {base, 0};
    it->job.q = correlation_forward(p);
    it->job.taps = count_taps(&it->job.q);
    it->job.packed = take(&memory, packed_bytes(&it->job));
    it->offset = (int64_t *)take(&memory, threads * it->job.taps * (int64_t)sizeof(int64_t));
    return lay_out(&it->job, 1, threads, &memory);
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
