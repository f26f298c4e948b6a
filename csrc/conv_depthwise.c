/* The depthwise engine: groups of one channel, or of a few that fill vectors. Output channels are the vector axis. A task takes
 * a tile of pixels and a block of channels. Channels-last input is read in place, its padding described by tables of rows and
 * columns; any other is transposed to scratch first. */
#include "conv.h"
#include "threads.h"
#include "workspace.h"

#include <string.h>

enum {
    SCRATCH_BYTES = 64 << 10, /* of a tile's input, in scratch, */
    LARGE_BYTES = 256 << 10,  /* or so many where a kernel covers a good part of that */
    TILE_BYTES = 192 << 10,   /* and in place, */
    FEW_BYTES = 16 << 10,     /* at least */
    WEIGHTS_BLOCK = 32,       /* channels whose weights' gradients a task makes in place */
    BLOCK = 64,               /* channels of a tile in scratch, at most, */
    SMALL_BLOCK = 16,         /* and of one that is cut from a plane */
    MOST_OF_A_GROUP = 8,      /* channels */
    FEW_VECTORS = 4,          /* and in place, at least */
    PART = 16,                /* of scratch */
    TASKS = 16,               /* that there should be for threads to share */
    GRAIN = 8                 /* pixels for which there must be columns */
};

typedef struct {
    correlation q; /* of one channel a group; x and y hold all channels */
    tiling cutting;
    int64_t inputs, outputs, taps; /* channels; taps of an output in all input channels of its group */
    int64_t unit, block, blocks;   /* output channels that make whole vectors and whole groups; of a block */
    char *packed, *scratch;      /* packed: weights; scratch, a worker: input, output */
    int64_t input_bytes, output_bytes;
} depthwise_job;

static void describe(depthwise_job *job, const correlation *q) {
    job->q = *q;
    job->inputs = q->groups * q->ci;
    job->outputs = q->groups * q->co;
    job->unit = q->table->lanes;
    while (job->unit % q->co) job->unit += q->table->lanes;
}

/* Weights or their sums: [channels / lanes][tap][lanes]. */
static int64_t packed_bytes(const depthwise_job *job) {
    return job->taps * round_up(job->outputs, job->q.table->lanes) * job->q.size;
}

/* The input channels that so many output channels have. */
static int64_t inputs_of(const depthwise_job *job, int64_t outputs) { return outputs / job->q.co * job->q.ci; }

/* Bytes of a tile's input, of so many channels at least: a tile should be larger than the kernel. */
static int64_t scratch_bytes(const correlation *q, int64_t channels) {
    int64_t kernel = channels * q->size;
    for (int a = DEPTH; a < AXES; a++) kernel *= (q->axes[a].taps - 1) * q->axes[a].dilation + 1;
    return kernel > SCRATCH_BYTES / PART ? LARGE_BYTES : SCRATCH_BYTES;
}

static void lay_out(depthwise_job *job, int64_t phases, int threads, workspace *memory) {
    correlation *q = &job->q;
    const int64_t least = round_up(SMALL_BLOCK, job->unit), bytes = scratch_bytes(q, inputs_of(job, least));
    job->block = min_of(job->outputs, round_up(BLOCK, job->unit));
    while (job->block > least && cut(q, inputs_of(job, job->block), bytes, 1, 1).count[HEIGHT] > 1)
        job->block = max_of(least, job->block / 2 / least * least);
    job->blocks = ceil_div(job->outputs, job->block);
    job->cutting = cut(q, inputs_of(job, job->block), bytes, ceil_div(TASKS, job->blocks), 64);
    int64_t pixels = job->cutting.reach[IMAGE]; /* what a padding repeats may lie anywhere */
    for (int a = DEPTH; a < AXES; a++) pixels *= q->padding_mode ? q->axes[a].in : job->cutting.reach[a];
    job->input_bytes = lines(pixels * inputs_of(job, job->block) * q->size);
    job->output_bytes = lines(job->cutting.pixels * phases * job->block * q->size);
    job->scratch = take(memory, threads * (job->input_bytes + job->output_bytes));
}

/* Forward and backward data. */

/* The taps of a phase along an axis, as distances from the first position that the hull reads. */
typedef struct {
    int64_t first, step, count;
} tap_range;

typedef struct {
    depthwise_job job;
    const conv_problem *problem;
    int64_t columns; /* of a tile's row, and how many rows a kernel has */
    int64_t kernel_rows;
    char *lists; /* a worker: offsets of columns, of rows in x, of rows of weights */
    int64_t list_bytes;
} pass_job;

/* Where a task finds its input: in x, or the part of it that is in scratch. */
typedef struct {
    const char *data;
    int64_t begin[AXES]; /* the position that the tile's first output and the hull's first tap read */
    int64_t low[AXES];   /* the position that stands at data */
    int64_t in[AXES], steps[AXES];
    int padding_mode;
} input_view;

static tap_range taps_of_phase(const conv_problem *problem, const int64_t phase[AXES], int a) {
    const axis *hull = &problem->q.axes[a];
    tap_range range = {0, hull->dilation, hull->taps};
    if (!problem->backward) return range;
    range.count = 0;
    for (int64_t i = 0; i < hull->taps; i++) {
        const int64_t place = i * hull->dilation;
        const int64_t distance = phase[a] + problem->pad[a] - problem->stride[a] * (problem->first[a] + place);
        if (distance % problem->dilation[a] || distance < 0 || distance / problem->dilation[a] >= problem->kernel[a]) continue;
        if (range.count == 0) range.first = place;
        if (range.count == 1) range.step = place - range.first; /* and so from each to the next */
        range.count++;
    }
    return range;
}

/* Whole blocks of channels in place, unless there are too few tiles to share. */
static void cut_in_place(depthwise_job *job) {
    const correlation *q = &job->q;
    const int64_t few = round_up(FEW_VECTORS * q->table->lanes, job->unit);
    job->block = job->outputs;
    job->cutting = cut(q, job->inputs, TILE_BYTES, TASKS, max_of(1, FEW_BYTES / (job->block * q->size)));
    while (job->cutting.tiles * ceil_div(job->outputs, job->block) < TASKS && job->block >= 2 * few &&
           job->cutting.pixels * job->block * q->size >= 2 * FEW_BYTES)
        job->block = round_up(ceil_div(job->block, 2), few);
    job->blocks = ceil_div(job->outputs, job->block);
}

/* Whether the lines of L1 that one block of pixels reads outnumber the ways of the sets they fall on: pixels so far apart
 * are better copied first. */
static int lines_collide(const correlation *q) {
    enum { WAY = 4096, WAYS = 8, LINE = 64 };
    const axis *d = &q->axes[DEPTH], *h = &q->axes[HEIGHT], *w = &q->axes[WIDTH];
    const int64_t bytes = q->x_step[WIDTH] * q->size, divisor = bytes & -bytes; /* the largest power of two in it */
    if (bytes == 0) return 0;
    const int64_t sets = WAY / min_of(WAY, max_of(LINE, divisor)), columns = (GRAIN - 1) * w->step + w->taps;
    return d->taps * h->taps * min_of(columns, w->in) > WAYS * sets;
}

static int is_in_place(const correlation *q) { return q->x_channel == 1 && q->y_channel == 1 && !lines_collide(q); }

static void lay_out_lists(pass_job *it, int threads, workspace *memory) {
    const conv_problem *problem = it->problem;
    const axis *w = &it->job.q.axes[WIDTH];
    it->columns = max_of(0, (round_up(it->job.cutting.extent[WIDTH], GRAIN) - 1) * w->step + (w->taps - 1) * w->dilation + 1);
    it->kernel_rows = problem->kernel[DEPTH] * problem->kernel[HEIGHT];
    it->list_bytes = lines((it->columns + 2 * it->kernel_rows) * (int64_t)sizeof(int64_t));
    it->lists = take(memory, threads * it->list_bytes);
}

static int64_t lay_out_pass(pass_job *it, const conv_problem *problem, int threads, char *base) {
    workspace memory = {base, 0};
    depthwise_job *job = &it->job;
    describe(job, &problem->q);
    job->taps = problem->kernel[DEPTH] * problem->kernel[HEIGHT] * problem->kernel[WIDTH] * problem->q.ci;
    it->problem = problem;
    job->packed = problem->packing == PACK_AND_SOLVE ? take(&memory, packed_bytes(job)) : problem->packed;
    if (is_in_place(&job->q)) cut_in_place(job);
    else lay_out(job, problem->all_phases, threads, &memory);
    lay_out_lists(it, threads, &memory);
    return memory.used;
}
/* The weights of all outputs at a tap and an input channel of their groups. */
static void pack_tap(const pass_job *it, int64_t tap, int64_t c, int64_t place) {
    const correlation *q = &it->job.q;
    const weight_view *weights = &it->problem->weights;
    const int64_t lanes = q->table->lanes, size = q->size, vector = it->job.taps * lanes;
    const char *from = weights->w + (tap_offset(it->problem, tap) + c * weights->c_step) * size;
    char *to = it->job.packed + place * lanes * size;
    if (q->co == 1 || weights->group_step == q->co * weights->k_step) { /* outputs are a step apart */
        const int64_t step = q->co == 1 ? weights->group_step : weights->k_step;
        const int64_t whole = it->job.outputs / lanes, rest = it->job.outputs % lanes;
        q->table->copy_block(to, vector, from, lanes * step, step, whole, lanes);
        if (rest) q->table->copy_block(to + whole * vector * size, vector, from + whole * lanes * step * size, 0, step, 1, rest);
        return;
    }
    for (int64_t k = 0; k < it->job.outputs; k++) {
        const char *here = from + (k / q->co * weights->group_step + k % q->co * weights->k_step) * size;
        char *there = to + (k / lanes * vector + k % lanes) * size;
        if (size == 4) memcpy(there, here, 4);
        else memcpy(there, here, 8);
    }
}

/* Weights stand in vectors of channels: [channels / lanes][tap, phase by phase][lanes]. The taps of a kernel row stand
 * together, those of another input channel follow. */
static void pack_weights(const pass_job *it) {
    const correlation *q = &it->job.q;
    const int64_t lanes = q->table->lanes, vector = it->job.taps * lanes * q->size;
    int64_t place = 0;
    if (it->job.outputs % lanes) memset(it->job.packed + it->job.outputs / lanes * vector, 0, (size_t)vector);
    for (int64_t phase = 0; phase < it->problem->all_phases; phase++)
        for (int64_t d = 0; d < q->axes[DEPTH].taps; d++)
            for (int64_t h = 0; h < q->axes[HEIGHT].taps; h++)
                for (int64_t c = 0; c < q->ci; c++)
                    for (int64_t w = 0; w < q->axes[WIDTH].taps; w++) {
                        const int64_t at[AXES] = {0, d, h, w}, tap = kernel_tap(it->problem, phase, at);
                        if (tap >= 0) pack_tap(it, tap, c, place++);
                    }
}

/* Fills the offsets of the columns that a row of so many pixels reads, and tells which of them lie side by side. */
static void list_columns(const pass_job *it, const input_view *input, int64_t pixels, int64_t *column, int64_t *inside_begin,
                         int64_t *inside_end) {
    const int64_t begin = input->begin[WIDTH], in = input->in[WIDTH], step = input->steps[WIDTH];
    const axis *w = &it->job.q.axes[WIDTH];
    const int64_t read = (pixels - 1) * w->step + (w->taps - 1) * w->dilation + 1;
    for (int64_t j = 0; j < it->columns; j++) {
        const int64_t at = j < read ? input_position(input->padding_mode, begin + j, in) : -1;
        column[j] = at < 0 ? PADDED : (at - input->low[WIDTH]) * step;
    }
    *inside_begin = max_of(0, -begin);
    *inside_end = min_of(read, in - begin);
}

/* Where a kernel row reads at an output position: in elements from input->data, or PADDED. */
static int64_t row_place(const pass_job *it, const input_view *input, const int64_t at[AXES], int64_t depth, int64_t height) {
    const axis *axes = it->job.q.axes;
    const int64_t place[] = {depth, height};
    int64_t offset = (input->begin[IMAGE] + at[IMAGE] - input->low[IMAGE]) * input->steps[IMAGE];
    for (int a = DEPTH; a <= HEIGHT; a++) {
        const int64_t padded = input->begin[a] + at[a] * axes[a].step + place[a - DEPTH];
        const int64_t position = input_position(input->padding_mode, padded, input->in[a]);
        if (position < 0) return PADDED;
        offset += (position - input->low[a]) * input->steps[a];
    }
    return offset;
}

/* Lists the kernel rows of a phase that meet inputs at an output position. */
static int64_t list_rows(const pass_job *it, const input_view *input, const int64_t at[AXES], const tap_range taps[AXES],
                         int64_t *x_row, int64_t *w_row) {
    const tap_range *depth = &taps[DEPTH], *height = &taps[HEIGHT];
    int64_t n = 0;
    if (taps[WIDTH].count == 0) return 0;
    for (int64_t d = 0; d < depth->count; d++)
        for (int64_t h = 0; h < height->count; h++) {
            x_row[n] = row_place(it, input, at, depth->first + d * depth->step, height->first + h * height->step);
            w_row[n] = (d * height->count + h) * it->job.q.ci * taps[WIDTH].count * it->job.q.table->lanes;
            n += x_row[n] != PADDED;
        }
    return n;
}

/* The inputs that a tile reads along an axis: [low, high). */
static void clip(const correlation *q, const tile *t, int a, int64_t *low, int64_t *high) {
    const axis *it = &q->axes[a];
    const int64_t begin = t->begin[a] * it->step + it->first, read = (t->extent[a] - 1) * it->step + (it->taps - 1) * it->dilation + 1;
    *low = it->in, *high = 0;
    for (int64_t i = 0; i < read; i++) {
        const int64_t at = input_position(q->padding_mode, begin + i, it->in);
        if (at >= 0) *low = min_of(*low, at), *high = max_of(*high, at + 1);
    }
    if (*low > *high) *low = *high; /* nothing but padding */
}

/* A box of pixels and the steps of an array that holds it. */
typedef struct {
    int64_t extent[AXES], steps[AXES], channel;
} box_view;

static box_view box_of(const int64_t extent[AXES], const int64_t steps[AXES], int64_t channel) {
    box_view box = {.channel = channel};
    memcpy(box.extent, extent, sizeof box.extent);
    memcpy(box.steps, steps, sizeof box.steps);
    return box;
}

/* Rows that follow each other in both of two arrays become one. */
static void merge_rows(box_view *a, const int64_t steps[AXES]) {
    int64_t *n = a->extent;
    for (int i = HEIGHT; i >= IMAGE && (n[i] == 1 || (a->steps[i] == n[WIDTH] * a->steps[WIDTH] &&
                                                      steps[i] == n[WIDTH] * steps[WIDTH])); i--) {
        n[WIDTH] *= n[i];
        n[i] = 1;
    }
}

/* Copies a box of x, or of dy, to dense channels-last scratch. */
static void copy_in(const correlation *q, box_view from, const char *data, char *to, const int64_t steps[AXES], int64_t channels) {
    merge_rows(&from, steps);
    FOR_EACH_ROW(&from, at)
        q->table->copy_block(to + output_offset(at, steps) * q->size, channels, data + output_offset(at, from.steps) * q->size,
                             from.steps[WIDTH], from.channel, from.extent[WIDTH], channels);
}

/* And back to y. */
static void copy_out(const correlation *q, box_view y, char *data, const char *from, const int64_t steps[AXES], int64_t channels) {
    merge_rows(&y, steps);
    FOR_EACH_ROW(&y, at)
        q->table->spread_block(data + output_offset(at, y.steps) * q->size, y.steps[WIDTH], y.channel,
                               from + output_offset(at, steps) * q->size, channels, y.extent[WIDTH], channels);
}

/* A tile's input: x itself, or a copy of what the tile reads. Padding is a matter of tables in both. */
static input_view view_of(const pass_job *it, const tile *t, int64_t channel, int64_t channels, char *scratch) {
    const depthwise_job *job = &it->job;
    const correlation *q = &job->q;
    const int64_t first = inputs_of(job, channel), inputs = inputs_of(job, channels);
    input_view input = {.data = q->x + first * q->x_channel * q->size, .padding_mode = q->padding_mode};
    memcpy(input.steps, q->x_step, sizeof input.steps);
    for (int a = 0; a < AXES; a++) {
        input.begin[a] = t->begin[a] * q->axes[a].step + q->axes[a].first;
        input.in[a] = q->axes[a].in;
    }
    if (is_in_place(q)) return input;
    int64_t extent[AXES];
    for (int a = 0; a < AXES; a++) {
        int64_t high;
        clip(q, t, a, &input.low[a], &high);
        extent[a] = high - input.low[a];
    }
    dense_steps(extent, inputs, input.steps);
    copy_in(q, box_of(extent, q->x_step, q->x_channel), input.data + output_offset(input.low, q->x_step) * q->size, scratch, input.steps, inputs);
    input.data = scratch;
    return input;
}

/* The epilogue of a row of outputs, while it is in L1. */
static void finish_row(const conv_problem *problem, const tile *t, const int64_t at[AXES], int64_t channel, int64_t channels) {
    tile row = {.extent = {1, 1, 1, t->extent[WIDTH]}};
    for (int a = 0; a < AXES; a++) row.begin[a] = t->begin[a] + at[a];
    finish_tile(problem, &problem->q, &row, channel, channels);
}

/* A tile in outputs of all phases together. */
static tile tile_of_phases(const conv_problem *problem, const tile *t) {
    tile all;
    for (int a = 0; a < AXES; a++) {
        all.begin[a] = t->begin[a] * problem->phases[a];
        all.extent[a] = min_of(t->extent[a] * problem->phases[a], problem->outputs[a] - all.begin[a]);
    }
    return all;
}

static void depthwise_task(void *context, int64_t i, int worker) {
    const pass_job *it = context;
    const conv_problem *problem = it->problem;
    const depthwise_job *job = &it->job;
    const correlation *q = &job->q;
    const int64_t size = q->size, channel = i % job->blocks * job->block, channels = min_of(job->block, job->outputs - channel);
    const tile t = tile_at(q, &job->cutting, i / job->blocks);
    char *scratch = job->scratch + worker * (job->input_bytes + job->output_bytes), *output = scratch + job->input_bytes;
    const int direct = is_in_place(q);
    const input_view input = view_of(it, &t, channel, channels, scratch);

    int64_t *column = (int64_t *)(it->lists + worker * it->list_bytes), *x_row = column + it->columns;
    int64_t out_steps[AXES];
    const tile all = tile_of_phases(problem, &t);
    int64_t dense[AXES];
    dense_steps(all.extent, channels, dense);
    for (int a = 0; a < AXES; a++) out_steps[a] = direct ? q->y_step[a] : dense[a] * problem->phases[a];
    char *y = q->y + (channel * q->y_channel + output_offset(all.begin, problem->output_step)) * size;
    depthwise_args args = {.x = input.data,
                           .bias = problem->bias ? problem->bias + channel * size : 0,
                           .x_row = x_row,
                           .w_row = x_row + it->kernel_rows,
                           .stride = q->axes[WIDTH].step,
                           .channels = channels,
                           .ci = q->ci,
                           .co = q->co,
                           .x_step = input.steps[WIDTH],
                           .w_taps = job->taps,
                           .y_step = out_steps[WIDTH]};
    int64_t inside_begin, inside_end;
    list_columns(it, &input, t.extent[WIDTH], column, &inside_begin, &inside_end);

    const char *weights = job->packed + channel * job->taps * size;
    for (int64_t phase = 0; phase < problem->all_phases; phase++) {
        const tile part = tile_of_phase(problem, &t, phase);
        int64_t of_phase[AXES];
        tap_range taps[AXES];
        split_phase(problem, phase, of_phase);
        for (int a = DEPTH; a < AXES; a++) taps[a] = taps_of_phase(problem, of_phase, a);
        char *part_y = direct ? y + phase_offset(problem, phase) * size : output + output_offset(of_phase, dense) * size;
        args.w = weights;
        args.column = column + taps[WIDTH].first;
        args.inside_begin = inside_begin - taps[WIDTH].first;
        args.inside_end = inside_end - taps[WIDTH].first;
        args.taps = taps[WIDTH].count;
        args.dilation = taps[WIDTH].step;
        args.pixels = part.extent[WIDTH];
        FOR_EACH_ROW(&part, at) {
            args.rows = list_rows(it, &input, at, taps, x_row, x_row + it->kernel_rows);
            args.y = part_y + output_offset(at, out_steps) * size;
            q->table->depthwise(&args);
            if (direct) finish_row(problem, &part, at, channel, channels);
        }
        weights += taps[DEPTH].count * taps[HEIGHT].count * taps[WIDTH].count * q->ci * q->table->lanes * size;
    }
    if (direct) return;
    copy_out(q, box_of(all.extent, problem->output_step, q->y_channel), y, output, dense, channels);
    finish_tile(problem, q, &t, channel, channels);
}

static int64_t depthwise_packed(const conv_problem *problem) {
    pass_job it = {0};
    lay_out_pass(&it, problem, 1, 0);
    return packed_bytes(&it.job);
}

static int64_t depthwise_workspace(const conv_problem *problem, int threads) {
    pass_job it = {0};
    return lay_out_pass(&it, problem, threads, 0);
}

static void depthwise_solve(const conv_problem *problem, int threads, char *base) {
    pass_job it = {0};
    lay_out_pass(&it, problem, threads, base);
    if (problem->packing != PACKED) pack_weights(&it);
    if (problem->packing == PACK_ONLY) return;
    pyconv_parallel_for(it.job.cutting.tiles * it.job.blocks, threads, depthwise_task, &it);
}

/* Whether the taps of a phase look at inputs that are apart along the width. */
static int has_gaps(const conv_problem *problem) {
    return problem->backward && problem->stride[WIDTH] > 1 && problem->dilation[WIDTH] > 1;
}

int depthwise_engine_suits(const conv_problem *problem) {
    const correlation *q = &problem->q;
    return depthwise_weights_suits(q) && (q->ci * q->co == 1 || !has_gaps(problem));
}

int depthwise_weights_suits(const correlation *q) {
    const axis *w = &q->axes[WIDTH];
    if (q->groups < 2) return 0;
    if (q->ci == 1 && q->co == 1) return 1;
    const int64_t lanes = q->table->lanes;
    const int fills = q->co % lanes == 0, shares = q->table->permutes && q->ci == q->co && lanes % q->co == 0 &&
                                                   q->groups * q->co % lanes == 0;
    return w->step <= 2 && w->dilation == 1 && w->taps == 3 && q->ci <= MOST_OF_A_GROUP && q->co <= MOST_OF_A_GROUP &&
           (fills || shares);
}

const conv_engine depthwise_engine = {.packed = depthwise_packed, .workspace = depthwise_workspace, .solve = depthwise_solve};

/* Backward weights. */

/* Lists all kernel rows at an output position. */
static void list_kernel_places(const pass_job *it, const input_view *input, const int64_t at[AXES], int64_t *x_row) {
    const axis *d = &it->job.q.axes[DEPTH], *h = &it->job.q.axes[HEIGHT];
    for (int64_t i = 0; i < d->taps; i++)
        for (int64_t j = 0; j < h->taps; j++) *x_row++ = row_place(it, input, at, i * d->dilation, j * h->dilation);
}

/* a += b */
static void add(char *a, const char *b, int64_t n, int64_t size) {
    if (size == 4) for (int64_t i = 0; i < n; i++) ((float *)a)[i] += ((const float *)b)[i];
    else for (int64_t i = 0; i < n; i++) ((double *)a)[i] += ((const double *)b)[i];
}

/* A task takes a block of channels through a part of the tiles in order; parts are added in order. Neither
 * depends on threads, so the sums have one order. */

typedef struct {
    pass_job pass; /* the forward pass; y is dy */
    conv_problem problem;
    int64_t parts;
    char *sums; /* [part][channels / lanes][tap][lanes] */
    int64_t part_bytes;
} weights_job;

static void weights_task(void *context, int64_t i, int worker) {
    const weights_job *it = context;
    const pass_job *pass = &it->pass;
    const depthwise_job *job = &pass->job;
    const correlation *q = &job->q;
    const int64_t size = q->size, channel = i % job->blocks * job->block, channels = min_of(job->block, job->outputs - channel);
    const int64_t part = i / job->blocks, tiles = ceil_div(job->cutting.tiles, it->parts);
    char *scratch = job->scratch + worker * (job->input_bytes + job->output_bytes), *copied = scratch + job->input_bytes;
    char *dw = it->sums + part * it->part_bytes + channel * job->taps * size;
    const int direct = is_in_place(q);
    int64_t *column = (int64_t *)(pass->lists + worker * pass->list_bytes), *x_row = column + pass->columns, dy_steps[AXES];
    memset(dw, 0, (size_t)(round_up(channels, q->table->lanes) * job->taps * size));
    for (int64_t n = part * tiles; n < min_of(job->cutting.tiles, (part + 1) * tiles); n++) {
        const tile t = tile_at(q, &job->cutting, n);
        const input_view input = view_of(pass, &t, channel, channels, scratch);
        if (direct) memcpy(dy_steps, q->y_step, sizeof dy_steps);
        else dense_steps(t.extent, channels, dy_steps);
        depthwise_weights_args args = {.x = input.data,
                                       .dw = dw,
                                       .x_row = x_row,
                                       .column = column,
                                       .rows = pass->kernel_rows,
                                       .taps = q->axes[WIDTH].taps,
                                       .stride = q->axes[WIDTH].step,
                                       .dilation = q->axes[WIDTH].dilation,
                                       .pixels = t.extent[WIDTH],
                                       .channels = channels,
                                       .ci = q->ci,
                                       .co = q->co,
                                       .x_step = input.steps[WIDTH],
                                       .w_taps = job->taps,
                                       .y_step = dy_steps[WIDTH]};
        list_columns(pass, &input, t.extent[WIDTH], column, &args.inside_begin, &args.inside_end);
        const char *dy = q->y + (channel * q->y_channel + output_offset(t.begin, q->y_step)) * size;
        if (!direct) {
            copy_in(q, box_of(t.extent, q->y_step, q->y_channel), dy, copied, dy_steps, channels);
            dy = copied;
        }
        FOR_EACH_ROW(&t, at) {
            args.dy = dy + output_offset(at, dy_steps) * size;
            list_kernel_places(pass, &input, at, x_row);
            q->table->depthwise_weights(&args);
        }
    }
}

static int64_t weights_layout(weights_job *it, const pyconv_conv *p, int threads, char *base) {
    workspace memory = {base, 0};
    depthwise_job *job = &it->pass.job;
    it->problem = forward_problem(p, 0, 0, 0, 0);
    it->pass.problem = &it->problem;
    describe(job, &it->problem.q);
    job->taps = count_taps(&job->q) * job->q.ci;
    if (is_in_place(&job->q)) {
        job->block = min_of(job->outputs, round_up(WEIGHTS_BLOCK, job->unit));
        job->blocks = ceil_div(job->outputs, job->block);
        job->cutting = cut(&job->q, inputs_of(job, job->block), SCRATCH_BYTES, ceil_div(TASKS, job->blocks), 1);
    } else {
        lay_out(job, 1, threads, &memory);
    }
    it->parts = min_of(job->cutting.tiles, ceil_div(TASKS, job->blocks));
    it->part_bytes = packed_bytes(job);
    it->sums = take(&memory, max_of(1, it->parts) * it->part_bytes);
    lay_out_lists(&it->pass, threads, &memory);
    return memory.used;
}

void depthwise_weights(const pyconv_conv *p, const void *dy, const void *x, void *dw, void *base, int threads) {
    weights_job it = {0};
    weights_layout(&it, p, threads, base);
    const depthwise_job *job = &it.pass.job;
    correlation *q = &it.pass.job.q;
    const int64_t lanes = q->table->lanes, size = q->size;
    q->x = x;
    q->y = (char *)dy;
    pyconv_parallel_for(it.parts * job->blocks, threads, weights_task, &it);
    if (it.parts < 1) memset(it.sums, 0, (size_t)it.part_bytes);
    for (int64_t part = 1; part < it.parts; part++)
        add(it.sums, it.sums + part * it.part_bytes, it.part_bytes / size, size);
    const char *from = it.sums;
    for (int64_t k = 0; k < job->outputs; k += lanes)
        for (int64_t d = 0; d < q->axes[DEPTH].taps; d++)
            for (int64_t h = 0; h < q->axes[HEIGHT].taps; h++)
                for (int64_t c = 0; c < q->ci; c++, from += q->axes[WIDTH].taps * lanes * size) {
                    const int64_t first = k * p->w_strides[0] + c * p->w_strides[1] + d * p->w_strides[2] + h * p->w_strides[3];
                    q->table->spread_block((char *)dw + first * size, p->w_strides[4], p->w_strides[0], from, lanes,
                                           q->axes[WIDTH].taps, min_of(lanes, job->outputs - k));
                }
}

int64_t depthwise_weights_workspace(const pyconv_conv *p, int threads) {
    weights_job it = {0};
    return weights_layout(&it, p, threads, 0);
}
