/* Single elements of arrays whose precision is known only at run time: for what runs a few times a channel or sample. */
#ifndef PYCONV_REALS_H
#define PYCONV_REALS_H

#include <stdint.h>

/* Element i of reals of `size` bytes. */
static inline double get(const void *reals, int64_t i, int64_t size) {
    return size == 4 ? (double)((const float *)reals)[i] : ((const double *)reals)[i];
}
static inline void set(void *reals, int64_t i, int64_t size, double value) {
    if (size == 4) ((float *)reals)[i] = (float)value;
    else ((double *)reals)[i] = value;
}

#endif
