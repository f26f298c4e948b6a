"""Pooling: maximum, average, and the index forms behind unpooling.

A pooling is described by a spec that yields, for an input size, a table of windows an axis (`kernels/spec.py`), so
fixed, dilated, ceil-mode, global and adaptive pooling are one op each. Shapes: x (N, C, *I), y (N, C, *O).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pyconv.kernels.spec import AdaptivePoolSpec, PoolSpec
from pyconv.ops.node import Op


class _Pool(Op):
    __slots__ = ()
    spec: PoolSpec | AdaptivePoolSpec

    def infer(self, x):
        return (*x.shape[:2], *self.spec.output_size(x.shape[2:])), x.dtype

    def attributes(self, x):
        return (self.spec.windows(x.shape[2:]),)


@dataclass(frozen=True, slots=True)
class MaxPool(_Pool):
    """Maximum of each window; NaN wins; the first of equals takes the gradient; an empty window gives -inf."""

    spec: PoolSpec | AdaptivePoolSpec
    kernel: ClassVar[str] = "max_pool"

    def vjp(self, dy, y, x):
        return (lambda: MaxPoolBackward(self.spec)(dy, x),)


@dataclass(frozen=True, slots=True)
class MaxPoolIndices(_Pool):
    """int64 position of each maximum in its input plane, flattened in C order; -1 for an empty window."""

    spec: PoolSpec | AdaptivePoolSpec
    kernel: ClassVar[str] = "max_pool_indices"

    def infer(self, x):
        return _Pool.infer(self, x)[0], np.dtype(np.int64)


@dataclass(frozen=True, slots=True)
class MaxPoolBackward(Op):
    """dx of `MaxPool`; finds the maxima again instead of keeping indices."""

    spec: PoolSpec | AdaptivePoolSpec
    kernel: ClassVar[str] = "max_pool_backward"

    def infer(self, dy, x):
        return x.shape, dy.dtype

    def attributes(self, dy, x):
        return (self.spec.windows(x.shape[2:]),)

    def vjp(self, ddx, _, dy, x):
        return lambda: Gather()(ddx, MaxPoolIndices(self.spec)(x)), None


@dataclass(frozen=True, slots=True)
class AvgPool(_Pool):
    """Mean of each window; what it divides by is the spec's (padding counted or not)."""

    spec: PoolSpec | AdaptivePoolSpec
    kernel: ClassVar[str] = "avg_pool"

    def vjp(self, dy, y, x):
        return (lambda: AvgPoolBackward(self.spec, x.shape[2:])(dy),)


@dataclass(frozen=True, slots=True)
class AvgPoolBackward(Op):
    """dx of `AvgPool`."""

    spec: PoolSpec | AdaptivePoolSpec
    input_size: tuple[int, ...]
    kernel: ClassVar[str] = "avg_pool_backward"

    def infer(self, dy):
        return (*dy.shape[:2], *self.input_size), dy.dtype

    def attributes(self, dy):
        return (self.spec.windows(self.input_size),)

    def vjp(self, ddx, _, dy):
        return (lambda: AvgPool(self.spec)(ddx),)


@dataclass(frozen=True, slots=True)
class Unpool(Op):
    """Each x goes to the position its index names in a plane of `output_size` (-1: nowhere); the rest is 0.

    Where several x name one position the last wins, or with `add` they sum.
    """

    output_size: tuple[int, ...]
    add: bool = False
    kernel: ClassVar[str] = "unpool"

    def infer(self, x, indices):
        return (*x.shape[:2], *self.output_size), x.dtype

    def attributes(self, x, indices):
        return (self.add,)

    def vjp(self, dy, y, x, indices):
        return lambda: Gather()(dy, indices), None


@dataclass(frozen=True, slots=True)
class Gather(Op):
    """From each plane of x (N, C, *I) the elements that indices (N, C, *O) name; 0 where an index is -1."""

    kernel: ClassVar[str] = "gather"

    def infer(self, x, indices):
        return indices.shape, x.dtype

    def vjp(self, dy, y, x, indices):
        return lambda: Unpool(x.shape[2:], add=True)(dy, indices), None
