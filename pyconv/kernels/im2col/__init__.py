"""The NumPy backend: convolution as one matrix product over columns of patches (im2col), pooling as whole-array slices.

It needs NumPy and its BLAS alone, and serves where neither a C compiler nor Numba is to be had.
"""

from pyconv.kernels import Row
from pyconv.kernels.im2col import conv, depthwise, pool

KERNELS = {
    "conv": (Row("depthwise", depthwise.conv, depthwise.refuse_conv), Row("im2col", conv.conv)),
    "conv_backward_data": (
        Row("depthwise", depthwise.conv_backward_data, depthwise.refuse_conv),
        Row("im2col", conv.conv_backward_data),
    ),
    "conv_backward_weights": (
        Row("depthwise", depthwise.conv_backward_weights, depthwise.refuse_backward_weights),
        Row("im2col", conv.conv_backward_weights),
    ),
    "max_pool": (Row("slices", pool.max_pool),),
    "max_pool_indices": (Row("slices", pool.max_pool_indices),),
    "max_pool_backward": (Row("slices", pool.max_pool_backward),),
    "avg_pool": (Row("slices", pool.avg_pool),),
    "avg_pool_backward": (Row("slices", pool.avg_pool_backward),),
    "unpool": (Row("scatter", pool.unpool),),
    "gather": (Row("gather", pool.gather),),
}
