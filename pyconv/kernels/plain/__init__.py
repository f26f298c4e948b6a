"""The shared backend: NumPy kernels for everything but convolution and pooling.

Every backend falls back on these rows, so they take any dtype the op allows, any strides and any size, 0 included.
NaN and infinities come and go without warnings.
"""

from collections.abc import Callable
from functools import wraps

import numpy as np

from pyconv.kernels import Row
from pyconv.kernels.plain import (
    chain,
    elementwise,
    fused,
    linear,
    loss,
    normalization,
    random,
    reduction,
    sample,
    select,
    shape,
    softmax,
    unary,
)

_FUNCTIONS: dict[str, Callable[..., None]] = {
    "unary": unary.unary,
    "unary_backward": unary.unary_backward,
    "binary": elementwise.binary,
    "where": elementwise.where,
    "chain": chain.chain,
    "sum": reduction.sum,
    "maximum_over": reduction.maximum_over,
    "linear": linear.linear,
    "matmul": linear.matmul,
    "batched_matmul": linear.matmul,
    "fused_conv": fused.fused_conv,
    "pooled_conv": fused.pooled_conv,
    "fused_linear": fused.fused_linear,
    "fused_normalize": fused.fused_normalize,
    "fused_normalize_sums": fused.fused_normalize_sums,
    "fused_batch_norm_backward": fused.fused_batch_norm_backward,
    "moments": normalization.moments,
    "normalize": normalization.normalize,
    "normalize_sums": normalization.normalize_sums,
    "batch_norm_backward": normalization.batch_norm_backward,
    "softmax": softmax.softmax,
    "softmax_backward": softmax.softmax_backward,
    "log_softmax": softmax.log_softmax,
    "log_softmax_backward": softmax.log_softmax_backward,
    "cross_entropy": loss.cross_entropy,
    "cross_entropy_backward": loss.cross_entropy_backward,
    "soft_cross_entropy": loss.soft_cross_entropy,
    "soft_cross_entropy_backward": loss.soft_cross_entropy_backward,
    "label_weights": loss.label_weights,
    "nll": loss.nll,
    "nll_backward": loss.nll_backward,
    "bce_with_logits": loss.bce_with_logits,
    "bce_with_logits_backward": loss.bce_with_logits_backward,
    "copy": shape.copy,
    "slice_backward": shape.slice_backward,
    "concat": shape.concat,
    "pad": shape.pad,
    "pad_backward": shape.pad_backward,
    "interpolate": shape.interpolate,
    "interpolate_backward": shape.interpolate_backward,
    "argmax": select.argmax,
    "top_k": select.top_k,
    "take_along": select.take_along,
    "grid_sample": sample.grid_sample,
    "deformed_taps": sample.deformed_taps,
    "roi_align": sample.roi_align,
    "dropout_mask": random.dropout_mask,
}


def _quiet(kernel: Callable[..., None]) -> Callable[..., None]:
    @wraps(kernel)
    def run(*arguments: object) -> None:
        with np.errstate(all="ignore"):
            kernel(*arguments)

    return run


KERNELS = {name: (Row("numpy", _quiet(function)),) for name, function in _FUNCTIONS.items()}
