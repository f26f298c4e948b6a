/* AVX-512 (Skylake-X, Zen 4 and later): 32 registers, tile 14 × 32 as seven pairs of rows, so that pointers fit too. */
#include "../kernels.h"
#ifdef __x86_64__
#include <immintrin.h>
#include "target.h"
TARGET_BEGIN("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")

#define ISA avx512
#define SIMD "../simd/avx512.h"
#define GROUPS 7
#define GROUP_ROWS 2
#define NV 2
#include "both.h"

TARGET_END
#endif
