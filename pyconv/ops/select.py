"""Selection along an axis: the place of the largest element, the places of the k largest, elements by their places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pyconv.ops.node import Op
from pyconv.ops.reduce import reduced_shape


@dataclass(frozen=True, slots=True)
class ArgMax(Op):
    """int64 place of the largest element along `axis`, or of the smallest; of equals the first, or the last."""

    axis: int
    keepdims: bool = False
    smallest: bool = False
    last: bool = False
    kernel: ClassVar[str] = "argmax"

    def infer(self, x):
        return reduced_shape(x.shape, (self.axis,), self.keepdims), np.dtype(np.int64)

    def allocate(self, x):
        return np.empty(*self.infer(x))

    def vjp(self, dy, y, x):
        return (None,)


@dataclass(frozen=True, slots=True)
class TopK(Op):
    """int64 places of the k largest elements along `axis`, largest first (or smallest); of equals the first first."""

    axis: int
    k: int
    smallest: bool = False
    kernel: ClassVar[str] = "top_k"

    def infer(self, x):
        return (*x.shape[: self.axis], self.k, *x.shape[self.axis + 1 :]), np.dtype(np.int64)

    def vjp(self, dy, y, x):
        return (None,)


@dataclass(frozen=True, slots=True)
class TakeAlong(Op):
    """The elements of x along `axis` at places that `TopK` gave."""

    axis: int
    kernel: ClassVar[str] = "take_along"

    def infer(self, x, places):
        return tuple(places.shape), x.dtype
