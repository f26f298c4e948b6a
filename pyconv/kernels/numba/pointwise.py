"""Dense pointwise (1×1) convolution: a matrix product, which NumPy's BLAS computes faster than our loops."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyconv.kernels.im2col.conv import conv, conv_backward_data, conv_backward_weights

__all__ = ["conv", "conv_backward_data", "conv_backward_weights", "refuse"]


def refuse(out: np.ndarray, first: np.ndarray, second: np.ndarray, *rest: Any) -> str | None:
    """Whether the weight (or its gradient, which comes first) has one tap, and all input channels."""
    w, spec = out if len(rest) == 1 else second, rest[-1]
    if spec.groups > 1:
        return f"it needs one group, not {spec.groups}"
    return None if w[0, 0].size == 1 else f"it needs a 1×1 kernel, not {'×'.join(map(str, w.shape[2:]))}"
