/* The general engine: an indirect GEMM over tiles of the output.
 *
 * A task takes one tile of pixels, one group and a share of the output channels, in all phases. The tile's input is read in
 * place where it is channels-last and needs no padding, else from a copy in the worker's scratch. Weights are packed into
 * panels of nr columns: [group][set][panel][tap][input channel][nr]. Where one tile is all there is, so that each weight
 * is used once, a task packs its own panels and nothing waits.
 */
#include "conv.h"
#include "rows.h"
#include "threads.h"
#include "workspace.h"

enum {
    TILE_BYTES = 224 << 10, /* a tile's input: together with a weight panel it should stay in L2 */
    PACK_CHANNELS = 8,       /* input channels that are packed at a time */
    TASKS_A_THREAD = 4,
    CHEAP_COPY = 16 /* a tile's input is copied once for at least so many vectors of products a value */
};

/* Taps as runs of the register tile. */
typedef struct {
    int64_t *offset, runs, length;
} tap_runs;

/* The taps and panels of a set of phases. */
typedef struct {
    int64_t taps, begin, panel; /* its panels stand at begin, begin + panel, …, in elements */
    tap_runs in_place, copied;  /* for inputs read where they are, and from scratch */
} tap_set;

typedef struct {
    conv_problem problem;
    tiling cutting;
    column_layout layout;
    tap_set *sets;
    int64_t *home, *home_step; /* where a kernel tap's weights go for the first nr channels, in elements; the step to the next nr */
    int64_t kernel_taps, group_elements; /* of packed weights */
    int64_t shares, panels_a_share;
    int packs_itself; /* tasks pack what they need, a panel of each set at a time */
    char *packed, *scratch;
    int64_t *held; /* a worker: the tile and group whose input its scratch holds, or -1 */
    int64_t input_bytes, block_bytes, rows_bytes, scratch_bytes;
} conv_job;

static void list_sets(conv_job *job) {
    const conv_problem *problem = &job->problem;
    const correlation *q = &problem->q;
    const int64_t nr = job->layout.width;
    int64_t steps[AXES];
    dense_steps(job->cutting.reach, q->ci, steps);
    for (int64_t s = 0; s < job->layout.sets; s++) {
        tap_set *set = &job->sets[s];
        int64_t first = s * job->layout.phases_a_set, phases = phases_of_set(problem, &job->layout, s);
        list_phase_taps(problem, first, phases, q->x_step, set->in_place.offset);
        list_phase_taps(problem, first, phases, steps, set->copied.offset);
        set->in_place.length = set->copied.length = q->ci;
        set->in_place.runs = join_runs(set->in_place.offset, set->taps, &set->in_place.length);
        set->copied.runs = join_runs(set->copied.offset, set->taps, &set->copied.length);
        int64_t n = 0;
        FOR_EACH_TAP(q, at) {
            int present = 0;
            for (int64_t i = 0; i < phases; i++) {
                int64_t tap = kernel_tap(problem, first + i, at);
                if (tap < 0) continue;
                present = 1;
                job->home[tap] = set->begin + n * q->ci * nr + i * q->co;
                job->home_step[tap] = set->panel;
            }
            n += present;
        }
    }
}

/* Packs the weights of nr output channels of a group, for all phases, as panel `slot` of each set of `to`. */
static void pack_panel(const conv_job *job, int64_t group, int64_t panel, int64_t slot, int64_t *rows, char *to) {
    const conv_problem *problem = &job->problem;
    const correlation *q = &problem->q;
    const weight_view *view = &problem->weights;
    const kernel_table *table = q->table;
    const int64_t nr = table->nr, size = q->size, taps = job->kernel_taps, channels = min_of(nr, q->co - panel * nr);
    const char *from = view->w + (group * view->group_step + panel * nr * view->k_step) * size;
    if (channels < nr) /* lanes that no weight fills, or taps that not all phases have */
        for (int64_t s = 0; s < job->layout.sets; s++)
            memset(to + (job->sets[s].begin + slot * job->sets[s].panel) * size, 0, (size_t)(job->sets[s].panel * size));
    for (int64_t t = 0; t < taps; t++) rows[t] = job->home[t] + slot * job->home_step[t];
    if (!taps_are_contiguous(problem) || view->k_step == 1 || view->c_step == 1) {
        for (int64_t t = 0; t < taps; t++)
            table->copy_block(to + rows[t] * size, nr, from + tap_offset(problem, t) * size, view->c_step, view->k_step, q->ci, channels);
        return;
    }
    int64_t from_offset[MAX_NR], together = view->c_step == taps ? min_of(q->ci, PACK_CHANNELS) : 1;
    for (int64_t j = 0; j < channels; j++) from_offset[j] = j * view->k_step;
    for (int64_t i = taps; i < together * taps; i++) rows[i] = rows[i - taps] + nr;
    for (int64_t c = 0; c < q->ci; c += together)
        table->pack(to + c * nr * size, rows, from + c * view->c_step * size, from_offset, min_of(together, q->ci - c) * taps, channels);
}

static void pack_task(void *context, int64_t i, int worker) {
    const conv_job *job = context;
    const int64_t group = i / job->layout.panels_a_set, panel = i % job->layout.panels_a_set;
    int64_t *rows = (int64_t *)(job->scratch + worker * job->scratch_bytes);
    pack_panel(job, group, panel, panel, rows, job->packed + group * job->group_elements * job->problem.q.size);
}

/* Where a tile is read from. */
typedef struct {
    const char *base;
    int64_t steps[AXES];
    int in_place;
} input_view;

static input_view view_input(const conv_job *job, const tile *t, int64_t group, char *scratch) {
    const correlation *q = &job->problem.q;
    input_view view = {.base = scratch, .in_place = q->x_channel == 1 && is_interior(q, t)};
    if (view.in_place) {
        memcpy(view.steps, q->x_step, sizeof view.steps);
        view.base = tile_input(q, t) + group * q->ci * q->size;
    } else {
        dense_steps(job->cutting.reach, q->ci, view.steps);
    }
    return view;
}

/* Runs the register tile over all pixels of a tile for one panel; pixel p of the tile goes to c + p·c_steps. */
static void multiply(const conv_job *job, const tile *t, const input_view *in, const tap_set *set, const char *panel, const char *bias,
                     char *c, const int64_t c_steps[AXES]) {
    const correlation *q = &job->problem.q;
    const kernel_table *table = q->table;
    const int pair = table->group_rows;
    const int64_t size = q->size, width = t->extent[WIDTH], a_step = in->steps[WIDTH] * q->axes[WIDTH].step;
    const tap_runs *runs = in->in_place ? &set->in_place : &set->copied;
    tile_args args = {.offset = runs->offset, .runs = runs->runs, .length = runs->length, .step = 1, .b = panel, .bias = bias};
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

/* Copies `channels` columns of a tile to where they belong in y. */
static void spread(const correlation *q, const tile *t, const char *from, const int64_t steps[AXES], char *y, int64_t channels) {
    FOR_EACH_ROW(t, at)
        q->table->spread_block(y + output_offset(at, q->y_step) * q->size, q->y_step[WIDTH], q->y_channel,
                               from + output_offset(at, steps) * q->size, steps[WIDTH], t->extent[WIDTH], channels);
}

/* One panel of one set: the outputs of nr channels, or of few channels in several phases. */
static void solve_panel(const conv_job *job, const tile *t, const input_view *in, int64_t group, int64_t panel, int64_t s,
                        const char *weights, char *block) {
    const conv_problem *problem = &job->problem;
    const correlation *q = &problem->q;
    const int64_t nr = q->table->nr, size = q->size, channels = min_of(nr, q->co - panel * nr), channel = group * q->co + panel * nr;
    const int64_t first = s * job->layout.phases_a_set, phases = phases_of_set(problem, &job->layout, s);
    char room[MAX_NR * sizeof(double)], *y = q->y + (channel * q->y_channel + output_offset(t->begin, q->y_step)) * size;
    const char *bias = panel_bias(problem, channel, channels, nr, room);
    tile all = phases == 1 ? tile_of_phase(problem, t, first) : *t;
    if (q->y_channel == 1 && channels == nr) {
        multiply(job, &all, in, &job->sets[s], weights, bias, y + phase_offset(problem, first) * size, q->y_step);
        return;
    }
    int64_t steps[AXES];
    dense_steps(t->extent, nr, steps);
    multiply(job, &all, in, &job->sets[s], weights, bias, block, steps);
    for (int64_t i = 0; i < phases; i++) {
        tile part = tile_of_phase(problem, t, first + i);
        spread(q, &part, block + i * channels * size, steps, y + phase_offset(problem, first + i) * size, channels);
    }
}

static void conv_task(void *context, int64_t i, int worker) {
    const conv_job *job = context;
    const correlation *q = &job->problem.q;
    int64_t share = i % job->shares, place = i / job->shares, group = place % q->groups;
    tile t = tile_at(q, &job->cutting, place / q->groups);
    char *rows = job->scratch + worker * job->scratch_bytes, *input = rows + job->rows_bytes, *block = input + job->input_bytes;
    char *own = block + job->block_bytes;
    input_view in = view_input(job, &t, group, input);
    if (!in.in_place && job->held[worker] != place) {
        gather_tile(q, &job->cutting, &t, group * q->ci, q->ci, input);
        job->held[worker] = place;
    }
    int64_t last = min_of(job->layout.panels_a_set, (share + 1) * job->panels_a_share);
    for (int64_t panel = share * job->panels_a_share; panel < last; panel++) {
        const char *packed = job->packs_itself ? own : job->packed + group * job->group_elements * q->size;
        const int64_t slot = job->packs_itself ? 0 : panel;
        if (job->packs_itself) pack_panel(job, group, panel, slot, (int64_t *)rows, own);
        for (int64_t s = 0; s < job->layout.sets; s++) {
            const char *weights = packed + (job->sets[s].begin + slot * job->sets[s].panel) * q->size;
            solve_panel(job, &t, &in, group, panel, s, weights, block);
        }
    }
}

/* How pixels and output channels are split into tasks. Sharing a tile between tasks costs a copy of its input each. */
static void divide(conv_job *job, int threads) {
    const correlation *q = &job->problem.q;
    const kernel_table *table = q->table;
    const int64_t rows = table->groups * table->group_rows, panels = job->layout.panels_a_set;
    const int64_t wanted = threads == 1 ? 1 : TASKS_A_THREAD * threads;
    job->cutting = cut(q, q->ci, TILE_BYTES, 1, 8 * rows);
    int64_t most = max_of(1, job->layout.sets * panels * count_taps(q) / CHEAP_COPY);
    job->shares = min_of(min_of(panels, most), ceil_div(wanted, max_of(1, job->cutting.tiles * q->groups)));
    job->panels_a_share = ceil_div(panels, job->shares);
    job->shares = ceil_div(panels, job->panels_a_share);
    if (job->cutting.tiles * q->groups * job->shares < wanted)
        job->cutting = cut(q, q->ci, TILE_BYTES, ceil_div(wanted, q->groups * job->shares), 8 * rows);
    job->packs_itself = job->cutting.tiles == 1;
}

/* Lays out the job and returns the bytes of workspace it takes. */
static int64_t lay_out(conv_job *job, const conv_problem *problem, int threads, char *base) {
    workspace memory = {base, 0};
    job->problem = *problem;
    correlation *q = &job->problem.q;
    const int64_t nr = q->table->nr;
    if (problem->all_phases == 1) merge_axes(q);
    job->layout = lay_out_columns(problem, nr);
    divide(job, threads);
    job->kernel_taps = problem->kernel[DEPTH] * problem->kernel[HEIGHT] * problem->kernel[WIDTH];
    job->home = (int64_t *)take(&memory, job->kernel_taps * (int64_t)sizeof(int64_t));
    job->home_step = (int64_t *)take(&memory, job->kernel_taps * (int64_t)sizeof(int64_t));
    job->held = (int64_t *)take(&memory, threads * (int64_t)sizeof(int64_t));
    job->sets = (tap_set *)take(&memory, job->layout.sets * (int64_t)sizeof(tap_set));
    job->group_elements = 0;
    for (int64_t s = 0; s < job->layout.sets; s++) {
        int64_t first = s * job->layout.phases_a_set, phases = phases_of_set(problem, &job->layout, s);
        tap_set set = {.taps = list_phase_taps(&job->problem, first, phases, q->x_step, 0), .begin = job->group_elements};
        set.panel = set.taps * q->ci * nr;
        set.in_place.offset = (int64_t *)take(&memory, set.taps * (int64_t)sizeof(int64_t));
        set.copied.offset = (int64_t *)take(&memory, set.taps * (int64_t)sizeof(int64_t));
        if (base) job->sets[s] = set;
        job->group_elements += set.panel * (job->packs_itself ? 1 : job->layout.panels_a_set);
    }
    int64_t packed_bytes = lines(job->group_elements * q->size);
    job->rows_bytes = lines(job->kernel_taps * PACK_CHANNELS * (int64_t)sizeof(int64_t));
    job->input_bytes = lines(job->cutting.reach_pixels * q->ci * q->size);
    job->block_bytes = lines(job->cutting.pixels * nr * q->size);
    job->scratch_bytes = job->rows_bytes + job->input_bytes + job->block_bytes + (job->packs_itself ? packed_bytes : 0);
    job->packed = take(&memory, job->packs_itself ? 0 : q->groups * job->group_elements * q->size);
    job->scratch = take(&memory, threads * job->scratch_bytes);
    return memory.used;
}

static int64_t gemm_workspace(const conv_problem *problem, int threads) {
    conv_job job;
    return lay_out(&job, problem, threads, 0);
}

static void gemm_solve(const conv_problem *problem, int threads, char *base) {
    conv_job job;
    lay_out(&job, problem, threads, base);
    list_sets(&job);
    for (int i = 0; i < threads; i++) job.held[i] = -1;
    const int64_t groups = job.problem.q.groups;
    if (!job.packs_itself) pyconv_parallel_for(groups * job.layout.panels_a_set, threads, pack_task, &job);
    pyconv_parallel_for(job.cutting.tiles * groups * job.shares, threads, conv_task, &job);
}

const conv_engine gemm_engine = {gemm_workspace, gemm_solve};
