/* Pooling: forward, the places of maxima, and backward, from tables of windows.
 *
 * Planes are walked as rows of pixels of some contiguous elements: a block of channels in channels-last memory, else one.
 * A task owns what it writes: some output rows of a block forward, all of a block backward. What an element is made of
 * does not depend on how the work is cut.
 */
#include "geometry.h"
#include "threads.h"
#include "workspace.h"

enum { D, H, W };
enum {
    ROW_BYTES = 24 << 10,   /* of a row of pixels, which stays in L1 */
    FEWEST_CHANNELS = 16,   /* of a block */
    PLACES_BYTES = 16 << 10 /* places of maxima that the backward pass finds at once */
};

typedef struct {
    const int64_t *start, *count, *divisor;
    int64_t step, in, out;
} window;

typedef struct {
    char *data;
    const int64_t *strides; /* NULL: the pass does without this array */
} view;

/* Which rows each output row (depth and height) looks at, and where it stands. */
typedef struct {
    int64_t *begin, *row, *place, *y;
    double *divisor;
} row_table;

typedef struct {
    const pyconv_pool *p;
    const kernel_table *table;
    void (*forward)(const pool_args *); /* NULL: a backward pass */
    int places;                         /* of maxima are wanted */
    window axis[3];
    view x, y, dx; /* y also stands for dy and for indices */
    int64_t size;  /* bytes of an element of x */
    row_table rows;
    int64_t block, blocks;                   /* channels a task takes at once: 1 unless all arrays are channels-last */
    int64_t output_rows, shares;             /* output rows of a plane; tasks they are split into */
    int64_t even_begin, even_end, even_step; /* see pool_args */
    int64_t whole[3];                        /* tables of the one window of a merged plane */
    char *scratch;                           /* a worker: two rows of pixels, places, and where their rows begin */
    int64_t scratch_bytes, row_bytes, place_rows, place_bytes;
} pool_job;

static void read_windows(pool_job *job) {
    const int64_t *table = job->p->windows;
    for (int a = 0; a < 3; a++) {
        const int64_t out = job->p->out[a];
        job->axis[a] = (window){table, table + out, table + 2 * out, job->p->step[a], job->p->in[a], out};
        table += 3 * out;
    }
}

static int is_whole(const window *w) { return w->out == 1 && w->step == 1 && w->start[0] == 0 && w->count[0] == w->in; }

/* A window that is the whole plane becomes one along the width, if the plane's rows follow each other in memory. */
static void merge_plane(pool_job *job) {
    static const int64_t zero = 0, one = 1;
    window *w = &job->axis[W];
    for (int a = H; a >= D; a--) {
        window *outer = &job->axis[a];
        const int follows = outer->in == 1 || job->x.strides[2 + a] == w->in * job->x.strides[2 + W];
        if (!is_whole(w) || !is_whole(outer) || !follows) return;
        job->whole[2] = w->divisor[0] * outer->divisor[0];
        job->whole[1] = w->in * outer->in;
        *w = (window){job->whole, job->whole + 1, job->whole + 2, 1, job->whole[1], 1};
        *outer = (window){&zero, &one, &one, 1, 1, 1};
    }
}

/* The longest run of outputs along the width whose windows are alike and start evenly; edges come before and after it. */
static void find_even(pool_job *job) {
    const window *w = &job->axis[W];
    for (int64_t begin = 0, o = 1; o <= w->out; o++) {
        const int64_t step = begin + 1 < w->out ? w->start[begin + 1] - w->start[begin] : 1;
        if (o < w->out && w->start[o] - w->start[o - 1] == step && w->count[o] == w->count[begin] &&
            w->divisor[o] == w->divisor[begin])
            continue;
        if (o - begin > job->even_end - job->even_begin) {
            job->even_begin = begin;
            job->even_end = o;
            job->even_step = step;
        }
        begin = o;
    }
}

static int channels_last(const view *of) { return !of->strides || of->strides[1] == 1; }

/* The most channels a block has. */
static int64_t block_limit(const pyconv_pool *p) {
    const int64_t fit = ROW_BYTES / max_of(1, p->in[W] * p->real_bits / 8);
    return max_of(1, min_of(p->c, max_of(FEWEST_CHANNELS, fit / FEWEST_CHANNELS * FEWEST_CHANNELS)));
}

static int64_t sum_of(const int64_t *terms, int64_t n) {
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++) sum += terms[i];
    return sum;
}

/* Hands out the tables and the workers' scratch. */
static void lay_out(pool_job *job, int64_t block, int threads, workspace *memory) {
    const window *d = &job->axis[D], *h = &job->axis[H], *w = &job->axis[W];
    const int64_t word = sizeof(int64_t), rows = sum_of(d->count, d->out) * sum_of(h->count, h->out);
    job->output_rows = d->out * h->out;
    job->rows.begin = (int64_t *)take(memory, (job->output_rows + 1) * word);
    job->rows.y = (int64_t *)take(memory, job->output_rows * word);
    job->rows.divisor = (double *)take(memory, job->output_rows * word);
    job->rows.row = (int64_t *)take(memory, rows * word);
    job->rows.place = (int64_t *)take(memory, rows * word);
    job->row_bytes = lines(job->p->in[W] * block * job->size); /* a merged plane is read in place */
    job->place_rows = max_of(1, min_of(job->output_rows, PLACES_BYTES / max_of(1, w->out * block * word)));
    job->place_bytes = lines(max_of(PLACES_BYTES, w->out * block * word));
    job->scratch_bytes = 2 * (job->row_bytes + job->place_bytes);
    job->scratch = take(memory, threads * job->scratch_bytes);
}

size_t pyconv_pool_workspace(const pyconv_pool *p, int threads) {
    pool_job job = {.p = p, .size = p->real_bits / 8};
    workspace memory = {0};
    read_windows(&job);
    lay_out(&job, block_limit(p), pyconv_effective_threads(threads), &memory);
    return (size_t)memory.used;
}

/* Fills the row table. Rows are those of x or, where x is not read, of dx; places those of indices or of dx. */
static void list_rows(pool_job *job) {
    const window *d = &job->axis[D], *h = &job->axis[H], *w = &job->axis[W];
    const int64_t *rows = job->x.strides ? job->x.strides : job->dx.strides, plane[5] = {0, 0, h->in * w->in, w->in, 1};
    const int64_t *places = job->dx.strides ? job->dx.strides : plane;
    int64_t n = 0;
    for (int64_t od = 0; od < d->out; od++)
        for (int64_t oh = 0; oh < h->out; oh++) {
            const int64_t i = od * h->out + oh;
            job->rows.begin[i] = n;
            job->rows.y[i] = od * job->y.strides[2 + D] + oh * job->y.strides[2 + H];
            job->rows.divisor[i] = (double)(d->divisor[od] * h->divisor[oh]);
            for (int64_t a = 0; a < d->count[od]; a++)
                for (int64_t b = 0; b < h->count[oh]; b++, n++) {
                    const int64_t depth = d->start[od] + a * d->step, height = h->start[oh] + b * h->step;
                    job->rows.row[n] = depth * rows[2 + D] + height * rows[2 + H];
                    job->rows.place[n] = depth * places[2 + D] + height * places[2 + H];
                }
        }
    job->rows.begin[job->output_rows] = n;
}

/* Image, first channel and number of channels that a task works on, and its worker's scratch. */
typedef struct {
    int64_t n, c, channels;
    char *scratch;
} channel_block;

static channel_block block_at(const pool_job *job, int64_t i, int worker) {
    const int64_t c = i % job->blocks * job->block;
    return (channel_block){i / job->blocks, c, min_of(job->block, job->p->c - c), job->scratch + worker * job->scratch_bytes};
}

static char *block_of(const view *of, int64_t size, const channel_block *block) {
    return of->data + (block->n * of->strides[0] + block->c * of->strides[1]) * size;
}

/* Arguments for output rows [from, to) of a block; x and y are still to be set. */
static pool_args rows_args(const pool_job *job, const channel_block *block, int64_t from, int64_t to) {
    const window *w = &job->axis[W];
    return (pool_args){.row = job->rows.row,
                       .row_begin = job->rows.begin + from,
                       .row_place = job->rows.place,
                       .y_row = job->rows.y + from,
                       .row_divisor = job->rows.divisor + from,
                       .rows = to - from,
                       .width = w->in,
                       .inner = block->channels,
                       .x_step = (job->x.strides ? job->x.strides : job->dx.strides)[2 + W],
                       .y_step = job->y.strides[2 + W],
                       .start = w->start,
                       .count = w->count,
                       .divisor = w->divisor,
                       .step = w->step,
                       .outputs = w->out,
                       .even_begin = job->even_begin,
                       .even_end = job->even_end,
                       .even_step = job->even_step,
                       .pixels = block->scratch,
                       .numbers = block->scratch + job->row_bytes,
                       .place_step = job->dx.strides ? job->dx.strides[2 + W] : 1};
}

static void forward_task(void *context, int64_t i, int worker) {
    const pool_job *job = context;
    const channel_block block = block_at(job, i / job->shares, worker);
    const int64_t share = i % job->shares, n = job->output_rows;
    pool_args args = rows_args(job, &block, n * share / job->shares, n * (share + 1) / job->shares);
    args.x = block_of(&job->x, job->size, &block);
    args.y = block_of(&job->y, job->places ? (int64_t)sizeof(int64_t) : job->size, &block);
    job->forward(&args);
}

/* Sets rows [from, to) of a block of dx to 0; rows are counted through all depths. */
static void clear(const pool_job *job, const channel_block *block, int64_t from, int64_t to) {
    const int64_t *step = job->dx.strides + 2, height = job->axis[H].in, width = job->axis[W].in;
    const size_t pixel = (size_t)(block->channels * job->size);
    char *dx = block_of(&job->dx, job->size, block);
    for (int64_t i = from; i < to; i++) {
        char *row = dx + (i / height * step[D] + i % height * step[H]) * job->size;
        if (step[W] == block->channels) memset(row, 0, (size_t)width * pixel);
        else
            for (int64_t p = 0; p < width; p++) memset(row + p * step[W] * job->size, 0, pixel);
    }
}

/* One row past the last that output rows below `to` look at; in more than one depth all rows. */
static int64_t reach(const pool_job *job, int64_t to) {
    const window *d = &job->axis[D], *h = &job->axis[H];
    if (d->in > 1 || to == job->output_rows) return d->in * h->in;
    const int64_t oh = (to - 1) % h->out;
    return h->count[oh] ? h->start[oh] + (h->count[oh] - 1) * h->step + 1 : 0;
}

static void backward_task(void *context, int64_t i, int worker) {
    const pool_job *job = context;
    const channel_block block = block_at(job, i, worker);
    int64_t *places = (int64_t *)(block.scratch + 2 * job->row_bytes);
    int64_t *place_row = (int64_t *)(block.scratch + 2 * job->row_bytes + job->place_bytes), cleared = 0;
    char *dx = block_of(&job->dx, job->size, &block);
    const int64_t place_row_step = job->axis[W].out * block.channels;
    for (int64_t r = 0; r < job->place_rows; r++) place_row[r] = r * place_row_step;
    if (!job->output_rows) clear(job, &block, 0, job->axis[D].in * job->axis[H].in);
    for (int64_t from = 0; from < job->output_rows; from += job->place_rows) {
        const int64_t to = min_of(job->output_rows, from + job->place_rows), end = reach(job, to);
        clear(job, &block, cleared, end); /* just before they are first added to */
        cleared = max_of(cleared, end);
        pool_args args = rows_args(job, &block, from, to);
        args.y = block_of(&job->y, job->size, &block);
        if (!job->places) {
            job->table->pool_spread(dx, &args);
            continue;
        }
        pool_args search = args;
        search.x = block_of(&job->x, job->size, &block);
        search.y = places;
        search.y_row = place_row;
        search.y_step = block.channels;
        job->table->pool_argmax(&search);
        job->table->pool_scatter(dx, places, &args);
    }
}

static void run(pool_job *job, void *memory, int threads) {
    const pyconv_pool *p = job->p;
    const int last = p->c > 1 && channels_last(&job->x) && channels_last(&job->y) && channels_last(&job->dx);
    workspace space = {memory, 0};
    read_windows(job);
    if (!last && !job->places && job->forward) merge_plane(job);
    find_even(job);
    const int64_t bytes = p->n * p->c * p->in[D] * p->in[H] * p->in[W] * job->size;
    threads = pyconv_threads_for(bytes, threads);
    const int64_t pieces = job->forward ? p->n * p->out[D] * p->out[H] : p->n, wanted = threads > 1 ? 4 * threads : 1;
    job->block = last ? block_limit(p) : 1;
    while (job->block > FEWEST_CHANNELS && pieces * ceil_div(p->c, job->block) < wanted)
        job->block = round_up(job->block / 2, FEWEST_CHANNELS);
    job->blocks = ceil_div(p->c, job->block);
    lay_out(job, job->block, threads, &space);
    list_rows(job);
    job->shares = max_of(1, min_of(job->output_rows, ceil_div(wanted, max_of(1, p->n * job->blocks))));
    pyconv_parallel_for(p->n * job->blocks * (job->forward ? job->shares : 1), threads,
                        job->forward ? forward_task : backward_task, job);
}

static pool_job new_job(const pyconv_pool *p) {
    return (pool_job){.p = p, .table = pyconv_table((int)p->real_bits), .size = p->real_bits / 8};
}

void pyconv_max_pool(const pyconv_pool *p, const void *x, void *y, void *memory, int threads) {
    pool_job job = new_job(p);
    job.forward = job.table->pool_max;
    job.x = (view){(char *)x, p->x_strides};
    job.y = (view){y, p->y_strides};
    run(&job, memory, threads);
}

void pyconv_avg_pool(const pyconv_pool *p, const void *x, void *y, void *memory, int threads) {
    pool_job job = new_job(p);
    job.forward = job.table->pool_sum;
    job.x = (view){(char *)x, p->x_strides};
    job.y = (view){y, p->y_strides};
    run(&job, memory, threads);
}

void pyconv_max_pool_indices(const pyconv_pool *p, const void *x, int64_t *indices, void *memory, int threads) {
    pool_job job = new_job(p);
    job.places = 1;
    job.forward = job.table->pool_argmax;
    job.x = (view){(char *)x, p->x_strides};
    job.y = (view){(char *)indices, p->y_strides};
    run(&job, memory, threads);
}

void pyconv_max_pool_backward(const pyconv_pool *p, const void *dy, const void *x, void *dx, void *memory, int threads) {
    pool_job job = new_job(p);
    job.places = 1;
    job.x = (view){(char *)x, p->x_strides};
    job.y = (view){(char *)dy, p->y_strides};
    job.dx = (view){dx, p->dx_strides};
    run(&job, memory, threads);
}

void pyconv_avg_pool_backward(const pyconv_pool *p, const void *dy, void *dx, void *memory, int threads) {
    pool_job job = new_job(p);
    job.y = (view){(char *)dy, p->y_strides};
    job.dx = (view){dx, p->dx_strides};
    run(&job, memory, threads);
}
