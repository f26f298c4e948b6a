/* The dot engine: 1×1 over so few pixels that each weight is used a few times only, such as a linear layer of a small batch.
 * Output channels are dot products of a pixel's channels with weights read once, where they lie; nothing is packed. */
#include "conv.h"
#include "threads.h"

enum { FEW_PIXELS = 7, TASK_BYTES = 64 << 10 /* of weights */ };

typedef struct {
    const conv_problem *problem;
    correlation q;
    int64_t pixels, x_row, y_row; /* pixels lie along one axis, so far apart */
    int64_t shares, share;        /* output channels of a task */
} dot_job;

/* Whether the pixels lie along one axis; then how many they are, and how far apart in x and y. */
static int find_pixels(dot_job *job) {
    const correlation *q = &job->q;
    int several = 0;
    job->pixels = 1;
    job->x_row = job->y_row = 0;
    for (int a = IMAGE; a < AXES; a++) {
        if (q->axes[a].out == 1) continue;
        several++;
        job->pixels = q->axes[a].out;
        job->x_row = q->axes[a].step * q->x_step[a];
        job->y_row = q->y_step[a];
    }
    return several <= 1;
}

int dot_engine_suits(const conv_problem *problem) {
    dot_job job = {.q = problem->q};
    if (problem->all_phases > 1 || count_taps(&job.q) != 1) return 0;
    if (job.q.ci > 1 && (job.q.x_channel != 1 || problem->weights.c_step != 1)) return 0;
    merge_axes(&job.q);
    if (!find_pixels(&job) || job.pixels > FEW_PIXELS) return 0;
    tile whole = {{0}, {0}};
    for (int a = IMAGE; a < AXES; a++) whole.extent[a] = job.q.axes[a].out;
    return is_interior(&job.q, &whole);
}

static int64_t no_bytes(const conv_problem *problem) {
    (void)problem;
    return 0;
}

static int64_t dot_workspace(const conv_problem *problem, int threads) {
    (void)problem, (void)threads;
    return 0;
}

static void dot_task(void *context, int64_t i, int worker) {
    (void)worker;
    const dot_job *job = context;
    const conv_problem *problem = job->problem;
    const correlation *q = &job->q;
    const weight_view *view = &problem->weights;
    const int64_t group = i / job->shares, first = i % job->shares * job->share, channel = group * q->co + first;
    tile whole = {{0}, {0}};
    for (int a = IMAGE; a < AXES; a++) whole.extent[a] = q->axes[a].out;
    const dot_args args = {.x = tile_input(q, &whole) + group * q->ci * q->x_channel * q->size,
                           .w = view->w + (group * view->group_step + first * view->k_step) * q->size,
                           .bias = problem->bias ? problem->bias + channel * q->size : 0,
                           .y = q->y + channel * q->y_channel * q->size,
                           .rows = job->pixels,
                           .columns = min_of(job->share, q->co - first),
                           .length = q->ci,
                           .x_row = job->x_row,
                           .w_row = view->k_step,
                           .y_row = job->y_row,
                           .y_column = q->y_channel};
    q->table->dot(&args);
    finish_tile(problem, q, &whole, channel, args.columns);
}

static dot_job lay_out(const conv_problem *problem) {
    dot_job job = {.problem = problem, .q = problem->q};
    merge_axes(&job.q);
    find_pixels(&job);
    job.share = max_of(8, TASK_BYTES / (job.q.ci * job.q.size) / 8 * 8);
    job.shares = ceil_div(job.q.co, job.share);
    return job;
}

static void dot_solve(const conv_problem *problem, int threads, char *base) {
    (void)base;
    dot_job job = lay_out(problem);
    if (problem->packing == PACK_ONLY) return;
    pyconv_parallel_for(job.q.groups * job.shares, threads, dot_task, &job);
}

static int64_t dot_prepare(const conv_problem *problem, int threads, char *memory) {
    (void)threads;
    if (memory) *(dot_job *)memory = lay_out(problem);
    return sizeof(dot_job);
}

static void dot_resume(const char *prepared, const conv_problem *problem, int threads, char *base) {
    (void)base;
    dot_job job = *(const dot_job *)prepared;
    job.problem = problem;
    place_arrays(&job.q, &problem->q);
    pyconv_parallel_for(job.q.groups * job.shares, threads, dot_task, &job);
}

const conv_engine dot_engine = {no_bytes, dot_workspace, dot_solve, dot_prepare, dot_resume};
