"""Reductions over axes, and the broadcast that is their adjoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pyconv.ops.node import Op


@dataclass(frozen=True, slots=True)
class Sum(Op):
    """Sum over `axes` (non-negative, sorted)."""

    axes: tuple[int, ...]
    keepdims: bool = False
    kernel: ClassVar[str] = "sum"

    def infer(self, x):
        return reduced_shape(x.shape, self.axes, self.keepdims), x.dtype

    def allocate(self, x):
        return np.empty(*self.infer(x))

    def vjp(self, dy, y, x):
        return (lambda: spread(dy, x.shape, self.axes, self.keepdims),)


@dataclass(frozen=True, slots=True)
class Broadcast(Op):
    """NumPy broadcasting to `shape`; a read-only view."""

    shape: tuple[int, ...]

    def infer(self, x):
        return self.shape, x.dtype

    def compute(self, x):
        return np.broadcast_to(x, self.shape)

    def vjp(self, dy, y, x):
        return (lambda: unbroadcast(dy, x.shape),)


@dataclass(frozen=True, slots=True)
class Reshape(Op):
    """The same elements in C order under another shape; a view where memory allows."""

    shape: tuple[int, ...]

    def infer(self, x):
        return self.shape, x.dtype

    def compute(self, x):
        return x.reshape(self.shape)

    def vjp(self, dy, y, x):
        return (lambda: Reshape(x.shape)(dy),)


def reduced_shape(shape, axes, keepdims):
    if keepdims:
        return tuple(1 if a in axes else n for a, n in enumerate(shape))
    return tuple(n for a, n in enumerate(shape) if a not in axes)


def spread(dy, shape, axes, keepdims):
    """Adjoint of a sum: dy repeated over the axes that were summed."""
    if not keepdims:
        dy = Reshape(reduced_shape(shape, axes, True))(dy)
    return Broadcast(tuple(shape))(dy)


def unbroadcast(dy, shape):
    """Adjoint of NumPy broadcasting: dy summed over the axes along which `shape` was repeated."""
    extra = dy.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(a + extra for a, n in enumerate(shape) if n == 1 and dy.shape[a + extra] != 1)
    if not axes:
        return dy
    return Reshape(tuple(shape))(Sum(axes, True)(dy))


def sum_channels(dy):
    """The gradient of a per-channel bias: dy (N, C, *I) -> (C,)."""
    return Sum((0, *range(2, dy.ndim)))(dy)
