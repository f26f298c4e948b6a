"""Max unpooling in one, two and three dimensions: maxima back where they came from, and its gradient.

Shapes: x and indices (N, C, *I), or (C, *I), y (N, C, *O).
"""

from __future__ import annotations

import math

from pyconv.functional.arguments import (
    as_indices,
    as_input,
    batched,
    check_extent,
    check_least,
    check_shape,
    padding_pairs,
    shape_or_tail,
    sizes,
    unbatched,
)
from pyconv.ops.node import Node
from pyconv.ops.pool import Gather, Unpool

__all__ = [
    "max_unpool1d",
    "max_unpool1d_backward",
    "max_unpool2d",
    "max_unpool2d_backward",
    "max_unpool3d",
    "max_unpool3d_backward",
]


def max_unpool2d(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Put maxima back where `max_pool2d` found them, zeros elsewhere, as `torch.nn.functional.max_unpool2d`.

    Parameters
    ----------
    x : array (N, C, H, W), or (C, H, W)
        float32 or float64.
    indices : int array of x's shape
        As `max_pool2d` returns; -1 drops an element. Where several name one place, the last wins.
    kernel_size, stride, padding
        Those of the pooling. They give the size (I - 1)·stride - begin - end + kernel_size.
    output_size : sequence of ints, optional
        The result's spatial size (or whole shape), less than a stride away from that.

    Returns
    -------
    ndarray (N, C, *output_size)

    Raises
    ------
    ValueError, TypeError
        As `max_pool2d`; also where an index lies outside of the result's planes.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> y, indices = F.max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2, return_indices=True)
    >>> F.max_unpool2d(y, indices, 2)[0, 0]
    array([[ 0.,  0.,  0.,  0.],
           [ 0.,  5.,  0.,  7.],
           [ 0.,  0.,  0.,  0.],
           [ 0., 13.,  0., 15.]])
    """
    return _max_unpool(2, x, indices, kernel_size, stride, padding, output_size)


def max_unpool1d(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    """`max_unpool2d` with one spatial axis: x (N, C, L)."""
    return _max_unpool(1, x, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    """`max_unpool2d` with three spatial axes: x (N, C, D, H, W)."""
    return _max_unpool(3, x, indices, kernel_size, stride, padding, output_size)


def max_unpool2d_backward(dy, indices):
    """Gradient of `max_unpool2d` with respect to x, for the gradient dy of its result: an array of indices' shape.

    It takes from each plane of dy what the indices name, and 0 for -1. Errors are those of `max_unpool2d`.
    """
    return _max_unpool_backward(2, dy, indices)


def max_unpool1d_backward(dy, indices):
    """`max_unpool2d_backward` with one spatial axis."""
    return _max_unpool_backward(1, dy, indices)


def max_unpool3d_backward(dy, indices):
    """`max_unpool2d_backward` with three spatial axes."""
    return _max_unpool_backward(3, dy, indices)


def _max_unpool(n, x, indices, kernel_size, stride, padding, output_size):
    x, single = batched(as_input(x, "x"), "x", n)
    indices, _ = batched(as_indices(indices, "indices", n + 1 if single else n + 2), "indices", n)
    check_shape(indices, "indices", x.shape, "x")
    check_extent(x.shape, "x")
    size = _unpooled_size(n, x.shape, kernel_size, stride, padding, output_size)
    _check_indices(indices, size)
    y = Unpool(size)(x, indices)
    return unbatched(y) if single else y


def _max_unpool_backward(n, dy, indices):
    dy, single = batched(as_input(dy, "dy"), "dy", n)
    indices, _ = batched(as_indices(indices, "indices", n + 1 if single else n + 2), "indices", n)
    if indices.shape[:2] != dy.shape[:2]:
        raise ValueError(f"indices must have dy's batch and channels {dy.shape[:2]}, not {indices.shape[:2]}")
    _check_indices(indices, dy.shape[2:])
    dx = Gather()(dy, indices)
    return unbatched(dx) if single else dx


def _unpooled_size(n, x_shape, kernel_size, stride, padding, output_size):
    kernel_size = sizes(kernel_size, "kernel_size", n)
    stride = kernel_size if stride is None else sizes(stride, "stride", n)
    pads = padding_pairs(padding, "padding", n)
    check_least(kernel_size, "kernel_size", 1)
    check_least(stride, "stride", 1)
    for pair in pads:
        check_least(pair, "padding", 0)
    size = tuple((i - 1) * s - sum(p) + k for i, s, p, k in zip(x_shape[2:], stride, pads, kernel_size, strict=True))
    if output_size is not None:
        given = shape_or_tail(output_size, "output_size", n)[-n:]
        if any(abs(g - d) >= s for g, d, s in zip(given, size, stride, strict=True)):
            raise ValueError(f"output_size must be less than a stride {stride} away from {size}, not {given}")
        size = given
    if min(size) < 1:
        raise ValueError(f"padding {padding} leaves an empty result of size {size}: x has shape {x_shape}")
    return size


def _check_indices(indices, size):
    """Every index names a place in a plane of `size`, or is -1; what has no value yet is trusted."""
    values = indices.value if type(indices) is Node else indices
    if values is None or values.size == 0:
        return
    lowest, highest, last = int(values.min()), int(values.max()), math.prod(size) - 1
    if lowest < -1 or highest > last:
        raise ValueError(
            f"indices must lie from -1 to {last} for planes of size {size}, not from {lowest} to {highest}"
        )
