/* Statistics of each channel, and the affine functions of normalization that use them.
 *
 * A channel's elements are cut into pieces and the pieces into slabs, both of sizes that do not depend on the number of
 * threads. A task takes one slab of some channels and merges its pieces in double precision; the slabs are merged in
 * order at the end. So each result has one order of summation.
 */
#include "geometry.h"
#include "reals.h"
#include "threads.h"

#include <math.h>

enum {
    PIECE_ROW = 2048,   /* elements of one channel that a row kernel sums at once */
    PIECE_COLUMNS = 64, /* rows that a column kernel sums at once */
    CHANNELS = 128,     /* at most a task, */
    CHANNELS_UNIT = 16, /* and of columns a multiple of these */
    SLAB = 1 << 15,     /* elements a task, about */
    SLABS = 64,         /* at most */
    STRIP = 2048        /* elements that an activation's kernel takes from the one before it in L1, at least a piece's row */
};

typedef struct {
    const pyconv_channels *p;
    const kernel_table *table;
    int statistic;
    int64_t size, length, pieces_a_run, pieces; /* pieces of at most `length` elements (or rows) that a channel is cut into */
    int64_t slabs, pieces_a_slab, block, blocks; /* block: channels a task */
    int64_t outer, values;                       /* product of the outer axes; times c */
    const char *x, *dy, *mean, *scale, *bias; /* the last two of products whose dy goes through an activation */
    double *first, *second; /* [slab][outer][channel] */
} statistic_job;

static void cut_pieces(statistic_job *job) {
    const pyconv_channels *p = job->p;
    job->size = p->real_bits / 8;
    job->length = p->columns ? PIECE_COLUMNS : PIECE_ROW;
    job->pieces_a_run = ceil_div(p->m, job->length);
    job->pieces = p->n * job->pieces_a_run;
    const int64_t equal = round_up(ceil_div(p->c, ceil_div(p->c, CHANNELS)), CHANNELS_UNIT);
    job->block = p->columns ? equal : max_of(1, min_of(CHANNELS, SLAB / max_of(1, p->n * p->m)));
    job->blocks = ceil_div(p->c, job->block);
    job->outer = p->outer[0] * p->outer[1] * p->outer[2];
    job->values = job->outer * p->c;
    job->slabs = max_of(1, min_of(min_of(SLABS, job->pieces), p->n * p->m * min_of(p->c, job->block) / SLAB));
    job->pieces_a_slab = ceil_div(job->pieces, job->slabs);
}

/* Of normalization, a real a channel each: y = x̂ · w + b is (x - mean) · SCALE + BIAS, and dx has a SHIFT and a SLOPE too. */
enum { SCALE, BIAS, SHIFT, SLOPE, COEFFICIENTS };

/* Coefficients come first, then sums. */
size_t pyconv_channels_workspace(const pyconv_channels *p) {
    statistic_job job = {.p = p};
    cut_pieces(&job);
    return (size_t)(2 * job.slabs * job.values + COEFFICIENTS * p->c) * sizeof(double);
}

static char *coefficients(const pyconv_channels *p, void *workspace, int kind) {
    return (char *)workspace + kind * p->c * (p->real_bits / 8);
}

static double *sums_in(const pyconv_channels *p, void *workspace) { return (double *)workspace + COEFFICIENTS * p->c; }

static double inverse_deviation(const pyconv_channels *p, const void *moments, int64_t c) {
    return 1 / sqrt(get(moments, p->c + c, p->real_bits / 8) + p->eps);
}

/* Writes SCALE, and BIAS where there is no b; returns where the bias stands. */
static const char *set_affine(const pyconv_channels *p, const void *moments, const void *w, const void *b, void *workspace) {
    const int64_t size = p->real_bits / 8;
    char *scale = coefficients(p, workspace, SCALE), *bias = coefficients(p, workspace, BIAS);
    for (int64_t c = 0; c < p->c; c++) {
        set(scale, c, size, inverse_deviation(p, moments, c) * (w ? get(w, c, size) : 1));
        set(bias, c, size, 0);
    }
    return b ? b : bias;
}

/* Whether an activation's derivative is 1 between low and high and 0 elsewhere, which kernels take on the fly. */
static int is_gate(const pyconv_channels *p) { return p->activation == PYCONV_RELU || p->activation == PYCONV_HARDTANH; }
static double low_of(const pyconv_channels *p) { return p->activation == PYCONV_RELU ? 0 : p->parameters[0]; }
static double high_of(const pyconv_channels *p) { return p->activation == PYCONV_RELU ? INFINITY : p->parameters[1]; }

/* g = dy · f'(z) for the rows and columns of `args`, dense, where z = (x - mean) · scale + bias is what f was applied to. */
static void through_activation(const pyconv_channels *p, const kernel_table *table, const normalize_args *args, char *g) {
    char z[STRIP * sizeof(double)] __attribute__((aligned(64)));
    const int64_t size = p->real_bits / 8, columns = args->columns, strip = STRIP / columns;
    for (int64_t row = 0; row < args->rows; row += strip) {
        normalize_args part = *args;
        part.rows = min_of(strip, args->rows - row);
        part.x = (const char *)args->x + row * args->x_step * size;
        part.y = z;
        part.y_step = columns;
        table->normalize(&part);
        const char *dy = (const char *)args->dy + row * args->dy_step * size;
        const int64_t rows = args->dy_step == columns ? 1 : part.rows, n = part.rows / rows * columns; /* of one call */
        for (int64_t i = 0; i < rows; i++)
            table->unary_backward((int)p->activation, g + (row * columns + i * n) * size, dy + i * args->dy_step * size,
                                  z + i * n * size, z + i * n * size, n, p->parameters);
    }
}

/* How many elements of a channel pieces [from, to) hold. */
static int64_t elements_of(const statistic_job *job, int64_t from, int64_t to) {
    const int64_t runs = max_of(1, job->pieces_a_run);
    return (to / runs - from / runs) * job->p->m + (to % runs - from % runs) * job->length;
}

/* Merges a part's statistic into one over `seen` elements (Chan, Golub and LeVeque, 1979, for the moments). */
static void merge(int statistic, double *first, double *second, int64_t seen, const double *part_first,
                  const double *part_second, int64_t count, int64_t channels) {
    const double share = (double)count / (double)(seen + count), weight = share * (double)seen;
    for (int64_t c = 0; c < channels; c++) {
        if (statistic == MOMENTS) {
            const double step = part_first[c] - first[c];
            first[c] = seen ? first[c] + step * share : part_first[c];
            second[c] += seen ? part_second[c] + step * step * weight : part_second[c];
        } else {
            first[c] += part_first[c];
            if (statistic != SUMS) second[c] += part_second[c];
        }
    }
}

/* The statistic of pieces [begin, end) of `channels` channels from c on (one, unless the kernel goes down columns). */
static void add_pieces(const statistic_job *job, int64_t begin, int64_t end, int64_t c, int64_t channels, double *first,
                       double *second) {
    const pyconv_channels *p = job->p;
    const int64_t *x_step = p->x_strides, *dy_step = p->dy_strides;
    for (int64_t k = 0; k < channels; k++) first[k] = second[k] = 0;
    for (int64_t piece = begin, seen = 0; piece < end; piece++) {
        const int64_t n = piece / job->pieces_a_run, m = piece % job->pieces_a_run * job->length;
        const int64_t count = min_of(job->length, p->m - m);
        double part_first[CHANNELS], part_second[CHANNELS];
        char gradient[PIECE_COLUMNS * CHANNELS * sizeof(double)] __attribute__((aligned(64))); /* or a row of PIECE_ROW */
        reduce_args args = {.x = job->x + (n * x_step[0] + c * x_step[1] + m * x_step[2]) * job->size,
                            .rows = p->columns ? count : 1,
                            .columns = p->columns ? channels : count,
                            .x_step = x_step[2],
                            .dy_step = dy_step[2],
                            .first = part_first,
                            .second = part_second};
        if (job->statistic >= PRODUCTS) {
            args.dy = job->dy + (n * dy_step[0] + c * dy_step[1] + m * dy_step[2]) * job->size;
            args.mean = job->mean + c * job->size;
            args.scale = job->scale + c * job->size;
            args.bias = job->bias + c * job->size;
            args.low = low_of(p);
            args.high = high_of(p);
        }
        if (job->statistic == PRODUCTS && p->activation >= 0) {
            const normalize_args normalized = {.x = args.x,
                                               .dy = args.dy,
                                               .mean = args.mean,
                                               .scale = args.scale,
                                               .bias = args.bias,
                                               .rows = args.rows,
                                               .columns = args.columns,
                                               .x_step = args.x_step,
                                               .dy_step = args.dy_step,
                                               .repeats = !p->columns};
            through_activation(p, job->table, &normalized, gradient);
            args.dy = gradient;
            args.dy_step = args.columns;
        }
        if (p->columns) job->table->reduce_columns(job->statistic, &args);
        else job->table->reduce_row(job->statistic, &args);
        merge(job->statistic, first, second, seen, part_first, part_second, count, channels);
        seen += count;
    }
}

/* Offset of the i-th of the outer axes' positions. */
static int64_t outer_offset(const pyconv_channels *p, int64_t i, const int64_t *strides) {
    const int64_t last = i % p->outer[2], middle = i / p->outer[2] % p->outer[1], first = i / p->outer[2] / p->outer[1];
    return first * strides[0] + middle * strides[1] + last * strides[2];
}

static void slab_task(void *context, int64_t i, int worker) {
    (void)worker;
    const statistic_job *job = context;
    const pyconv_channels *p = job->p;
    const int64_t slab = i % job->slabs, block = i / job->slabs % job->blocks * job->block, outer = i / job->slabs / job->blocks;
    const int64_t begin = min_of(job->pieces, slab * job->pieces_a_slab), end = min_of(job->pieces, begin + job->pieces_a_slab);
    const int64_t step = p->columns ? job->block : 1, last = min_of(p->c, block + job->block);
    const int64_t value = slab * job->values + outer * p->c;
    statistic_job own = *job;
    own.x += outer_offset(p, outer, p->x_outer) * job->size;
    for (int64_t c = block; c < last; c += step)
        add_pieces(&own, begin, end, c, min_of(step, last - c), job->first + value + c, job->second + value + c);
}

/* The first `values` of job->first and job->second become the statistic. */
static void run_statistic(statistic_job *job, void *workspace, int threads) {
    const pyconv_channels *p = job->p;
    cut_pieces(job);
    job->table = pyconv_table((int)p->real_bits);
    job->first = sums_in(p, workspace);
    job->second = job->first + job->slabs * job->values;
    threads = pyconv_threads_for(p->n * job->values * p->m * job->size * (job->dy ? 2 : 1), threads);
    pyconv_parallel_for(job->slabs * job->blocks * job->outer, threads, slab_task, job);
    int64_t seen = elements_of(job, 0, min_of(job->pieces, job->pieces_a_slab));
    for (int64_t slab = 1; slab < job->slabs; slab++) {
        const int64_t begin = min_of(job->pieces, slab * job->pieces_a_slab), end = min_of(job->pieces, begin + job->pieces_a_slab);
        const int64_t count = elements_of(job, begin, end), at = slab * job->values;
        if (count) merge(job->statistic, job->first, job->second, seen, job->first + at, job->second + at, count, job->values);
        seen += count;
    }
}

void pyconv_sum(const pyconv_channels *p, const void *x, void *out, void *workspace, int threads) {
    statistic_job job = {.p = p, .statistic = SUMS, .x = x};
    run_statistic(&job, workspace, threads);
    for (int64_t outer = 0; outer < job.outer; outer++) {
        const int64_t at = outer_offset(p, outer, p->out_strides);
        for (int64_t c = 0; c < p->c; c++) set(out, at + c * p->out_strides[3], job.size, job.first[outer * p->c + c]);
    }
}

void pyconv_moments(const pyconv_channels *p, const void *x, void *moments, void *workspace, int threads) {
    statistic_job job = {.p = p, .statistic = MOMENTS, .x = x};
    run_statistic(&job, workspace, threads);
    for (int64_t c = 0; c < p->c; c++) {
        set(moments, c, job.size, job.first[c]);
        set(moments, p->c + c, job.size, job.second[c] < 0 ? 0 : job.second[c] / (double)(p->n * p->m));
    }
}

void pyconv_normalize_sums(const pyconv_channels *p, const void *dy, const void *x, const void *moments, const void *w,
                           const void *b, void *sums, void *workspace, int threads) {
    statistic_job job = {.p = p, .statistic = PRODUCTS, .x = x, .dy = dy, .mean = moments};
    job.bias = set_affine(p, moments, w, b, workspace);
    job.scale = coefficients(p, workspace, SCALE);
    if (is_gate(p)) job.statistic = GATED_PRODUCTS;
    run_statistic(&job, workspace, threads);
    for (int64_t c = 0; c < p->c; c++) {
        set(sums, c, job.size, job.first[c]);
        set(sums, p->c + c, job.size, job.second[c] * inverse_deviation(p, moments, c));
    }
}

typedef struct {
    const pyconv_channels *p;
    const kernel_table *table;
    int backward;
    int64_t size, length, runs; /* runs of `length` elements that a channel of an image is cut into, or rows of all channels */
    int64_t units, units_a_task;
    const char *x, *dy, *mean, *scale, *bias, *shift, *slope, *residual;
    char *y;
} normalize_job;

/* Rows and columns that fit into a strip. */
static void normalize_strip(const normalize_job *job, normalize_args *args, const char *residual) {
    const pyconv_channels *p = job->p;
    if (!job->backward) {
        const finish_args finish = {.y = args->y,
                                    .residual = residual,
                                    .rows = args->rows,
                                    .columns = args->columns,
                                    .step = args->y_step,
                                    .activation = (int)p->activation,
                                    .parameters = p->parameters};
        job->table->normalize(args);
        if (residual || p->activation >= 0) job->table->finish(&finish);
        return;
    }
    char gradient[STRIP * sizeof(double)] __attribute__((aligned(64)));
    args->gated = is_gate(p);
    args->low = low_of(p);
    args->high = high_of(p);
    if (p->activation >= 0 && !args->gated) {
        through_activation(p, job->table, args, gradient);
        args->dy = gradient;
        args->dy_step = args->columns;
    }
    job->table->normalize_backward(args);
}

static void normalize_unit(const normalize_job *job, int64_t unit) {
    const pyconv_channels *p = job->p;
    const int64_t size = job->size, m = unit % job->runs * job->length, count = min_of(job->length, p->m - m);
    const int64_t plane = unit / job->runs, channel = p->columns ? 0 : plane % p->c, n = p->columns ? 0 : plane / p->c;
    const int64_t *x_step = p->x_strides, *dy_step = p->dy_strides, *y_step = p->y_strides;
    const int64_t all_rows = p->columns ? count : 1, all_columns = p->columns ? p->c : count;
    const int64_t columns = min_of(all_columns, STRIP), rows = STRIP / columns;
    const int64_t x_at = n * x_step[0] + channel * x_step[1] + m * x_step[2];
    const int64_t dy_at = n * dy_step[0] + channel * dy_step[1] + m * dy_step[2];
    const int64_t y_at = n * y_step[0] + channel * y_step[1] + m * y_step[2];
    for (int64_t row = 0; row < all_rows; row += rows)
        for (int64_t column = 0; column < all_columns; column += columns) {
            const int64_t c = p->columns ? column : channel, y = y_at + row * y_step[2] + column;
            normalize_args args = {.y = job->y + y * size,
                                   .x = job->x + (x_at + row * x_step[2] + column) * size,
                                   .mean = job->mean + c * size,
                                   .scale = job->scale + c * size,
                                   .bias = job->bias + c * size,
                                   .rows = min_of(rows, all_rows - row),
                                   .columns = min_of(columns, all_columns - column),
                                   .y_step = y_step[2],
                                   .x_step = x_step[2],
                                   .dy_step = dy_step[2],
                                   .repeats = !p->columns};
            if (job->backward) {
                args.dy = job->dy + (dy_at + row * dy_step[2] + column) * size;
                args.shift = job->shift + c * size;
                args.slope = job->slope + c * size;
            }
            normalize_strip(job, &args, job->residual ? job->residual + y * size : 0);
        }
}

static void normalize_task(void *context, int64_t i, int worker) {
    (void)worker;
    const normalize_job *job = context;
    const int64_t end = min_of(job->units, (i + 1) * job->units_a_task);
    for (int64_t unit = i * job->units_a_task; unit < end; unit++) normalize_unit(job, unit);
}

static void run_normalize(normalize_job *job, int threads) {
    const pyconv_channels *p = job->p;
    if (p->n * p->c * p->m == 0) return;
    job->table = pyconv_table((int)p->real_bits);
    job->size = p->real_bits / 8;
    job->length = min_of(p->m, p->columns ? max_of(1, SLAB / p->c) : SLAB);
    job->runs = ceil_div(p->m, job->length);
    job->units = job->runs * (p->columns ? 1 : p->n * p->c);
    job->units_a_task = p->columns ? 1 : SLAB / job->length;
    threads = pyconv_threads_for(p->n * p->c * p->m * job->size * (job->backward || job->residual ? 3 : 2), threads);
    pyconv_parallel_for(ceil_div(job->units, job->units_a_task), threads, normalize_task, job);
}

void pyconv_normalize(const pyconv_channels *p, const void *x, const void *moments, const void *w, const void *b,
                      const void *residual, void *y, void *workspace, int threads) {
    normalize_job job = {.p = p, .x = x, .mean = moments, .residual = residual, .y = y};
    job.bias = set_affine(p, moments, w, b, workspace);
    job.scale = coefficients(p, workspace, SCALE);
    run_normalize(&job, threads);
}

void pyconv_batch_norm_backward(const pyconv_channels *p, const void *dy, const void *x, const void *moments, const void *sums,
                                const void *w, const void *b, void *dx, void *workspace, int threads) {
    const int64_t size = p->real_bits / 8;
    const double count = (double)(p->n * p->m);
    char *shift = coefficients(p, workspace, SHIFT), *slope = coefficients(p, workspace, SLOPE);
    normalize_job job = {.p = p, .backward = 1, .x = x, .dy = dy, .mean = moments, .slope = slope, .shift = shift, .y = dx};
    job.bias = set_affine(p, moments, w, b, workspace);
    job.scale = coefficients(p, workspace, SCALE);
    for (int64_t c = 0; c < p->c; c++) {
        set(shift, c, size, -get(sums, c, size) / count);
        set(slope, c, size, -get(sums, p->c + c, size) * inverse_deviation(p, moments, c) / count);
    }
    run_normalize(&job, threads);
}
