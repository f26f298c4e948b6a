/* Forward and backward data as one kind of problem (see conv.h). */
#include "conv.h"

static void copy_axes(int64_t to[AXES], int64_t image, const int64_t from[3]) {
    to[IMAGE] = image;
    memcpy(to + DEPTH, from, 3 * sizeof *from);
}

static conv_problem new_problem(const pyconv_conv *p, const void *w, const void *bias) {
    conv_problem problem = {.q = correlation_forward(p), .bias = bias, .all_phases = 1, .activation = -1};
    copy_axes(problem.kernel, 1, p->kernel);
    copy_axes(problem.stride, 1, p->stride);
    copy_axes(problem.dilation, 1, p->dilation);
    copy_axes(problem.pad, 0, p->pad);
    problem.weights.w = w;
    problem.algorithm = p->algorithm;
    problem.packing = p->packed ? PACKED : PACK_AND_SOLVE;
    problem.packed = (char *)w;
    problem.weights.group_step = p->k / p->groups * p->w_strides[0];
    copy_axes(problem.weights.tap_step, 0, p->w_strides + 2);
    return problem;
}

conv_problem forward_problem(const pyconv_conv *p, const void *x, const void *w, const void *bias, void *y) {
    conv_problem problem = new_problem(p, w, bias);
    problem.weights.k_step = p->w_strides[0];
    problem.weights.c_step = p->w_strides[1];
    problem.pooled = p->pooled;
    copy_axes(problem.outputs, p->n, p->out);
    copy_axes(problem.phases, 1, (int64_t[]){1, 1, 1});
    memcpy(problem.output_step, problem.q.y_step, sizeof problem.output_step);
    problem.q.x = x;
    problem.q.y = y;
    return problem;
}

/* Tap r of the kernel meets the inputs of backward data that lie at i + pad - r·dilation, for output i: it serves the phase
 * of i for which the stride divides that, and there reads position o + shift. */
typedef struct {
    int64_t phase, shift;
} tap_place;

static tap_place place_of(const conv_problem *problem, int a, int64_t r) {
    int64_t s = problem->stride[a], at = r * problem->dilation[a] - problem->pad[a];
    int64_t phase = (at % s + s) % s;
    return (tap_place){phase, (phase - at) / s};
}

conv_problem backward_data_problem(const pyconv_conv *p, const void *dy, const void *w, const void *bias, void *dx) {
    conv_problem problem = new_problem(p, w, bias);
    correlation *q = &problem.q;
    problem.backward = 1;
    problem.weights.k_step = p->w_strides[1];
    problem.weights.c_step = p->w_strides[0];
    copy_axes(problem.outputs, p->n, p->in);
    copy_axes(problem.phases, 1, p->stride);
    copy_axes(problem.output_step, p->x_strides[0], p->x_strides + 2);
    copy_axes(q->x_step, p->y_strides[0], p->y_strides + 2);
    q->ci = p->k / p->groups;
    q->co = p->c / p->groups;
    q->x_channel = p->y_strides[1];
    q->y_channel = p->x_strides[1];
    q->y_step[IMAGE] = p->x_strides[0];
    q->x = dy;
    q->y = dx;
    for (int a = DEPTH; a < AXES; a++) {
        int64_t taps = problem.kernel[a], low = INT64_MAX, high = INT64_MIN;
        for (int64_t r = 0; r < taps; r++) {
            int64_t shift = place_of(&problem, a, r).shift;
            low = min_of(low, shift), high = max_of(high, shift);
        }
        int64_t dilation = problem.stride[a] == 1 ? problem.dilation[a] : 1;
        q->axes[a] = (axis){.in = p->out[a - 1],
                            .out = ceil_div(problem.outputs[a], problem.stride[a]),
                            .step = 1,
                            .taps = (high - low) / dilation + 1,
                            .first = low,
                            .dilation = dilation};
        problem.first[a] = low;
        q->y_step[a] = problem.output_step[a] * problem.stride[a];
        problem.all_phases *= problem.stride[a];
    }
    return problem;
}

void split_phase(const conv_problem *problem, int64_t phase, int64_t at[AXES]) {
    if (problem->all_phases == 1) {
        memset(at, 0, AXES * sizeof *at);
        return;
    }
    for (int a = WIDTH; a >= IMAGE; a--) {
        at[a] = phase % problem->phases[a];
        phase /= problem->phases[a];
    }
}

tile tile_of_phase(const conv_problem *problem, const tile *t, int64_t phase) {
    tile part = *t;
    int64_t at[AXES];
    if (problem->all_phases == 1) return part;
    split_phase(problem, phase, at);
    for (int a = 0; a < AXES; a++) {
        int64_t out = ceil_div(max_of(0, problem->outputs[a] - at[a]), problem->phases[a]);
        part.extent[a] = max_of(0, min_of(t->extent[a], out - t->begin[a]));
    }
    return part;
}

int64_t phase_offset(const conv_problem *problem, int64_t phase) {
    int64_t at[AXES];
    split_phase(problem, phase, at);
    return output_offset(at, problem->output_step);
}

int64_t kernel_tap(const conv_problem *problem, int64_t phase, const int64_t at[AXES]) {
    int64_t tap = 0, of_phase[AXES];
    split_phase(problem, phase, of_phase);
    for (int a = DEPTH; a < AXES; a++) {
        const axis *hull = &problem->q.axes[a];
        int64_t r = at[a], taps = problem->kernel[a];
        if (problem->backward) { /* the inverse of place_of */
            int64_t distance = of_phase[a] + problem->pad[a] - problem->stride[a] * (problem->first[a] + r * hull->dilation);
            if (distance % problem->dilation[a]) return -1;
            r = distance / problem->dilation[a];
            if (r < 0 || r >= taps) return -1;
        }
        tap = tap * taps + r;
    }
    return tap;
}

int64_t tap_offset(const conv_problem *problem, int64_t tap) {
    int64_t offset = 0;
    for (int a = WIDTH; a >= DEPTH; a--) {
        offset += tap % problem->kernel[a] * problem->weights.tap_step[a];
        tap /= problem->kernel[a];
    }
    return offset;
}

int taps_are_contiguous(const conv_problem *problem) {
    int64_t step = 1;
    for (int a = WIDTH; a >= DEPTH; a--) {
        if (problem->kernel[a] > 1 && problem->weights.tap_step[a] != step) return 0;
        step *= problem->kernel[a];
    }
    return 1;
}

int any_phase_has(const conv_problem *problem, int64_t phase, int64_t phases, const int64_t at[AXES]) {
    if (problem->all_phases == 1) return 1;
    for (int64_t i = phase; i < phase + phases; i++)
        if (kernel_tap(problem, i, at) >= 0) return 1;
    return 0;
}

int64_t list_phase_taps(const conv_problem *problem, int64_t phase, int64_t phases, const int64_t steps[AXES], int64_t *offset) {
    const correlation *q = &problem->q;
    int64_t n = 0, dilated[AXES];
    for (int a = 0; a < AXES; a++) dilated[a] = steps[a] * q->axes[a].dilation;
    FOR_EACH_TAP(q, at)
        if (any_phase_has(problem, phase, phases, at)) {
            if (offset) offset[n] = output_offset(at, dilated);
            n++;
        }
    return n;
}

column_layout lay_out_columns(const conv_problem *problem, int64_t width) {
    int64_t co = problem->q.co, phases = problem->all_phases;
    column_layout layout = {.width = width, .panels_a_set = ceil_div(co, width)};
    layout.phases_a_set = min_of(phases, max_of(1, width / co));
    layout.sets = ceil_div(phases, layout.phases_a_set);
    return layout;
}

const char *panel_bias(const conv_problem *problem, int64_t channel, int64_t channels, int64_t width, char *room) {
    const int64_t size = problem->q.size;
    if (!problem->bias) return 0;
    const char *bias = problem->bias + channel * size;
    if (channels == width) return bias;
    memset(room, 0, (size_t)(width * size));
    for (int64_t at = 0; at + channels <= width; at += channels) memcpy(room + at * size, bias, (size_t)(channels * size));
    return room;
}

int64_t even_shares(int64_t units, int64_t least, int64_t times, int threads) {
    int64_t best = least, least_load = INT64_MAX;
    for (int64_t shares = least; shares <= min_of(units, 2 * least); shares++) {
        const int64_t largest = ceil_div(units, shares);
        const int64_t load = ceil_div(ceil_div(units, largest) * times, threads) * largest;
        if (load < least_load) best = shares, least_load = load;
    }
    return best;
}
