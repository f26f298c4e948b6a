/* AArch64 Advanced SIMD: 32 registers, tile 8 × 8. */
#include "../kernels.h"
#ifdef __aarch64__
#include <arm_neon.h>

#define ISA neon
#define SIMD "../simd/neon.h"
#define GROUPS 8
#define GROUP_ROWS 1
#define NV 2
#include "both.h"
#endif
