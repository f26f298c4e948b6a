/* The gradient of pooling where windows do not overlap. */
#ifndef PYCONV_POOL_SPREAD_H
#define PYCONV_POOL_SPREAD_H

#include "pyconv.h"

/* Whether windows and memory orders allow it. */
int pool_can_spread(const pyconv_pool *p, int pass);

/* dx = dy at the maxima, 0 elsewhere; or where x is NULL the shares of means. */
void pool_spread(const pyconv_pool *p, const void *dy, const void *x, void *dx, int threads);

#endif
