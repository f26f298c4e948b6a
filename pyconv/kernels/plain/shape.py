"""Moving elements: slices, concatenation, padding, resampling.

Resampling works one axis at a time; its adjoint walks the same tables, and sums in a fixed order.
"""

import numpy as np

from pyconv.kernels import padding
from pyconv.kernels.plain.reduction import wide


def copy(y, x):
    """y = x, in y's dtype; overwrites y."""
    np.copyto(y, x, casting="unsafe")


def slice_backward(dx, dy, index):
    """dx[index] = dy, 0 elsewhere; overwrites dx."""
    dx[...] = 0
    dx[index] = dy


def concat(y, *arguments):
    """y = the arrays one after another along an axis (the last argument); overwrites y."""
    *arrays, axis = arguments
    np.concatenate(arrays, axis, out=y)


def pad(y, x, pads, mode, value):
    """y = x with (begin, end) elements added an axis; negative numbers cut off; overwrites y."""
    if mode == "constant":
        padding.pad_constant(y, x, pads, value)
    else:
        y[...] = padding.pad(x, pads, mode)


def pad_backward(dx, dy, pads, mode):
    """dx = for each x the sum of dy over the places it was copied to; overwrites dx."""
    if mode == "constant":
        padding.fold_constant(dx, dy, pads)
    else:
        padding.fold(dx, dy, pads, mode)


def interpolate(y, x, tables):
    """y[o] = Σ_t weight[o, t] · x[source[o, t]] along each spatial axis, by its table in `tables`; overwrites y."""
    for axis, (source, weight) in enumerate(tables, start=2):
        weight = weight.astype(x.dtype).reshape(*weight.shape, *[1] * (x.ndim - axis - 1))
        if weight.shape[1] == 1:  # nearest: a copy
            x = np.take(x, source[:, 0], axis)
        else:
            x = sum(np.take(x, source[:, t], axis) * weight[:, t] for t in range(weight.shape[1]))
    y[...] = x


def interpolate_backward(dx, dy, tables):
    """dx = the adjoint of `interpolate`; overwrites dx."""
    for axis, (source, weight) in enumerate(tables, start=2):
        dy = _scatter(dy, axis, dx.shape[axis], source, weight)
    dx[...] = dy


def _scatter(dy, axis, size, index, weight):
    """Adjoint of a weighted gather along an axis: index and weight are (O, T)."""
    dy = np.moveaxis(dy, axis, 0)
    out = np.zeros((size, *dy.shape[1:]), wide(dy.dtype))
    for o, (sources, weights) in enumerate(zip(index, weight, strict=True)):
        for source, share in zip(sources, weights, strict=True):
            out[source] += dy[o] * dy.dtype.type(share)
    return np.moveaxis(out, 0, axis)
