/* The table of microkernels that each instruction set fills: all that the framework knows of an ISA.
 * `real` below is float in the table `f32` and double in `f64`. Sizes and strides count elements.
 */
#ifndef PYCONV_KERNELS_H
#define PYCONV_KERNELS_H

#include "pyconv.h"

#include <stdint.h>
#include <string.h>

#define UNROLL _Pragma("GCC unroll 16")

/* Stops the compiler from folding a broadcast into each of its uses or recomputing it. */
#ifdef KEEP_IN_REGISTER /* the includer knows better */
#elif defined(__x86_64__)
#define KEEP_IN_REGISTER(v) __asm__("" : "+v"(v))
#elif defined(__aarch64__)
#define KEEP_IN_REGISTER(v) __asm__("" : "+w"(v))
#else
#define KEEP_IN_REGISTER(v) (void)(v)
#endif

#define MAX_GROUPS 8 /* base pointers of a register tile */
#define MAX_NR 64    /* columns of one */

/* One register tile of the indirect GEMM: `groups` × group_rows rows by nr columns.
 * Row g·group_rows + h reads a[g] + h·row_step. The product runs over `runs` runs: run r reads `length` values from there +
 * offset[r]; b moves on by nr for each value. Row i is written to c[g] + h·c_row_step. */
typedef struct {
    const void *a[MAX_GROUPS];
    void *c[MAX_GROUPS];
    int64_t row_step, c_row_step;
    const int64_t *offset;
    int64_t runs, length;
    const void *b;
    const void *bias;     /* nr values added to each row, or NULL */
    const void *row_bias; /* or a value for each row, added to all of it */
    int accumulate;       /* adds to c instead of overwriting it; biases are not used then */
    int narrow;           /* only the first half of the columns, in half the time */
    int64_t again;        /* so many tiles more, each with its rows so far behind those before, in a and in c */
    int64_t a_tile, c_tile;
    int64_t beside; /* of finished outputs: so many bytes from their c lies what is added to them, unless 0, */
    int clips;      /* and then they are held within low … high */
    double low, high;
} tile_args;

/* c[i·c_step + j] = sum over t < length of a[t·a_step + i] · b[t·b_step + j], for all rows i of a register tile and its nr
 * columns j, or with `narrow` the first half of these. */
typedef struct {
    const void *a, *b;
    void *c;
    int64_t a_step, b_step, c_step, length;
    int accumulate; /* adds to c instead of overwriting it */
    int narrow;
} outer_args;

/* Up to planar_rows output channels by half of planar_columns pixels, or `wide`: up to half of the rows by all columns.
 * Row i, pixel p: bias[i] + sum over terms k of a[k·rows + i] · x[offset[k] + p], written to y[i·y_row + p]. */
typedef struct {
    const void *a, *x, *bias;
    void *y;
    const int64_t *offset;
    int64_t terms, y_row;
    int accumulate; /* adds to y instead of overwriting it; bias is not used then */
    int relu;       /* what is negative becomes 0 */
    const void *above; /* at y's steps, or NULL: what is written is the maximum of this and what would be */
} planar_args;

/* Vectors of `lanes` images: row i (an output channel), pixel p: bias[i] + sum over planes, runs and terms k < length of
 * w[plane·w_plane + run·w_run + k·rows + i] · x[plane·x_plane + run·x_run + p·x_pixel + k·lanes], to y[p·y_pixel + i·lanes].
 * A vector of x is one number of each image; a bias or weight is the same for all of them. */
typedef struct {
    const void *x, *w, *bias;
    void *y;
    int64_t planes, runs, length, x_plane, x_run, x_pixel, w_plane, w_run, y_pixel;
} images_args;

/* Vectors too: sums[i·sums_row + j·lanes] += sum over a box of pixels of dy[… + i·lanes] · x[… + offset[j]], where each of the
 * lanes is summed alone. */
typedef struct {
    const void *dy, *x;
    void *sums;
    const int64_t *offset;
    int64_t planes, height, width, dy_plane, dy_row, dy_pixel, x_plane, x_row, x_pixel, sums_row;
} images_weights_args;

#define PADDED INT64_MIN /* an offset of what is not there: a zero */

/* A row of output pixels of a depthwise convolution over `channels` channels, contiguous in x and y.
 * Pixel p reads x + x_row[r] + column[p·stride + t·dilation] for tap t of each of `rows` kernel rows, or a zero where that
 * column is PADDED. The columns of positions [inside_begin, inside_end) are x_step apart; there are columns for a multiple of
 * eight pixels. Weights stand in vectors of channels: the tap's at w + c·w_taps + w_row[r] + t·lanes for vector c. Overwrites
 * y + p·y_step.
 * With groups of ci channels of x and co of y, ci·taps weights of a kernel row follow each other, input channel by input
 * channel. Then either co is a multiple of lanes, or lanes are one of co, ci = co and `permutes`; channels are a multiple of
 * lanes, taps at most 3, the dilation 1. */
typedef struct {
    const void *x, *w, *bias;
    void *y;
    const int64_t *x_row, *w_row, *column;
    int64_t inside_begin, inside_end;
    int64_t rows, taps, stride, dilation, pixels, channels, ci, co, x_step, w_taps, y_step;
} depthwise_args;

/* Of the same with the same tables, dw += the sums over pixels of dy + p·y_step times what tap t of kernel row r reads; it
 * stands at dw + c·w_taps + ((r·ci + i)·taps + t)·lanes for vector c and input channel i of its groups. An x_row may be
 * PADDED. Groups of more than one channel have 3 taps. */
typedef struct {
    const void *x, *dy;
    void *dw;
    const int64_t *x_row, *column;
    int64_t inside_begin, inside_end;
    int64_t rows, taps, stride, dilation, pixels, channels, ci, co, x_step, w_taps, y_step;
} depthwise_weights_args;

/* Winograd's algorithms: so many outputs of a tile for a kernel of so many taps, along two axes or one. */
enum { F4X4_3X3, F2X2_5X5, F2X2_3X3, F4_3, F2_5, F2_3 };

/* A transform of one tile between pixels (inputs, weights or their gradients, outputs plus bias or their gradients) and points,
 * as many along an axis as the tile reads inputs, over `channels` contiguous channels, at least a vector of them. Along one axis
 * pixels are pixel_step apart. Gradients are those of F4X4_3X3. */
typedef struct {
    void *pixels, *points;
    const void *bias;
    int64_t row_step, pixel_step, point_step, channels;
    int scheme;
} winograd_args;

/* Pooling of a grid of rows × pixels × lanes. Lane l of pixel p of row r looks at taps x + r·x_row + p·x_step + l·x_lane
 * + offset[t] and goes to y + r·y_row + p·y_step + l·y_lane. Places are positions in a plane, integers as wide as reals; they
 * stand in x_place and y_place as elements do in x and y. */
typedef struct {
    const void *x, *x_place;
    void *y, *y_place;
    const int64_t *offset, *place;
    int64_t taps, rows, pixels, lanes, x_row, x_step, x_lane, y_row, y_step, y_lane;
    int64_t here, here_row, here_step, here_lane; /* the place of that lane: here + r·here_row + p·here_step + l·here_lane */
    double divisor;                               /* of sums */
    int64_t along, x_tap;                         /* unless 0: taps come in rows of so many, which are x_tap apart */
    int in_pairs; /* each lane of y is two elements, with the same taps and places one apart (not of argmax); y_lane is 2 */
} pool_args;

#define MOST_SPREAD_TAPS 64

/* The gradient of maxima, for rows of pixels: tap t of a pixel's window, of which lanes are contiguous, is offset[t] from the
 * first. From pixel to pixel so many elements are a step, from row to row a row. Where windows do not overlap dx lies as x does.
 * Elsewhere its steps are its own, and `written` taps of each window are, number tap[i] at to[i] from the first. */
typedef struct {
    const void *x, *dy;
    void *dx;
    const int64_t *offset, *to, *tap;
    int64_t taps, written, rows, pixels, lanes, x_row, dx_row, dy_row, x_step, dx_step, dy_step;
    double divisor; /* of means */
    int spills; /* what is written behind a pixel's lanes is written after it, and may be written wrong at first */
} spread_args;

/* rows × columns of y = f(a, b); an operand that repeats is one element a row. Steps lead from row to row. */
typedef struct {
    void *y;
    const void *a, *b;
    int64_t rows, columns, y_step, a_step, b_step;
    int a_repeats, b_repeats;
} binary_args;

/* Σ x; mean and Σ (x - mean)²; Σ dy and Σ dy·(x - mean); the same of g, which is dy where low < z < high and else 0, and
 * z = (x - mean)·scale + bias */
enum { SUMS, MOMENTS, PRODUCTS, GATED_PRODUCTS };

/* A statistic of one row, or of each of `columns` columns over `rows` rows: first and, unless SUMS, second. */
typedef struct {
    const void *x, *dy, *mean, *scale, *bias;
    int64_t rows, columns, x_step, dy_step;
    double low, high;
    double *first, *second;
} reduce_args;

/* rows × columns; coefficients are one a column, or one for all where they repeat. */
typedef struct {
    void *y;
    const void *x, *dy, *mean, *scale, *bias, *shift, *slope;
    int64_t rows, columns, y_step, x_step, dy_step;
    int repeats;
    int gated; /* only of the gradient, which takes the g of GATED_PRODUCTS for dy */
    double low, high;
} normalize_args;

/* rows × columns of y = activation(y + residual), in place; the residual, which may be NULL, has the same step from row to
 * row. The activation is a function of one variable of pyconv.h, or -1. */
typedef struct {
    void *y;
    const void *residual;
    int64_t rows, columns, step;
    int activation;
    const double *parameters;
} finish_args;

/* y[i·y_row + j·y_column] = bias[j] + sum over k < length of x[i·x_row + k] · w[j·w_row + k]; bias may be NULL. */
typedef struct {
    const void *x, *w, *bias;
    void *y;
    int64_t rows, columns, length, x_row, w_row, y_row, y_column;
} dot_args;

typedef struct {
    int lanes;      /* reals in a vector */
    int groups;     /* base pointers of a full tile */
    int group_rows; /* rows a base pointer */
    int nr;         /* columns of a tile */
    int planar_rows, planar_columns; /* largest tile of `planar` */
    void (*tile)(int groups, const tile_args *args);
    void (*planar)(int rows, int wide, const planar_args *args);
    int permutes; /* whether `depthwise` takes groups within a vector */
    void (*depthwise)(const depthwise_args *args);
    void (*depthwise_weights)(const depthwise_weights_args *args);
    void (*winograd_input)(const winograd_args *args);
    void (*winograd_weights)(const winograd_args *args);
    void (*winograd_output)(const winograd_args *args);
    void (*winograd_gradients)(const winograd_args *args);
    void (*winograd_weight_gradients)(const winograd_args *args);
    void (*outer)(const outer_args *args);
    int images_rows, images_pixels; /* of the tiles of `images`, and columns of `images_weights`: half as many if rows > half */
    void (*images)(int rows, const images_args *args);
    void (*images_weights)(int rows, const images_weights_args *args);
    /* to[i·to_row + j] = from[i·from_row + j·from_column]: copies or transposes a rows × columns block */
    void (*copy_block)(void *to, int64_t to_row, const void *from, int64_t from_row, int64_t from_column, int64_t rows,
                 int64_t columns);
    /* to[i·to_row + j·to_column] = from[i·from_row + j] */
    void (*spread_block)(void *to, int64_t to_row, int64_t to_column, const void *from, int64_t from_row, int64_t rows,
                         int64_t columns);
    /* to[to_offset[i] + j] = from[from_offset[j] + i] for i < rows, j < columns */
    void (*pack)(void *to, const int64_t *to_offset, const void *from, const int64_t *from_offset, int64_t rows,
                 int64_t columns);
    /* y = the maximum of the taps, -inf if there are none; their sum over divisor */
    void (*pool_max)(const pool_args *args);
    void (*pool_sum)(const pool_args *args);
    /* y_place = the place of the maximum: the first of equals, the last NaN, -1 if there are no taps; y = the maximum unless
     * NULL. Tap t has place here + place[t] or, unless x_place is NULL, what stands there */
    void (*pool_argmax)(const pool_args *args);
    /* dx[place·channels + c] += dy for pixels × channels of dy and of their places; nothing for place -1 */
    void (*pool_scatter)(void *dx, const void *dy, const void *place, int64_t pixels, int64_t channels);
    /* y[p·step + c·channel_step] = base + place, or -1 for place -1 */
    void (*pool_number)(int64_t *y, int64_t step, int64_t channel_step, const void *place, int64_t base, int64_t pixels,
                        int64_t channels);
    /* dx = dy at a window's maximum, the first of equals, the last NaN, and 0 at its other taps; of taps in pairs, which are
     * neighbours, at least a vector of pixels two apart, and one lane */
    void (*pool_spread)(const spread_args *args);
    void (*pool_spread_pairs)(const spread_args *args);
    /* dx = dy / divisor at all taps; of such pairs */
    void (*pool_share)(const spread_args *args);
    void (*pool_share_pairs)(const spread_args *args);
    /* dx += dy at a window's maximum, if that tap is written */
    void (*pool_claim)(const spread_args *args);
    void (*finish)(const finish_args *args);
    void (*dot)(const dot_args *args);
    /* n contiguous elements of y = f(x), of dx = dy · f'(x) */
    void (*unary)(int op, void *y, const void *x, int64_t n, const double *parameters);
    void (*unary_backward)(int op, void *dx, const void *dy, const void *x, const void *y, int64_t n, const double *parameters);
    void (*binary)(int op, const binary_args *args);
    void (*reduce_row)(int statistic, const reduce_args *args);
    void (*reduce_columns)(int statistic, const reduce_args *args);
    /* y = (x - mean) · scale + bias; y = (dy + shift + (x - mean) · slope) · scale */
    void (*normalize)(const normalize_args *args);
    void (*normalize_backward)(const normalize_args *args);
    /* a row of n contiguous elements, of the logarithm if so told */
    void (*softmax)(int logarithm, void *y, const void *x, int64_t n);
    void (*softmax_backward)(int logarithm, void *dx, const void *dy, const void *y, int64_t n);
    double (*fma_chain)(int64_t iterations); /* flops done by `iterations` rounds of independent FMAs */
} kernel_table;

typedef struct {
    const char *name;
    int (*supported)(void);
    const kernel_table *f32, *f64;
} isa_row;

extern const kernel_table pyconv_scalar_f32, pyconv_scalar_f64;
extern const kernel_table pyconv_avx2_f32, pyconv_avx2_f64;
extern const kernel_table pyconv_avx512_f32, pyconv_avx512_f64;
extern const kernel_table pyconv_neon_f32, pyconv_neon_f64;

/* The table in use for reals of so many bits. */
const kernel_table *pyconv_table(int real_bits);

#endif
