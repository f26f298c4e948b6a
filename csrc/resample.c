/* Resampling of the spatial axes, a row of outputs at a time: the rows of x that it comes from are summed, and then the pixels
 * of that sum along the row. Vectors run along channels where these are contiguous in both arrays. */
#include "geometry.h"
#include "threads.h"

#include <string.h>

enum { ELEMENTS = 16384 }; /* that a task makes, or one row if that is more */

typedef struct {
    const pyconv_resampling *p;
    const char *x;
    char *y, *memory;
    int64_t lanes, planes;    /* channels of a row, and how many rows stand for all of them */
    int64_t rows, block, sum; /* of outputs in all and of a task; bytes of a sum of rows, or 0 where one row is read in place */
} resample_job;

/* Where the sources and weights of an axis' output begin: the tables lie axis after axis. */
static int64_t table_at(const pyconv_resampling *p, int axis, int64_t o) {
    int64_t at = o * p->taps[axis];
    for (int a = 0; a < axis; a++) at += p->out[a] * p->taps[a];
    return at;
}

/* For one type of element: a row of y, from x and y at its image and channels and from a place for a sum. */
#define ROW(real)                                                                                                              \
    /* sum = weight · x, added to it from the second time on; x_step elements lie from pixel to pixel */                       \
    static void add_##real(real *sum, const real *x, real weight, int first, int64_t pixels, int64_t x_step, int64_t lanes) {  \
        if (x_step == lanes) lanes *= pixels, pixels = 1;                                                                      \
        for (int64_t i = 0; i < pixels; i++, sum += lanes, x += x_step)                                                        \
            if (first)                                                                                                         \
                for (int64_t c = 0; c < lanes; c++) sum[c] = weight * x[c];                                                    \
            else                                                                                                               \
                for (int64_t c = 0; c < lanes; c++) sum[c] += weight * x[c];                                                   \
    }                                                                                                                          \
    static void row_##real(const resample_job *job, const real *x, real *y, real *sum, int64_t depth, int64_t height) {        \
        const pyconv_resampling *p = job->p;                                                                                   \
        const int64_t lanes = job->lanes, taps = p->taps[2], y_step = p->y_strides[4], *step = p->x_strides + 2;               \
        const int64_t d = table_at(p, 0, depth), h = table_at(p, 1, height), w = table_at(p, 2, 0);                            \
        const int64_t x_step = job->sum ? lanes : step[2], *source = p->source + w;                                            \
        const double *weight = p->weight + w;                                                                                  \
        const real *from = sum;                                                                                                \
        if (!job->sum) from = x + p->source[d] * step[0] + p->source[h] * step[1];                                             \
        else                                                                                                                   \
            for (int64_t i = 0; i < p->taps[0] * p->taps[1]; i++) {                                                            \
                const int64_t a = d + i / p->taps[1], b = h + i % p->taps[1];                                                  \
                add_##real(sum, x + p->source[a] * step[0] + p->source[b] * step[1], (real)(p->weight[a] * p->weight[b]), i == 0, \
                           p->in[2], step[2], lanes);                                                                          \
            }                                                                                                                  \
        for (int64_t o = 0; o < p->out[2]; o++, y += y_step, source += taps, weight += taps)                                   \
            if (lanes == 1) {                                                                                                  \
                real value = (real)weight[0] * from[source[0] * x_step];                                                       \
                for (int64_t t = 1; t < taps; t++) value += (real)weight[t] * from[source[t] * x_step];                        \
                *y = value;                                                                                                    \
            } else if (taps == 1)                                                                                              \
                memcpy(y, from + *source * x_step, (size_t)lanes * sizeof *y);                                                 \
            else                                                                                                               \
                for (int64_t t = 0; t < taps; t++) add_##real(y, from + source[t] * x_step, (real)weight[t], t == 0, 1, 0, lanes); \
    }
ROW(float)
ROW(double)

static void resample_task(void *context, int64_t task, int worker) {
    const resample_job *job = context;
    const pyconv_resampling *p = job->p;
    char *sum = job->memory + worker * job->sum;
    const int64_t last = min_of(job->rows, (task + 1) * job->block);
    for (int64_t row = task * job->block; row < last; row++) {
        const int64_t height = row % p->out[1], depth = row / p->out[1] % p->out[0], plane = row / p->out[1] / p->out[0];
        const int64_t n = plane / job->planes, c = plane % job->planes;
        const int64_t x = n * p->x_strides[0] + c * p->x_strides[1];
        const int64_t y = n * p->y_strides[0] + c * p->y_strides[1] + depth * p->y_strides[2] + height * p->y_strides[3];
        if (p->real_bits == 32) row_float(job, (const float *)job->x + x, (float *)job->y + y, (float *)sum, depth, height);
        else row_double(job, (const double *)job->x + x, (double *)job->y + y, (double *)sum, depth, height);
    }
}

static resample_job plan(const pyconv_resampling *p) {
    resample_job job = {.p = p};
    job.lanes = p->x_strides[1] == 1 && p->y_strides[1] == 1 ? p->c : 1;
    job.planes = p->c / job.lanes;
    job.rows = p->n * job.planes * p->out[0] * p->out[1];
    job.block = max_of(1, ELEMENTS / (p->out[2] * job.lanes));
    job.sum = p->taps[0] * p->taps[1] > 1 ? ceil_div(p->in[2] * job.lanes * p->real_bits / 8, 64) * 64 : 0;
    return job;
}

size_t pyconv_resample_workspace(const pyconv_resampling *p, int threads) { return (size_t)(plan(p).sum * threads); }

void pyconv_resample(const pyconv_resampling *p, const void *x, void *y, void *workspace, int threads) {
    resample_job job = plan(p);
    job.x = x, job.y = y, job.memory = workspace;
    threads = pyconv_threads_for(job.rows * p->out[2] * job.lanes * p->real_bits / 4, threads);
    pyconv_parallel_for(ceil_div(job.rows, job.block), threads, resample_task, &job);
}
