/* Calls prepared for a program: what describes a problem is worked out once, and only where its arrays are comes later. */
#ifndef PYCONV_PREPARED_H
#define PYCONV_PREPARED_H

#include "pyconv.h"

/* Bytes that a prepared pass of a convolution (0 forward, 1 backward data) takes in `memory`, aligned to 8 bytes, which is
 * filled unless it is NULL. `fused`: as pyconv_conv_fused has it. The instruction set must stay the same. */
size_t prepare_conv(const pyconv_conv *p, int pass, int fused, int threads, void *memory);

/* The pass, on the weights w and as many threads as it was prepared for. */
void run_conv(const void *prepared, const void *x, const void *w, const void *bias, const void *residual, void *y, void *workspace);

/* The same of a pooling pass, except the backward pass of a maximum. */
size_t prepare_pool(const pyconv_pool *p, int pass, int threads, void *memory);
void run_pool(const void *prepared, const void *x, void *y, void *workspace);

#endif
