/* Every microkernel body, for one `real` and one set of vector operations, and the table that lists them.
 * The including file has set ISA, REAL_BITS, the tile shape (GROUPS, GROUP_ROWS, NV) and included its simd header
 * through `SIMD`. */
#if REAL_BITS == 32
typedef float NAME(real_type);
#else
typedef double NAME(real_type);
#endif
#define real NAME(real_type)
#include SIMD

#define NR (NV * LANES)
#define INLINE static inline __attribute__((always_inline))

#define PLANAR_ROWS 6
#define PLANAR_VECTORS 4
#define IMAGES_ROWS 6
#define IMAGES_PIXELS 4

#include "functions.h"
#include "gemm.h"
#include "planar.h"
#include "outer.h"
#include "images.h"
#include "winograd.h"
#include "move.h"
#include "peak.h"
#include "depthwise.h"
#include "loops.h"
#include "elementwise.h"
#include "finish.h"
#include "dot.h"
#include "reduce.h"
#include "normalize.h"
#include "softmax.h"
#include "pool.h"
#include "spread.h"

const kernel_table TABLE_NAME = {
    .lanes = LANES,
    .groups = GROUPS,
    .group_rows = GROUP_ROWS,
    .nr = NR,
    .planar_rows = PLANAR_ROWS,
    .planar_columns = PLANAR_VECTORS * LANES,
    .tile = NAME(tile),
    .planar = NAME(planar),
    .permutes = PERMUTES,
    .depthwise = NAME(depthwise),
    .depthwise_weights = NAME(depthwise_weights),
    .winograd_input = NAME(winograd_input),
    .winograd_weights = NAME(winograd_weights),
    .winograd_output = NAME(winograd_output),
    .winograd_gradients = NAME(winograd_gradients),
    .winograd_weight_gradients = NAME(winograd_weight_gradients),
    .outer = NAME(outer),
    .images_rows = IMAGES_ROWS,
    .images_pixels = IMAGES_PIXELS,
    .images = NAME(images),
    .images_weights = NAME(images_weights),
    .copy_block = NAME(copy_block),
    .spread_block = NAME(spread_block),
    .pack = NAME(pack),
    .pool_max = NAME(pool_max),
    .pool_sum = NAME(pool_sum),
    .pool_argmax = NAME(pool_argmax),
    .pool_scatter = NAME(pool_scatter),
    .pool_number = NAME(pool_number),
    .pool_spread = NAME(pool_spread),
    .pool_spread_pairs = NAME(pool_spread_pairs),
    .pool_share = NAME(pool_share),
    .pool_share_pairs = NAME(pool_share_pairs),
    .pool_claim = NAME(pool_claim),
    .finish = NAME(finish),
    .dot = NAME(dot),
    .unary = NAME(unary),
    .unary_backward = NAME(unary_backward),
    .binary = NAME(binary),
    .reduce_row = NAME(reduce_row),
    .reduce_columns = NAME(reduce_columns),
    .normalize = NAME(normalize),
    .normalize_backward = NAME(normalize_backward),
    .softmax = NAME(softmax),
    .softmax_backward = NAME(softmax_backward),
    .fma_chain = NAME(fma_chain),
};

#include "undefine.h"
