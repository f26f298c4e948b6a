/* A convolution pass as a problem, and the engines that solve one.
 *
 * Forward and backward data are one kind of problem (conv_problem.c); conv.c picks the engine that solves it. An engine
 * says how much workspace a problem needs and solves it there. Backward weights is conv_weights.c.
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

/* A correlation whose outputs come in phases: along each axis, output phase + phases·o of phase `phase` looks at the inputs
 * around position o. Forward has one phase. Backward data has as many as the stride, since only every stride-th tap
 * meets a given position of dx; its taps lie among those of the hull, which `q` holds. */
typedef struct {
    correlation q; /* out counts positions o of the first phase, no other has more; y_step leads from o to o + 1 */
    weight_view weights;
    const char *bias; /* of all groups, or NULL */
    int algorithm;    /* a caller's choice: see below */
    int packing;      /* of weights: see below */
    char *packed;     /* weights packed beforehand, or where to pack them */
    const char *residual;  /* what is added to the outputs, where they lie in y, or NULL; */
    int activation;        /* then a function of one variable, or -1 */
    const double *parameters;
    int pooled; /* y holds the maximum of each 2×2 outputs (height and width, which are even): the planar engine alone does that */
    int backward;
    int64_t phases[AXES], all_phases;
    int64_t first[AXES]; /* of the hull of backward data; that of q is 0 once x begins there */
    int64_t kernel[AXES], stride[AXES], dilation[AXES], pad[AXES]; /* of the convolution, as its caller gave them */
    int64_t outputs[AXES], output_step[AXES];                      /* of y, all phases together */
} conv_problem;

/* Winograd's gives up some precision, in tiles as large as it knows, or in small ones; between the others nothing but time differs. */
enum { DIRECT, WINOGRAD, WINOGRAD_SMALL };

/* In each call, into its workspace; before it, so that none of that is left to do; or nothing else in this call. */
enum { PACK_AND_SOLVE, PACKED, PACK_ONLY };

conv_problem forward_problem(const pyconv_conv *p, const void *x, const void *w, const void *bias, void *y);
conv_problem backward_data_problem(const pyconv_conv *p, const void *dy, const void *w, const void *bias, void *dx);

/* A phase's number along each axis. */
void split_phase(const conv_problem *problem, int64_t phase, int64_t at[AXES]);

/* The part of a tile that exists in a phase, and where the phase's first output stands in y, in elements. */
tile tile_of_phase(const conv_problem *problem, const tile *t, int64_t phase);
int64_t phase_offset(const conv_problem *problem, int64_t phase);

/* The tap of the kernel, counted in C order, that a phase has at tap (d, h, w) of the hull, or -1. */
int64_t kernel_tap(const conv_problem *problem, int64_t phase, const int64_t at[AXES]);

/* Where a tap of the kernel stands among the weights, in elements. */
int64_t tap_offset(const conv_problem *problem, int64_t tap);

/* Whether the taps of the kernel lie side by side, in order. */
int taps_are_contiguous(const conv_problem *problem);

/* Calls the body for each tap `at` of the hull. */
#define FOR_EACH_TAP(q, at)                                                                     \
    for (int64_t at[AXES] = {0}; at[DEPTH] < (q)->axes[DEPTH].taps; at[DEPTH]++)                \
        for (at[HEIGHT] = 0; at[HEIGHT] < (q)->axes[HEIGHT].taps; at[HEIGHT]++)                 \
            for (at[WIDTH] = 0; at[WIDTH] < (q)->axes[WIDTH].taps; at[WIDTH]++)

int any_phase_has(const conv_problem *problem, int64_t phase, int64_t phases, const int64_t at[AXES]);

/* Lists the input offsets, under the given steps, of the hull's taps that any of some phases has; returns their number.
 * `offset` may be NULL. */
int64_t list_phase_taps(const conv_problem *problem, int64_t phase, int64_t phases, const int64_t steps[AXES], int64_t *offset);

/* How the output channels of all phases become panels of at most `width` columns. Where channels are few, the phases of a
 * set share its one panel, side by side; else a set is one phase and has as many panels as it takes. */
typedef struct {
    int64_t width, phases_a_set, sets, panels_a_set;
} column_layout;

column_layout lay_out_columns(const conv_problem *problem, int64_t width);
column_layout planar_layout(const conv_problem *problem); /* as the planar engine has it */
int64_t planar_width(const conv_problem *problem, const column_layout *layout); /* pixels of its register tile */

static inline int64_t phases_of_set(const conv_problem *problem, const column_layout *layout, int64_t set) {
    return min_of(layout->phases_a_set, problem->all_phases - set * layout->phases_a_set);
}

/* The bias of a panel: in place, or in `room`, where it is repeated for each phase and padded to `width`. */
const char *panel_bias(const conv_problem *problem, int64_t channel, int64_t channels, int64_t width, char *room);

/* The number of shares, from `least` to twice that, with which threads end together if `units` are split into so many and each
 * share is a task in `times` tiles. */
int64_t even_shares(int64_t units, int64_t least, int64_t times, int threads);

/* The epilogue: adds the residual and applies the activation to finished outputs, so many channels (of all groups) of a tile. */
void finish_tile(const conv_problem *problem, const correlation *q, const tile *t, int64_t channel, int64_t channels);

typedef struct {
    int64_t (*packed)(const conv_problem *problem); /* bytes of packed weights, or 0 */
    int64_t (*workspace)(const conv_problem *problem, int threads);
    void (*solve)(const conv_problem *problem, int threads, char *workspace);
    /* The same in two steps, or NULL: what does not depend on where arrays are, once, in so many bytes of `memory` (NULL:
     * they are only counted); and the rest, in each call, for a problem that differs in nothing else. */
    int64_t (*prepare)(const conv_problem *problem, int threads, char *memory);
    void (*resume)(const char *prepared, const conv_problem *problem, int threads, char *workspace);
} conv_engine;

extern const conv_engine gemm_engine;      /* channels-last tiles, packed weights: the general one */
extern const conv_engine planar_engine;    /* pixels as the vector axis: few output channels */
extern const conv_engine turned_engine;    /* output channels as rows, pixels as columns: 1×1 channels-first, few pixels */
extern const conv_engine dot_engine;       /* 1×1 over a few pixels: dot products with weights where they lie */
extern const conv_engine depthwise_engine; /* one channel in and out a group, or a few */
extern const conv_engine winograd_engine;  /* few taps of stride 1, where fits_winograd: fewer products, some error */

extern const conv_engine images_engine;    /* images of a batch as the vector axis: few channels */

int fits_winograd(const conv_problem *problem);

int turned_engine_suits(const conv_problem *problem);
int dot_engine_suits(const conv_problem *problem);
int images_engine_suits(const conv_problem *problem);
int images_weights_suits(const correlation *q); /* for backward weights */

int depthwise_engine_suits(const conv_problem *problem);
int depthwise_weights_suits(const correlation *q); /* for backward weights */

/* Backward weights: general, depthwise, of few channels, and by Winograd's algorithm where fits_winograd_weights. */
int64_t conv_weights_workspace(const pyconv_conv *p, int threads);
void conv_weights(const pyconv_conv *p, const void *dy, const void *x, void *dw, void *workspace, int threads);
int64_t depthwise_weights_workspace(const pyconv_conv *p, int threads);
void depthwise_weights(const pyconv_conv *p, const void *dy, const void *x, void *dw, void *workspace, int threads);
int64_t images_weights_workspace(const pyconv_conv *p, int threads);
void images_weights(const pyconv_conv *p, const void *dy, const void *x, void *dw, void *workspace, int threads);
int fits_winograd_weights(const pyconv_conv *p);
int64_t winograd_weights_workspace(const pyconv_conv *p, int threads);
void winograd_weights(const pyconv_conv *p, const void *dy, const void *x, void *dw, void *workspace, int threads);

#endif
