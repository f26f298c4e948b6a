/* Folding boxes of pixels: where they stand, how they get there, and what the kernels are told. See pool_job.h. */
#include "pool_job.h"

enum { MOVED_PIXELS = 64 }; /* transposed at once: they stay in L1 until all planes of the block are there */

static char *block_of(const pool_job *job, const array *of, const pool_tile *t) {
    return of->data + (t->image * of->image + t->channel * of->channel) * job->size;
}

grid in_array(const pool_job *job, const pool_tile *t, const array *of) {
    return (grid){.data = block_of(job, of, t), .step = {of->step[D], of->step[H], of->step[W]}, .channel = of->channel};
}

/* Contiguous channels of each pixel, or contiguous planes. */
grid in_scratch(const pool_job *job, const pool_tile *t, const box *b, int area) {
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

int64_t offset_at(const grid *g, const int64_t at[SPATIAL]) {
    int64_t offset = 0;
    for (int a = 0; a < SPATIAL; a++) offset += (at[a] - g->first[a]) * g->step[a];
    return offset;
}

void move_box(const pool_job *job, const pool_tile *t, const array *of, const box *b, const grid *scratch, int back) {
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

/* The taps of a window of so many inputs along each axis, in C order. */
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

static pool_args kernel_grid(const pool_job *job, steps height, steps width, steps channels) {
    const int along_rows = job->along_rows;
    const steps rows = along_rows ? channels : height, pixels = along_rows ? height : width, lanes = along_rows ? width : channels;
    return (pool_args){.rows = rows.n,
                       .x_row = rows.x,
                       .y_row = rows.y,
                       .here_row = rows.here,
                       .pixels = pixels.n,
                       .x_step = pixels.x,
                       .y_step = pixels.y,
                       .here_step = pixels.here,
                       .lanes = lanes.n,
                       .x_lane = lanes.n > 1 ? lanes.x : 1,
                       .y_lane = lanes.n > 1 ? lanes.y : 1,
                       .here_lane = lanes.here};
}

/* Runs a kernel; pixels that follow each other are one. */
static void run_kernel(const pool_job *job, void (*kernel)(const pool_args *), pool_args args) {
    const int is_line = args.x_lane == 1 && args.y_lane == 1 && args.x_step == args.lanes && args.y_step == args.lanes;
    if (is_line && !job->along_rows && kernel != job->table->pool_argmax) {
        args.lanes *= args.pixels;
        args.pixels = 1;
    }
    kernel(&args);
}

/* Fills levels 1 … of x: level l + 1 folds two neighbours of level l, 2^l apart along an axis. */
static void double_windows(const pool_job *job, const pool_tile *t, const grid *x, const box *b, int a, int64_t levels) {
    int64_t n[SPATIAL], offset[2] = {0, x->step[a]};
    for (int i = 0; i < SPATIAL; i++) n[i] = length(b->axis[i]);
    for (int64_t level = 0; level < levels; level++, offset[1] *= 2) {
        char *from = x->data + level * x->level_step * job->size, *to = from + x->level_step * job->size;
        n[a] -= (int64_t)1 << level;
        if (n[a] <= 0) return; /* the tile has no window as long as that */
        pool_args args = kernel_grid(job, (steps){n[H], x->step[H], x->step[H], 0}, (steps){n[W], x->step[W], x->step[W], 0},
                                     (steps){t->channels, x->channel, x->channel, 0});
        args.offset = offset;
        args.taps = 2;
        args.divisor = 1;
        for (int64_t d = 0; d < n[D]; d++) {
            args.x = from + d * x->step[D] * job->size;
            args.y = to + d * x->step[D] * job->size;
            run_kernel(job, job->kernel, args);
        }
    }
}

void fold_boxes(const pool_job *job, const pool_tile *t, void (*kernel)(const pool_args *), const window axis[SPATIAL],
                const grid *x, const box *from, const grid *y, const box *to) {
    const int is_max = kernel == job->table->pool_max;
    const int64_t *plane = job->plane;
    int64_t *offset = (int64_t *)(t->scratch + job->area[LISTS]), *place = offset + job->taps, *along = place + job->taps;
    for (int a = 0; a < SPATIAL; a++)
        if (axis[a].levels) double_windows(job, t, x, from, a, axis[a].levels);
    FOR_RUNS(d, &axis[D], to->axis[D])
    FOR_RUNS(h, &axis[H], to->axis[H])
    FOR_RUNS(w, &axis[W], to->axis[W]) {
        const int64_t count[] = {d.count, h.count, w.count};
        pool_args args = kernel_grid(
            job, (steps){h.n, h.start_step * x->step[H], h.step * y->step[H], h.start_step * plane[H]},
            (steps){w.n, w.start_step * x->step[W], w.step * y->step[W], w.start_step * plane[W]},
            (steps){t->channels, x->channel, y->channel, 0});
        args.offset = offset;
        args.place = place;
        args.in_pairs = w.in_pairs;
        args.divisor = (double)(d.divisor * h.divisor * w.divisor);
        args.taps = window_taps(axis, count, x->step, x->level_step, is_max, offset, along);
        args.along = job->along_rows || axis[W].levels ? 0 : w.count;
        args.x_tap = axis[W].step * x->step[W];
        if (y->place && !x->place) window_taps(axis, count, plane, 0, 0, place, along);
        for (int64_t i = 0; i < d.n; i++) {
            const int64_t start[] = {d.start + i * d.start_step, h.start, w.start};
            const int64_t first[] = {d.first + i * d.step, h.first, w.first};
            const int64_t x_at = offset_at(x, start) * job->size, y_at = offset_at(y, first) * job->size;
            args.x = x->data + x_at;
            args.x_place = x->place ? x->place + x_at : 0;
            args.y = y->data ? y->data + y_at : 0;
            args.y_place = y->place ? y->place + y_at : 0;
            args.here = 0;
            for (int a = 0; a < SPATIAL; a++) args.here += (start[a] - t->base[a]) * plane[a];
            run_kernel(job, kernel, args);
        }
    }
}

void fold_windows(const pool_job *job, const pool_tile *t, const grid *x, const box *from, const grid *y, const box *to) {
    const window *axis = job->axis;
    if (!job->is_separable) {
        fold_boxes(job, t, job->kernel, axis, x, from, y, to);
        return;
    }
    const window one[] = {inputs_of(&axis[D]), inputs_of(&axis[H]), inputs_of(&axis[W])};
    const window down[] = {undivided(&axis[D]), undivided(&axis[H]), one[W]};
    const window along[] = {divisors_of(&axis[D]), divisors_of(&axis[H]), axis[W]};
    const window rows[] = {one[D], one[H], axis[W]}, of_rows[] = {axis[D], axis[H], divisors_of(&axis[W])};
    const int rows_first = is_of_places(job);
    const window *first = rows_first ? rows : down, *second = rows_first ? of_rows : along;
    const box *at = rows_first ? from : to, *beside = rows_first ? to : from;
    const box between = {{at->axis[D], at->axis[H], beside->axis[W]}};
    grid middle = in_scratch(job, t, &between, MIDDLE);
    if (y->place) middle.place = middle.data + middle.level_step * job->size;
    fold_boxes(job, t, job->kernel, first, x, from, &middle, &between);
    fold_boxes(job, t, job->kernel, second, &middle, &between, y, to);
}

