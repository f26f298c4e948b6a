"""Softmax and its logarithm along one axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pyconv.ops.elementwise import exp, mul, neg, sub
from pyconv.ops.node import Op
from pyconv.ops.reduce import Sum


@dataclass(frozen=True, slots=True)
class Softmax(Op):
    """y = exp(x) / Σ exp(x) along `axis` (non-negative)."""

    axis: int
    kernel: ClassVar[str] = "softmax"

    def vjp(self, dy, y, x):
        return (lambda: SoftmaxBackward(self.axis)(dy, y),)


@dataclass(frozen=True, slots=True)
class SoftmaxBackward(Op):
    """dx = y · (dy - Σ dy · y)."""

    axis: int
    kernel: ClassVar[str] = "softmax_backward"

    def vjp(self, ddx, _, dy, y):
        def total(a):
            return Sum((self.axis,), True)(mul(a, y))

        return (
            lambda: SoftmaxBackward(self.axis)(ddx, y),
            lambda: sub(mul(ddx, sub(dy, total(dy))), mul(dy, total(ddx))),
        )


@dataclass(frozen=True, slots=True)
class LogSoftmax(Op):
    """y = x - log Σ exp(x) along `axis` (non-negative)."""

    axis: int
    kernel: ClassVar[str] = "log_softmax"

    def vjp(self, dy, y, x):
        return (lambda: LogSoftmaxBackward(self.axis)(dy, y),)


@dataclass(frozen=True, slots=True)
class LogSoftmaxBackward(Op):
    """dx = dy - exp(y) · Σ dy."""

    axis: int
    kernel: ClassVar[str] = "log_softmax_backward"

    def vjp(self, ddx, _, dy, y):
        def total(a):
            return Sum((self.axis,), True)(a)

        return (
            lambda: sub(ddx, total(mul(ddx, exp(y)))),
            lambda: neg(mul(mul(ddx, exp(y)), total(dy))),
        )
