/* Pooling: forward, the places of maxima, and backward, from tables of windows.
 *
 * Every pass folds boxes of pixels into pixels, for a block of channels at once. Vectors run along the channels where they
 * are contiguous, and along the rows where these are and windows are at most two pixels apart. Other arrays, and planes of
 * short rows, go through a worker's scratch, where a tile of them is transposed to contiguous channels. In C order the
 * planes of all images count as channels, so that many small planes make one tile.
 *
 * The backward pass of an average is a sum over the outputs that look at an input: its windows are the forward ones, turned.
 * In that of a maximum each output is added to where its maximum, found again, is (pool_claim.c, or for large windows here).
 * Windows that do not overlap are simpler (pool_spread.c).
 *
 * Tiles depend on the problem alone and no sum crosses one, so that results do not depend on the number of threads.
 */
#include "pool_job.h"
#include "pool_spread.h"
#include "prepared.h"
#include "threads.h"

static box reach_of(const window axis[SPATIAL], const box *outputs) {
    box inputs;
    for (int a = 0; a < SPATIAL; a++) inputs.axis[a] = reach(&axis[a], outputs->axis[a]);
    return inputs;
}

static int64_t pixels_of(const box *b) { return length(b->axis[D]) * length(b->axis[H]) * length(b->axis[W]); }

/* A box of an array: in place, or copied to scratch. */
static grid bring(const pool_job *job, const pool_tile *t, const array *of, const box *b, int area, int in_place) {
    if (in_place) return in_array(job, t, of);
    const grid g = in_scratch(job, t, b, area);
    move_box(job, t, of, b, &g, 0);
    return g;
}

/* Where a tile's result is made. */
static grid result(const pool_job *job, const pool_tile *t) {
    return is_in_place(job, &job->y) ? in_array(job, t, &job->y) : in_scratch(job, t, &t->to, RESULT);
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
        fold_boxes(job, &t, job->table->pool_sum, job->divisors, &x, &from, &shares, &from);
        x = shares;
    }
    fold_windows(job, &t, &x, &from, &y, &t.to);
    if (!is_in_place(job, &job->y)) move_box(job, &t, &job->y, &t.to, &y, 1);
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
    const pool_tile t = pool_tile_at(job, i, worker);
    const box outputs = reach_of(job->turned, &t.to), from = reach_of(job->axis, &outputs);
    const grid x = bring(job, &t, &job->x, &from, INPUT, job->reads_in_place), dx = result(job, &t);
    const grid dy = bring(job, &t, &job->dy, &outputs, COTANGENT, is_in_place(job, &job->dy));
    claim_tile(job, &t, &x, &from, &dy, &outputs, &dx);
    if (!is_in_place(job, &job->y)) move_box(job, &t, &job->y, &t.to, &dx, 1);
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
    move_box(job, &t, &job->y, &plane, &dx, 1);
}

size_t pyconv_pool_workspace(const pyconv_pool *p, int pass, int threads) {
    return (size_t)(plan_pooling(p, pass).scratch_bytes * pyconv_effective_threads(threads));
}

static int useful_threads(const pyconv_pool *p, int threads) {
    const int64_t pixels = p->in[D] * p->in[H] * p->in[W] + p->out[D] * p->out[H] * p->out[W];
    return pyconv_threads_for(p->n * p->c * pixels * p->real_bits / 8, threads);
}

static void fold_all(pool_job *job, const void *x, const void *dy, void *y, void *memory, int threads) {
    const int64_t tiles = job->is_scattered ? 1 : job->tiles[D] * job->tiles[H] * job->tiles[W];
    job->x.data = (char *)x;
    job->dy.data = (char *)dy;
    job->y.data = y;
    job->scratch = memory;
    void (*task)(void *, int64_t, int) = job->kernel == job->table->pool_argmax ? places_task : fold_task;
    if (job->is_claimed) task = claim_task;
    if (job->is_scattered) task = scatter_task;
    pyconv_parallel_for(job->images * job->blocks * tiles, threads, task, job);
}

static void solve(const pyconv_pool *p, int pass, const void *x, const void *dy, void *y, void *memory, int threads) {
    pool_job job = plan_pooling(p, pass);
    fold_all(&job, x, dy, y, memory, useful_threads(p, threads));
}

typedef struct {
    pool_job job;
    pyconv_pool problem;
    int threads, spreads; /* the gradient of a mean, in one pass */
} prepared_pool;

size_t prepare_pool(const pyconv_pool *p, int pass, int threads, void *memory) {
    const int spreads = pass == PYCONV_AVG_POOL_BACKWARD && pool_can_spread(p, pass);
    if (memory) *(prepared_pool *)memory = (prepared_pool){plan_pooling(p, pass), *p, useful_threads(p, threads), spreads};
    return sizeof(prepared_pool);
}

void run_pool(const void *prepared, const void *x, void *y, void *workspace) {
    prepared_pool it = *(const prepared_pool *)prepared;
    if (it.spreads) pool_spread(&it.problem, x, 0, y, it.threads);
    else fold_all(&it.job, x, 0, y, workspace, it.threads);
}

void pyconv_max_pool(const pyconv_pool *p, const void *x, void *y, void *workspace, int threads) {
    solve(p, PYCONV_MAX_POOL, x, 0, y, workspace, threads);
}

void pyconv_max_pool_indices(const pyconv_pool *p, const void *x, int64_t *indices, void *workspace, int threads) {
    solve(p, PYCONV_MAX_POOL_INDICES, x, 0, indices, workspace, threads);
}

void pyconv_max_pool_backward(const pyconv_pool *p, const void *dy, const void *x, void *dx, void *workspace, int threads) {
    if (pool_can_spread(p, PYCONV_MAX_POOL_BACKWARD)) pool_spread(p, dy, x, dx, threads);
    else solve(p, PYCONV_MAX_POOL_BACKWARD, x, dy, dx, workspace, threads);
}

void pyconv_avg_pool(const pyconv_pool *p, const void *x, void *y, void *workspace, int threads) {
    solve(p, PYCONV_AVG_POOL, x, 0, y, workspace, threads);
}

void pyconv_avg_pool_backward(const pyconv_pool *p, const void *dy, void *dx, void *workspace, int threads) {
    if (pool_can_spread(p, PYCONV_AVG_POOL_BACKWARD)) pool_spread(p, dy, 0, dx, threads);
    else solve(p, PYCONV_AVG_POOL_BACKWARD, dy, 0, dx, workspace, threads);
}
