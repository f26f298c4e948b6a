/* The turned engine: the GEMM engine with the roles exchanged. Output channels are the rows of the register tile, read from the
 * weights where they lie; pixels are its columns, packed into panels: [panel][input channel, tap][nr]. For 1×1 convolutions of
 * channels-first images, which are neither transposed nor spread then, and for few pixels, where packing the weights would
 * cost more than multiplying them.
 *
 * A task takes a tile of pixels, one group and a share of the output channels, and adds up its products a block of input
 * channels at a time, so that panels stay in cache. All panels are packed first if they are not too many, else a task
 * packs its own.
 */
#include "conv.h"
#include "rows.h"
#include "threads.h"
#include "workspace.h"

enum {
    PANEL_BYTES = 20 << 10,  /* of a panel, one block of channels: it stays in L1 while the rows pass; */
    TILE_BYTES = 300 << 10,  /* of a tile's panels: they stay in L2 */
    FEW_PANELS = 4,          /* pixels are few that fill no more: then the panels wait in L2 while each weight is read once */
    MOST_TERMS = 512,        /* of a sum before it is added to others: several short sums round less than a long one */
    MANY_CHANNELS = 4,       /* output channels a pixel that dominate pixels */
    SHARED_BYTES = 16 << 20, /* of all panels together, at most, that are packed first */
    PIECE_CHANNELS = 8,      /* of a block, that are packed at a time */
    COPIED_ROWS = 32,        /* of the weights, at a time */
    SHARE_ROWS = 192,        /* output channels of a task, about, */
    LEAST_ROWS = 24,         /* and at least */
    TILES_TOGETHER = 8,      /* register tiles of rows that see all panels in turn: their weights stay in L2 though rows collide */
    MANY_PANELS = 64,        /* so many repay copying rows that collide in cache */
    LEAST_PANELS = 3,        /* of a tile, if it is cut to give every thread work */
    TASKS_A_THREAD = 6
};

typedef struct {
    const conv_problem *problem;
    correlation q;
    tiling cutting;
    int64_t taps, block_channels, blocks; /* of input channels */
    int64_t panels, shares, share_rows;   /* panels a tile */
    int64_t pieces, piece_channels;       /* of a block, packed at a time; pieces is 0 unless packed first */
    int64_t copies;                       /* tasks that copy weights, a group */
    int64_t pitch;                        /* pixels of a row of the copy of a padded tile */
    int few;
    const char *weights; /* in place, or their copy where rows are not contiguous or collide in cache */
    int64_t group_step, row_step;
    int64_t copy_bytes;
    char *copy, *shared, *scratch; /* shared: the panels of [tile][group][block], if packed first */
    int64_t input_bytes, panel_bytes, block_bytes, sums_bytes, scratch_bytes;
} turned_job;

static int64_t count_pixels(const correlation *q) {
    return q->axes[IMAGE].out * q->axes[DEPTH].out * q->axes[HEIGHT].out * q->axes[WIDTH].out;
}

/* Whether a row of the weights, (input channel, tap), is contiguous in the order that the panels have. */
static int reads_weights_in_place(const conv_problem *problem) {
    const int64_t taps = count_taps(&problem->q);
    if (problem->q.ci > 1 && problem->weights.c_step != taps) return 0;
    return taps == 1 || (taps_are_contiguous(problem) && !problem->backward);
}

int turned_engine_suits(const conv_problem *problem) {
    correlation q = problem->q;
    if (problem->all_phases > 1 || q.co < q.table->nr) return 0;
    merge_axes(&q);
    int pointwise = count_taps(&q) == 1 && q.x_channel != 1 && q.y_step[WIDTH] == 1;
    for (int a = DEPTH; a < AXES; a++) {
        const axis *it = &q.axes[a];
        pointwise = pointwise && it->step == 1 && it->first == 0 && it->in == it->out;
    }
    const int64_t pixels = count_pixels(&q), most = max_of(q.co / MANY_CHANNELS, min_of(q.co, FEW_PANELS * q.table->nr));
    /* weights that are packed already cost nothing: then channels-last pixels are better rows than columns */
    if (problem->packing != PACK_AND_SOLVE && q.x_channel == 1 && pixels > q.table->nr) return 0;
    return pointwise || (pixels <= most && reads_weights_in_place(problem));
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
                int64_t offset = tap[DEPTH] * q->axes[DEPTH].dilation * steps[DEPTH] + tap[HEIGHT] * q->axes[HEIGHT].dilation * steps[HEIGHT];
                offset += inside ? across * steps[WIDTH] : across % width->step * job->pitch + across / width->step;
                const char *pixels = row + (offset + w * column_step) * size;
                q->table->copy_block(to, job->taps * nr, pixels, channel_step, column_step, channels, n);
                to += nr * size;
            }
        }
    }
}

/* The same, some channels after the other: their rows, each on a page of its own, are walked through together. */
static void pack_channels(const turned_job *job, const tile *t, int64_t channel, int64_t channels, char *input, char *panels) {
    const int64_t step = job->taps * job->q.table->nr * job->q.size;
    for (int64_t c = 0; c < channels; c += PIECE_CHANNELS)
        pack_pixels(job, t, channel + c, min_of(PIECE_CHANNELS, channels - c), input, panels + c * step);
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

static int64_t channels_of_block(const turned_job *job, int64_t block) {
    return min_of(job->block_channels, job->q.ci - block * job->block_channels);
}

static void pack_task(const turned_job *job, int64_t i, int worker) {
    const correlation *q = &job->q;
    const int64_t piece = i % job->pieces, block = i / job->pieces % job->blocks, place = i / job->pieces / job->blocks;
    const int64_t first = piece * job->piece_channels, channels = min_of(job->piece_channels, channels_of_block(job, block) - first);
    const tile t = tile_at(q, &job->cutting, place / q->groups);
    char *panels = job->shared + (place * job->blocks + block) * job->block_bytes + first * job->taps * q->table->nr * q->size;
    if (channels > 0)
        pack_channels(job, &t, place % q->groups * q->ci + block * job->block_channels + first, channels,
                    job->scratch + worker * job->scratch_bytes, panels);
}

static void copy_weights_task(const turned_job *job, int64_t i) {
    const correlation *q = &job->q;
    const weight_view *view = &job->problem->weights;
    const int64_t group = i / job->copies, row = i % job->copies * COPIED_ROWS, rows = min_of(COPIED_ROWS, q->co - row);
    char *to = job->copy + (group * job->group_step + row * job->row_step) * q->size;
    const char *from = view->w + (group * view->group_step + row * view->k_step) * q->size;
    if (job->taps == 1) q->table->copy_block(to, job->row_step, from, view->k_step, view->c_step, rows, q->ci);
    else q->table->copy_block(to, job->row_step, from, view->k_step, 1, rows, q->ci * job->taps);
}

/* What is done before all else: weights are copied, pixels packed. */
static void prepare_task(void *context, int64_t i, int worker) {
    const turned_job *job = context;
    const int64_t copies = job->copies * job->q.groups;
    if (i < copies) copy_weights_task(job, i);
    else pack_task(job, i - copies, worker);
}

/* Where a task works. */
typedef struct {
    tile t;
    int64_t pixels, row, rows;
    int flat; /* its pixels follow each other in y */
    char *y, *sums;
    const char *bias;
} workplace;

/* What one block of channels adds to some rows of one panel. Sums stay in y where a whole panel's pixels follow each other. */
static void add_products(const turned_job *job, const workplace *at, int64_t panel, int64_t block, const char *columns,
                         const char *weights, int64_t row, int64_t rows) {
    const correlation *q = &job->q;
    const int64_t nr = q->table->nr, size = q->size, first = panel * nr, zero = 0;
    const int in_place = at->flat && first + nr <= at->pixels;
    char *c = in_place ? at->y + (row * q->y_channel + first) * size : at->sums + (panel * job->share_rows + row) * nr * size;
    const int64_t c_row = in_place ? q->y_channel : nr;
    const tile_args args = {.offset = &zero,
                            .runs = 1,
                            .length = channels_of_block(job, block) * job->taps,
                            .b = columns,
                            .row_bias = at->bias ? at->bias + row * size : 0,
                            .accumulate = block > 0,
                            .narrow = at->pixels - first <= nr / 2};
    multiply_rows(q->table, size, args, weights + row * job->row_step * size, job->row_step, c, c_row, rows);
    if (!in_place && block == job->blocks - 1) spread(q, &at->t, c, first, rows, at->y + row * q->y_channel * size);
}

static void turned_task(void *context, int64_t i, int worker) {
    const turned_job *job = context;
    const correlation *q = &job->q;
    const int64_t size = q->size, share = i % job->shares, place = i / job->shares, group = place % q->groups;
    char *input = job->scratch + worker * job->scratch_bytes, *own = input + job->input_bytes;
    workplace at = {.t = tile_at(q, &job->cutting, place / q->groups), .row = share * job->share_rows};
    at.rows = min_of(job->share_rows, q->co - at.row);
    at.pixels = at.t.extent[IMAGE] * at.t.extent[DEPTH] * at.t.extent[HEIGHT] * at.t.extent[WIDTH];
    at.flat = is_flat(q, &at.t);
    at.y = q->y + ((group * q->co + at.row) * q->y_channel + output_offset(at.t.begin, q->y_step)) * size;
    at.sums = own + (job->pieces ? 0 : job->block_bytes);
    at.bias = job->problem->bias ? job->problem->bias + (group * q->co + at.row) * size : 0;
    const int64_t panels = ceil_div(at.pixels, q->table->nr);
    const int64_t together = q->table->groups * q->table->group_rows * (job->few ? 1 : TILES_TOGETHER);
    for (int64_t block = 0; block < job->blocks; block++) {
        const int64_t channel = block * job->block_channels;
        const char *weights = job->weights + (group * job->group_step + at.row * job->row_step + channel * job->taps) * size;
        const char *columns = job->pieces ? job->shared + (place * job->blocks + block) * job->block_bytes : own;
        if (!job->pieces) pack_channels(job, &at.t, group * q->ci + channel, channels_of_block(job, block), input, own);
        for (int64_t row = 0; row < at.rows; row += together)
            for (int64_t p = 0; p < panels; p++)
                add_products(job, &at, p, block, columns + p * job->panel_bytes, weights, row, min_of(together, at.rows - row));
    }
    finish_tile(job->problem, q, &at.t, group * q->co + at.row, at.rows);
}

/* How pixels and output channels are split into tasks: by channels where these dominate. */
static void divide(turned_job *job, int threads) {
    const correlation *q = &job->q;
    const int64_t nr = q->table->nr, together = q->table->groups * q->table->group_rows, pixels = count_pixels(q);
    const int64_t wanted = threads == 1 ? 1 : TASKS_A_THREAD * threads, most = max_of(1, TILE_BYTES / job->panel_bytes);
    const int64_t panels = max_of(1, ceil_div(pixels, nr));
    job->cutting = cut_pixels(q, most * nr, nr);
    job->shares = max_of(1, q->co / SHARE_ROWS);
    if (pixels > q->co / MANY_CHANNELS) {
        int64_t tiles = max_of(ceil_div(panels, most), min_of(ceil_div(wanted, q->groups * job->shares), panels / LEAST_PANELS));
        tiles = even_shares(panels, max_of(1, tiles), q->groups * job->shares, threads);
        job->cutting = cut_pixels(q, ceil_div(panels, tiles) * nr, nr);
    }
    const int64_t places = max_of(1, job->cutting.tiles * q->groups);
    job->shares = max_of(job->shares, min_of(q->co / LEAST_ROWS, ceil_div(wanted, places)));
    job->shares = even_shares(ceil_div(q->co, together), job->shares, places, threads);
    job->share_rows = round_up(ceil_div(q->co, job->shares), together);
    job->shares = ceil_div(q->co, job->share_rows);
    job->panels = ceil_div(job->cutting.pixels, nr);
    job->block_bytes = job->panels * job->panel_bytes;
    job->pieces = 0;
    if (job->shares > 1 && places * job->blocks * job->block_bytes <= SHARED_BYTES) {
        job->pieces = min_of(ceil_div(job->block_channels, PIECE_CHANNELS), ceil_div(wanted, places * job->blocks));
        job->piece_channels = ceil_div(job->block_channels, job->pieces);
    }
}

static int64_t lay_out(turned_job *job, const conv_problem *problem, int threads, char *base) {
    workspace memory = {base, 0};
    correlation *q = &job->q;
    job->problem = problem;
    *q = problem->q;
    merge_axes(q);
    const axis *width = &q->axes[WIDTH];
    const int64_t nr = q->table->nr, panels = max_of(1, ceil_div(count_pixels(q), nr));
    job->taps = count_taps(q);
    job->few = panels <= FEW_PANELS;
    const int64_t terms = min_of(MOST_TERMS, (job->few ? TILE_BYTES / panels : PANEL_BYTES) / (nr * q->size));
    job->block_channels = max_of(1, terms / job->taps);
    job->blocks = ceil_div(q->ci, job->block_channels);
    job->block_channels = ceil_div(q->ci, job->blocks);
    job->panel_bytes = lines(job->block_channels * job->taps * nr * q->size);
    divide(job, threads);
    job->weights = problem->weights.w;
    job->group_step = problem->weights.group_step;
    job->row_step = problem->weights.k_step;
    job->copy = 0;
    job->copies = 0;
    job->copy_bytes = 0;
    if (!reads_weights_in_place(problem) || (panels > MANY_PANELS && rows_collide(job->row_step, q->size))) {
        job->row_step = round_up(q->ci * job->taps, 16) + 16;
        job->group_step = q->co * job->row_step;
        job->copies = problem->packing == PACKED ? 0 : ceil_div(q->co, COPIED_ROWS);
        job->copy_bytes = q->groups * job->group_step * q->size;
        job->copy = problem->packing == PACK_AND_SOLVE ? take(&memory, job->copy_bytes) : problem->packed;
        job->weights = job->copy;
    }
    const int64_t rows = job->cutting.reach[IMAGE] * job->cutting.reach[DEPTH] * job->cutting.reach[HEIGHT];
    job->pitch = job->cutting.extent[WIDTH] + (width->taps - 1) * width->dilation / width->step + 1;
    job->input_bytes = lines(rows * job->block_channels * width->step * job->pitch * q->size);
    job->sums_bytes = lines(job->panels * job->share_rows * nr * q->size);
    job->scratch_bytes = job->input_bytes + (job->pieces ? 0 : job->block_bytes) + job->sums_bytes;
    job->shared = take(&memory, job->pieces ? job->cutting.tiles * q->groups * job->blocks * job->block_bytes : 0);
    job->scratch = take(&memory, threads * job->scratch_bytes);
    return memory.used;
}

static int64_t turned_packed(const conv_problem *problem) {
    turned_job job;
    lay_out(&job, problem, 1, 0);
    return job.copy_bytes;
}

static int64_t turned_workspace(const conv_problem *problem, int threads) {
    turned_job job;
    return lay_out(&job, problem, threads, 0);
}

static void turned_solve(const conv_problem *problem, int threads, char *base) {
    turned_job job;
    lay_out(&job, problem, threads, base);
    const int64_t groups = job.q.groups, places = job.cutting.tiles * groups;
    const int64_t pieces = problem->packing == PACK_ONLY ? 0 : places * job.blocks * job.pieces;
    pyconv_parallel_for(groups * job.copies + pieces, threads, prepare_task, &job);
    if (problem->packing == PACK_ONLY) return;
    pyconv_parallel_for(places * job.shares, threads, turned_task, &job);
}

const conv_engine turned_engine = {.packed = turned_packed, .workspace = turned_workspace, .solve = turned_solve};
