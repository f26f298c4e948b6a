/* The general engine: an indirect GEMM over tiles of the output.
 *
 * A task takes one tile of pixels, one group and a share of the output channels, in all phases, and adds up its products
 * a block of input channels at a time, so that the block of the tile's input and a block of weights stay in L2. The input
 * is read in place where it is channels-last and needs no padding, else from a copy in the worker's scratch. Weights are
 * packed into panels of nr columns: [group][set][panel][channel block][tap][channel][nr]. Where one tile is all there is, so
 * that each weight is used once, a task packs its own and nothing waits.
 */
#include "conv.h"
#include "rows.h"
#include "threads.h"
#include "workspace.h"

#include <math.h>

enum {
    TILE_BYTES = 224 << 10, /* of a tile's input, one block of channels: stays in L2 */
    PANEL_BYTES = 20 << 10, /* of a panel of weights, one block of channels: stays in L1; */
    POINT_BYTES = 36 << 10, /* of one tap alone, where fewer passes over the sums are worth more */
    SUMS_BYTES = 512 << 10, /* of a task's unfinished outputs */
    SHARED_BYTES = 8 << 20, /* of a copy of the input for all tasks */
    FEWEST_CHANNELS = 16,   /* of a block, where there are several */
    PACK_CHANNELS = 32,     /* input channels that are packed at a time where they follow each other, else */
    PACK_PANELS = 8,        /* panels, */
    COPY_CHANNELS = 16,     /* or channels where output channels follow each other */
    TASKS_A_THREAD = 6
};

/* Taps as runs of the register tile. */
typedef struct {
    int64_t *offset, runs, length;
} tap_runs;

/* The taps and panels of a set of phases. */
typedef struct {
    int64_t taps, begin, panel; /* its panels stand at begin, begin + panel, …, in elements */
    int64_t own;                /* where a task that packs for itself puts the block of a panel that it needs */
    tap_runs in_place, copied;  /* for inputs read where they are, and from scratch */
} tap_set;

/* Where a tap of the kernel goes in packed weights: which tap of which set, and the first of its lanes. */
typedef struct {
    int64_t set, tap, lane;
} tap_home;

typedef struct {
    conv_problem problem;
    tiling cutting;
    column_layout layout;
    tap_set *sets;
    tap_home *homes;
    int64_t kernel_taps, group_elements; /* of packed weights */
    int64_t block_channels, blocks;      /* of input channels */
    int ragged;                          /* the last block is smaller than the others */
    int64_t shares, panels_a_share;
    int packs_itself;      /* tasks pack what they need */
    int64_t panels_packed; /* at a time */
    int64_t own_elements;  /* of a panel, where a task packs for itself */
    int copies_first;      /* what several tasks read is copied before them, to `shared`: [tile][group][channel block] */
    char *packed, *shared, *scratch;
    int64_t input_bytes, sums_bytes, rows_bytes, scratch_bytes, packed_bytes, shared_bytes;
} conv_job;

static tap_runs as_runs(const conv_job *job, int64_t *offset, int64_t taps) {
    tap_runs runs = {.offset = offset, .runs = taps, .length = job->block_channels};
    if (!job->ragged) runs.runs = join_runs(offset, taps, &runs.length);
    return runs;
}

static void list_sets(conv_job *job) {
    const conv_problem *problem = &job->problem;
    const correlation *q = &problem->q;
    int64_t steps[AXES];
    dense_steps(job->cutting.reach, job->block_channels, steps);
    for (int64_t s = 0; s < job->layout.sets; s++) {
        tap_set *set = &job->sets[s];
        int64_t first = s * job->layout.phases_a_set, phases = phases_of_set(problem, &job->layout, s), n = 0;
        list_phase_taps(problem, first, phases, q->x_step, set->in_place.offset);
        list_phase_taps(problem, first, phases, steps, set->copied.offset);
        set->in_place = as_runs(job, set->in_place.offset, set->taps);
        set->copied = as_runs(job, set->copied.offset, set->taps);
        FOR_EACH_TAP(q, at) {
            int present = 0;
            for (int64_t i = 0; i < phases; i++) {
                int64_t tap = kernel_tap(problem, first + i, at);
                if (tap < 0) continue;
                present = 1;
                job->homes[tap] = (tap_home){s, n, i * q->co};
            }
            n += present;
        }
    }
}

static int64_t channels_of_block(const conv_job *job, int64_t block) {
    return min_of(job->block_channels, job->problem.q.ci - block * job->block_channels);
}

/* Where a set's weights for one panel and channel block stand among those of a group, in elements. */
static int64_t weights_at(const conv_job *job, const tap_set *set, int64_t panel, int64_t block) {
    if (job->packs_itself) return panel % job->panels_a_share % job->panels_packed * job->own_elements + set->own;
    return set->begin + panel * set->panel + block * set->taps * job->block_channels * job->layout.width;
}

/* Where the taps of a panel's weights go: first input channel of a block, in elements. */
static void list_rows(const conv_job *job, int64_t panel, int64_t block, int64_t *rows) {
    const int64_t step = channels_of_block(job, block) * job->layout.width;
    for (int64_t t = 0; t < job->kernel_taps; t++) {
        const tap_home *home = &job->homes[t];
        rows[t] = weights_at(job, &job->sets[home->set], panel, block) + home->tap * step + home->lane;
    }
}

/* How many input channels' weights are transposed as they lie: their taps follow each other, and the channels too unless it is
 * but one. 0: they are copied tap by tap. */
static int64_t channels_together(const conv_job *job) {
    const weight_view *view = &job->problem.weights;
    if (!taps_are_contiguous(&job->problem) || view->k_step == 1 || view->c_step == 1) return 0;
    return view->c_step == job->kernel_taps ? PACK_CHANNELS : 1;
}

/* Packs the weights of a few panels, for one block of input channels of a group and all phases, as far as possible in
 * the order in which they lie in memory. `rows` is scratch. */
static void pack_weights(const conv_job *job, int64_t group, int64_t panel, int64_t panels, int64_t block, int64_t *rows, char *to) {
    const conv_problem *problem = &job->problem;
    const correlation *q = &problem->q;
    const weight_view *view = &problem->weights;
    const kernel_table *table = q->table;
    const int64_t nr = table->nr, size = q->size, taps = job->kernel_taps, last = min_of(panel + panels, job->layout.panels_a_set);
    const int64_t channels = channels_of_block(job, block), first = block * job->block_channels;
    const int64_t together = channels_together(job);
    int64_t from_offset[MAX_NR];
    for (int64_t j = 0; j < nr; j++) from_offset[j] = j * view->k_step;
    for (int64_t p = panel; p < last; p++) {
        list_rows(job, p, block, rows + (p - panel) * taps);
        if (q->co - p * nr >= nr) continue;
        for (int64_t s = 0; s < job->layout.sets; s++) /* lanes that no weight fills, or taps that not all phases have */
            memset(to + weights_at(job, &job->sets[s], p, block) * size, 0, (size_t)(job->sets[s].taps * channels * nr * size));
    }
    for (int64_t i = taps; i < together * taps; i++) rows[i] = rows[i - taps] + nr; /* then it is one panel */
    for (int64_t c = 0; c < channels; c += together ? together : COPY_CHANNELS)
        for (int64_t p = panel; p < last; p++) {
            const char *from = view->w + (group * view->group_step + p * nr * view->k_step + (first + c) * view->c_step) * size;
            const int64_t columns = min_of(nr, q->co - p * nr), *row = rows + (p - panel) * taps;
            if (together) {
                table->pack(to + c * nr * size, row, from, from_offset, min_of(together, channels - c) * taps, columns);
                continue;
            }
            for (int64_t t = 0; t < taps; t++)
                table->copy_block(to + (row[t] + c * nr) * size, nr, from + tap_offset(problem, t) * size, view->c_step, view->k_step,
                                  min_of(COPY_CHANNELS, channels - c), columns);
        }
}

static void pack_task(void *context, int64_t i, int worker) {
    const conv_job *job = context;
    const int64_t pieces = ceil_div(job->layout.panels_a_set, job->panels_packed), group = i / pieces;
    const int64_t panel = i % pieces * job->panels_packed;
    int64_t *rows = (int64_t *)(job->scratch + worker * job->scratch_bytes);
    char *to = job->packed + group * job->group_elements * job->problem.q.size;
    for (int64_t block = 0; block < job->blocks; block++)
        pack_weights(job, group, panel, job->panels_packed, block, rows, to);
}

/* One block of channels of a tile's input, and which block it is. */
typedef struct {
    const char *base; /* NULL until it is copied, if it is not read in place */
    int64_t steps[AXES], group, block, channels;
    int in_place;
} input_view;

static input_view view_input(const conv_job *job, const tile *t, int64_t place, int64_t block) {
    const correlation *q = &job->problem.q;
    input_view view = {.group = place % q->groups, .block = block, .channels = channels_of_block(job, block)};
    const int64_t channel = view.group * q->ci + block * job->block_channels;
    view.in_place = q->x_channel == 1 && (job->blocks == 1 || count_taps(q) == 1) && is_interior(q, t) &&
                    !rows_collide(q->x_step[WIDTH] * q->axes[WIDTH].step, q->size);
    if (view.in_place) {
        memcpy(view.steps, q->x_step, sizeof view.steps);
        view.base = tile_input(q, t) + channel * q->size;
        return view;
    }
    dense_steps(job->cutting.reach, job->block_channels, view.steps);
    return view;
}

static void copy_input(const conv_job *job, const tile *t, const input_view *view, char *to) {
    const correlation *q = &job->problem.q;
    const int64_t channel = view->group * q->ci + view->block * job->block_channels;
    gather_tile(q, &job->cutting, t, channel, view->channels, job->block_channels, to);
}

static char *shared_input(const conv_job *job, int64_t place, int64_t block) {
    return job->shared + (place * job->blocks + block) * job->input_bytes;
}

static void copy_task(void *context, int64_t i, int worker) {
    (void)worker;
    const conv_job *job = context;
    const int64_t place = i / job->blocks, block = i % job->blocks;
    const tile t = tile_at(&job->problem.q, &job->cutting, place / job->problem.q.groups);
    const input_view view = view_input(job, &t, place, block);
    if (!view.base) copy_input(job, &t, &view, shared_input(job, place, block));
}

/* Lets the register tile finish its outputs, where it can: whether it does. `in_place`: it writes them to y. */
static int finishes(const conv_problem *problem, int in_place, tile_args *args) {
    const int activation = problem->activation, clips = activation == PYCONV_CLIP || activation == PYCONV_HARDTANH;
    if ((activation >= 0 && activation != PYCONV_RELU && !clips) || (problem->residual && !in_place)) return 0;
    if (problem->residual) args->beside = problem->residual - problem->q.y;
    args->clips = activation >= 0;
    args->low = clips ? problem->parameters[0] : 0;
    args->high = clips ? problem->parameters[1] : INFINITY;
    return 1;
}

/* Runs the register tile over all pixels of a tile for one panel (b, bias and epilogue of `args`) of so many columns; pixel p goes
 * to c + p·c_steps. */
static void multiply(const conv_job *job, const tile *t, const input_view *in, const tap_set *set, tile_args args, int64_t columns,
                     char *c, const int64_t c_steps[AXES]) {
    const correlation *q = &job->problem.q;
    const kernel_table *table = q->table;
    const int pair = table->group_rows;
    const int64_t size = q->size, width = t->extent[WIDTH], a_step = in->steps[WIDTH] * q->axes[WIDTH].step;
    const tap_runs *runs = in->in_place ? &set->in_place : &set->copied;
    args.offset = runs->offset;
    args.runs = runs->runs;
    args.length = job->ragged ? in->channels : runs->length;
    args.accumulate = in->block > 0;
    args.narrow = columns <= table->nr / 2;
    /* rows of one base pointer are neighbours along the width; where it has but one pixel they are that pixel again */
    args.row_step = width < pair ? 0 : a_step;
    args.c_row_step = width < pair ? 0 : c_steps[WIDTH];
    int groups = 0;
    FOR_EACH_ROW(t, at) {
        const char *a_row = in->base + input_offset(q, at, in->steps) * size;
        char *c_row = c + output_offset(at, c_steps) * size;
        const int64_t done = multiply_whole_tiles(table, size, args, a_row, c_row, width);
        for (int64_t w = done; w < width; w += pair) {
            /* an odd last pixel is computed with its neighbour, in one call with it: else that would be added to twice */
            int64_t pixel = max_of(0, min_of(w, width - pair)), alone = pixel < w && (groups == 0 || w == done);
            args.a[groups] = a_row + (alone ? w : pixel) * a_step * size;
            args.c[groups] = c_row + (alone ? w : pixel) * c_steps[WIDTH] * size;
            if (alone) {
                tile_args last = args;
                last.a[0] = args.a[groups], last.c[0] = args.c[groups];
                last.row_step = last.c_row_step = 0;
                table->tile(1, &last);
            } else if (++groups == table->groups) {
                table->tile(groups, &args);
                groups = 0;
            }
        }
    }
    if (groups) table->tile(groups, &args);
}

/* Copies `channels` columns of a tile to where they belong in y. */
static void spread(const correlation *q, const tile *t, const char *from, const int64_t steps[AXES], char *y, int64_t channels) {
    FOR_EACH_ROW(t, at)
        q->table->spread_block(y + output_offset(at, q->y_step) * q->size, q->y_step[WIDTH], q->y_channel,
                               from + output_offset(at, steps) * q->size, steps[WIDTH], t->extent[WIDTH], channels);
}

/* What one block of channels adds to one panel of one set: the outputs of nr channels, or of few channels in several phases.
 * Sums stay in y where a panel fills its lanes there, else in `sums` until the last block. */
static void add_products(const conv_job *job, const tile *t, const input_view *in, int64_t panel, int64_t s, const char *weights,
                         char *sums) {
    const conv_problem *problem = &job->problem;
    const correlation *q = &problem->q;
    const int64_t nr = q->table->nr, size = q->size;
    const int64_t channel = in->group * q->co + panel * nr, channels = min_of(nr, q->co - panel * nr);
    const int64_t first = s * job->layout.phases_a_set, phases = phases_of_set(problem, &job->layout, s);
    const int64_t last = job->sets[s].taps > 0 ? job->blocks - 1 : 0; /* without taps there is but the bias */
    if (in->block > last) return;
    char room[MAX_NR * sizeof(double)], *y = q->y + (channel * q->y_channel + output_offset(t->begin, q->y_step)) * size;
    const int in_place = q->y_channel == 1 && channels == nr;
    tile_args args = {.b = weights, .bias = panel_bias(problem, channel, channels, nr, room)};
    const int finishes_later = in->block == last && !finishes(problem, in_place, &args);
    tile all = phases == 1 ? tile_of_phase(problem, t, first) : *t;
    if (in_place) {
        multiply(job, &all, in, &job->sets[s], args, nr, y + phase_offset(problem, first) * size, q->y_step);
        if (finishes_later) finish_tile(problem, q, &all, channel, nr);
        return;
    }
    int64_t steps[AXES];
    dense_steps(t->extent, nr, steps);
    multiply(job, &all, in, &job->sets[s], args, phases * channels, sums, steps);
    for (int64_t i = 0; i < phases && in->block == last; i++) {
        tile part = tile_of_phase(problem, t, first + i);
        spread(q, &part, sums + i * channels * size, steps, y + phase_offset(problem, first + i) * size, channels);
    }
    if (finishes_later) finish_tile(problem, q, &all, channel, channels);
}

static void conv_task(void *context, int64_t i, int worker) {
    const conv_job *job = context;
    const correlation *q = &job->problem.q;
    const int64_t share = i % job->shares, place = i / job->shares, panel_sums = job->cutting.pixels * job->layout.width * q->size;
    const int64_t first = share * job->panels_a_share, last = min_of(job->layout.panels_a_set, first + job->panels_a_share);
    const tile t = tile_at(q, &job->cutting, place / q->groups);
    char *rows = job->scratch + worker * job->scratch_bytes, *input = rows + job->rows_bytes;
    char *sums = input + (job->copies_first ? 0 : job->input_bytes), *own = sums + job->sums_bytes;
    for (int64_t block = 0; block < job->blocks; block++) {
        input_view in = view_input(job, &t, place, block);
        if (!in.base && job->copies_first) in.base = shared_input(job, place, block);
        else if (!in.base) copy_input(job, &t, &in, input), in.base = input;
        const char *packed = job->packs_itself ? own : job->packed + in.group * job->group_elements * q->size;
        char *at = sums;
        for (int64_t panel = first; panel < last; panel++) {
            if (job->packs_itself && (panel - first) % job->panels_packed == 0)
                pack_weights(job, in.group, panel, min_of(job->panels_packed, last - panel), block, (int64_t *)rows, own);
            for (int64_t s = 0; s < job->layout.sets; s++) {
                add_products(job, &t, &in, panel, s, packed + weights_at(job, &job->sets[s], panel, block) * q->size, at);
                if (job->blocks > 1) at += panel_sums;
            }
        }
    }
}

/* Channels of a block: at most `most`, unless half as many more make one block; equal blocks if they need not be half as small. */
static int64_t even_block(int64_t ci, int64_t most) {
    if (ci <= most + most / 2) return ci;
    for (int64_t channels = most; channels >= most / 2; channels -= FEWEST_CHANNELS)
        if (ci % channels == 0) return channels;
    return most;
}

/* How work is split into tasks: by output channels where weights dominate, by pixels otherwise, both where neither suffices. */
static void divide(conv_job *job, int threads) {
    const correlation *q = &job->problem.q;
    const kernel_table *table = q->table;
    const int64_t rows = table->groups * table->group_rows, panels = job->layout.panels_a_set;
    const int64_t wanted = threads == 1 ? 1 : TASKS_A_THREAD * threads;
    const int64_t taps = count_taps(q), panel = taps == 1 ? POINT_BYTES : PANEL_BYTES;
    const int64_t fit = panel / (table->nr * q->size) / max_of(1, taps);
    job->block_channels = even_block(q->ci, max_of(FEWEST_CHANNELS, fit / FEWEST_CHANNELS * FEWEST_CHANNELS));
    job->blocks = ceil_div(q->ci, job->block_channels);
    job->ragged = q->ci % job->block_channels != 0;
    job->cutting = cut(q, job->block_channels, TILE_BYTES, 1, 0);
    const int weights_dominate = taps * q->co > job->cutting.tiles * job->cutting.pixels / max_of(1, q->axes[IMAGE].out);
    const int64_t most = weights_dominate ? panels : 1, sums = job->cutting.pixels * table->nr * q->size;
    job->shares = min_of(most, ceil_div(wanted, max_of(1, job->cutting.tiles * q->groups)));
    if (job->blocks > 1) job->shares = min_of(panels, max_of(job->shares, job->layout.sets * panels * sums / SUMS_BYTES));
    if (weights_dominate) job->shares = even_shares(panels, job->shares, job->cutting.tiles * q->groups, threads);
    job->panels_a_share = ceil_div(panels, job->shares);
    job->shares = ceil_div(panels, job->panels_a_share);
    if (job->cutting.tiles * q->groups * job->shares < wanted)
        job->cutting = cut(q, job->block_channels, TILE_BYTES, ceil_div(wanted, q->groups * job->shares), 8 * rows);
    job->packs_itself = job->problem.packing == PACK_AND_SOLVE && job->cutting.tiles == 1;
    const int64_t together = min_of(PACK_PANELS, job->packs_itself ? job->panels_a_share : ceil_div(panels, threads));
    job->panels_packed = channels_together(job) < 2 ? together : 1;
}

/* Lays out the job and returns the bytes that its tables take. */
static int64_t lay_out(conv_job *job, const conv_problem *problem, int threads, char *tables) {
    workspace memory = {tables, 0};
    job->problem = *problem;
    correlation *q = &job->problem.q;
    const int64_t nr = q->table->nr;
    if (problem->all_phases == 1) merge_axes(q);
    job->layout = lay_out_columns(problem, nr);
    job->kernel_taps = problem->kernel[DEPTH] * problem->kernel[HEIGHT] * problem->kernel[WIDTH];
    divide(job, threads);
    job->homes = (tap_home *)take(&memory, job->kernel_taps * (int64_t)sizeof(tap_home));
    job->sets = (tap_set *)take(&memory, job->layout.sets * (int64_t)sizeof(tap_set));
    job->group_elements = 0;
    int64_t own = 0;
    for (int64_t s = 0; s < job->layout.sets; s++) {
        int64_t first = s * job->layout.phases_a_set, phases = phases_of_set(problem, &job->layout, s);
        tap_set set = {.begin = job->group_elements, .own = own};
        set.taps = list_phase_taps(&job->problem, first, phases, q->x_step, 0);
        set.panel = set.taps * q->ci * nr;
        set.in_place.offset = (int64_t *)take(&memory, set.taps * (int64_t)sizeof(int64_t));
        set.copied.offset = (int64_t *)take(&memory, set.taps * (int64_t)sizeof(int64_t));
        if (tables) job->sets[s] = set;
        job->group_elements += set.panel * job->layout.panels_a_set;
        own += set.taps * job->block_channels * nr;
    }
    job->own_elements = own;
    const int64_t sums = job->blocks > 1 ? job->panels_a_share * job->layout.sets : 1;
    job->rows_bytes = lines(job->kernel_taps * PACK_CHANNELS * (int64_t)sizeof(int64_t));
    job->input_bytes = lines(job->cutting.reach_pixels * job->block_channels * q->size);
    job->sums_bytes = lines(sums * job->cutting.pixels * nr * q->size);
    const int64_t shared = job->cutting.tiles * q->groups * job->blocks * job->input_bytes;
    job->copies_first = job->shares > 1 && shared <= SHARED_BYTES;
    job->shared_bytes = job->copies_first ? shared : 0;
    job->scratch_bytes = job->rows_bytes + (job->copies_first ? 0 : job->input_bytes) + job->sums_bytes +
                         (job->packs_itself ? lines(job->panels_packed * own * q->size) : 0);
    job->packed_bytes = q->groups * job->group_elements * q->size;
    return memory.used;
}

/* Divides the workspace beside the tables and returns the bytes of it. */
static int64_t divide_workspace(conv_job *job, int threads, char *base) {
    workspace memory = {base, 0};
    const int packs_here = job->problem.packing == PACK_AND_SOLVE && !job->packs_itself;
    job->shared = take(&memory, job->shared_bytes);
    job->packed = packs_here ? take(&memory, job->packed_bytes) : job->problem.packed;
    job->scratch = take(&memory, threads * job->scratch_bytes);
    return memory.used;
}

static int64_t gemm_packed(const conv_problem *problem) {
    conv_job job;
    lay_out(&job, problem, 1, 0);
    return job.packed_bytes;
}

static int64_t gemm_workspace(const conv_problem *problem, int threads) {
    conv_job job;
    const int64_t tables = lay_out(&job, problem, threads, 0);
    return tables + divide_workspace(&job, threads, 0);
}

static void solve(conv_job *job, int threads) {
    const int64_t groups = job->problem.q.groups, places = job->cutting.tiles * groups;
    const int packs_none = job->packs_itself || job->problem.packing == PACKED;
    const int64_t packs = packs_none ? 0 : groups * ceil_div(job->layout.panels_a_set, job->panels_packed);
    if (packs) pyconv_parallel_for(packs, threads, pack_task, job);
    if (job->problem.packing == PACK_ONLY) return;
    if (job->copies_first) pyconv_parallel_for(places * job->blocks, threads, copy_task, job);
    pyconv_parallel_for(places * job->shares, threads, conv_task, job);
}

static void gemm_solve(const conv_problem *problem, int threads, char *base) {
    conv_job job;
    const int64_t tables = lay_out(&job, problem, threads, base);
    list_sets(&job);
    divide_workspace(&job, threads, base + tables);
    solve(&job, threads);
}

static int64_t gemm_prepare(const conv_problem *problem, int threads, char *memory) {
    conv_job job;
    const int64_t begin = lines(sizeof job), tables = lay_out(&job, problem, threads, memory ? memory + begin : 0);
    if (memory) {
        list_sets(&job);
        memcpy(memory, &job, sizeof job);
    }
    return begin + tables;
}

static void gemm_resume(const char *prepared, const conv_problem *problem, int threads, char *base) {
    conv_job job;
    memcpy(&job, prepared, sizeof job);
    const correlation q = job.problem.q; /* merged */
    job.problem = *problem;
    job.problem.q = q;
    place_arrays(&job.problem.q, &problem->q);
    divide_workspace(&job, threads, base);
    solve(&job, threads);
}

const conv_engine gemm_engine = {gemm_packed, gemm_workspace, gemm_solve, gemm_prepare, gemm_resume};
