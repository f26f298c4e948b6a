/* The gradient of maximum pooling where windows do not overlap. */
#ifndef PYCONV_POOL_SPREAD_H
#define PYCONV_POOL_SPREAD_H

#include "pyconv.h"

/* Whether windows and memory orders allow it. */
int pool_can_spread(const pyconv_pool *p);

/* dx = dy at the maxima, 0 elsewhere. */
void pool_spread(const pyconv_pool *p, const void *dy, const void *x, void *dx, int threads);

#endif
