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
    int32_t algorithm;                                /* 0 direct, 1 Winograd, 2 in small tiles */
    int32_t packed;                                   /* w is what pyconv_conv_pack made of it; w_strides are as before */
    int32_t activation;                               /* of pyconv_conv_fused: a function of one variable (below), or -1 */
    double parameters[2];                             /* of the activation */
    int32_t pooled;                                   /* of pyconv_conv_fused: y holds maxima, see there */
} pyconv_conv;

/* Whether Winograd's algorithm of that number can do a pass (0 forward, 1 backward data, 2 backward weights): kernels of 3×3, 5×5
 * or 3×3×3 (any depth) and of 3 or 5 along one axis, in small tiles of 3 only; stride and, but for a depth, dilation 1; padded
 * with zeros; a vector's worth of channels to sum over. 2: 3×3, large tiles, and such channels of either kind. Its rounding
 * errors are a few times those of the direct algorithm. */
int pyconv_conv_has_winograd(const pyconv_conv *p, int pass);

/* Bytes of workspace that a pass (0 forward, 1 backward data, 2 backward weights) needs with so many threads. */
size_t pyconv_conv_workspace(const pyconv_conv *p, int pass, int threads);

/* Weights that stay the same from call to call can be packed once, for problems that differ in nothing but `packed` and
 * the epilogue. The bytes that takes for a pass (0 or 1), or 0 where it reads weights as they lie; and the packing,
 * in a workspace as for a call with packed weights. Packed weights are for the instruction set in use. They also serve
 * problems of other sizes (n, in, out, and the strides of x and y) for which the engine is the same number. */
size_t pyconv_conv_packed_size(const pyconv_conv *p, int pass);
int pyconv_conv_engine(const pyconv_conv *p, int pass);
void pyconv_conv_pack(const pyconv_conv *p, int pass, const void *w, void *packed, void *workspace, int threads);

/* y = x * w + bias; bias may be NULL. */
void pyconv_conv_forward(const pyconv_conv *p, const void *x, const void *w, const void *bias, void *y,
                         void *workspace, int threads);

/* y = activation(x * w + bias + residual), where the residual lies as y does but not in the same place, or is NULL.
 * Where `pooled` is set y holds the maxima of each 2×2 of these (height and width, which `out` counts as two each, NaN wins):
 * with the direct algorithm, without a residual and any activation but ReLU; quick for few output channels. */
void pyconv_conv_fused(const pyconv_conv *p, const void *x, const void *w, const void *bias, const void *residual, void *y,
                       void *workspace, int threads);

/* dx = dy * w transposed, plus bias (of dx's channels) if not NULL; padding_mode must be 0. */
void pyconv_conv_backward_data(const pyconv_conv *p, const void *dy, const void *w, const void *bias, void *dx,
                               void *workspace, int threads);

/* dw = the correlation of x with dy. */
void pyconv_conv_backward_weights(const pyconv_conv *p, const void *dy, const void *x, void *dw,
                                  void *workspace, int threads);

/* Pooling. Along each spatial axis output o looks at input positions start[o] + t·step, t < count[o]; an average divides by
 * the product of the axes' divisor[o]. `windows` holds these three tables (out entries each) of depth, and then two tables
 * (in entries each) which backward passes turn them with: the first output that looks at an input, and how many do; then
 * the same of height and of width. Where step is not 1 these two are not read; it must be 1 for an average's backward pass.
 * The window of a maximum spans less than 2^31 elements of its plane. */
typedef struct {
    int64_t n, c, in[3], out[3], step[3];
    const int64_t *windows;
    int64_t x_strides[5];  /* of x */
    int64_t y_strides[5];  /* of y, the indices or dy */
    int64_t dx_strides[5]; /* of dx */
    int64_t real_bits;
} pyconv_pool;

enum { PYCONV_MAX_POOL, PYCONV_MAX_POOL_INDICES, PYCONV_MAX_POOL_BACKWARD, PYCONV_AVG_POOL, PYCONV_AVG_POOL_BACKWARD };

/* Bytes of workspace that one of these passes needs with so many threads. */
size_t pyconv_pool_workspace(const pyconv_pool *p, int pass, int threads);

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

/* Resampling. Along each spatial axis output o is the sum over t < taps of weight[o·taps + t] times the input at
 * source[o·taps + t]; the tables of depth, height and width follow each other. An axis of one tap has weights 1. */
typedef struct {
    int64_t n, c, in[3], out[3], taps[3];
    const int64_t *source;
    const double *weight;
    int64_t x_strides[5], y_strides[5], real_bits;
} pyconv_resampling;

size_t pyconv_resample_workspace(const pyconv_resampling *p, int threads);
void pyconv_resample(const pyconv_resampling *p, const void *x, void *y, void *workspace, int threads);

/* Functions of one variable. Parameters: LEAKY_RELU slope; CLIP, HARDTANH low, high; ELU alpha; SOFTPLUS beta, threshold;
 * POWER an exponent, one of -2, -1, -1/2, 1/2, 3/4, 1, 2, 3. */
enum {
    PYCONV_NEG, PYCONV_ABS, PYCONV_SIGN, PYCONV_SQRT, PYCONV_EXP, PYCONV_LOG, PYCONV_RELU, PYCONV_LEAKY_RELU, PYCONV_CLIP,
    PYCONV_HARDTANH, PYCONV_ELU, PYCONV_SIGMOID, PYCONV_TANH, PYCONV_SOFTPLUS, PYCONV_GELU, PYCONV_GELU_TANH, PYCONV_SILU,
    PYCONV_MISH, PYCONV_HARDSIGMOID, PYCONV_HARDSWISH, PYCONV_POWER
};
/* Functions of two; those after MINIMUM are for `pyconv_mixed` alone. */
enum {
    PYCONV_ADD, PYCONV_SUB, PYCONV_MUL, PYCONV_DIV, PYCONV_MAXIMUM, PYCONV_MINIMUM, PYCONV_POW, PYCONV_LESS,
    PYCONV_LESS_EQUAL, PYCONV_EQUAL, PYCONV_NOT_EQUAL
};
enum { PYCONV_BOOL, PYCONV_UINT8, PYCONV_INT32, PYCONV_INT64, PYCONV_FLOAT32, PYCONV_FLOAT64 };

/* Loops over up to four arrays, whose elements may lie anyhow. It is quickest where the last axis has stride 1 in the first
 * array and each other one has stride 1 along the last axis or the one before, or stride 0 along the last. */
typedef struct {
    int64_t shape[6], strides[4][6], real_bits;
    int64_t types[4]; /* of the arrays' elements, where they are not all reals of `real_bits` */
} pyconv_loops;

/* y = f(x), strides of y and x; dx = dy · f'(x), strides of dx, dy, x and y; y = f(a, b), strides of y, a and b. */
void pyconv_unary(const pyconv_loops *p, int op, void *y, const void *x, const double parameters[2], int threads);
void pyconv_unary_backward(const pyconv_loops *p, int op, void *dx, const void *dy, const void *x, const void *y,
                           const double parameters[2], int threads);
void pyconv_binary(const pyconv_loops *p, int op, void *y, const void *a, const void *b, int threads);
/* y = x, elements of 8, 32 or 64 bits (real_bits); y = a number. */
void pyconv_copy(const pyconv_loops *p, void *y, const void *x, int threads);
void pyconv_fill(const pyconv_loops *p, void *y, const double value[1], int threads);
/* Elements of any `types`: y = x; y = f(a, b), of integers in 64 bits if both are, else in double precision; y = a where the
 * condition is not 0, else b. A float is never made an integer. */
void pyconv_cast(const pyconv_loops *p, void *y, const void *x, int threads);
void pyconv_mixed(const pyconv_loops *p, int op, void *y, const void *a, const void *b, int threads);
void pyconv_where(const pyconv_loops *p, void *y, const void *condition, const void *a, const void *b, int threads);

/* A function of one variable (from[0]) or of two, up to PYCONV_MINIMUM. Values are numbered: inputs, numbers, then rows of
 * intermediate results, one of which (`to`) takes the result, or y where that is -1. */
typedef struct {
    int64_t op, is_unary, to, from[2];
    double parameters[2];
} pyconv_step;

/* y = what the last step gives, from inputs of its shape, or of one element, whose strides are 0, and from numbers. It may be one of
 * the inputs. Along the last axis it has stride 1, and so have all but four of the inputs. If there is a condition (it is not -1),
 * an input of one byte, and that byte is 0, then y is the input `otherwise`. */
typedef struct {
    int64_t shape[6], strides[11][6], real_bits; /* of y and the inputs */
    int64_t inputs, numbers, count, condition, otherwise;
    double number[16];
    pyconv_step steps[24];
} pyconv_steps;

void pyconv_chain(const pyconv_steps *p, void *y, const void *x0, const void *x1, const void *x2, const void *x3, const void *x4,
                  const void *x5, const void *x6, const void *x7, const void *x8, const void *x9, int threads);

/* Arrays of outer × n × c × m elements, which statistics run over n and m. Either the stride of m is 1 in all of them, or
 * (`columns`) that of c is. Only sums have `outer` axes that are not 1, and columns with an n that is not. */
typedef struct {
    int64_t n, c, m, outer[3];
    int64_t x_strides[3], dy_strides[3], y_strides[3];
    int64_t x_outer[3], out_strides[4]; /* of a sum: out_strides are those of outer and c */
    int64_t columns, real_bits;
    double eps;
    int64_t activation; /* of a normalization: a function of one variable (above), or -1 */
    double parameters[2];
} pyconv_channels;

size_t pyconv_channels_workspace(const pyconv_channels *p);

/* out = Σ x of each channel. */
void pyconv_sum(const pyconv_channels *p, const void *x, void *out, void *workspace, int threads);
/* moments (2, c) = mean and variance, Σ (x - mean)² / (n m), of each channel. */
void pyconv_moments(const pyconv_channels *p, const void *x, void *moments, void *workspace, int threads);
/* y = f(x̂ · w + b + residual) with x̂ = (x - mean) / √(variance + eps) and f the activation; w, b and the residual, which lies
 * as y does but not in the same place, may be NULL. */
void pyconv_normalize(const pyconv_channels *p, const void *x, const void *moments, const void *w, const void *b,
                      const void *residual, void *y, void *workspace, int threads);
/* sums (2, c) = Σ g and Σ g · x̂ of each channel, where g = dy · f'(x̂ · w + b), or dy without an activation. Its derivative
 * must be one that is taken from the argument alone. */
void pyconv_normalize_sums(const pyconv_channels *p, const void *dy, const void *x, const void *moments, const void *w,
                           const void *b, void *sums, void *workspace, int threads);
/* dx = w / √(variance + eps) · (g - Σ g / (n m) - x̂ · Σ g · x̂ / (n m)), strides of dx as y's; w and b may be NULL. */
void pyconv_batch_norm_backward(const pyconv_channels *p, const void *dy, const void *x, const void *moments, const void *sums,
                                const void *w, const void *b, void *dx, void *workspace, int threads);

/* Softmax of each of `rows` rows of n contiguous elements, or its logarithm; steps lead from row to row. */
typedef struct {
    int64_t rows, n, x_step, dy_step, y_step, real_bits;
} pyconv_rows;

void pyconv_softmax(const pyconv_rows *p, int logarithm, const void *x, void *y, int threads);
/* From dy and y, with y_step the step of dx and x_step that of y. */
void pyconv_softmax_backward(const pyconv_rows *p, int logarithm, const void *dy, const void *y, void *dx, int threads);

/* Losses of n × m samples with a label each, an integer of label_bits (8 unsigned, 32 or 64); x and dx are n × classes × m.
 * A label that is `ignored` gives loss, weight and gradient 0, one that is no class NaN. Weights (classes) may be NULL. */
typedef struct {
    int64_t n, classes, m;
    int64_t x_strides[3], dx_strides[3], label_strides[2], loss_strides[2]; /* loss: the loss, its gradient or the weight */
    int64_t ignored, label_bits, real_bits;
    double smoothing;
} pyconv_labels;

size_t pyconv_labels_workspace(const pyconv_labels *p, int threads);

/* loss = -Σ q log softmax(x) with q = w · ((1 - smoothing) · [class = label] + smoothing / classes), and its gradient. */
void pyconv_cross_entropy(const pyconv_labels *p, void *loss, const void *x, const void *labels, const void *weight,
                          void *workspace, int threads);
void pyconv_cross_entropy_backward(const pyconv_labels *p, void *dx, const void *dloss, const void *x, const void *labels,
                                   const void *weight, void *workspace, int threads);
/* out = Σ q, or without smoothing the label's weight; strides of out as the loss's. */
void pyconv_label_weights(const pyconv_labels *p, void *out, const void *labels, const void *weight, int threads);
/* loss = -w · x at the label, and its gradient. */
void pyconv_nll(const pyconv_labels *p, void *loss, const void *x, const void *labels, const void *weight, int threads);
void pyconv_nll_backward(const pyconv_labels *p, void *dx, const void *dloss, const void *labels, const void *weight, int threads);

/* mask[i] = value[1] if word i of a random stream of 32 bits is at least value[0], else 0, for n contiguous reals. The stream
 * is Philox 4×64-10 from state (key, counter), its words cut in two. */
void pyconv_dropout_mask(void *mask, const uint64_t state[2], const double value[2], int64_t n, int real_bits, int threads);

/* A call of one of the functions above, to be made later: each argument but the last, the number of threads, is a number
 * or an address (segment -1), or so many bytes from the beginning of a segment that is named when the call is made. */
enum {
    PYCONV_CALL_CONV_FORWARD, PYCONV_CALL_CONV_FUSED, PYCONV_CALL_CONV_BACKWARD_DATA,
    PYCONV_CALL_CONV_BACKWARD_WEIGHTS, PYCONV_CALL_MAX_POOL,
    PYCONV_CALL_MAX_POOL_INDICES, PYCONV_CALL_MAX_POOL_BACKWARD, PYCONV_CALL_AVG_POOL, PYCONV_CALL_AVG_POOL_BACKWARD,
    PYCONV_CALL_UNPOOL, PYCONV_CALL_GATHER, PYCONV_CALL_UNARY, PYCONV_CALL_UNARY_BACKWARD, PYCONV_CALL_BINARY,
    PYCONV_CALL_COPY, PYCONV_CALL_FILL, PYCONV_CALL_CAST, PYCONV_CALL_MIXED, PYCONV_CALL_WHERE, PYCONV_CALL_SUM,
    PYCONV_CALL_MOMENTS, PYCONV_CALL_NORMALIZE, PYCONV_CALL_NORMALIZE_SUMS, PYCONV_CALL_BATCH_NORM_BACKWARD,
    PYCONV_CALL_SOFTMAX, PYCONV_CALL_SOFTMAX_BACKWARD, PYCONV_CALL_CROSS_ENTROPY, PYCONV_CALL_CROSS_ENTROPY_BACKWARD,
    PYCONV_CALL_LABEL_WEIGHTS, PYCONV_CALL_NLL, PYCONV_CALL_NLL_BACKWARD, PYCONV_CALL_DROPOUT_MASK, PYCONV_CALL_RESAMPLE,
    PYCONV_CALL_CHAIN
};
typedef struct {
    int64_t value[12];
    int32_t segment[12];
    int64_t function;
} pyconv_call;

/* Calls in order, whose workspaces were counted for one instruction set and up to `threads` threads. */
typedef struct {
    const pyconv_call *calls;
    int64_t count;
    const char *isa;
    int64_t threads;
    const int64_t *prepared; /* what pyconv_program_prepare filled, or NULL */
} pyconv_program;

/* Works out beforehand what calls need not do each time, as long as all `threads` are used: in so many bytes of `memory`,
 * unless that is NULL. */
size_t pyconv_program_prepare(const pyconv_program *p, int64_t *memory);

/* Makes all calls of a program; `segments` are addresses. Each call's time is written to `seconds`, unless that is NULL.
 * 0, or -1 where another instruction set has been selected since and nothing was done. */
int pyconv_program_run(const pyconv_program *p, const intptr_t *segments, int threads, double *seconds);

/* The instruction sets this library holds, best first, NULL past the last; whether this machine runs it; the one in use. */
const char *pyconv_isa_name(int index);
int pyconv_isa_supported(int index);
const char *pyconv_isa(void);
/* Use an instruction set from now on; 0, or -1 where it is unknown or this machine lacks it. Not while kernels run. */
int pyconv_select_isa(const char *name);

/* How many threads a call with `threads` would use: 1 inside of a parallel loop, fewer where OpenMP was
 * told so (threadpoolctl). */
int pyconv_effective_threads(int threads);
int pyconv_has_openmp(void);

/* FMA peak of this machine now, measured for about `seconds`, in FLOP/s. */
double pyconv_measure_peak(int real_bits, double seconds, int threads);

/* end cffi */

#endif
