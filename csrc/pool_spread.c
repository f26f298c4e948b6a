/* The gradient of pooling where windows do not overlap: one pass that reads dy, for a maximum x as well, and writes dx.
 *
 * A band is what a row of outputs owns of dx: the rows of its windows, and those before them that no window looks at. Bands
 * are apart, so that nothing is added and results do not depend on the number of threads. Vectors run along channels where
 * these are contiguous, and along rows in C order where windows are two pixels wide and rows are long.
 */
#include "pool_spread.h"
#include "geometry.h"
#include "threads.h"

enum { D, H, W, SPATIAL };
enum { TASK = 8192, FEW_ROWS = 8 }; /* elements of dx, about; where there are fewer rows, channels are divided */

typedef struct {
    const int64_t *start, *count, *divisor;
    int64_t in, out;
} windows;

typedef struct {
    const pyconv_pool *p;
    const kernel_table *table;
    void (*kernel)(const spread_args *);
    windows axis[SPATIAL];
    int along_rows, is_covered; /* every element of dx lies in a window */
    int64_t size, rows, rows_a_task, blocks, block; /* of channels */
    const char *x, *dy;
    char *dx;
} spread_job;

static int64_t end_of(const windows *w, int64_t o) { return w->start[o] + w->count[o]; }

/* Where output o's band begins; o may be `out`. */
static int64_t band(const windows *w, int64_t o) { return o == 0 ? 0 : o == w->out ? w->in : end_of(w, o - 1); }

static void read_windows(const pyconv_pool *p, windows axis[SPATIAL]) {
    const int64_t *table = p->windows;
    for (int a = 0; a < SPATIAL; a++) {
        axis[a] = (windows){.start = table,
                            .count = table + p->out[a],
                            .divisor = table + 2 * p->out[a],
                            .in = p->in[a],
                            .out = p->out[a]};
        table += 3 * p->out[a] + 2 * p->in[a];
    }
}

static int runs_along_channels(const pyconv_pool *p) { return p->c > 1 && p->dx_strides[1] == 1 && p->y_strides[1] == 1; }

int pool_can_spread(const pyconv_pool *p, int pass) {
    windows axis[SPATIAL];
    int64_t taps = 1;
    read_windows(p, axis);
    for (int a = 0; a < SPATIAL; a++) {
        const windows *w = &axis[a];
        int64_t most = 0;
        if (p->step[a] != 1 || w->out == 0) return 0;
        for (int64_t o = 0; o < w->out; o++) {
            if (w->count[o] == 0 || (o > 0 && w->start[o] < end_of(w, o - 1))) return 0;
            most = max_of(most, w->count[o]);
        }
        taps *= most;
    }
    const int is_max = pass == PYCONV_MAX_POOL_BACKWARD;
    if (taps > MOST_SPREAD_TAPS || (is_max && memcmp(p->x_strides, p->dx_strides, sizeof p->dx_strides))) return 0;
    const int64_t *x = p->dx_strides, *dy = p->y_strides;
    if (runs_along_channels(p)) return 1;
    if (x[2 + W] != 1 || dy[2 + W] != 1 || p->out[W] < pyconv_table((int)p->real_bits)->lanes) return 0;
    for (int64_t o = 0; o < axis[W].out; o++)
        if (axis[W].count[o] != 2 || axis[W].start[o] != axis[W].start[0] + 2 * o) return 0;
    return 1;
}

/* Outputs from `first` up to `end` that have windows of one size at one distance. */
static int64_t run_length(const windows *w, int64_t first, int64_t end, int64_t *distance) {
    int64_t o = first + 1;
    *distance = o < end ? w->start[o] - w->start[first] : 0;
    while (o < end && w->count[o] == w->count[first] && w->divisor[o] == w->divisor[first] &&
           w->start[o] - w->start[o - 1] == *distance)
        o++;
    return o - first;
}

/* Clears the bands of rows [begin, end) of outputs. */
static void clear_bands(const spread_job *job, char *dx, int64_t channels, int64_t depth, int64_t begin, int64_t end) {
    const pyconv_pool *p = job->p;
    const int64_t *step = p->dx_strides + 2;
    for (int64_t d = band(&job->axis[D], depth); d < band(&job->axis[D], depth + 1); d++)
        for (int64_t h = band(&job->axis[H], begin); h < band(&job->axis[H], end); h++)
            for (int64_t w = 0; w < p->in[W]; w++)
                memset(dx + (d * step[D] + h * step[H] + w * step[W]) * job->size, 0, (size_t)(channels * job->size));
}

/* Rows [begin, end) of outputs at a depth, of some channels that begin at these elements of x and dy. */
static void spread_rows(const spread_job *job, int64_t x_plane, int64_t dy_plane, int64_t channels, int64_t depth, int64_t begin, int64_t end) {
    const pyconv_pool *p = job->p;
    const windows *axis = job->axis;
    const int64_t *x_step = p->dx_strides + 2, *dy_step = p->y_strides + 2, size = job->size;
    int64_t distance, row_distance, pixels, rows;
    if (!job->is_covered) clear_bands(job, job->dx + x_plane * size, channels, depth, begin, end);
    for (int64_t row = begin; row < end; row += rows) {
        rows = run_length(&axis[H], row, end, &row_distance);
        for (int64_t o = 0; o < p->out[W]; o += pixels) {
            int64_t offset[MOST_SPREAD_TAPS], taps = 0;
            pixels = run_length(&axis[W], o, p->out[W], &distance);
            for (int64_t d = 0; d < axis[D].count[depth]; d++)
                for (int64_t h = 0; h < axis[H].count[row]; h++)
                    for (int64_t w = 0; w < axis[W].count[o]; w++)
                        offset[taps++] = d * x_step[D] + h * x_step[H] + w * x_step[W];
            const int64_t x_at = x_plane + axis[D].start[depth] * x_step[D] + axis[H].start[row] * x_step[H] +
                                 axis[W].start[o] * x_step[W];
            const int64_t dy_at = dy_plane + depth * dy_step[D] + row * dy_step[H] + o * dy_step[W];
            const spread_args args = {.x = (job->x ? job->x : job->dx) + x_at * size,
                                      .dy = job->dy + dy_at * size,
                                      .dx = job->dx + x_at * size,
                                      .offset = offset,
                                      .taps = taps,
                                      .rows = rows,
                                      .pixels = pixels,
                                      .lanes = channels,
                                      .x_row = row_distance * x_step[H],
                                      .dy_row = dy_step[H],
                                      .x_step = distance * x_step[W],
                                      .dy_step = dy_step[W],
                                      .divisor = (double)(axis[D].divisor[depth] * axis[H].divisor[row] * axis[W].divisor[o]),
                                      .spills = 2 * channels >= job->table->lanes && x_step[W] == channels && dy_step[W] == channels &&
                                                distance == axis[W].count[o]};
            job->kernel(&args);
        }
    }
}

static void spread_task(void *context, int64_t i, int worker) {
    (void)worker;
    const spread_job *job = context;
    const pyconv_pool *p = job->p;
    const int64_t first = i % job->blocks * job->block, channels = min_of(job->block, p->c - first);
    const int64_t rows_begin = i / job->blocks * job->rows_a_task, end = min_of(job->rows, rows_begin + job->rows_a_task);
    for (int64_t row = rows_begin, next; row < end; row = next) {
        const int64_t unit = row / p->out[H], begin = row % p->out[H], plane = unit / p->out[D];
        const int64_t c = job->along_rows ? plane % p->c : first, n = job->along_rows ? plane / p->c : plane;
        next = min_of(end, (unit + 1) * p->out[H]);
        spread_rows(job, n * p->dx_strides[0] + c * p->dx_strides[1], n * p->y_strides[0] + c * p->y_strides[1],
                    job->along_rows ? 1 : channels, unit % p->out[D], begin, begin + next - row);
    }
}

void pool_spread(const pyconv_pool *p, const void *dy, const void *x, void *dx, int threads) {
    spread_job job = {.p = p, .table = pyconv_table((int)p->real_bits), .size = p->real_bits / 8, .x = x, .dy = dy, .dx = dx};
    int64_t inputs = 1, outputs = 1;
    read_windows(p, job.axis);
    job.along_rows = !runs_along_channels(p);
    if (x) job.kernel = job.along_rows ? job.table->pool_spread_pairs : job.table->pool_spread;
    else job.kernel = job.along_rows ? job.table->pool_share_pairs : job.table->pool_share;
    job.is_covered = 1;
    for (int a = 0; a < SPATIAL; a++) {
        int64_t covered = 0;
        for (int64_t o = 0; o < p->out[a]; o++) covered += job.axis[a].count[o];
        job.is_covered &= covered == p->in[a];
        inputs *= p->in[a];
        outputs *= p->out[a];
    }
    job.rows = p->n * p->out[D] * p->out[H] * (job.along_rows ? p->c : 1);
    const int64_t elements = p->n * p->c * inputs;
    job.rows_a_task = max_of(1, TASK * job.rows / max_of(1, elements));
    job.blocks = 1;
    job.block = p->c;
    if (!job.along_rows && job.rows < FEW_ROWS) {
        const int64_t blocks = max_of(1, min_of(FEW_ROWS, elements / TASK) / max_of(1, job.rows));
        job.block = round_up(ceil_div(p->c, blocks), 2 * job.table->lanes);
        job.blocks = ceil_div(p->c, job.block);
    }
    threads = pyconv_threads_for(((x ? 2 : 1) * elements + p->n * p->c * outputs) * job.size, threads);
    pyconv_parallel_for(ceil_div(job.rows, job.rows_a_task) * job.blocks, threads, spread_task, &job);
}
