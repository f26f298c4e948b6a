/* The microkernels on portable vectors of 64 bytes with the AVX-512 row's tile, so that its shape is tested anywhere. */
#define KEEP_IN_REGISTER(v) (void)(v) /* no register is that wide */
#include "kernels.h"

#define VECTOR_BYTES 64
#define ISA wide
#define SIMD "../simd/portable.h"
#define GROUPS 7
#define GROUP_ROWS 2
#define NV 2
#include "isa/both.h"
