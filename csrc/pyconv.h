/* The public C API of pyconv. cffi reads the part between the two markers; it must stay plain C without macros.
 *
 * Arrays come as a pointer to element [0, 0, ...] and strides in elements (any sign, any order). Every problem has three
 * spatial axes (depth, height, width); a 2-d or 1-d one has leading axes of size 1. Callers validate: nothing here checks
 * its arguments, nothing allocates, and nothing keeps a pointer after it returns. Results are the same, bit for bit,
 * whatever `threads` is. Every function may be called from several threads at once, each with a workspace of its own.
 */
#ifndef PYCONV_H
#define PYCONV_H

#include <stddef.h>
#include <stdint.h>

/* begin cffi */

typedef struct {
    int64_t n, c, k, groups;                          /* images, input channels, output channels, groups */
    int64_t in[3], out[3], kernel[3];                 /* spatial sizes of x, y and w */
    int64_t stride[3], dilation[3], pad[3];           /* pad: before the first element; may be negative (a crop) */
    int64_t x_strides[5], y_strides[5], w_strides[5]; /* of x or dx, y or dy, w or dw: (N, C, D, H, W), (K, C/g, D, H, W) */
    int32_t padding_mode;                             /* 0 zeros, 1 reflect, 2 replicate, 3 circular */
    int32_t real_bits;                                /* 32 or 64 */
    int32_t algorithm;                                /* 0 direct, 1 Winograd: not for backward weights */
} pyconv_conv;

/* Whether Winograd F(4×4, 3×3) can do a pass (0 forward, 1 backward data): kernels of 3×3 (×1), stride and dilation 1, padded
 * with zeros, a vector's worth of channels to sum over. Its rounding errors are a few times those of the direct algorithm. */
int pyconv_conv_has_winograd(const pyconv_conv *p, int pass);

/* Bytes of workspace that a pass (0 forward, 1 backward data, 2 backward weights) needs with so many threads. */
size_t pyconv_conv_workspace(const pyconv_conv *p, int pass, int threads);

/* y = x * w + bias; bias may be NULL. */
void pyconv_conv_forward(const pyconv_conv *p, const void *x, const void *w, const void *bias, void *y,
                         void *workspace, int threads);

/* dx = dy * w transposed, plus bias (of dx's channels) if not NULL; padding_mode must be 0. */
void pyconv_conv_backward_data(const pyconv_conv *p, const void *dy, const void *w, const void *bias, void *dx,
                               void *workspace, int threads);

/* dw = the correlation of x with dy. */
void pyconv_conv_backward_weights(const pyconv_conv *p, const void *dy, const void *x, void *dw,
                                  void *workspace, int threads);

/* Pooling. The windows of each spatial axis are tables: output o looks at input positions start[o] + t·step, t < count[o];
 * an average divides by the product of the axes' divisor[o]. `windows` holds the three tables of depth, one after another
 * (out[0] entries each), then those of height and of width. */
typedef struct {
    int64_t n, c, in[3], out[3], step[3];
    const int64_t *windows;
    int64_t x_strides[5];  /* of x */
    int64_t y_strides[5];  /* of y, the indices or dy */
    int64_t dx_strides[5]; /* of dx */
    int64_t real_bits;
} pyconv_pool;

size_t pyconv_pool_workspace(const pyconv_pool *p, int threads);

/* Maximum of each window, -inf for an empty one; NaN wins. */
void pyconv_max_pool(const pyconv_pool *p, const void *x, void *y, void *workspace, int threads);
/* Position of each maximum in its plane, counted in C order: the first of equals, the last NaN; -1 for an empty window. */
void pyconv_max_pool_indices(const pyconv_pool *p, const void *x, int64_t *indices, void *workspace, int threads);
/* dx = dy at the maxima, summed. */
void pyconv_max_pool_backward(const pyconv_pool *p, const void *dy, const void *x, void *dx, void *workspace, int threads);
void pyconv_avg_pool(const pyconv_pool *p, const void *x, void *y, void *workspace, int threads);
void pyconv_avg_pool_backward(const pyconv_pool *p, const void *dy, void *dx, void *workspace, int threads);

/* Elements of planes named by indices that count in C order; an index of -1 names nothing, any other must lie in the plane. */
typedef struct {
    int64_t n, c, plane[3], points[3];
    int64_t plane_strides[5], point_strides[5], index_strides[5];
    int64_t real_bits;
} pyconv_points;

/* plane = 0, then each point goes to its index: the last of several, or with `add` their sum. */
void pyconv_unpool(const pyconv_points *p, const void *points, const int64_t *indices, void *plane, int add, int threads);
/* points = the elements that the indices name, 0 for none. */
void pyconv_gather(const pyconv_points *p, const void *plane, const int64_t *indices, void *points, int threads);

/* Functions of one variable. Parameters: LEAKY_RELU slope; CLIP, HARDTANH low, high; ELU alpha; SOFTPLUS beta, threshold. */
enum {
    PYCONV_NEG, PYCONV_ABS, PYCONV_SQRT, PYCONV_EXP, PYCONV_LOG, PYCONV_RELU, PYCONV_LEAKY_RELU, PYCONV_CLIP,
    PYCONV_HARDTANH, PYCONV_ELU, PYCONV_SIGMOID, PYCONV_TANH, PYCONV_SOFTPLUS, PYCONV_GELU, PYCONV_GELU_TANH, PYCONV_SILU,
    PYCONV_MISH, PYCONV_HARDSIGMOID, PYCONV_HARDSWISH
};
/* Functions of two. */
enum { PYCONV_ADD, PYCONV_SUB, PYCONV_MUL, PYCONV_DIV, PYCONV_MAXIMUM, PYCONV_MINIMUM };

/* Elementwise loops over up to four arrays. The last axis has stride 1 in all; for an operand of a binary function 0 will
 * do too, there and elsewhere. */
typedef struct {
    int64_t shape[6], strides[4][6], real_bits;
} pyconv_loops;

/* y = f(x), strides of y and x; dx = dy · f'(x), strides of dx, dy, x and y; y = f(a, b), strides of y, a and b. */
void pyconv_unary(const pyconv_loops *p, int op, void *y, const void *x, const double parameters[2], int threads);
void pyconv_unary_backward(const pyconv_loops *p, int op, void *dx, const void *dy, const void *x, const void *y,
                           const double parameters[2], int threads);
void pyconv_binary(const pyconv_loops *p, int op, void *y, const void *a, const void *b, int threads);

/* Arrays of n × c × m elements, which statistics run over n and m. Either the stride of m is 1 in all of them, or
 * (`columns`) that of c is, and n is 1. */
typedef struct {
    int64_t n, c, m;
    int64_t x_strides[3], dy_strides[3], y_strides[3];
    int64_t columns, real_bits;
} pyconv_channels;

size_t pyconv_channels_workspace(const pyconv_channels *p);

/* out[c] = Σ x. */
void pyconv_sum(const pyconv_channels *p, const void *x, double *out, void *workspace, int threads);
/* mean[c], and variance[c] = Σ (x - mean)² / (n m). */
void pyconv_moments(const pyconv_channels *p, const void *x, double *mean, double *variance, void *workspace, int threads);
/* sums[c] = Σ dy, products[c] = Σ dy · (x - mean). mean is in the precision of x. */
void pyconv_products(const pyconv_channels *p, const void *dy, const void *x, const void *mean, double *sums, double *products,
                     void *workspace, int threads);
/* y = (x - mean) · scale + shift; coefficients one a channel, in the precision of x. */
void pyconv_normalize(const pyconv_channels *p, const void *x, const void *mean, const void *scale, const void *shift, void *y,
                      int threads);
/* y = (dy + shift + (x - mean) · slope) · scale. */
void pyconv_normalize_backward(const pyconv_channels *p, const void *dy, const void *x, const void *mean, const void *slope,
                               const void *scale, const void *shift, void *y, int threads);

/* Softmax of each of `rows` rows of n contiguous elements, or its logarithm; steps lead from row to row. */
typedef struct {
    int64_t rows, n, x_step, dy_step, y_step, real_bits;
} pyconv_rows;

void pyconv_softmax(const pyconv_rows *p, int logarithm, const void *x, void *y, int threads);
/* From dy and y, with y_step the step of dx and x_step that of y. */
void pyconv_softmax_backward(const pyconv_rows *p, int logarithm, const void *dy, const void *y, void *dx, int threads);

/* A call of one of the functions above, to be made later: each argument but the last, the number of threads, is a number
 * or an address (segment -1), or so many bytes from the beginning of a segment that is named when the call is made. */
enum {
    PYCONV_CALL_CONV_FORWARD, PYCONV_CALL_CONV_BACKWARD_DATA, PYCONV_CALL_CONV_BACKWARD_WEIGHTS, PYCONV_CALL_MAX_POOL,
    PYCONV_CALL_MAX_POOL_INDICES, PYCONV_CALL_MAX_POOL_BACKWARD, PYCONV_CALL_AVG_POOL, PYCONV_CALL_AVG_POOL_BACKWARD,
    PYCONV_CALL_UNPOOL, PYCONV_CALL_GATHER, PYCONV_CALL_UNARY, PYCONV_CALL_UNARY_BACKWARD, PYCONV_CALL_BINARY,
    PYCONV_CALL_SUM, PYCONV_CALL_MOMENTS, PYCONV_CALL_PRODUCTS, PYCONV_CALL_NORMALIZE, PYCONV_CALL_NORMALIZE_BACKWARD,
    PYCONV_CALL_SOFTMAX, PYCONV_CALL_SOFTMAX_BACKWARD
};
typedef struct {
    int64_t value[8];
    int32_t segment[8];
    int64_t function;
} pyconv_call;

/* Calls in order, whose workspaces were counted for one instruction set and up to `threads` threads. */
typedef struct {
    const pyconv_call *calls;
    int64_t count;
    const char *isa;
    int64_t threads;
} pyconv_program;

/* Makes all calls of a program; `segments` are addresses. Each call's time is written to `seconds`, unless that is NULL.
 * 0, or -1 where another instruction set has been selected since and nothing was done. */
int pyconv_program_run(const pyconv_program *p, const intptr_t *segments, int threads, double *seconds);

/* The instruction sets this library holds, best first, NULL past the last; whether this machine runs it; the one in use. */
const char *pyconv_isa_name(int index);
int pyconv_isa_supported(int index);
const char *pyconv_isa(void);
/* Use an instruction set from now on; 0, or -1 where it is unknown or this machine lacks it. Not while kernels run. */
int pyconv_select_isa(const char *name);

/* How many threads a call with `threads` would use: 1 in a child forked after parallel work or without OpenMP. */
int pyconv_effective_threads(int threads);
int pyconv_has_openmp(void);

/* FMA peak of this machine now, measured for about `seconds`, in FLOP/s. */
double pyconv_measure_peak(int real_bits, double seconds, int threads);

/* end cffi */

#endif
