"""Reductions over axes."""

import numpy as np


def sum(y, x, axes, keepdims):
    """y = sum of x over axes, float32 accumulated in float64; overwrites y."""
    np.copyto(y, np.add.reduce(x, axes, wide(x.dtype), keepdims=keepdims), casting="same_kind")


def maximum_over(y, x, axes, keepdims):
    """y = largest x over axes, NaN if there is one; overwrites y."""
    np.maximum.reduce(x, axes, out=y, keepdims=keepdims)


def wide(dtype):
    """The precision that sums are accumulated in."""
    return np.dtype(np.float64) if dtype == np.float32 else dtype
