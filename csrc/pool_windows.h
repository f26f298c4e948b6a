/* Windows along one axis: which inputs each output looks at, and runs of outputs whose windows are alike. */
#ifndef PYCONV_POOL_WINDOWS_H
#define PYCONV_POOL_WINDOWS_H

#include "geometry.h"

/* Output o looks at inputs start[o] + t·step, t < count[o]; without tables, at input o. A sum is divided by divisor[o], or
 * by `common` without a table. Runs take outputs that are `period` apart, or pairs of them if windows come in pairs.
 * `levels`: of folds to be made first (double_windows in pool_fold.c). */
typedef struct {
    const int64_t *start, *count, *divisor;
    int64_t step, in, out, most, common, period, levels; /* most: the largest count */
    int in_pairs;
} window;

typedef struct {
    int64_t begin, end;
} span;

/* Outputs first, first + step, …, n of them, that have windows of `count` inputs, at start, start + start_step, …; in pairs,
 * the outputs after these as well. */
typedef struct {
    int64_t first, step, n, start, start_step, count, divisor;
    int in_pairs;
} run;

static inline int64_t start_of(const window *w, int64_t o) { return w->start ? w->start[o] : o; }
static inline int64_t count_of(const window *w, int64_t o) { return w->count ? w->count[o] : 1; }
static inline int64_t divisor_of(const window *w, int64_t o) { return w->divisor ? w->divisor[o] : w->common; }
static inline int64_t length(span s) { return s.end - s.begin; }

/* Each output of w is its own input, divided as w has it. */
static inline window divisors_of(const window *w) {
    window d = {.divisor = w->divisor, .common = w->common, .step = 1, .in = w->out, .out = w->out, .most = 1, .period = 1};
    return d;
}

static inline window undivided(const window *w) {
    window u = *w;
    u.divisor = 0;
    u.common = 1;
    return u;
}

/* Each input of w is an output. */
static inline window inputs_of(const window *w) {
    return (window){.step = 1, .in = w->in, .out = w->in, .most = 1, .common = 1, .period = 1};
}

static inline int is_divided_evenly(const window *w) {
    for (int64_t o = 1; o < w->out; o++)
        if (divisor_of(w, o) != divisor_of(w, 0)) return 0;
    return 1;
}

/* The inputs that windows of these outputs reach. Without dilation neither the beginnings nor the ends of windows go back. */
static inline span reach(const window *w, span outputs) {
    span inputs = {w->in, 0};
    while (outputs.begin < outputs.end && !count_of(w, outputs.begin)) outputs.begin++;
    while (outputs.begin < outputs.end && !count_of(w, outputs.end - 1)) outputs.end--;
    for (int64_t o = outputs.begin; o < outputs.end; o = w->step == 1 && o < outputs.end - 1 ? outputs.end - 1 : o + 1)
        if (count_of(w, o)) {
            inputs.begin = min_of(inputs.begin, start_of(w, o));
            inputs.end = max_of(inputs.end, start_of(w, o) + (count_of(w, o) - 1) * w->step + 1);
        }
    return inputs.end ? inputs : (span){0, 0};
}

/* Whether outputs 0 and 1, 2 and 3, … look at the same inputs. */
static inline int come_in_pairs(const window *w) {
    int pairs = w->period == 2 && !w->divisor;
    for (int64_t o = 1; pairs && o < w->out; o += 2)
        pairs = start_of(w, o) == start_of(w, o - 1) && count_of(w, o) == count_of(w, o - 1);
    return pairs;
}

/* Makes r the run after it, or the first one where r is empty; returns 0 past the last. */
static inline int next_run(const window *w, span outputs, run *r) {
    const int64_t phases = w->in_pairs ? 1 : w->period, end = w->in_pairs ? outputs.end - 1 : outputs.end;
    int64_t first = outputs.begin;
    if (r->n) {
        first = r->first + r->n * r->step;
        if (first >= outputs.end) {
            const int64_t phase = (r->first - outputs.begin) % w->period + 1;
            if (phase >= phases) return 0;
            first = outputs.begin + phase;
        }
    }
    if (first >= outputs.end) return 0;
    *r = (run){first, w->period, 1, start_of(w, first), 0, count_of(w, first), divisor_of(w, first), 0};
    r->in_pairs = w->in_pairs && first < end;
    for (int64_t o = first + r->step; o < end; o += r->step, r->n++) {
        const int64_t start_step = start_of(w, o) - start_of(w, o - r->step);
        if (r->n == 1) r->start_step = start_step;
        if (start_step != r->start_step || count_of(w, o) != r->count || divisor_of(w, o) != r->divisor) break;
    }
    return 1;
}

#define FOR_RUNS(r, w, outputs) for (run r = {0}; next_run(w, outputs, &r);)

#endif
