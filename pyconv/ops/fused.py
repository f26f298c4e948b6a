"""Convolution and linear layer with their epilogue: bias, sum with a residual, activation. Made by a pass over graphs.

y = f(x ∗ w + b + residual), each part but the first optional. Gradients are taken before ops are fused, so there are
no gradient rules here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pyconv.kernels.spec import ConvSpec
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
