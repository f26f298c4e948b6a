"""Classification losses, one value a sample; means and sums over samples are ordinary reductions.

Shapes: logits x (N, C, *I), labels (N, *I) integers or target (N, C, *I) probabilities, weight (C,) or None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pyconv.ops.elementwise import Unary, add, mul, neg, sub
from pyconv.ops.node import Op
from pyconv.ops.reduce import Reshape, Sum
from pyconv.ops.softmax import LogSoftmax, Softmax, SoftmaxBackward


class _SampleLoss(Op):
    """(N, C, *I) -> (N, *I)."""

    __slots__ = ()

    def infer(self, x, *_):
        return (x.shape[0], *x.shape[2:]), x.dtype


class _LogitsGradient(Op):
    """The gradient of a `_SampleLoss`, in the memory order of the logits."""

    __slots__ = ()

    def infer(self, dloss, x, *_):
        return x.shape, x.dtype

    def allocate(self, dloss, x, *_):
        return np.empty_like(x, subok=False)


def _over_classes(sample):
    """(N, *I) -> (N, 1, *I)."""
    return Reshape((sample.shape[0], 1, *sample.shape[1:]))(sample)


def _class_axis(weight, x):
    """(C,) -> (C, 1, …), to broadcast along x."""
    return Reshape((x.shape[1], *[1] * (x.ndim - 2)))(weight)


@dataclass(frozen=True, slots=True)
class CrossEntropy(_SampleLoss):
    """Softmax cross-entropy with labels: -Σ_c q_c log softmax(x)_c, q_c = w_c ((1 - s)·[c = label] + s / C).

    A label equal to `ignore_index` gives loss and gradient 0.
    """

    label_smoothing: float = 0.0
    ignore_index: int = -100
    kernel: ClassVar[str] = "cross_entropy"

    def vjp(self, dloss, loss, x, labels, weight=None):
        backward = CrossEntropyBackward(self.label_smoothing, self.ignore_index)
        return (lambda: backward(dloss, x, labels, weight),)


@dataclass(frozen=True, slots=True)
class CrossEntropyBackward(_LogitsGradient):
    """dx = dloss · (softmax(x) · Σ q - q)."""

    label_smoothing: float
    ignore_index: int
    kernel: ClassVar[str] = "cross_entropy_backward"

    def vjp(self, ddx, dx, dloss, x, labels, weight=None):
        mass = LabelWeights(x.shape[1], x.dtype, self.label_smoothing, self.ignore_index)
        return (
            lambda: Sum((1,))(mul(ddx, self(np.ones(dloss.shape, x.dtype), x, labels, weight))),
            lambda: mul(SoftmaxBackward(1)(ddx, Softmax(1)(x)), _over_classes(mul(dloss, mass(labels, weight)))),
        )


@dataclass(frozen=True, slots=True)
class LabelWeights(Op):
    """Σ_c q_c of each sample of `CrossEntropy`; without smoothing what a weighted mean over samples divides by."""

    classes: int
    dtype: np.dtype
    label_smoothing: float = 0.0
    ignore_index: int = -100
    kernel: ClassVar[str] = "label_weights"

    def infer(self, labels, weight=None):
        return labels.shape, self.dtype

    def attributes(self, labels, weight=None):
        return self.classes, self.label_smoothing, self.ignore_index


@dataclass(frozen=True, slots=True)
class SoftCrossEntropy(_SampleLoss):
    """Softmax cross-entropy with probabilities: -Σ_c q_c log softmax(x)_c, q_c = w_c ((1 - s)·target_c + s / C)."""

    label_smoothing: float = 0.0
    kernel: ClassVar[str] = "soft_cross_entropy"

    def vjp(self, dloss, loss, x, target, weight=None):
        def dtarget():
            dq = neg(mul(LogSoftmax(1)(x), _over_classes(mul(dloss, 1 - self.label_smoothing))))
            return dq if weight is None else mul(dq, _class_axis(weight, x))

        return lambda: SoftCrossEntropyBackward(self.label_smoothing)(dloss, x, target, weight), dtarget


@dataclass(frozen=True, slots=True)
class SoftCrossEntropyBackward(_LogitsGradient):
    """dx = dloss · (softmax(x) · Σ q - q)."""

    label_smoothing: float
    kernel: ClassVar[str] = "soft_cross_entropy_backward"

    def vjp(self, ddx, dx, dloss, x, target, weight=None):
        def q():
            mixed = add(mul(target, 1 - self.label_smoothing), self.label_smoothing / x.shape[1])
            return mixed if weight is None else mul(mixed, _class_axis(weight, x))

        return (
            lambda: Sum((1,))(mul(ddx, self(np.ones(dloss.shape, x.dtype), x, target, weight))),
            lambda: mul(
                SoftmaxBackward(1)(ddx, Softmax(1)(x)), mul(_over_classes(dloss), Sum((1,), keepdims=True)(q()))
            ),
        )


@dataclass(frozen=True, slots=True)
class NLL(_SampleLoss):
    """-w[label] · x[label] for log-probabilities x."""

    ignore_index: int = -100
    kernel: ClassVar[str] = "nll"

    def vjp(self, dloss, loss, x, labels, weight=None):
        return (lambda: NLLBackward(x.shape[1], self.ignore_index)(dloss, labels, weight),)


@dataclass(frozen=True, slots=True)
class NLLBackward(Op):
    """dx of `NLL`, its adjoint."""

    classes: int
    ignore_index: int
    kernel: ClassVar[str] = "nll_backward"

    def infer(self, dloss, labels, weight=None):
        return (dloss.shape[0], self.classes, *dloss.shape[1:]), dloss.dtype

    def attributes(self, dloss, labels, weight=None):
        return (self.ignore_index,)

    def vjp(self, ddx, dx, dloss, labels, weight=None):
        return (lambda: NLL(self.ignore_index)(ddx, labels, weight),)


@dataclass(frozen=True, slots=True)
class BCEWithLogits(Op):
    """Binary cross-entropy of σ(x), elementwise: -(p · t · log σ(x) + (1 - t) · log(1 - σ(x))), p broadcast or None."""

    kernel: ClassVar[str] = "bce_with_logits"

    def vjp(self, dy, y, x, target, pos_weight=None):
        def dtarget():
            if pos_weight is None:
                return neg(mul(dy, x))
            minus_log_sigmoid = Unary("softplus", (1.0, np.inf))(neg(x))
            return mul(dy, sub(mul(sub(pos_weight, 1), minus_log_sigmoid), x))

        return lambda: BCEWithLogitsBackward()(dy, x, target, pos_weight), dtarget


@dataclass(frozen=True, slots=True)
class BCEWithLogitsBackward(Op):
    """dx = dy · ((1 - t) - (1 + (p - 1) t) · σ(-x))."""

    kernel: ClassVar[str] = "bce_with_logits_backward"

    def vjp(self, ddx, dx, dy, x, target, pos_weight=None):
        def second():
            s = Unary("sigmoid")(x)
            positive = 1.0 if pos_weight is None else add(1, mul(target, sub(pos_weight, 1)))
            return mul(mul(mul(ddx, dy), mul(s, sub(1, s))), positive)

        return lambda: self(ddx, x, target, pos_weight), second
