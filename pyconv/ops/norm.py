"""Normalization: per-channel moments, and x̂ = (x - mean) / √(variance + eps) · w + b.

x (N, C, *I); moments (2, C) hold mean and biased variance; w and b (C,) or None. Batch normalization is `Moments`, then
`BatchNorm`: two passes over memory forward and two backward. Other normalizations reshape, so that what they normalize
over becomes a channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pyconv.ops.elementwise import add, div, mul, neg, power, sub
from pyconv.ops.node import Op
from pyconv.ops.reduce import Reshape, sum_channels
from pyconv.ops.shape import Concat, take


def _channels(v, x):
    """(C,) -> (C, 1, …), to broadcast along x."""
    return Reshape((v.shape[0], *[1] * (x.ndim - 2)))(v)


def _row(pair, i):
    """Row i of a (2, C) array."""
    return Reshape(tuple(pair.shape[1:]))(take(pair, 0, i, 1))


def _count(x):
    """How many elements each channel has."""
    return int(np.prod(x.shape, dtype=np.int64)) // x.shape[1]


def _inverse_deviation(moments, eps):
    return power(add(_row(moments, 1), eps), -0.5)


def _normalized(x, moments, eps):
    return Normalize(eps)(x, moments, None, None)


class _Sums:
    """`NormalizeSums`, run when a gradient first asks for them and kept for the others."""

    def __init__(self, eps, dy, x, moments):
        self._arguments = eps, dy, x, moments
        self._sums = None

    def __call__(self):
        if self._sums is None:
            eps, *inputs = self._arguments
            self._sums = NormalizeSums(eps)(*inputs)
        return self._sums


@dataclass(frozen=True, slots=True)
class Moments(Op):
    """(2, C): mean and biased variance of each channel."""

    kernel: ClassVar[str] = "moments"

    def infer(self, x):
        return (2, x.shape[1]), x.dtype

    def vjp(self, dy, moments, x):
        def dx():
            centered = sub(x, _channels(_row(moments, 0), x))
            slope = add(_channels(_row(dy, 0), x), mul(centered, _channels(mul(_row(dy, 1), 2), x)))
            return div(slope, _count(x))

        return (dx,)


@dataclass(frozen=True, slots=True)
class Normalize(Op):
    """(x - mean) / √(variance + eps) · w + b with moments that do not depend on x (running statistics)."""

    eps: float
    kernel: ClassVar[str] = "normalize"
    in_place: ClassVar[tuple[int, ...]] = (0,)

    def vjp(self, dy, y, x, moments, w=None, b=None):
        def scale():
            deviation = _inverse_deviation(moments, self.eps)
            return deviation if w is None else mul(deviation, w)

        def along():
            return sum_channels(mul(dy, _normalized(x, moments, self.eps)))

        def dmoments():
            row = (1, moments.shape[1])
            dmean = neg(mul(sum_channels(dy), scale()))
            weighted = along() if w is None else mul(along(), w)
            dvariance = div(mul(weighted, -0.5), add(_row(moments, 1), self.eps))
            return Concat(0)(Reshape(row)(dmean), Reshape(row)(dvariance))

        return lambda: mul(dy, _channels(scale(), x)), dmoments, along, lambda: sum_channels(dy)


@dataclass(frozen=True, slots=True)
class BatchNorm(Op):
    """`Normalize` where moments are `Moments()(x)`: the gradient of x here is the whole of it, moments get none."""

    eps: float
    kernel: ClassVar[str] = "normalize"
    in_place: ClassVar[tuple[int, ...]] = (0,)

    def vjp(self, dy, y, x, moments, w=None, b=None):
        sums = _Sums(self.eps, dy, x, moments)
        return (
            lambda: BatchNormBackward(self.eps)(dy, x, moments, sums(), w),
            None,
            lambda: _row(sums(), 1),
            lambda: _row(sums(), 0),
        )


@dataclass(frozen=True, slots=True)
class NormalizeSums(Op):
    """(2, C): per channel Σ dy and Σ dy · x̂, the gradients of b and w. As in `BatchNorm`, moments are those of x."""

    eps: float
    kernel: ClassVar[str] = "normalize_sums"

    def infer(self, dy, x, moments):
        return (2, x.shape[1]), x.dtype

    def vjp(self, g, sums, dy, x, moments):
        def ddy():
            along = mul(_normalized(x, moments, self.eps), _channels(_row(g, 1), x))
            return add(along, _channels(_row(g, 0), x))

        return ddy, lambda: BatchNormBackward(self.eps)(dy, x, moments, sums, _row(g, 1))


@dataclass(frozen=True, slots=True)
class BatchNormBackward(Op):
    """dx = w / √(variance + eps) · (dy - mean(dy) - x̂ · mean(dy · x̂)).

    `moments` are those of x and `sums` those of dy and x, so their share of a second derivative is in that of dy and x.
    """

    eps: float
    kernel: ClassVar[str] = "batch_norm_backward"
    in_place: ClassVar[tuple[int, ...]] = (1,)

    def vjp(self, g, dx, dy, x, moments, sums, w=None):
        own = _Sums(self.eps, g, x, moments)  # the same sums for g in place of dy

        def projected(a, a_sums):
            return BatchNormBackward(self.eps)(a, x, moments, a_sums, None)

        def second():
            deviation = _inverse_deviation(moments, self.eps)
            count = _count(x)
            total = sum_channels(mul(g, projected(dy, sums)))
            result = mul(_normalized(x, moments, self.eps), _channels(mul(total, deviation), x))
            result = add(result, mul(projected(dy, sums), _channels(mul(_row(own(), 1), deviation), x)))
            result = add(result, mul(projected(g, own()), _channels(mul(_row(sums, 1), deviation), x)))
            scale = -1 / count
            return mul(result, scale) if w is None else mul(result, _channels(mul(w, scale), x))

        return (
            lambda: BatchNormBackward(self.eps)(g, x, moments, own(), w),
            second,
            None,
            None,
            lambda: sum_channels(mul(g, projected(dy, sums))),
        )
