"""The reference backend: convolution and pooling as the lecture writes them, loops over output positions in NumPy.

Slow, short and independent of the other backends, in any dtype. In float64 it is the oracle they are tested against.
"""

from collections.abc import Callable

from pyconv.kernels import Row
from pyconv.kernels.naive import conv, pool

_FUNCTIONS: dict[str, Callable[..., None]] = {
    "conv": conv.conv,
    "conv_backward_data": conv.conv_backward_data,
    "conv_backward_weights": conv.conv_backward_weights,
    "max_pool": pool.max_pool,
    "max_pool_indices": pool.max_pool_indices,
    "max_pool_backward": pool.max_pool_backward,
    "avg_pool": pool.avg_pool,
    "avg_pool_backward": pool.avg_pool_backward,
    "unpool": pool.unpool,
    "gather": pool.gather,
}

KERNELS = {name: (Row("direct", function),) for name, function in _FUNCTIONS.items()}
