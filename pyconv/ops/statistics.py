"""Means and extremes over axes, and the reductions among `Node`'s methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pyconv.ops.elementwise import div, equal, mul, neg, where
from pyconv.ops.node import Node, Op
from pyconv.ops.reduce import Sum, reduced_shape, spread


@dataclass(frozen=True, slots=True)
class Max(Op):
    """Largest element over `axes` (non-negative, sorted); NaN wins; equals share the gradient."""

    axes: tuple[int, ...]
    keepdims: bool = False
    kernel: ClassVar[str] = "maximum_over"

    def infer(self, x):
        return reduced_shape(x.shape, self.axes, self.keepdims), x.dtype

    def allocate(self, x):
        return np.empty(*self.infer(x))

    def vjp(self, dy, y, x):
        def dx():
            largest = equal(x, spread(y, x.shape, self.axes, self.keepdims))
            ones = where(largest, np.ones((), x.dtype), np.zeros((), x.dtype))
            share = div(ones, Sum(self.axes, keepdims=True)(ones))
            return mul(share, spread(dy, x.shape, self.axes, self.keepdims))

        return (dx,)


def normalized_axes(axis, ndim):
    """An axis argument (None: all, an integer or a tuple of them) as sorted non-negative integers."""
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    for a in axes:
        if not -ndim <= a < ndim:
            raise ValueError(f"dim must name axes of an array that has {ndim}, not {a}")
    axes = tuple(sorted(a % ndim for a in axes))
    if len(set(axes)) != len(axes):
        raise ValueError(f"dim names one axis twice: {axis}")
    return axes


def sum(x, axis=None, keepdims=False):
    return Sum(normalized_axes(axis, x.ndim), keepdims)(x)


def mean(x, axis=None, keepdims=False):
    axes = normalized_axes(axis, x.ndim)
    count = int(np.prod([x.shape[a] for a in axes], dtype=np.int64))
    return div(Sum(axes, keepdims)(x), count)


def max(x, axis=None, keepdims=False):
    return Max(normalized_axes(axis, x.ndim), keepdims)(x)


def min(x, axis=None, keepdims=False):
    return neg(max(neg(x), axis, keepdims))


def _install_methods() -> None:
    for function in (sum, mean, max, min):
        setattr(Node, function.__name__, function)


_install_methods()
