/* The table of microkernels that each instruction set fills: all that the framework knows of an ISA.
 * `real` below is float in the table `f32` and double in `f64`. Sizes and strides count elements.
 */
#ifndef PYCONV_KERNELS_H
#define PYCONV_KERNELS_H

#include <stdint.h>
#include <string.h>

#define UNROLL _Pragma("GCC unroll 16")

/* Stops the compiler from folding a broadcast into each of its uses or recomputing it. */
#if defined(__x86_64__)
#define KEEP_IN_REGISTER(v) __asm__("" : "+v"(v))
#elif defined(__aarch64__)
#define KEEP_IN_REGISTER(v) __asm__("" : "+w"(v))
#else
#define KEEP_IN_REGISTER(v) (void)(v)
#endif

#define MAX_GROUPS 8 /* base pointers of a register tile */

/* One register tile of the indirect GEMM: `groups` × group_rows rows by nr columns.
 * Row g·group_rows + h reads a[g] + h·row_step. The product runs over `runs` runs: run r reads `length` values, `step`
 * apart, from there + offset[r]; b moves on by nr for each value. Row i is written to c[g] + h·c_row_step. */
typedef struct {
    const void *a[MAX_GROUPS];
    void *c[MAX_GROUPS];
    int64_t row_step, c_row_step;
    const int64_t *offset;
    int64_t runs, length, step;
    const void *b;
    const void *bias; /* nr values added to each row, or NULL */
    int accumulate;   /* adds to c instead of overwriting it; bias is not used then */
} tile_args;

/* Up to planar_rows output channels by half of planar_columns pixels, or `wide`: up to half of the rows by all columns.
 * Row i, pixel p: bias[i] + sum over terms k of a[k·rows + i] · x[offset[k] + p], written to y[i·y_row + p]. */
typedef struct {
    const void *a, *x, *bias;
    void *y;
    const int64_t *offset;
    int64_t terms, y_row;
} planar_args;

/* A run of output pixels of a depthwise convolution over `channels` channels (contiguous in x, w and y).
 * Output pixel p reads x + p·x_step + offset[t] for each tap t, times w + t·w_step. Overwrites y + p·y_step. */
typedef struct {
    const void *x, *w, *bias;
    void *y;
    const int64_t *offset;
    int64_t taps, pixels, channels, x_step, w_step, y_step;
} depthwise_args;

/* dw + t·w_step (t < taps) += sum over pixels p of dy + p·y_step times x + p·x_step + t·tap_step, channel by channel. */
typedef struct {
    const void *x, *dy;
    void *dw;
    int64_t taps, pixels, channels, x_step, y_step, w_step, tap_step;
} depthwise_weights_args;

typedef struct {
    int lanes;      /* reals in a vector */
    int groups;     /* base pointers of a full tile */
    int group_rows; /* rows a base pointer */
    int nr;         /* columns of a tile */
    int planar_rows, planar_columns; /* largest tile of `planar` */
    void (*tile)(int groups, const tile_args *args);
    void (*planar)(int rows, int wide, const planar_args *args);
    void (*depthwise)(const depthwise_args *args);
    void (*depthwise_weights)(const depthwise_weights_args *args);
    /* to[i·to_row + j] = from[i·from_row + j·from_column]: copies or transposes a rows × columns block */
    void (*copy_block)(void *to, int64_t to_row, const void *from, int64_t from_row, int64_t from_column, int64_t rows,
                       int64_t columns);
    /* to[i·to_row + j·to_column] = from[i·from_row + j] */
    void (*spread_block)(void *to, int64_t to_row, int64_t to_column, const void *from, int64_t from_row, int64_t rows,
                         int64_t columns);
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
