"""Convolution: the forward pass and its two adjoints. The three are closed under differentiation.

Transposed convolution is `ConvBackwardData` read as a forward pass.
Shapes: x (N, C, *I), w (K, C/groups, *R), b (K,), y (N, K, *O).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pyconv.kernels.spec import ConvSpec
from pyconv.ops.node import Op
from pyconv.ops.reduce import sum_channels


@dataclass(frozen=True, slots=True)
class Conv(Op):
    """y = x ∗ w + b."""

    spec: ConvSpec
    algorithm: str = "auto"
    kernel: ClassVar[str] = "conv"

    def infer(self, x, w, b=None):
        return (x.shape[0], w.shape[0], *self.spec.output_size(x.shape[2:], w.shape[2:])), x.dtype

    def vjp(self, dy, y, x, w, b=None):
        return (
            lambda: ConvBackwardData(self.spec, x.shape[2:])(dy, w, None),
            lambda: ConvBackwardWeights(self.spec, w.shape[2:])(dy, x),
            lambda: sum_channels(dy),
        )


@dataclass(frozen=True, slots=True)
class ConvBackwardData(Op):
    """dx of `Conv`, plus a bias of dx's channels when used as a transposed convolution."""

    spec: ConvSpec
    input_size: tuple[int, ...]
    kernel: ClassVar[str] = "conv_backward_data"

    def infer(self, dy, w, b=None):
        return (dy.shape[0], w.shape[1] * self.spec.groups, *self.input_size), dy.dtype

    def attributes(self, *inputs):
        return (self.spec,)

    def vjp(self, dx, _, dy, w, b=None):
        return (
            lambda: Conv(self.spec)(dx, w, None),
            lambda: ConvBackwardWeights(self.spec, w.shape[2:])(dy, dx),
            lambda: sum_channels(dx),
        )


@dataclass(frozen=True, slots=True)
class ConvBackwardWeights(Op):
    """dw of `Conv`."""

    spec: ConvSpec
    kernel_size: tuple[int, ...]
    kernel: ClassVar[str] = "conv_backward_weights"

    def infer(self, dy, x):
        return (dy.shape[1], x.shape[1] // self.spec.groups, *self.kernel_size), dy.dtype

    def attributes(self, *inputs):
        return (self.spec,)

    def allocate(self, dy, x):
        return np.empty(*self.infer(dy, x))  # weights are C-contiguous whatever order the activations have

    def vjp(self, dw, _, dy, x):
        return (
            lambda: Conv(self.spec)(x, dw, None),
            lambda: ConvBackwardData(self.spec, x.shape[2:])(dy, dw, None),
        )
