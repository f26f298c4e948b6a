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
} pyconv_conv;

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
