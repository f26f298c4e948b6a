/* AVX2 + FMA (Haswell, Zen and later): 16 registers, tile 6 × 16. */
#include "../kernels.h"
#ifdef __x86_64__
#include <immintrin.h>
#include "target.h"
TARGET_BEGIN("avx2,fma")

#define ISA avx2
#define SIMD "../simd/avx2.h"
#define GROUPS 6
#define GROUP_ROWS 1
#define NV 2
#include "both.h"

TARGET_END
#endif
