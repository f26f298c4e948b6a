/* The passes of convolution: forward is one problem, backward data one a phase of the stride; who solves them. */
#include "conv.h"
#include "threads.h"

static conv_problem forward_problem(const pyconv_conv *p, const void *x, const void *w, const void *bias, void *y) {
    conv_problem problem = {.q = correlation_forward(p),
                            .weights = {.w = w,
                                        .group_step = p->k / p->groups * p->w_strides[0],
                                        .k_step = p->w_strides[0],
                                        .c_step = p->w_strides[1]},
                            .bias = bias};
    problem.q.x = x;
    problem.q.y = y;
    for (int a = 0; a < 3; a++) problem.weights.tap_step[DEPTH + a] = p->w_strides[2 + a];
    return problem;
}

static int64_t gcd(int64_t a, int64_t b) { return b ? gcd(b, a % b) : a; }

static int64_t phases_of(const pyconv_conv *p) { return p->stride[0] * p->stride[1] * p->stride[2]; }

/* Positions i = phase + stride·o of dx gather dy at o + (phase + pad - r·dilation) / stride, for the taps r that divide.
 * Those taps are an arithmetic progression, so a phase is a correlation of its own; its taps run backwards through w. */
static conv_problem phase_problem(const pyconv_conv *p, int64_t phase, const void *dy, const void *w, const void *bias, void *dx) {
    conv_problem problem = {.q = correlation_forward(p),
                            .weights = {.group_step = p->k / p->groups * p->w_strides[0],
                                        .k_step = p->w_strides[1],
                                        .c_step = p->w_strides[0]},
                            .bias = bias};
    correlation *q = &problem.q;
    int64_t dx_offset = 0, w_offset = 0;
    q->ci = p->k / p->groups;
    q->co = p->c / p->groups;
    q->x_channel = p->y_strides[1];
    q->y_channel = p->x_strides[1];
    q->x_step[IMAGE] = p->y_strides[0];
    q->y_step[IMAGE] = p->x_strides[0];
    for (int a = 2; a >= 0; a--) {
        int64_t s = p->stride[a], d = p->dilation[a], at = phase % s, common = gcd(s, d), step = s / common, r = 0;
        phase /= s;
        while (r < step && (at + p->pad[a] - r * d) % s != 0) r++;
        int64_t taps = r < step && r < p->kernel[a] ? (p->kernel[a] - 1 - r) / step + 1 : 0;
        int64_t last = r + (taps - 1) * step;
        q->axes[DEPTH + a] = (axis){.in = p->out[a],
                                    .out = at < p->in[a] ? (p->in[a] - at - 1) / s + 1 : 0,
                                    .step = 1,
                                    .taps = taps,
                                    .first = taps ? (at + p->pad[a] - last * d) / s : 0,
                                    .dilation = d / common};
        q->x_step[DEPTH + a] = p->y_strides[2 + a];
        q->y_step[DEPTH + a] = p->x_strides[2 + a] * s;
        dx_offset += at * p->x_strides[2 + a];
        w_offset += taps ? last * p->w_strides[2 + a] : 0;
        problem.weights.tap_step[DEPTH + a] = -step * p->w_strides[2 + a];
    }
    if (!dx) return problem; /* only its workspace is wanted */
    q->x = dy;
    q->y = (char *)dx + dx_offset * q->size;
    problem.weights.w = (const char *)w + w_offset * q->size;
    return problem;
}

enum { WINOGRAD = 1 }; /* a caller's choice, which gives up some precision; between the others nothing but time differs */

/* Best first; the choice depends on shapes and the instruction set alone. */
static const conv_engine *choose(const correlation *q, int algorithm) {
    if (algorithm == WINOGRAD) return &winograd_engine;
    if (is_depthwise(q)) return &depthwise_engine;
    const kernel_table *table = q->table;
    double width = (double)q->axes[WIDTH].out;
    double gemm = (double)q->co / (double)round_up(q->co, table->nr); /* share of lanes that do useful work */
    double planar = width / (double)round_up((int64_t)width, table->planar_columns) * 0.8;
    return planar > gemm && q->axes[WIDTH].out > 0 ? &planar_engine : &gemm_engine;
}

enum { SERIAL_PRODUCTS = 1 << 18 }; /* work of a few microseconds is not worth waking a thread */

static int useful_threads(const pyconv_conv *p, int threads) {
    int64_t products = p->n * p->k * (p->c / p->groups);
    for (int a = 0; a < 3; a++) products *= p->out[a] * p->kernel[a];
    return products < SERIAL_PRODUCTS ? 1 : pyconv_effective_threads(threads);
}

void pyconv_conv_forward(const pyconv_conv *p, const void *x, const void *w, const void *bias, void *y, void *workspace,
                         int threads) {
    conv_problem problem = forward_problem(p, x, w, bias, y);
    choose(&problem.q, p->algorithm)->solve(&problem, useful_threads(p, threads), workspace);
}

void pyconv_conv_backward_data(const pyconv_conv *p, const void *dy, const void *w, const void *bias, void *dx,
                               void *workspace, int threads) {
    for (int64_t phase = 0; phase < phases_of(p); phase++) {
        conv_problem problem = phase_problem(p, phase, dy, w, bias, dx);
        choose(&problem.q, p->algorithm)->solve(&problem, useful_threads(p, threads), workspace);
    }
}

void pyconv_conv_backward_weights(const pyconv_conv *p, const void *dy, const void *x, void *dw, void *workspace, int threads) {
    correlation q = correlation_forward(p);
    threads = useful_threads(p, threads);
    if (is_depthwise(&q)) depthwise_weights(p, dy, x, dw, workspace, threads);
    else conv_weights(p, dy, x, dw, workspace, threads);
}

size_t pyconv_conv_workspace(const pyconv_conv *p, int pass, int threads) {
    correlation q = correlation_forward(p);
    int64_t most = 0;
    threads = useful_threads(p, threads);
    if (pass == 2) return (size_t)(is_depthwise(&q) ? depthwise_weights_workspace(p, threads) : conv_weights_workspace(p));
    for (int64_t phase = 0; phase < (pass == 0 ? 1 : phases_of(p)); phase++) {
        conv_problem problem = pass == 0 ? forward_problem(p, 0, 0, 0, 0) : phase_problem(p, phase, 0, 0, 0, 0);
        most = max_of(most, choose(&problem.q, p->algorithm)->workspace(&problem, threads));
    }
    return (size_t)most;
}

int pyconv_conv_has_winograd(const pyconv_conv *p, int pass) {
    if (pass == 1 && phases_of(p) > 1) return 0;
    conv_problem problem = pass == 0 ? forward_problem(p, 0, 0, 0, 0) : phase_problem(p, 0, 0, 0, 0, 0);
    return fits_winograd(&problem);
}
