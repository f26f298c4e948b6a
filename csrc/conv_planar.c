/* The planar engine: neighbouring pixels of a row fill the vectors, output channels are broadcast weights. For few output
 * channels, where a panel of nr of them would mostly be empty. The input of a tile is copied plane by plane, one row of the
 * width a channel, split by the phase of the stride so that neighbouring outputs read neighbouring inputs. Sums grow a
 * block of channels at a time, so that the copy stays in L2 and yet holds large tiles, which share little with others. */
#include "conv.h"
#include "threads.h"
#include "workspace.h"

enum {
    SCRATCH_BYTES = 400 << 10,
    BLOCK_CHANNELS = 8, /* and twice as many, a cache line, where channels are contiguous */
    LEAST_CHANNELS = 4  /* of a block, where there are several */
};

/* What a set of phases computes; its panels hold `terms` weights a row, one row an output channel and phase. */
typedef struct {
    int64_t terms, begin, panel; /* terms: of a block; panels stand at begin, begin + panel, … in a group's packed weights, in elements */
    int64_t *offset;             /* of each term of a block, in the scratch */
} term_set;

typedef struct {
    const conv_problem *problem;
    tiling cutting;
    column_layout layout; /* evenly large panels of at most planar_rows */
    term_set *sets;
    int64_t block_channels, blocks;
    int wide;                  /* which of the two tiles */
    int relu;                  /* the tile applies it, so that nothing is left to finish */
    int64_t columns, pitch;    /* pixels a register tile; pixels of a phase's row, padded for whole tiles */
    int64_t group_elements;    /* of packed weights */
    char *packed, *scratch, *rows;
    int64_t scratch_bytes, row_bytes, packed_bytes;
    int64_t rows_kept; /* of a worker: until their last block, or until they are pooled in pairs; and the result of that */
} planar_job;

column_layout planar_layout(const conv_problem *problem) {
    int64_t most = problem->q.table->planar_rows, co = problem->q.co;
    return lay_out_columns(problem, co < most ? min_of(problem->all_phases, most / co) * co : ceil_div(co, ceil_div(co, most)));
}

/* Few rows leave registers for the wide tile. */
static int is_wide(const conv_problem *problem, const column_layout *layout) {
    return layout->width <= problem->q.table->planar_rows / 2;
}

int64_t planar_width(const conv_problem *problem, const column_layout *layout) {
    return problem->q.table->planar_columns / (is_wide(problem, layout) ? 1 : 2);
}

static void scratch_steps(const planar_job *job, int64_t steps[AXES]) {
    const correlation *q = &job->problem->q;
    int64_t rows[AXES] = {job->cutting.reach[IMAGE], job->cutting.reach[DEPTH], job->cutting.reach[HEIGHT], 1};
    dense_steps(rows, job->block_channels * q->axes[WIDTH].step * job->pitch, steps);
    steps[WIDTH] = 0; /* a row is walked by the kernel */
}

/* Blocks are equal; channels that do not divide so make one. */
static int64_t equal_block(int64_t ci, int64_t most) {
    for (int64_t channels = most; channels >= LEAST_CHANNELS; channels--)
        if (ci % channels == 0) return channels;
    return ci;
}

/* Lays out the job and returns the bytes that its tables take. */
static int64_t lay_out(planar_job *job, const conv_problem *problem, int threads, char *tables) {
    workspace memory = {tables, 0};
    const correlation *q = &problem->q;
    const axis *width = &q->axes[WIDTH];
    job->problem = problem;
    job->layout = planar_layout(problem);
    job->wide = is_wide(problem, &job->layout);
    job->columns = planar_width(problem, &job->layout);
    job->block_channels = equal_block(q->ci, q->x_channel == 1 ? 2 * BLOCK_CHANNELS : BLOCK_CHANNELS);
    job->blocks = q->ci / job->block_channels;
    job->cutting = cut(q, job->block_channels, SCRATCH_BYTES, threads == 1 ? 1 : 4 * threads, 4 * job->columns);
    for (int a = HEIGHT; problem->pooled && a <= WIDTH; a++) make_even(q, &job->cutting, a);
    int64_t reach = (width->taps - 1) * width->dilation / width->step + 1; /* of a phase of the stride, beyond its outputs */
    int64_t row_step = round_up(job->cutting.extent[WIDTH], job->columns);
    job->pitch = row_step + max_of(0, reach);
    int64_t reach_rows = job->cutting.reach[IMAGE] * job->cutting.reach[DEPTH] * job->cutting.reach[HEIGHT];
    job->sets = (term_set *)take(&memory, job->layout.sets * (int64_t)sizeof(term_set));
    job->group_elements = 0;
    for (int64_t s = 0; s < job->layout.sets; s++) {
        const int64_t first = s * job->layout.phases_a_set, phases = phases_of_set(problem, &job->layout, s);
        term_set set = {.terms = job->block_channels * list_phase_taps(problem, first, phases, q->x_step, 0), .begin = job->group_elements};
        set.panel = job->blocks * set.terms * job->layout.width;
        set.offset = (int64_t *)take(&memory, set.terms * (int64_t)sizeof(int64_t));
        if (tables) job->sets[s] = set;
        job->group_elements += set.panel * job->layout.panels_a_set;
    }
    job->scratch_bytes = lines(reach_rows * job->block_channels * width->step * job->pitch * q->size);
    job->row_bytes = lines(problem->all_phases * q->co * row_step * q->size);
    job->rows_kept = (job->blocks > 1 ? job->cutting.pixels / job->cutting.extent[WIDTH] : 1) + (problem->pooled ? 1 : 0);
    job->packed_bytes = q->groups * job->group_elements * q->size;
    return memory.used;
}

/* Divides the workspace beside the tables and returns the bytes of it. */
static int64_t divide_workspace(planar_job *job, int threads, char *base) {
    workspace memory = {base, 0};
    const conv_problem *problem = job->problem;
    job->packed = problem->packing == PACK_AND_SOLVE ? take(&memory, job->packed_bytes) : problem->packed;
    job->scratch = take(&memory, threads * job->scratch_bytes);
    job->rows = take(&memory, threads * job->rows_kept * job->row_bytes);
    return memory.used;
}

/* Output channels of a panel, which has a row for each of them in each phase of its set. */
static int64_t panel_channels(const planar_job *job, int64_t panel) {
    return min_of(job->layout.width, job->problem->q.co - panel * job->layout.width);
}

/* Weights become [group][set][panel][term][row], terms being input channels of taps; 0 where a phase lacks the tap. */
static void pack_panel(const planar_job *job, int64_t group, int64_t s, int64_t panel) {
    const conv_problem *problem = job->problem;
    const correlation *q = &problem->q;
    const weight_view *view = &problem->weights;
    const term_set *set = &job->sets[s];
    const int64_t size = q->size, phases = phases_of_set(problem, &job->layout, s), channels = panel_channels(job, panel);
    const int64_t rows = phases * channels, taps = set->terms / job->block_channels;
    char *to = job->packed + (group * job->group_elements + set->begin + panel * set->panel) * size;
    const char *from = view->w + (group * view->group_step + panel * job->layout.width * view->k_step) * size;
    memset(to, 0, (size_t)(set->panel * size));
    FOR_EACH_TAP(q, at) {
        int present = 0;
        for (int64_t i = 0; i < phases; i++) {
            int64_t tap = kernel_tap(problem, s * job->layout.phases_a_set + i, at);
            if (tap < 0) continue;
            present = 1;
            q->table->copy_block(to + i * channels * size, taps * rows, from + tap_offset(problem, tap) * size, view->c_step,
                                 view->k_step, q->ci, channels);
        }
        if (present) to += rows * size;
    }
}

static void list_terms(const planar_job *job) {
    const correlation *q = &job->problem->q;
    const axis *w = &q->axes[WIDTH];
    int64_t steps[AXES];
    scratch_steps(job, steps);
    for (int a = IMAGE; a < WIDTH; a++) steps[a] *= q->axes[a].dilation;
    for (int64_t s = 0; s < job->layout.sets; s++) {
        const int64_t first = s * job->layout.phases_a_set, phases = phases_of_set(job->problem, &job->layout, s);
        int64_t *offset = job->sets[s].offset;
        for (int64_t c = 0; c < job->block_channels; c++)
            FOR_EACH_TAP(q, at) {
                int64_t i = at[WIDTH] * w->dilation;
                if (any_phase_has(job->problem, first, phases, at))
                    *offset++ = c * w->step * job->pitch + output_offset(at, steps) + i % w->step * job->pitch + i / w->step;
            }
    }
}

/* What a block of channels adds to all output channels and phases of one row of pixels, in `row`. The last block takes the
 * maximum with the row above, unless that is NULL. */
static void solve_row(const planar_job *job, int64_t group, int64_t block, const char *x, int64_t width, int64_t row_step,
                      const char *above, char *row) {
    const conv_problem *problem = job->problem;
    const correlation *q = &problem->q;
    const int64_t size = q->size;
    for (int64_t s = 0; s < job->layout.sets; s++)
        for (int64_t panel = 0; panel < job->layout.panels_a_set; panel++) {
            const term_set *set = &job->sets[s];
            const int64_t channel = panel * job->layout.width, channels = panel_channels(job, panel);
            const int64_t rows = phases_of_set(problem, &job->layout, s) * channels;
            const int64_t weights = group * job->group_elements + set->begin + panel * set->panel + block * set->terms * rows;
            char bias[MAX_NR * sizeof(double)];
            planar_args args = {.a = job->packed + weights * size,
                                .bias = panel_bias(problem, group * q->co + channel, channels, rows, bias),
                                .offset = set->offset,
                                .terms = set->terms,
                                .y_row = row_step,
                                .accumulate = block > 0,
                                .relu = job->relu && block == job->blocks - 1};
            for (int64_t w = 0; w < width; w += job->columns) {
                args.x = x + w * size;
                const int64_t at = ((s * job->layout.phases_a_set * q->co + channel) * row_step + w) * size;
                args.y = row + at;
                args.above = above ? above + at : 0;
                q->table->planar((int)rows, job->wide, &args);
            }
        }
}

/* Copies a row's channels and phases to where they belong. */
static void spread_row(const planar_job *job, int64_t group, const tile *t, const int64_t at[AXES], int64_t row_step, const char *row) {
    const conv_problem *problem = job->problem;
    const correlation *q = &problem->q;
    char *y = q->y + (group * q->co * q->y_channel + output_offset(t->begin, q->y_step) + output_offset(at, q->y_step)) * q->size;
    for (int64_t phase = 0; phase < problem->all_phases; phase++, row += q->co * row_step * q->size) {
        tile part = tile_of_phase(problem, t, phase);
        if (at[DEPTH] < part.extent[DEPTH] && at[HEIGHT] < part.extent[HEIGHT])
            q->table->spread_block(y + phase_offset(problem, phase) * q->size, q->y_channel, q->y_step[WIDTH], row, row_step, q->co,
                                   part.extent[WIDTH]);
    }
}

/* Copies the maxima of each two pixels of a row, which holds those of two rows, to where they belong, by way of `room`. All
 * channels are one long row, and what fills it up between them is pooled too. */
static void spread_maxima(const planar_job *job, int64_t group, const tile *t, const int64_t at[AXES], int64_t row_step,
                          const char *row, char *room) {
    const correlation *q = &job->problem->q;
    const pool_args args = {.x = row,
                            .y = room,
                            .offset = (int64_t[]){0, 1},
                            .taps = 2,
                            .rows = 1,
                            .pixels = 1,
                            .lanes = q->co * row_step / 2,
                            .x_lane = 2,
                            .y_lane = 1};
    q->table->pool_max(&args);
    const int64_t place[AXES] = {t->begin[IMAGE] + at[IMAGE], t->begin[DEPTH] + at[DEPTH], (t->begin[HEIGHT] + at[HEIGHT]) / 2,
                                 t->begin[WIDTH] / 2};
    char *y = q->y + (group * q->co * q->y_channel + output_offset(place, q->y_step)) * q->size;
    q->table->spread_block(y, q->y_channel, q->y_step[WIDTH], room, row_step / 2, q->co, t->extent[WIDTH] / 2);
}

static void planar_task(void *context, int64_t i, int worker) {
    const planar_job *job = context;
    const correlation *q = &job->problem->q;
    const int pooled = job->problem->pooled;
    const int64_t group = i % q->groups;
    tile t = tile_at(q, &job->cutting, i / q->groups);
    char *scratch = job->scratch + worker * job->scratch_bytes;
    int64_t row_step = round_up(t.extent[WIDTH], job->columns), steps[AXES];
    char *rows = job->rows + worker * job->rows_kept * job->row_bytes, *room = rows + (job->rows_kept - 1) * job->row_bytes;
    const int64_t next_row = job->blocks > 1 ? job->row_bytes : 0;
    scratch_steps(job, steps);
    for (int64_t block = 0; block < job->blocks; block++) {
        const int last = block == job->blocks - 1;
        char *row = rows;
        gather_planar(q, &job->cutting, &t, group * q->ci + block * job->block_channels, job->block_channels, job->pitch, scratch);
        FOR_EACH_ROW(&t, at) {
            const int pools = last && pooled && at[HEIGHT] % 2;
            const char *x = scratch + input_offset(q, at, steps) * q->size;
            solve_row(job, group, block, x, t.extent[WIDTH], row_step, pools ? row - next_row : 0, row);
            if (pools) spread_maxima(job, group, &t, at, row_step, row, room);
            else if (last && !pooled) spread_row(job, group, &t, at, row_step, row);
            row += next_row;
        }
    }
    if (!job->relu) finish_tile(job->problem, q, &t, group * q->co, q->co);
}

static int64_t planar_packed(const conv_problem *problem) {
    planar_job job;
    lay_out(&job, problem, 1, 0);
    return job.packed_bytes;
}

static int64_t planar_workspace(const conv_problem *problem, int threads) {
    planar_job job;
    const int64_t tables = lay_out(&job, problem, threads, 0);
    return tables + divide_workspace(&job, threads, 0);
}

static void solve(planar_job *job, int threads) {
    const conv_problem *problem = job->problem;
    job->relu = problem->activation == PYCONV_RELU && !problem->residual; /* here: a residual is part of a call, not of its layout */
    const int64_t packs = problem->packing == PACKED ? 0 : problem->q.groups;
    for (int64_t group = 0; group < packs; group++)
        for (int64_t s = 0; s < job->layout.sets; s++)
            for (int64_t panel = 0; panel < job->layout.panels_a_set; panel++) pack_panel(job, group, s, panel);
    if (problem->packing == PACK_ONLY) return;
    pyconv_parallel_for(job->cutting.tiles * problem->q.groups, threads, planar_task, job);
}

static void planar_solve(const conv_problem *problem, int threads, char *base) {
    planar_job job;
    const int64_t tables = lay_out(&job, problem, threads, base);
    list_terms(&job);
    divide_workspace(&job, threads, base + tables);
    solve(&job, threads);
}

static int64_t planar_prepare(const conv_problem *problem, int threads, char *memory) {
    planar_job job;
    const int64_t begin = lines(sizeof job), tables = lay_out(&job, problem, threads, memory ? memory + begin : 0);
    if (memory) {
        list_terms(&job);
        memcpy(memory, &job, sizeof job);
    }
    return begin + tables;
}

static void planar_resume(const char *prepared, const conv_problem *problem, int threads, char *base) {
    planar_job job;
    memcpy(&job, prepared, sizeof job);
    job.problem = problem;
    divide_workspace(&job, threads, base);
    solve(&job, threads);
}

const conv_engine planar_engine = {planar_packed, planar_workspace, planar_solve, planar_prepare, planar_resume};
