/* Pooling: forward, the places of maxima, and backward, from tables of windows.
 *
 * Every pass folds boxes of pixels into pixels, for a block of channels at once. Vectors run along the channels where they
 * are contiguous, and along the rows where these are and windows are at most two pixels apart. Other arrays, and planes of
 * short rows, go through a worker's scratch, where a tile of them is transposed to contiguous channels. In C order the
 * planes of all images count as channels, so that many small planes make one tile.
 *
 * The backward pass of an average is a sum over the outputs that look at an input: its windows are the forward ones, turned.
 * In that of a maximum each input claims the outputs that have their maximum there; where it would have to ask many, the
 * outputs are added to where their maxima are.
 *
 * Tiles depend on the problem alone and no sum crosses one, so that results do not depend on the number of threads.
 */
#include "pool_windows.h"
#include "threads.h"
#include "workspace.h"

enum { D, H, W, SPATIAL };
enum {
    TILE_BYTES = 128 << 10,   /* of a tile's input at most, in place, */
    SCRATCH_BYTES = 32 << 10, /* and in scratch, to stay in L1; where there are few tiles at least: */
    FEW_BYTES = 8 << 10,
    FEW_TILES = 16,
    MOST_PLANES = 256, /* that small planes make a block of; others make one of a vector */
    MOVED_PIXELS = 64, /* transposed at once: they stay in L1 until all planes of the block are there */
    CLAIMED_TAPS = 16  /* of windows whose maxima are claimed, at most */
};
enum { INPUT, SHARES, MIDDLE, PLACES, COTANGENT, RESULT, LISTS, AREAS }; /* of a worker's scratch */

typedef struct {
    span axis[SPATIAL];
} box;

typedef struct {
    char *data;
    int64_t image, channel, step[SPATIAL]; /* strides in elements */
} array;

/* Pixels of a block, in an array or in scratch: that at `first` stands at `data`, its place (if any) at `place`. In scratch
 * there may be levels, level_step apart, of which level l holds folds of 2^l pixels. */
typedef struct {
    char *data, *place;
    int64_t first[SPATIAL], step[SPATIAL], channel, level_step;
} grid;

typedef struct {
    const kernel_table *table;
    void (*kernel)(const pool_args *); /* folds x: a maximum, a sum, or the places of maxima */
    array x, y, dy;                    /* what is folded, the result, and for the backward pass of a maximum dy */
    window axis[SPATIAL];              /* from y to x, or in that pass from dy to x */
    window turned[SPATIAL];            /* in that pass from dx to dy */
    window divisors[SPATIAL];          /* of x, where is_shared: x is divided before it is summed */
    int is_shared, is_separable, is_claimed, is_scattered;
    int along_rows; /* vectors run along rows, not channels */
    int reads_in_place;
    int64_t size, plane[SPATIAL];            /* bytes of an element; steps of places */
    int64_t images, channels, block, blocks; /* channels are cut into blocks, */
    int64_t whole[SPATIAL], extent[SPATIAL], tiles[SPATIAL]; /* and y, or dy where it is scattered, into tiles */
    int64_t area[AREAS], taps;
    char *scratch;
    int64_t scratch_bytes; /* a worker */
} pool_job;

/* A tile of one block. */
typedef struct {
    int64_t image, channel, channels;
    box to;
    int64_t base[SPATIAL]; /* place 0 */
    char *scratch;
} pool_tile;

static box reach_of(const window axis[SPATIAL], const box *outputs) {
    box inputs;
    for (int a = 0; a < SPATIAL; a++) inputs.axis[a] = reach(&axis[a], outputs->axis[a]);
    return inputs;
}

static int64_t pixels_of(const box *b) { return length(b->axis[D]) * length(b->axis[H]) * length(b->axis[W]); }

static int is_in_place(const pool_job *job, const array *of) { return job->along_rows || of->channel == 1; }

static char *block_of(const pool_job *job, const array *of, const pool_tile *t) {
    return of->data + (t->image * of->image + t->channel * of->channel) * job->size;
}

static grid in_array(const pool_job *job, const pool_tile *t, const array *of) {
    return (grid){.data = block_of(job, of, t), .step = {of->step[D], of->step[H], of->step[W]}, .channel = of->channel};
}

/* Contiguous channels of each pixel, or contiguous planes. */
static grid in_scratch(const pool_job *job, const pool_tile *t, const box *b, int area) {
    grid g = {.data = t->scratch + job->area[area], .channel = 1, .level_step = job->along_rows ? 1 : t->channels};
    for (int a = W; a >= D; a--) {
        g.first[a] = b->axis[a].begin;
        g.step[a] = g.level_step;
        g.level_step *= length(b->axis[a]);
    }
    if (job->along_rows) {
        g.channel = g.level_step;
        g.level_step *= t->channels;
    }
    return g;
}

/* Offset in elements of the pixel at a position. */
static int64_t offset_at(const grid *g, const int64_t at[SPATIAL]) {
    int64_t offset = 0;
    for (int a = 0; a < SPATIAL; a++) offset += (at[a] - g->first[a]) * g->step[a];
    return offset;
}

/* Copies a box of an array to scratch, or back. */
static void move(const pool_job *job, const pool_tile *t, const array *of, const box *b, const grid *scratch, int back) {
    const int64_t lanes = is_in_place(job, of) ? t->channels : job->table->lanes, *step = of->step;
    const grid whole = in_array(job, t, of);
    int64_t n[SPATIAL], begin[SPATIAL];
    for (int a = 0; a < SPATIAL; a++) {
        n[a] = length(b->axis[a]);
        begin[a] = b->axis[a].begin;
    }
    char *block = whole.data + offset_at(&whole, begin) * job->size, *there = scratch->data;
    if (job->along_rows) {
        for (int64_t c = 0; c < t->channels; c++)
            for (int64_t d = 0; d < n[D]; d++, there += n[H] * n[W] * job->size) {
                char *here = block + (c * of->channel + d * step[D]) * job->size;
                if (back) job->table->spread_block(here, step[H], 1, there, n[W], n[H], n[W]);
                else job->table->copy_block(there, n[W], here, step[H], 1, n[H], n[W]);
            }
        return;
    }
    for (int a = H; a >= D && (n[a] == 1 || step[a] == n[W] * step[W]); a--) { /* rows that follow each other are one */
        n[W] *= n[a];
        n[a] = 1;
    }
    for (int64_t d = 0; d < n[D]; d++)
        for (int64_t h = 0; h < n[H]; h++)
            for (int64_t w = 0; w < n[W]; w += MOVED_PIXELS) {
                const int64_t pixels = min_of(MOVED_PIXELS, n[W] - w), at = d * step[D] + h * step[H] + w * step[W];
                for (int64_t c = 0; c < t->channels; c += lanes) {
                    char *here = block + (at + c * of->channel) * job->size, *to = there + c * job->size;
                    const int64_t channels = min_of(lanes, t->channels - c);
                    if (back) job->table->spread_block(here, step[W], of->channel, to, t->channels, pixels, channels);
                    else job->table->copy_block(to, t->channels, here, step[W], of->channel, pixels, channels);
                }
                there += pixels * t->channels * job->size;
            }
}

/* A box of an array: in place, or copied to scratch. */
static grid bring(const pool_job *job, const pool_tile *t, const array *of, const box *b, int area, int in_place) {
    if (in_place) return in_array(job, t, of);
    const grid g = in_scratch(job, t, b, area);
    move(job, t, of, b, &g, 0);
    return g;
}

/* Where a tile's result is made. */
static grid result(const pool_job *job, const pool_tile *t) {
    return is_in_place(job, &job->y) ? in_array(job, t, &job->y) : in_scratch(job, t, &t->to, RESULT);
}

/* Offsets of a window's taps along one axis. With levels a few folds make up the window: for maxima two, which may overlap. */
static int64_t taps_along(const window *w, int64_t count, int64_t step, int64_t level_step, int is_max, int64_t *offset) {
    int64_t n = 0;
    if (!w->levels) {
        for (; n < count; n++) offset[n] = n * w->step * step;
        return n;
    }
    for (int64_t level = w->levels, begin = 0; level >= 0; level--) {
        const int64_t folded = (int64_t)1 << level;
        if (folded > count - begin) continue;
        offset[n++] = level * level_step + begin * step;
        begin += folded;
        if (is_max && begin < count) offset[n++] = level * level_step + (count - folded) * step;
        if (is_max) break;
    }
    return n;
}

/* The taps of a window of counts c, in the order of memory. */
static int64_t window_taps(const window axis[SPATIAL], const int64_t count[SPATIAL], const int64_t step[SPATIAL],
                         int64_t level_step, int is_max, int64_t *offset, int64_t *scratch) {
    int64_t *along[SPATIAL], n[SPATIAL], taps = 0;
    for (int a = 0; a < SPATIAL; a++) {
        along[a] = scratch;
        n[a] = taps_along(&axis[a], count[a], step[a], level_step, is_max, scratch);
        scratch += n[a];
    }
    for (int64_t d = 0; d < n[D]; d++)
        for (int64_t h = 0; h < n[H]; h++)
            for (int64_t w = 0; w < n[W]; w++) offset[taps++] = along[D][d] + along[H][h] + along[W][w];
    return taps;
}

/* One axis of a kernel's grid: how many, and steps of x, of y and of places. */
typedef struct {
    int64_t n, x, y, here;
} steps;

static pool_args kernel_grid(const pool_job *job, steps rows, steps pixels, steps channels) {
    const steps order[] = {job->along_rows ? channels : rows, job->along_rows ? rows : pixels, job->along_rows ? pixels : channels};
    const steps *lanes = &order[2];
    return (pool_args){.rows = order[0].n, .x_row = order[0].x, .y_row = order[0].y, .here_row = order[0].here,
                       .pixels = order[1].n, .x_step = order[1].x, .y_step = order[1].y, .here_step = order[1].here,
                       .lanes = lanes->n, .x_lane = lanes->n > 1 ? lanes->x : 1, .y_lane = lanes->n > 1 ? lanes->y : 1,
                       .here_lane = lanes->here};
}

/* Fills levels 1 … of x: level l + 1 folds two neighbours of level l, 2^l apart along an axis. */
static void double_windows(const pool_job *job, const pool_tile *t, const grid *x, const box *b, int a, int64_t levels) {
    int64_t n[SPATIAL], offset[2] = {0, x->step[a]};
    for (int i = 0; i < SPATIAL; i++) n[i] = length(b->axis[i]);
    for (int64_t level = 0; level < levels; level++, offset[1] *= 2) {
        char *from = x->data + level * x->level_step * job->size, *to = from + x->level_step * job->size;
        n[a] -= offset[1] / x->step[a];
        pool_args args = kernel_grid(job, (steps){n[H], x->step[H], x->step[H], 0}, (steps){n[W], x->step[W], x->step[W], 0},
                                     (steps){t->channels, x->channel, x->channel, 0});
        args.offset = offset;
        args.taps = 2;
        args.divisor = 1;
        for (int64_t d = 0; d < n[D]; d++) {
            args.x = from + d * x->step[D] * job->size;
            args.y = to + d * x->step[D] * job->size;
            job->kernel(&args);
        }
    }
}

/* y = the windows of x over the outputs `to`; x covers the box `from`. */
static void fold(const pool_job *job, const pool_tile *t, void (*kernel)(const pool_args *), const window axis[SPATIAL],
                 const grid *x, const box *from, const grid *y, const box *to) {
    const int is_max = kernel == job->table->pool_max, is_claim = kernel == job->table->pool_claim;
    const int64_t *plane = job->plane;
    int64_t *offset = (int64_t *)(t->scratch + job->area[LISTS]), *place = offset + job->taps, *along = place + job->taps;
    for (int a = 0; a < SPATIAL; a++)
        if (axis[a].levels) double_windows(job, t, x, from, a, axis[a].levels);
    FOR_RUNS(d, &axis[D], to->axis[D])
    FOR_RUNS(h, &axis[H], to->axis[H])
    FOR_RUNS(w, &axis[W], to->axis[W]) {
        const int64_t count[] = {d.count, h.count, w.count};
        pool_args args = kernel_grid(
            job, (steps){h.n, h.start_step * x->step[H], h.step * y->step[H], (is_claim ? h.step : h.start_step) * plane[H]},
            (steps){w.n, w.start_step * x->step[W], w.step * y->step[W], (is_claim ? w.step : w.start_step) * plane[W]},
            (steps){t->channels, x->channel, y->channel, 0});
        args.offset = offset;
        args.place = place;
        args.in_pairs = w.in_pairs;
        args.divisor = (double)(d.divisor * h.divisor * w.divisor);
        args.taps = window_taps(axis, count, x->step, x->level_step, is_max, offset, along);
        if (y->place && !x->place) window_taps(axis, count, plane, 0, 0, place, along);
        for (int64_t i = 0; i < d.n; i++) {
            const int64_t start[] = {d.start + i * d.start_step, h.start, w.start};
            const int64_t first[] = {d.first + i * d.step, h.first, w.first}, *here = is_claim ? first : start;
            const int64_t x_at = offset_at(x, start) * job->size, y_at = offset_at(y, first) * job->size;
            args.x = x->data + x_at;
            args.x_place = x->place ? x->place + x_at : 0;
            args.y = y->data ? y->data + y_at : 0;
            args.y_place = y->place ? y->place + y_at : 0;
            args.here = 0;
            for (int a = 0; a < SPATIAL; a++) args.here += (here[a] - t->base[a]) * plane[a];
            kernel(&args);
        }
    }
}

/* The same for the windows of the job: in one step, or where they are large down their columns and then along the rows. */
static void fold_windows(const pool_job *job, const pool_tile *t, const grid *x, const box *from, const grid *y, const box *to) {
    const window *axis = job->axis;
    if (!job->is_separable) {
        fold(job, t, job->kernel, axis, x, from, y, to);
        return;
    }
    const window down[] = {undivided(&axis[D]), undivided(&axis[H]), inputs_of(&axis[W])};
    const window along[] = {divisors_of(&axis[D]), divisors_of(&axis[H]), axis[W]};
    const box between = {{to->axis[D], to->axis[H], from->axis[W]}};
    grid middle = in_scratch(job, t, &between, MIDDLE);
    if (y->place) middle.place = middle.data + middle.level_step * job->size;
    fold(job, t, job->kernel, down, x, from, &middle, &between);
    fold(job, t, job->kernel, along, &middle, &between, y, to);
}

static pool_tile pool_tile_at(const pool_job *job, int64_t i, int worker) {
    pool_tile t = {.scratch = job->scratch + worker * job->scratch_bytes};
    for (int a = W; a >= D; a--) {
        const int64_t begin = i % job->tiles[a] * job->extent[a];
        t.to.axis[a] = (span){begin, min_of(begin + job->extent[a], job->whole[a])};
        i /= job->tiles[a];
    }
    t.channel = i % job->blocks * job->block;
    t.channels = min_of(job->block, job->channels - t.channel);
    t.image = i / job->blocks;
    return t;
}

static void fold_task(void *context, int64_t i, int worker) {
    const pool_job *job = context;
    const pool_tile t = pool_tile_at(job, i, worker);
    const box from = reach_of(job->axis, &t.to);
    grid x = bring(job, &t, &job->x, &from, INPUT, job->reads_in_place), y = result(job, &t);
    if (job->is_shared) {
        const grid shares = in_scratch(job, &t, &from, SHARES);
        fold(job, &t, job->table->pool_sum, job->divisors, &x, &from, &shares, &from);
        x = shares;
    }
    fold_windows(job, &t, &x, &from, &y, &t.to);
    if (!is_in_place(job, &job->y)) move(job, &t, &job->y, &t.to, &y, 1);
}

/* Finds the places of the maxima of outputs `to`, counted from t->base. */
static grid find_places(const pool_job *job, pool_tile *t, const box *to) {
    const box from = reach_of(job->axis, to);
    const grid x = bring(job, t, &job->x, &from, INPUT, job->reads_in_place);
    grid y = in_scratch(job, t, to, PLACES);
    for (int a = 0; a < SPATIAL; a++) t->base[a] = from.axis[a].begin;
    y.place = y.data;
    y.data = 0;
    fold_windows(job, t, &x, &from, &y, to);
    return y;
}

/* The position of t->base in its plane. */
static int64_t base_of(const pool_job *job, const pool_tile *t) {
    return t->base[D] * job->plane[D] + t->base[H] * job->plane[H] + t->base[W];
}

static void places_task(void *context, int64_t i, int worker) {
    const pool_job *job = context;
    pool_tile t = pool_tile_at(job, i, worker);
    const grid y = find_places(job, &t, &t.to), whole = in_array(job, &t, &job->y);
    const int64_t pixels = length(t.to.axis[W]), channels = job->along_rows ? 1 : t.channels;
    for (int64_t c = 0; c < t.channels; c += channels)
        for (int64_t d = t.to.axis[D].begin; d < t.to.axis[D].end; d++)
            for (int64_t h = t.to.axis[H].begin; h < t.to.axis[H].end; h++) {
                const int64_t first[] = {d, h, t.to.axis[W].begin};
                int64_t *indices = (int64_t *)job->y.data + (whole.data - job->y.data) / job->size;
                job->table->pool_number(indices + offset_at(&whole, first) + c * whole.channel, whole.step[W], whole.channel,
                                        y.place + (offset_at(&y, first) + c * y.channel) * job->size, base_of(job, &t), pixels,
                                        channels);
            }
}

static void claim_task(void *context, int64_t i, int worker) {
    const pool_job *job = context;
    pool_tile t = pool_tile_at(job, i, worker);
    const box outputs = reach_of(job->turned, &t.to);
    grid dy = find_places(job, &t, &outputs);
    const grid dx = result(job, &t);
    dy.data = bring(job, &t, &job->dy, &outputs, COTANGENT, 0).data;
    fold(job, &t, job->table->pool_claim, job->turned, &dy, &outputs, &dx, &t.to);
    if (!is_in_place(job, &job->y)) move(job, &t, &job->y, &t.to, &dx, 1);
}

/* Adds all of a block's dy to where the maxima are. */
static void scatter_task(void *context, int64_t i, int worker) {
    const pool_job *job = context;
    const int64_t tiles = job->tiles[D] * job->tiles[H] * job->tiles[W];
    pool_tile t = pool_tile_at(job, i * tiles, worker);
    box plane;
    for (int a = 0; a < SPATIAL; a++) plane.axis[a] = (span){0, job->axis[a].in};
    const grid dx = in_scratch(job, &t, &plane, RESULT);
    memset(dx.data, 0, (size_t)(dx.level_step * job->size));
    for (int64_t k = 0; k < tiles; k++) {
        t = pool_tile_at(job, i * tiles + k, worker);
        const grid place = find_places(job, &t, &t.to), dy = bring(job, &t, &job->dy, &t.to, COTANGENT, 0);
        const int64_t channels = job->along_rows ? 1 : t.channels;
        for (int64_t c = 0; c < t.channels; c += channels)
            job->table->pool_scatter(dx.data + (base_of(job, &t) * channels + c * dx.channel) * job->size,
                                     dy.data + c * dy.channel * job->size, place.place + c * place.channel * job->size,
                                     pixels_of(&t.to), channels);
    }
    move(job, &t, &job->y, &plane, &dx, 1);
}

/* The forward windows and the ones from inputs to outputs. */
static void read_windows(const pyconv_pool *p, window forward[SPATIAL], window turned[SPATIAL]) {
    const int64_t *table = p->windows;
    for (int a = 0; a < SPATIAL; a++) {
        const int64_t in = p->in[a], out = p->out[a];
        forward[a] = (window){table, table + out, table + 2 * out, p->step[a], in, out, 1, 1, 0, 0};
        table += 3 * out;
        turned[a] = (window){table, table + in, 0, 1, out, in, 1, 1, 0, 0};
        table += 2 * in;
        for (int64_t o = 1; o < out; o++)
            turned[a].period = max_of(turned[a].period, forward[a].start[o] - forward[a].start[o - 1]);
    }
}

static array strided(const int64_t strides[5]) {
    return (array){.image = strides[0], .channel = strides[1], .step = {strides[2], strides[3], strides[4]}};
}

/* What a pass folds, and by which windows. */
static pool_job describe(const pyconv_pool *p, int pass) {
    pool_job job = {.table = pyconv_table((int)p->real_bits), .size = p->real_bits / 8, .images = p->n, .channels = p->c,
                    .plane = {p->in[H] * p->in[W], p->in[W], 1}};
    const array x = strided(p->x_strides), y = strided(p->y_strides), dx = strided(p->dx_strides);
    window forward[SPATIAL], turned[SPATIAL];
    int64_t taps = 1;
    read_windows(p, forward, turned);
    const int is_sum = pass == PYCONV_AVG_POOL || pass == PYCONV_AVG_POOL_BACKWARD;
    job.kernel = is_sum ? job.table->pool_sum : pass == PYCONV_MAX_POOL ? job.table->pool_max : job.table->pool_argmax;
    job.x = pass == PYCONV_AVG_POOL_BACKWARD ? y : x;
    job.y = pass == PYCONV_AVG_POOL_BACKWARD || pass == PYCONV_MAX_POOL_BACKWARD ? dx : y;
    job.dy = pass == PYCONV_MAX_POOL_BACKWARD ? y : job.x;
    for (int a = 0; a < SPATIAL; a++) {
        job.is_shared |= pass == PYCONV_AVG_POOL_BACKWARD && !is_divided_evenly(&forward[a]);
        job.is_scattered |= pass == PYCONV_MAX_POOL_BACKWARD && p->step[a] > 1;
        taps *= largest(&forward[a]);
    }
    job.is_scattered |= pass == PYCONV_MAX_POOL_BACKWARD && taps > CLAIMED_TAPS;
    job.is_claimed = pass == PYCONV_MAX_POOL_BACKWARD && !job.is_scattered;
    for (int a = 0; a < SPATIAL; a++) {
        job.axis[a] = pass == PYCONV_AVG_POOL_BACKWARD ? turned[a] : forward[a];
        job.turned[a] = turned[a];
        job.divisors[a] = divisors_of(&forward[a]);
        if (pass == PYCONV_AVG_POOL_BACKWARD && !job.is_shared && p->out[a]) job.axis[a].common = forward[a].divisor[0];
        job.whole[a] = job.is_claimed ? turned[a].out : job.axis[a].out;
    }
    return job;
}

/* The planes of all images count as channels where their strides allow it; one channel is contiguous. */
static void merge_images(pool_job *job) {
    array *of[] = {&job->x, &job->y, &job->dy};
    int merge = 1;
    for (int i = 0; i < 3; i++) merge = merge && (job->channels == 1 || of[i]->image == job->channels * of[i]->channel);
    for (int i = 0; i < 3; i++) {
        if (merge && job->channels == 1) of[i]->channel = of[i]->image;
        if (job->images * job->channels == 1) of[i]->channel = 1;
    }
    if (!merge) return;
    job->channels *= job->images;
    job->images = 1;
}

/* Vectors run along rows where these are contiguous, lanes lie one or two elements apart, and most are used. */
static int can_run_along_rows(const pool_job *job) {
    const array *of[] = {&job->x, &job->y, &job->dy};
    const window *w = &job->axis[W];
    const int64_t lanes = job->table->lanes;
    int64_t used = 0, longest = 0;
    for (int i = 0; i < 3; i++)
        if (of[i]->step[W] != 1) return 0;
    FOR_RUNS(r, w, ((span){0, w->out})) {
        used += round_up(r.n, lanes) * (1 + r.in_pairs);
        longest = max_of(longest, r.n);
    }
    return job->turned[W].period <= 2 && longest >= lanes && used <= 2 * w->out;
}

/* Large windows are folded axis by axis; very large ones that overlap, from folds of 2, 4, 8 … inputs. */
static void choose_steps(pool_job *job) {
    const window *w = &job->axis[W];
    const int64_t down = largest(&job->axis[D]) * largest(&job->axis[H]), along = largest(w);
    const int is_places = job->kernel == job->table->pool_argmax; /* its second step costs twice as much a tap */
    job->along_rows = can_run_along_rows(job);
    if (job->along_rows) {
        job->axis[W].in_pairs = come_in_pairs(&job->axis[W]);
        job->turned[W].in_pairs = come_in_pairs(&job->turned[W]);
    }
    job->is_separable = down > 1 && along > 1 &&
                        down * w->in + ((1 + is_places) * along + 3) * w->out < down * along * w->out;
    for (int a = H; a <= W && !is_places; a++) {
        window *doubled = &job->axis[a];
        const int64_t count = largest(doubled);
        int64_t levels = 0;
        while (count >> (levels + 1)) levels++;
        if (count * doubled->out > 4 * levels * doubled->in && (job->is_separable || count == down * along))
            doubled->levels = levels;
    }
    job->reads_in_place = is_in_place(job, &job->x) && !job->axis[H].levels && (job->is_separable || !job->axis[W].levels);
}

/* The most inputs, and for claims outputs, that tiles of some extent reach along an axis. */
static void most_reached(const pool_job *job, int a, int64_t extent, int64_t *inputs, int64_t *outputs) {
    *inputs = *outputs = 0;
    for (int64_t begin = 0; begin < job->whole[a]; begin += extent) {
        span s = {begin, min_of(begin + extent, job->whole[a])};
        if (job->is_claimed) s = reach(&job->turned[a], s);
        *outputs = max_of(*outputs, length(s));
        *inputs = max_of(*inputs, length(reach(&job->axis[a], s)));
    }
}

/* The most pixels of x that a tile of some extent reaches. */
static int64_t tile_pixels(const pool_job *job, const int64_t extent[SPATIAL]) {
    int64_t pixels = 1, inputs, outputs;
    for (int a = 0; a < SPATIAL; a++) {
        most_reached(job, a, extent[a], &inputs, &outputs);
        pixels *= inputs;
    }
    return pixels;
}

/* Halves the tiles along an axis until their input is within a budget or would hardly shrink any more. */
static void cut_axis(pool_job *job, int a, int64_t budget) {
    const int64_t period = job->is_claimed ? job->turned[a].period : job->axis[a].period;
    int64_t *extent = &job->extent[a], pixels = tile_pixels(job, job->extent);
    while (*extent > period && pixels > budget) {
        const int64_t before = *extent;
        *extent = round_up(ceil_div(before, 2), period);
        const int64_t now = tile_pixels(job, job->extent);
        if (4 * now > 3 * pixels) *extent = before;
        if (*extent == before) return;
        pixels = now;
    }
}

/* Cuts channels into blocks and pixels into tiles, such that a tile's input stays in L2 and there are some to share. */
static void cut_tiles(pool_job *job) {
    const int64_t lanes = job->table->lanes, one[SPATIAL] = {1, 1, 1};
    const int64_t window_pixels = tile_pixels(job, one), plane_pixels = tile_pixels(job, job->whole);
    const int64_t bytes = job->images * job->channels * plane_pixels * job->size;
    const int in_place = is_in_place(job, &job->x) && is_in_place(job, &job->y) && is_in_place(job, &job->dy);
    const int64_t budget = max_of(FEW_BYTES, min_of(in_place ? TILE_BYTES : SCRATCH_BYTES, bytes / FEW_TILES)) / job->size;
    int64_t block = job->along_rows ? 1 : in_place && !job->is_scattered ? job->channels : lanes;
    while (2 * block <= min_of(MOST_PLANES, job->channels) && 2 * block * plane_pixels <= budget) block *= 2;
    while (block > lanes && block * window_pixels > budget) block = round_up(block / 2, lanes);
    job->block = max_of(1, min_of(block, job->channels));
    job->blocks = ceil_div(job->channels, job->block);
    for (int a = 0; a < SPATIAL; a++) job->extent[a] = max_of(1, job->whole[a]);
    for (int a = 0; a < SPATIAL; a++) {
        cut_axis(job, a, budget / job->block);
        job->tiles[a] = ceil_div(job->whole[a], job->extent[a]);
    }
}

/* Divides a worker's scratch. */
static void lay_out(pool_job *job) {
    const window *w = job->axis;
    const int is_places = job->kernel == job->table->pool_argmax;
    int64_t inputs[SPATIAL], outputs[SPATIAL], count[SPATIAL], asked = 1, counts = 0;
    int64_t input = 1, middle = 1, output = 1, result = 1; /* pixels */
    for (int a = 0; a < SPATIAL; a++) {
        most_reached(job, a, job->extent[a], &inputs[a], &outputs[a]);
        count[a] = largest(&w[a]);
        counts += max_of(count[a], largest(&job->turned[a]));
        asked *= largest(&job->turned[a]);
        input *= inputs[a];
        middle *= a == W ? inputs[a] : outputs[a];
        output *= outputs[a];
        result *= job->is_scattered ? w[a].in : job->extent[a];
    }
    job->taps = max_of(count[D] * count[H], count[W]);
    if (!job->is_separable) job->taps = count[D] * count[H] * count[W];
    if (job->is_claimed) job->taps = max_of(job->taps, asked);
    const int64_t pixel = job->block * job->size, first_levels = w[H].levels + (job->is_separable ? 0 : w[W].levels);
    const int64_t bytes[AREAS] = {
        [INPUT] = job->reads_in_place ? 0 : input * (1 + first_levels) * pixel,
        [SHARES] = job->is_shared ? input * (1 + first_levels) * pixel : 0,
        [MIDDLE] = job->is_separable ? middle * (1 + is_places + w[W].levels) * pixel : 0,
        [PLACES] = is_places ? output * pixel : 0,
        [COTANGENT] = is_places ? output * pixel : 0,
        [RESULT] = is_in_place(job, &job->y) && !job->is_scattered ? 0 : result * pixel,
        [LISTS] = (2 * job->taps + counts) * (int64_t)sizeof(int64_t)};
    for (int i = 0; i < AREAS; i++) {
        job->area[i] = job->scratch_bytes;
        job->scratch_bytes += lines(bytes[i]);
    }
}

static pool_job plan(const pyconv_pool *p, int pass) {
    pool_job job = describe(p, pass);
    merge_images(&job);
    choose_steps(&job);
    cut_tiles(&job);
    lay_out(&job);
    return job;
}

size_t pyconv_pool_workspace(const pyconv_pool *p, int pass, int threads) {
    return (size_t)(plan(p, pass).scratch_bytes * pyconv_effective_threads(threads));
}

static void solve(const pyconv_pool *p, int pass, const void *x, const void *dy, void *y, void *memory, int threads) {
    pool_job job = plan(p, pass);
    const int64_t bytes = p->n * p->c * (p->in[D] * p->in[H] * p->in[W] + p->out[D] * p->out[H] * p->out[W]) * job.size;
    const int64_t tiles = job.is_scattered ? 1 : job.tiles[D] * job.tiles[H] * job.tiles[W];
    job.x.data = (char *)x;
    job.dy.data = (char *)dy;
    job.y.data = y;
    job.scratch = memory;
    pyconv_parallel_for(job.images * job.blocks * tiles, pyconv_threads_for(bytes, threads),
                        job.is_scattered                            ? scatter_task
                        : job.is_claimed                            ? claim_task
                        : job.kernel == job.table->pool_argmax ? places_task
                                                                    : fold_task,
                        &job);
}

void pyconv_max_pool(const pyconv_pool *p, const void *x, void *y, void *workspace, int threads) {
    solve(p, PYCONV_MAX_POOL, x, 0, y, workspace, threads);
}

void pyconv_max_pool_indices(const pyconv_pool *p, const void *x, int64_t *indices, void *workspace, int threads) {
    solve(p, PYCONV_MAX_POOL_INDICES, x, 0, indices, workspace, threads);
}

void pyconv_max_pool_backward(const pyconv_pool *p, const void *dy, const void *x, void *dx, void *workspace, int threads) {
    solve(p, PYCONV_MAX_POOL_BACKWARD, x, dy, dx, workspace, threads);
}

void pyconv_avg_pool(const pyconv_pool *p, const void *x, void *y, void *workspace, int threads) {
    solve(p, PYCONV_AVG_POOL, x, 0, y, workspace, threads);
}

void pyconv_avg_pool_backward(const pyconv_pool *p, const void *dy, void *dx, void *workspace, int threads) {
    solve(p, PYCONV_AVG_POOL_BACKWARD, dy, 0, dx, workspace, threads);
}
