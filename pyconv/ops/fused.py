"""Convolution, linear layer and normalization with an epilogue: bias, sum with a residual, activation. Made by passes.

y = f(x ∗ w + b + residual), each part but the first optional, or the maxima of it. Gradients are taken before ops are
fused, so there are no gradient rules here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pyconv.kernels.spec import ConvSpec, PoolSpec
from pyconv.ops.node import Op


@dataclass(frozen=True, slots=True)
class FusedConv(Op):
    """`Conv` with an epilogue; `activation` is the name of a function of `Unary`, or empty."""

    spec: ConvSpec
    activation: str = ""
    parameters: tuple[float, ...] = ()
    kernel: ClassVar[str] = "fused_conv"

    def infer(self, x, w, b=None, residual=None):
        return (x.shape[0], w.shape[0], *self.spec.output_size(x.shape[2:], w.shape[2:])), x.dtype

    def attributes(self, *inputs):
        return (self.spec, self.activation, *self.parameters)


@dataclass(frozen=True, slots=True)
class PooledConv(Op):
    """`MaxPool` of a `FusedConv` without a residual."""

    spec: ConvSpec
    pool: PoolSpec
    activation: str = ""
    parameters: tuple[float, ...] = ()
    kernel: ClassVar[str] = "pooled_conv"

    def infer(self, x, w, b=None):
        size = self.spec.output_size(x.shape[2:], w.shape[2:])
        return (x.shape[0], w.shape[0], *self.pool.output_size(size)), x.dtype

    def attributes(self, *inputs):
        return (self.spec, self.pool, self.activation, *self.parameters)


@dataclass(frozen=True, slots=True)
class FusedLinear(Op):
    """`Linear` with an epilogue."""

    activation: str = ""
    parameters: tuple[float, ...] = ()
    kernel: ClassVar[str] = "fused_linear"

    def infer(self, x, w, b=None, residual=None):
        return (x.shape[0], w.shape[0]), x.dtype

    def attributes(self, *inputs):
        return (self.activation, *self.parameters)

    def allocate(self, x, w, b=None, residual=None):
        return np.empty(*self.infer(x, w))


@dataclass(frozen=True, slots=True)
class _Activated(Op):
    """An op of a normalization and the activation after it."""

    eps: float
    activation: str = ""
    parameters: tuple[float, ...] = ()

    def attributes(self, *inputs):
        return (self.eps, self.activation, *self.parameters)


@dataclass(frozen=True, slots=True)
class FusedNormalize(_Activated):
    """`Normalize` or `BatchNorm` with an epilogue."""

    kernel: ClassVar[str] = "fused_normalize"
    in_place: ClassVar[tuple[int, ...]] = (0,)


@dataclass(frozen=True, slots=True)
class FusedNormalizeSums(_Activated):
    """`NormalizeSums` of g = dy · f'(x̂ · w + b), which is never an array: inputs dy, x, moments, w, b."""

    kernel: ClassVar[str] = "fused_normalize_sums"

    def infer(self, dy, x, moments, w=None, b=None):
        return (2, x.shape[1]), x.dtype


@dataclass(frozen=True, slots=True)
class FusedBatchNormBackward(_Activated):
    """`BatchNormBackward` of g = dy · f'(x̂ · w + b): inputs dy, x, moments, sums, w, b."""

    kernel: ClassVar[str] = "fused_batch_norm_backward"
    in_place: ClassVar[tuple[int, ...]] = (1,)
