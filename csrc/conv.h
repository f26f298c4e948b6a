/* A convolution pass as a problem, and the engines that solve one.
 *
 * conv.c turns the forward pass and each phase of backward data into a problem and picks the engine; conv_weights.c is
 * backward weights. An engine says how much workspace a problem needs and solves it there.
 */
#ifndef PYCONV_CONV_H
#define PYCONV_CONV_H

#include "geometry.h"

/* Weights as a problem wants them: element (k, c, tap) of group g stands at
 * w + g·group_step + k·k_step + c·c_step + tap · tap_step. */
typedef struct {
    const char *w;
    int64_t group_step, k_step, c_step, tap_step[AXES];
} weight_view;

typedef struct {
    correlation q;
    weight_view weights;
    const char *bias; /* of all groups, or NULL */
} conv_problem;

typedef struct {
    int64_t (*workspace)(const conv_problem *problem, int threads);
    void (*solve)(const conv_problem *problem, int threads, char *workspace);
} conv_engine;

extern const conv_engine gemm_engine;      /* channels-last tiles, packed weights: the general one */
extern const conv_engine planar_engine;    /* pixels as the vector axis: few output channels */
extern const conv_engine depthwise_engine; /* one channel in and out a group */
extern const conv_engine winograd_engine;  /* 3×3 of stride 1, where fits_winograd: a fourth of the products, some error */

int fits_winograd(const conv_problem *problem);

/* One input and one output channel a group. */
static inline int is_depthwise(const correlation *q) { return q->groups > 1 && q->ci == 1 && q->co == 1; }

/* Where tap (d, h, w) of a problem stands, from the first, in elements. */
static inline int64_t tap_offset(const weight_view *view, int64_t d, int64_t h, int64_t w) {
    return d * view->tap_step[DEPTH] + h * view->tap_step[HEIGHT] + w * view->tap_step[WIDTH];
}

/* Backward weights, general and depthwise. */
int64_t conv_weights_workspace(const pyconv_conv *p);
void conv_weights(const pyconv_conv *p, const void *dy, const void *x, void *dw, void *workspace, int threads);
int64_t depthwise_weights_workspace(const pyconv_conv *p, int threads);
void depthwise_weights(const pyconv_conv *p, const void *dy, const void *x, void *dw, void *workspace, int threads);

#endif
