"""The Numba backend: loops jitted for this machine, where no compiled library can be had."""

from __future__ import annotations

try:
    import numba as _numba  # noqa: F401
except ImportError as error:
    raise ImportError("the numba backend needs Numba: pip install pyconv-engine[numba]") from error

from pyconv.kernels import Row
from pyconv.kernels.numba import conv, depthwise, indexed, maxima, pointwise, pool

KERNELS = {
    "conv": (
        Row("depthwise", depthwise.conv, depthwise.refuse),
        Row("matmul", pointwise.conv, pointwise.refuse),
        Row("implicit_gemm", conv.conv),
    ),
    "conv_backward_data": (
        Row("depthwise", depthwise.conv_backward_data, depthwise.refuse),
        Row("matmul", pointwise.conv_backward_data, pointwise.refuse),
        Row("implicit_gemm", conv.conv_backward_data),
    ),
    "conv_backward_weights": (
        Row("depthwise", depthwise.conv_backward_weights, depthwise.refuse),
        Row("matmul", pointwise.conv_backward_weights, pointwise.refuse),
        Row("implicit_gemm", conv.conv_backward_weights),
    ),
    "max_pool": (Row("direct", pool.max_pool),),
    "max_pool_indices": (Row("direct", maxima.max_pool_indices),),
    "max_pool_backward": (Row("direct", maxima.max_pool_backward),),
    "avg_pool": (Row("direct", pool.avg_pool),),
    "avg_pool_backward": (Row("direct", pool.avg_pool_backward),),
    "unpool": (Row("direct", indexed.unpool),),
    "gather": (Row("direct", indexed.gather),),
}
