/* Unpooling and its adjoint: elements of planes named by indices. A task takes planes of one image, a block of them side by
 * side where channels are contiguous. */
#include "geometry.h"
#include "threads.h"

enum { CHANNELS = 64 }; /* of a block */

typedef struct {
    const pyconv_points *p;
    char *plane, *points;
    const int64_t *indices;
    int gather, add;
    int64_t size, block, blocks;
} points_job;

/* Offset of element `index` of a plane, counted in C order. */
static int64_t plane_offset(const pyconv_points *p, int64_t index) {
    const int64_t h = p->plane[1], w = p->plane[2], *step = p->plane_strides + 2;
    if (step[1] == w * step[2] && step[0] == h * step[1]) return index * step[2];
    return index / (h * w) * step[0] + index / w % h * step[1] + index % w * step[2];
}

static int64_t offset_of(const int64_t at[3], const int64_t strides[5]) {
    return at[0] * strides[2] + at[1] * strides[3] + at[2] * strides[4];
}

#define FOR_EACH_POSITION(size, at)                       \
    for (int64_t at[3] = {0}; at[0] < (size)[0]; at[0]++) \
        for (at[1] = 0; at[1] < (size)[1]; at[1]++)       \
            for (at[2] = 0; at[2] < (size)[2]; at[2]++)

/* The task for one type of element: `channels` planes from element 0 of `plane`, `points` and `indices` on. */
#define MOVE(real)                                                                                                   \
    static void move_##real(const points_job *job, real *plane, real *points, const int64_t *indices, int64_t channels) { \
        const pyconv_points *p = job->p;                                                                             \
        const int64_t step = p->plane_strides[1];                                                                    \
        if (!job->gather)                                                                                            \
            FOR_EACH_POSITION(p->plane, at)                                                                          \
                for (int64_t c = 0; c < channels; c++) plane[offset_of(at, p->plane_strides) + c * step] = 0;        \
        FOR_EACH_POSITION(p->points, at)                                                                             \
            for (int64_t c = 0; c < channels; c++) {                                                                 \
                const int64_t index = indices[offset_of(at, p->index_strides) + c * p->index_strides[1]];            \
                real *point = points + offset_of(at, p->point_strides) + c * p->point_strides[1];                    \
                real *element = index < 0 ? 0 : plane + plane_offset(p, index) + c * step;                           \
                if (job->gather) *point = element ? *element : 0;                                                    \
                else if (element) *element = job->add ? *element + *point : *point;                                  \
            }                                                                                                        \
    }
MOVE(float)
MOVE(double)

static void points_task(void *context, int64_t i, int worker) {
    (void)worker;
    const points_job *job = context;
    const pyconv_points *p = job->p;
    const int64_t n = i / job->blocks, c = i % job->blocks * job->block, channels = min_of(job->block, p->c - c);
    const int64_t plane = n * p->plane_strides[0] + c * p->plane_strides[1];
    const int64_t points = n * p->point_strides[0] + c * p->point_strides[1];
    const int64_t *indices = job->indices + n * p->index_strides[0] + c * p->index_strides[1];
    if (job->size == 4) move_float(job, (float *)job->plane + plane, (float *)job->points + points, indices, channels);
    else move_double(job, (double *)job->plane + plane, (double *)job->points + points, indices, channels);
}

static void run(points_job *job, int threads) {
    const pyconv_points *p = job->p;
    job->size = p->real_bits / 8;
    job->block = p->plane_strides[1] == 1 && p->point_strides[1] == 1 ? CHANNELS : 1;
    job->blocks = ceil_div(p->c, job->block);
    const int64_t elements = p->plane[0] * p->plane[1] * p->plane[2] + 3 * p->points[0] * p->points[1] * p->points[2];
    threads = pyconv_threads_for(p->n * p->c * elements * job->size, threads);
    pyconv_parallel_for(p->n * job->blocks, threads, points_task, job);
}

void pyconv_unpool(const pyconv_points *p, const void *points, const int64_t *indices, void *plane, int add, int threads) {
    points_job job = {.p = p, .plane = plane, .points = (char *)points, .indices = indices, .add = add};
    run(&job, threads);
}

void pyconv_gather(const pyconv_points *p, const void *plane, const int64_t *indices, void *points, int threads) {
    points_job job = {.p = p, .plane = (char *)plane, .points = points, .indices = indices, .gather = 1};
    run(&job, threads);
}
