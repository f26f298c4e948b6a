/* The row that runs anywhere: portable vectors of 16 bytes. Tile 6 × 8. */
#include "../kernels.h"

#define ISA scalar
#define SIMD "../simd/portable.h"
#define GROUPS 6
#define GROUP_ROWS 1
#define NV 2
#include "both.h"
