/* The passes of convolution, and which engine serves one. */
#include "conv.h"
#include "prepared.h"
#include "threads.h"

enum { PRODUCTS_A_BYTE = 4 }; /* that take as long as touching a byte */

#define PLANAR_SPEED 0.8 /* of the planar register tile, to that of the general one */

/* Products that an engine does for each input channel and output position, lanes that do nothing useful included. */
static int64_t products_of(const conv_problem *problem, column_layout layout, int narrows) {
    int64_t products = 0;
    for (int64_t s = 0; s < layout.sets; s++) {
        const int64_t phases = phases_of_set(problem, &layout, s), rest = phases * problem->q.co % layout.width;
        int64_t lanes = layout.panels_a_set * layout.width;
        if (narrows && rest > 0 && rest <= layout.width / 2) lanes -= layout.width / 4; /* half the lanes, more loads for each */
        products += list_phase_taps(problem, s * layout.phases_a_set, phases, problem->q.x_step, 0) * lanes;
    }
    return products;
}

/* Best first; the choice depends on shapes and the instruction set alone. */
static const conv_engine *choose(const conv_problem *problem) {
    if (problem->pooled) return &planar_engine;
    if (problem->algorithm != DIRECT) return &winograd_engine;
    const correlation *q = &problem->q;
    const kernel_table *table = q->table;
    if (depthwise_engine_suits(problem)) return &depthwise_engine;
    if (dot_engine_suits(problem)) return &dot_engine;
    if (images_engine_suits(problem)) return &images_engine;
    if (turned_engine_suits(problem)) return &turned_engine;
    if (q->co * problem->all_phases >= 2 * table->nr) return &gemm_engine;
    const column_layout layout = planar_layout(problem);
    double width = (double)max_of(1, q->axes[WIDTH].out), vectors = (double)round_up((int64_t)width, planar_width(problem, &layout));
    double gemm = (double)products_of(problem, lay_out_columns(problem, table->nr), 1);
    double planar = (double)products_of(problem, layout, 0) * vectors / width / PLANAR_SPEED;
    return planar < gemm ? &planar_engine : &gemm_engine;
}

static int useful_threads(const pyconv_conv *p, int threads) {
    int64_t products = p->n * p->k * (p->c / p->groups);
    for (int a = 0; a < 3; a++) products *= p->out[a] * p->kernel[a];
    return pyconv_threads_for(products / PRODUCTS_A_BYTE, threads);
}

static conv_problem problem_of(const pyconv_conv *p, int pass, const void *w) {
    return pass == 0 ? forward_problem(p, 0, w, 0, 0) : backward_data_problem(p, 0, w, 0, 0);
}

void pyconv_conv_forward(const pyconv_conv *p, const void *x, const void *w, const void *bias, void *y, void *workspace,
                         int threads) {
    conv_problem problem = forward_problem(p, x, w, bias, y);
    choose(&problem)->solve(&problem, useful_threads(p, threads), workspace);
}

void pyconv_conv_fused(const pyconv_conv *p, const void *x, const void *w, const void *bias, const void *residual, void *y,
                       void *workspace, int threads) {
    conv_problem problem = forward_problem(p, x, w, bias, y);
    problem.residual = residual;
    problem.activation = p->activation;
    problem.parameters = p->parameters;
    choose(&problem)->solve(&problem, useful_threads(p, threads), workspace);
}

void pyconv_conv_backward_data(const pyconv_conv *p, const void *dy, const void *w, const void *bias, void *dx,
                               void *workspace, int threads) {
    conv_problem problem = backward_data_problem(p, dy, w, bias, dx);
    choose(&problem)->solve(&problem, useful_threads(p, threads), workspace);
}

void pyconv_conv_backward_weights(const pyconv_conv *p, const void *dy, const void *x, void *dw, void *workspace, int threads) {
    correlation q = correlation_forward(p);
    threads = useful_threads(p, threads);
    if (p->algorithm == WINOGRAD) winograd_weights(p, dy, x, dw, workspace, threads);
    else if (depthwise_weights_suits(&q)) depthwise_weights(p, dy, x, dw, workspace, threads);
    else if (images_weights_suits(&q)) images_weights(p, dy, x, dw, workspace, threads);
    else conv_weights(p, dy, x, dw, workspace, threads);
}

typedef struct {
    const conv_engine *engine;
    int threads;
    conv_problem problem;
} prepared_conv;

size_t prepare_conv(const pyconv_conv *p, int pass, int fused, int threads, void *memory) {
    prepared_conv it = {.problem = problem_of(p, pass, 0), .threads = useful_threads(p, threads)};
    if (fused) {
        it.problem.activation = p->activation;
        it.problem.parameters = p->parameters;
    }
    it.engine = choose(&it.problem);
    if (memory) memcpy(memory, &it, sizeof it);
    char *after = memory ? (char *)memory + sizeof it : 0;
    return sizeof it + (size_t)(it.engine->prepare ? it.engine->prepare(&it.problem, it.threads, after) : 0);
}

void run_conv(const void *prepared, const void *x, const void *w, const void *bias, const void *residual, void *y, void *workspace) {
    const prepared_conv *it = prepared;
    conv_problem problem = it->problem;
    problem.q.x = x;
    problem.q.y = y;
    problem.weights.w = w;
    problem.packed = (char *)w; /* or where it is to be packed, which the engine says */
    problem.bias = bias;
    problem.residual = residual;
    if (it->engine->resume) it->engine->resume((const char *)(it + 1), &problem, it->threads, workspace);
    else it->engine->solve(&problem, it->threads, workspace);
}

size_t pyconv_conv_workspace(const pyconv_conv *p, int pass, int threads) {
    threads = useful_threads(p, threads);
    if (pass == 2) {
        correlation q = correlation_forward(p);
        if (p->algorithm == WINOGRAD) return (size_t)winograd_weights_workspace(p, threads);
        if (depthwise_weights_suits(&q)) return (size_t)depthwise_weights_workspace(p, threads);
        return (size_t)(images_weights_suits(&q) ? images_weights_workspace(p, threads) : conv_weights_workspace(p, threads));
    }
    conv_problem problem = problem_of(p, pass, 0);
    return (size_t)choose(&problem)->workspace(&problem, threads);
}

size_t pyconv_conv_packed_size(const pyconv_conv *p, int pass) {
    const conv_problem problem = problem_of(p, pass, 0);
    return (size_t)choose(&problem)->packed(&problem);
}

int pyconv_conv_engine(const pyconv_conv *p, int pass) {
    static const conv_engine *const others[] = {&winograd_engine, &depthwise_engine, &dot_engine, &turned_engine, &planar_engine, &images_engine};
    const conv_problem problem = problem_of(p, pass, 0);
    const conv_engine *engine = choose(&problem);
    int number = (int)(sizeof others / sizeof *others);
    while (number > 0 && others[number - 1] != engine) number--;
    return number;
}

void pyconv_conv_pack(const pyconv_conv *p, int pass, const void *w, void *packed, void *workspace, int threads) {
    conv_problem problem = problem_of(p, pass, w);
    problem.packing = PACK_ONLY;
    problem.packed = packed;
    choose(&problem)->solve(&problem, useful_threads(p, threads), workspace);
}

int pyconv_conv_has_winograd(const pyconv_conv *p, int pass) {
    if (pass == 2) return p->algorithm != WINOGRAD_SMALL && fits_winograd_weights(p);
    conv_problem problem = problem_of(p, pass, 0);
    return fits_winograd(&problem);
}
