/* Classification losses of samples with a label each, forward and backward. Logits of a sample that are not contiguous are
 * worked on in a copy; everything but the softmax is computed in double precision. */
#include "geometry.h"
#include "reals.h"
#include "threads.h"

#include <math.h>

enum { TASK = 4096, COST = 8 }; /* logits a task, about; an exponential costs as much as so many bytes */

typedef struct {
    const pyconv_labels *p;
    const kernel_table *table;
    int64_t size, samples_a_task; /* samples of one n */
    const char *x, *labels, *weight;
    char *loss, *dx, *scratch;
    double mean_weight;
} labels_job;

static int64_t label_at(const labels_job *job, int64_t n, int64_t m) {
    const int64_t i = n * job->p->label_strides[0] + m * job->p->label_strides[1];
    return job->p->label_bits == 8    ? ((const uint8_t *)job->labels)[i]
           : job->p->label_bits == 32 ? ((const int32_t *)job->labels)[i]
                                      : ((const int64_t *)job->labels)[i];
}
static int64_t loss_place(const labels_job *job, int64_t n, int64_t m) {
    return n * job->p->loss_strides[0] + m * job->p->loss_strides[1];
}
static double weight_of(const labels_job *job, int64_t c) { return job->weight ? get(job->weight, c, job->size) : 1; }
static int is_class(const labels_job *job, int64_t label) { return label >= 0 && label < job->p->classes; }

/* Σ q of a sample */
static double mass(const labels_job *job, int64_t label) {
    if (label == job->p->ignored) return 0;
    if (!is_class(job, label)) return NAN;
    return (1 - job->p->smoothing) * weight_of(job, label) + job->p->smoothing * job->mean_weight;
}

/* `rows` samples' logits as rows, read in place or from a copy, which is as large as the task's scratch. */
static const char *logits(const labels_job *job, int64_t n, int64_t m, int64_t rows, char *copy, int64_t *step) {
    const pyconv_labels *p = job->p;
    const char *x = job->x + (n * p->x_strides[0] + m * p->x_strides[2]) * job->size;
    *step = p->x_strides[2];
    if (p->x_strides[1] == 1 || p->classes == 1) return x;
    job->table->copy_block(copy, p->classes, x, p->x_strides[2], p->x_strides[1], rows, p->classes);
    *step = p->classes;
    return copy;
}

static void forward_row(const labels_job *job, int64_t n, int64_t m, const char *x, char *log_p) {
    const pyconv_labels *p = job->p;
    const int64_t label = label_at(job, n, m);
    double loss = label == p->ignored ? 0 : NAN;
    if (label != p->ignored && is_class(job, label)) {
        job->table->softmax(1, log_p, x, p->classes);
        loss = -(1 - p->smoothing) * weight_of(job, label) * get(log_p, label, job->size);
        if (p->smoothing) {
            double sum = 0;
            for (int64_t c = 0; c < p->classes; c++) sum += weight_of(job, c) * get(log_p, c, job->size);
            loss -= p->smoothing / (double)p->classes * sum;
        }
    }
    set(job->loss, loss_place(job, n, m), job->size, loss);
}

/* dx = dloss · (softmax(x) · Σ q - q), as a row */
static void backward_row(const labels_job *job, int64_t n, int64_t m, const char *x, char *dx) {
    const pyconv_labels *p = job->p;
    const int64_t label = label_at(job, n, m), size = job->size;
    if (label == p->ignored) {
        memset(dx, 0, (size_t)(p->classes * size));
        return;
    }
    const double dloss = get(job->loss, loss_place(job, n, m), size), scale = dloss * mass(job, label);
    const double each = dloss * p->smoothing / (double)p->classes;
    job->table->softmax(0, dx, x, p->classes);
    for (int64_t c = 0; c < p->classes; c++) {
        double q = each ? each * weight_of(job, c) : 0;
        if (c == label) q += dloss * (1 - p->smoothing) * weight_of(job, c);
        set(dx, c, size, get(dx, c, size) * scale - q);
    }
}

static void task(void *context, int64_t i, int worker) {
    const labels_job *job = context;
    const pyconv_labels *p = job->p;
    const int64_t tasks = ceil_div(p->m, job->samples_a_task), n = i / tasks, m = i % tasks * job->samples_a_task;
    const int64_t rows = min_of(job->samples_a_task, p->m - m), bytes = job->samples_a_task * p->classes * job->size;
    char *copy = job->scratch + 2 * worker * lines(bytes), *result = copy + lines(bytes);
    int64_t step;
    const char *x = logits(job, n, m, rows, copy, &step);
    for (int64_t row = 0; row < rows; row++) {
        const char *from = x + row * step * job->size;
        if (job->dx) backward_row(job, n, m + row, from, result + row * p->classes * job->size);
        else forward_row(job, n, m + row, from, result);
    }
    if (job->dx)
        job->table->spread_block(job->dx + (n * p->dx_strides[0] + m * p->dx_strides[2]) * job->size, p->dx_strides[2],
                                 p->dx_strides[1], result, p->classes, rows, p->classes);
}

static int64_t samples_a_task(const pyconv_labels *p) { return max_of(1, min_of(p->m, TASK / max_of(1, p->classes))); }

size_t pyconv_labels_workspace(const pyconv_labels *p, int threads) {
    return (size_t)(2 * threads * lines(samples_a_task(p) * p->classes * p->real_bits / 8));
}

static void prepare(labels_job *job) {
    const pyconv_labels *p = job->p;
    job->size = p->real_bits / 8;
    job->table = pyconv_table((int)p->real_bits);
    job->mean_weight = 1;
    if (!job->weight) return;
    job->mean_weight = 0;
    for (int64_t c = 0; c < p->classes; c++) job->mean_weight += get(job->weight, c, job->size) / (double)p->classes;
}

static void run(labels_job *job, char *workspace, int threads) {
    const pyconv_labels *p = job->p;
    prepare(job);
    job->scratch = workspace;
    job->samples_a_task = samples_a_task(p);
    threads = pyconv_threads_for(p->n * p->m * p->classes * COST * job->size, threads);
    pyconv_parallel_for(p->n * ceil_div(p->m, job->samples_a_task), threads, task, job);
}

void pyconv_cross_entropy(const pyconv_labels *p, void *loss, const void *x, const void *labels, const void *weight,
                          void *workspace, int threads) {
    labels_job job = {.p = p, .x = x, .labels = labels, .weight = weight, .loss = loss};
    run(&job, workspace, threads);
}

void pyconv_cross_entropy_backward(const pyconv_labels *p, void *dx, const void *dloss, const void *x, const void *labels,
                                   const void *weight, void *workspace, int threads) {
    labels_job job = {.p = p, .x = x, .labels = labels, .weight = weight, .loss = (char *)dloss, .dx = dx};
    run(&job, workspace, threads);
}

#define FOR_EACH_SAMPLE(p)                 \
    for (int64_t n = 0; n < (p)->n; n++)   \
        for (int64_t m = 0; m < (p)->m; m++)

void pyconv_label_weights(const pyconv_labels *p, void *out, const void *labels, const void *weight, int threads) {
    (void)threads; /* a label is soon looked up */
    labels_job job = {.p = p, .labels = labels, .weight = weight};
    prepare(&job);
    FOR_EACH_SAMPLE(p) set(out, loss_place(&job, n, m), job.size, mass(&job, label_at(&job, n, m)));
}

void pyconv_nll(const pyconv_labels *p, void *loss, const void *x, const void *labels, const void *weight, int threads) {
    (void)threads;
    labels_job job = {.p = p, .labels = labels, .weight = weight};
    prepare(&job);
    FOR_EACH_SAMPLE(p) {
        const int64_t label = label_at(&job, n, m), place = n * p->x_strides[0] + label * p->x_strides[1] + m * p->x_strides[2];
        double value = label == p->ignored ? 0 : NAN;
        if (label != p->ignored && is_class(&job, label)) value = -get(x, place, job.size) * weight_of(&job, label);
        set(loss, loss_place(&job, n, m), job.size, value);
    }
}

void pyconv_nll_backward(const pyconv_labels *p, void *dx, const void *dloss, const void *labels, const void *weight, int threads) {
    (void)threads;
    labels_job job = {.p = p, .labels = labels, .weight = weight};
    prepare(&job);
    FOR_EACH_SAMPLE(p) {
        const int64_t label = label_at(&job, n, m), *step = p->dx_strides, place = n * step[0] + m * step[2];
        const int known = label == p->ignored || is_class(&job, label);
        for (int64_t c = 0; c < p->classes; c++) set(dx, place + c * step[1], job.size, known ? 0 : NAN);
        if (label != p->ignored && known)
            set(dx, place + label * step[1], job.size,
                -weight_of(&job, label) * get(dloss, loss_place(&job, n, m), job.size));
    }
}
