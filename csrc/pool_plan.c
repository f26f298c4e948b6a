/* Planning a pooling: what a pass folds and by which windows, how vectors run, blocks, tiles and scratch. See pool_job.h. */
#include "pool_job.h"

enum {
    TILE_BYTES = 256 << 10,   /* of a tile's input at most, in place (of claims, which are redone at its edges, twice that), */
    SCRATCH_BYTES = 32 << 10, /* and in scratch, to stay in L1, */
    CLAIM_BYTES = 64 << 10,   /* or in L2, where what tiles overlap costs more; where there are few tiles at least: */
    FEW_BYTES = 8 << 10,
    FEW_TILES = 4,
    FEW_VECTORS = 4,   /* of a block of channels in place, at least, */
    MANY_VECTORS = 32, /* and where a plane has one output */
    MOST_PLANES = 256  /* that small planes make a block of; others make one of a vector */
};

/* The windows from outputs to inputs, and those from inputs to outputs unless windows are dilated. */
static void read_windows(const pyconv_pool *p, window forward[SPATIAL], window turned[SPATIAL]) {
    const int64_t *table = p->windows;
    for (int a = 0; a < SPATIAL; a++) {
        const int64_t in = p->in[a], out = p->out[a];
        window *f = &forward[a], *t = &turned[a];
        *f = (window){.start = table, .count = table + out, .divisor = table + 2 * out};
        table += 3 * out;
        *t = (window){.start = table, .count = table + in, .common = 1};
        table += 2 * in;
        f->in = t->out = in;
        f->out = t->in = out;
        f->step = p->step[a];
        f->period = t->step = t->period = 1;
        for (int64_t o = 0; o < out; o++) f->most = max_of(f->most, f->count[o]);
        for (int64_t o = 1; o < out; o++) t->period = max_of(t->period, f->start[o] - f->start[o - 1]);
        for (int64_t i = 0; i < in && f->step == 1; i++) t->most = max_of(t->most, t->count[i]);
    }
}

static array strided(const int64_t strides[5]) {
    return (array){.image = strides[0], .channel = strides[1], .step = {strides[2], strides[3], strides[4]}};
}

/* What a pass folds, and by which windows. */
static pool_job describe(const pyconv_pool *p, int pass) {
    const kernel_table *table = pyconv_table((int)p->real_bits);
    const array x = strided(p->x_strides), y = strided(p->y_strides), dx = strided(p->dx_strides);
    const int of_max = pass == PYCONV_MAX_POOL_BACKWARD, of_mean = pass == PYCONV_AVG_POOL_BACKWARD;
    pool_job job = {.table = table, .size = p->real_bits / 8, .plane = {p->in[H] * p->in[W], p->in[W], 1}};
    window forward[SPATIAL];
    read_windows(p, forward, job.turned);
    job.images = p->n;
    job.channels = p->c;
    job.kernel = pass == PYCONV_MAX_POOL ? table->pool_max : table->pool_argmax;
    if (of_mean || pass == PYCONV_AVG_POOL) job.kernel = table->pool_sum;
    job.x = of_mean ? y : x;
    job.y = of_max || of_mean ? dx : y;
    job.dy = of_max ? y : job.x;
    int dilated = 0;
    for (int a = 0; a < SPATIAL; a++) {
        dilated |= forward[a].step > 1;
        job.is_shared |= of_mean && !is_divided_evenly(&forward[a]);
    }
    job.is_scattered = of_max && (dilated || max_of(forward[D].most * forward[H].most, forward[W].most) > CLAIMED_TAPS);
    job.is_claimed = of_max && !job.is_scattered;
    for (int a = 0; a < SPATIAL; a++) {
        job.axis[a] = of_mean ? job.turned[a] : forward[a];
        job.divisors[a] = divisors_of(&forward[a]);
        if (of_mean && !job.is_shared) job.axis[a].common = forward[a].divisor[0];
        job.whole[a] = job.is_claimed ? p->in[a] : job.axis[a].out;
    }
    return job;
}

/* The planes of all images count as channels where their strides allow it. A single plane is contiguous either way. */
static void merge_images(pool_job *job) {
    array *of[] = {&job->x, &job->y, &job->dy};
    const int64_t images = job->images, channels = job->channels;
    int merge = 1;
    for (int i = 0; i < 3; i++) merge = merge && (channels == 1 || of[i]->image == channels * of[i]->channel);
    if (!merge) return;
    for (int i = 0; i < 3; i++)
        if (channels == 1) of[i]->channel = images == 1 ? 1 : of[i]->image;
    job->channels = images * channels;
    job->images = 1;
}

/* Images are depths, where an image has none: windows of one look at them one by one. */
static void stack_images(pool_job *job) {
    const window *d = &job->axis[D];
    if (job->images == 1 || job->is_scattered || d->in != 1 || d->out != 1) return;
    if (count_of(d, 0) != 1 || divisor_of(d, 0) != 1) return;
    array *of[] = {&job->x, &job->y, &job->dy};
    const window images = {.step = 1, .in = job->images, .out = job->images, .most = 1, .common = 1, .period = 1};
    for (int i = 0; i < 3; i++) of[i]->step[D] = of[i]->image;
    job->axis[D] = job->turned[D] = job->divisors[D] = images;
    job->whole[D] = job->images;
    job->plane[D] = 0;
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
        used += round_up(r.n, lanes);
        longest = max_of(longest, r.n);
    }
    return job->turned[W].period <= 2 && longest >= lanes && used <= 2 * w->out;
}

/* Large windows are folded axis by axis; very large ones that overlap, from folds of 2, 4, 8 … inputs. */
static void choose_steps(pool_job *job) {
    const window *w = &job->axis[W];
    const int64_t down = job->axis[D].most * job->axis[H].most, along = w->most;
    const int is_places = is_of_places(job);
    const int64_t rows_in = job->axis[D].in * job->axis[H].in, rows_out = job->axis[D].out * job->axis[H].out;
    job->along_rows = !job->is_claimed && can_run_along_rows(job);
    job->axis[W].in_pairs = job->along_rows && come_in_pairs(w);
    job->is_separable = !job->is_claimed && down > 1 && along > 1 &&
                        (is_places ? along * rows_in + (down + 3) * rows_out < down * along * rows_out
                                   : down * w->in + (along + 3) * w->out < down * along * w->out);
    for (int a = H; a <= W && !is_places; a++) {
        window *doubled = &job->axis[a];
        int64_t levels = 0;
        while (doubled->most >> (levels + 1)) levels++;
        const int pays = doubled->most * doubled->out > 4 * levels * doubled->in; /* and windows have no holes: */
        if (pays && doubled->step == 1 && (job->is_separable || doubled->most == down * along)) doubled->levels = levels;
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

/* Halves tiles axis by axis until their input has no more than so many pixels. Where windows overlap so do the inputs of
 * tiles, at the price of computing things twice: an axis is not cut so far that this adds more than a half, or for claims, which
 * cost more, a quarter, and of rows a sixteenth. Returns the pixels of a tile. */
static int64_t cut_planes(pool_job *job, int64_t most_pixels) {
    int64_t pixels = 1, inputs[SPATIAL], outputs;
    for (int a = 0; a < SPATIAL; a++) {
        job->extent[a] = max_of(1, job->whole[a]);
        most_reached(job, a, job->extent[a], &inputs[a], &outputs);
        pixels *= inputs[a];
    }
    for (int a = 0; a < SPATIAL; a++) {
        const int64_t period = job->is_claimed ? job->turned[a].period : job->axis[a].period, all = inputs[a];
        while (job->extent[a] > period && pixels > most_pixels) {
            int64_t fewer, extent = round_up(ceil_div(job->extent[a], 2), period);
            most_reached(job, a, extent, &fewer, &outputs);
            const int64_t least = job->is_claimed ? a == W ? 16 : 4 : 2; /* parts of what is read, of which one may be added */
            if (least * fewer * job->whole[a] > (least + 1) * all * extent) break;
            pixels = pixels / inputs[a] * fewer;
            inputs[a] = fewer;
            job->extent[a] = extent;
        }
        job->tiles[a] = ceil_div(job->whole[a], job->extent[a]);
    }
    return pixels;
}

/* Cuts channels into blocks and planes into tiles, such that a tile's input stays in cache and there are some to share. */
static void cut_tiles(pool_job *job) {
    const int64_t lanes = job->table->lanes, plane = cut_planes(job, INT64_MAX);
    const int64_t bytes = job->images * job->channels * plane * job->size;
    const int in_place = is_in_place(job, &job->x) && is_in_place(job, &job->y) && is_in_place(job, &job->dy);
    const int64_t tile_bytes = in_place ? (1 + job->is_claimed) * TILE_BYTES : job->is_claimed ? CLAIM_BYTES : SCRATCH_BYTES;
    const int64_t most = max_of(FEW_BYTES, min_of(tile_bytes, bytes / FEW_TILES)) / job->size;
    const int64_t few_vectors = job->whole[D] * job->whole[H] * job->whole[W] == 1 ? MANY_VECTORS : FEW_VECTORS;
    const int64_t fewest = job->along_rows ? 1 : in_place ? few_vectors * lanes : lanes;
    job->block = in_place && !job->along_rows && !job->is_scattered ? job->channels : min_of(fewest, job->channels);
    job->block = max_of(1, job->block);
    while (2 * job->block <= min_of(MOST_PLANES, job->channels) && 2 * job->block * plane <= most) job->block *= 2;
    while (cut_planes(job, most / job->block) * job->block > most && job->block > fewest)
        job->block = round_up(job->block / 2, lanes);
    job->blocks = ceil_div(job->channels, job->block);
}

/* Divides a worker's scratch. */
static void lay_out(pool_job *job) {
    const window *w = job->axis;
    const int is_places = is_of_places(job), takes_dy = job->is_claimed || job->is_scattered;
    int64_t input = 1, middle = 1, output = 1, result = 1, shares = 1, maxima = 1, counts = 0; /* pixels, taps */
    for (int a = 0; a < SPATIAL; a++) {
        int64_t inputs, outputs;
        most_reached(job, a, job->extent[a], &inputs, &outputs);
        input *= inputs;
        middle *= (a == W) == is_places ? outputs : inputs;
        output *= outputs;
        maxima *= a == W ? outputs : inputs;
        shares *= a == W ? outputs : job->extent[a];
        result *= job->is_scattered ? w[a].in : job->extent[a];
        counts += max_of(w[a].most, job->turned[a].most);
    }
    job->taps = job->is_separable ? max_of(w[D].most * w[H].most, w[W].most) : w[D].most * w[H].most * w[W].most;
    const int64_t pixel = job->block * job->size, first_levels = w[H].levels + (job->is_separable ? 0 : w[W].levels);
    const int64_t bytes[AREAS] = {
        [INPUT] = job->reads_in_place ? 0 : input * (1 + first_levels) * pixel,
        [SHARES] = job->is_claimed ? shares * pixel
                   : job->is_shared ? input * (1 + first_levels) * pixel : 0,
        [MIDDLE] = job->is_claimed ? maxima * pixel
                   : job->is_separable ? middle * (1 + is_places + w[W].levels) * pixel : 0,
        [PLACES] = is_places && !job->is_claimed ? output * pixel : 0,
        [COTANGENT] = takes_dy ? output * pixel : 0,
        [RESULT] = is_in_place(job, &job->y) && !job->is_scattered ? 0 : result * pixel,
        [LISTS] = (2 * job->taps + counts) * (int64_t)sizeof(int64_t)};
    for (int i = 0; i < AREAS; i++) {
        job->area[i] = job->scratch_bytes;
        job->scratch_bytes += lines(bytes[i]);
    }
}

pool_job plan_pooling(const pyconv_pool *p, int pass) {
    pool_job job = describe(p, pass);
    merge_images(&job);
    choose_steps(&job);
    if (!job.along_rows) stack_images(&job);
    cut_tiles(&job);
    lay_out(&job);
    return job;
}

