"""MobileNetV2 and V3: inverted residuals, which expand the channels, filter each alone, and project them back."""

from __future__ import annotations

from functools import partial
from typing import Any

import pyconv.functional as F
from pyconv import nn
from pyconv.models.blocks import (
    ConvNormActivation,
    Make,
    SqueezeExcitation,
    make_divisible,
    start_convolutions,
    start_dense,
)
from pyconv.models.network import Network

# expansion, channels, blocks, stride of the first: table 2 of the V2 paper
_V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

# kernel, expanded, channels, squeeze-and-excite, hard swish, stride: tables 1 and 2 of the V3 paper
_LARGE = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)
_SMALL = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
)


class InvertedResidual(nn.Module):
    """V2's block: 1×1 convolution to more channels, depthwise 3×3, 1×1 to few, added to x where shapes agree."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int):
        expanded = in_channels * expansion
        layer = partial(ConvNormActivation, activation=nn.ReLU6)
        self.conv = nn.Sequential()
        if expansion != 1:
            self.conv.append(layer(in_channels, expanded, 1))
        self.conv.append(layer(expanded, expanded, 3, stride, expanded))
        self.conv.append(nn.Conv2d(expanded, out_channels, 1, bias=False))
        self.conv.append(nn.BatchNorm2d(out_channels))
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Any) -> Any:
        return F.add(x, self.conv(x)) if self.residual else self.conv(x)


class MobileNetV2(Network):
    """A strided convolution, seven groups of inverted residuals, a 1×1 convolution and one dense layer.

    Parameters
    ----------
    num_classes, in_channels : int
    dropout : float
        Probability before the dense layer.
    features : bool
        Without the head; a call gives the last map of each resolution, 1/2 to 1/32.
    """

    def __init__(self, num_classes: int, in_channels: int, dropout: float = 0.2, features: bool = False):
        self.features_only = features
        self.features = nn.Sequential(ConvNormActivation(in_channels, 32, 3, 2, activation=nn.ReLU6))
        channels = 32
        for expansion, width, blocks, stride in _V2:
            for i in range(blocks):
                self.features.append(InvertedResidual(channels, width, 1 if i else stride, expansion))
                channels = width
        self.features.append(ConvNormActivation(channels, 1280, 1, activation=nn.ReLU6))
        if not features:
            self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(1280, num_classes))
        start_convolutions(self)
        start_dense(self)


class InvertedResidualV3(nn.Module):
    """V3's block: that of V2 with squeeze-and-excite, a choice of activation, and 5×5 filters in places."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        expanded: int,
        excite: bool,
        activation: Make,
        norm: Make,
    ):
        layer = partial(ConvNormActivation, norm=norm)
        self.block = nn.Sequential()
        if expanded != in_channels:
            self.block.append(layer(in_channels, expanded, 1, activation=activation))
        self.block.append(layer(expanded, expanded, kernel_size, stride, expanded, activation=activation))
        if excite:
            self.block.append(SqueezeExcitation(expanded, make_divisible(expanded / 4), gate=nn.Hardsigmoid))
        self.block.append(layer(expanded, out_channels, 1, activation=None))
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Any) -> Any:
        return F.add(x, self.block(x)) if self.residual else self.block(x)


class MobileNetV3(Network):
    """A strided convolution, inverted residuals, a 1×1 convolution and two dense layers.

    Parameters
    ----------
    table : tuple
        A row a block: kernel size, expanded channels, channels, squeeze-and-excite, hard swish, stride.
    hidden : int
        Width of the first dense layer.
    num_classes, in_channels : int
    dropout : float
        Probability before the last dense layer.
    features : bool
        Without the head; a call gives the last map of each resolution, 1/2 to 1/32.
    """

    def __init__(
        self,
        table: tuple[tuple[int, int, int, bool, bool, int], ...],
        hidden: int,
        num_classes: int,
        in_channels: int,
        dropout: float = 0.2,
        features: bool = False,
    ):
        self.features_only = features
        norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
        layer = partial(ConvNormActivation, norm=norm, activation=nn.Hardswish)
        self.features = nn.Sequential(layer(in_channels, 16, 3, 2))
        channels = 16
        for kernel_size, expanded, width, excite, swish, stride in table:
            activation = nn.Hardswish if swish else nn.ReLU
            self.features.append(
                InvertedResidualV3(channels, width, kernel_size, stride, expanded, excite, activation, norm)
            )
            channels = width
        self.features.append(layer(channels, 6 * channels, 1))
        if not features:
            self.classifier = nn.Sequential(
                nn.Linear(6 * channels, hidden), nn.Hardswish(), nn.Dropout(dropout), nn.Linear(hidden, num_classes)
            )
        start_convolutions(self)
        start_dense(self)


def mobilenet_v2(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> MobileNetV2:
    """MobileNetV2 of width 1. Options as of `MobileNetV2`.

    References
    ----------
    Sandler et al., MobileNetV2: inverted residuals and linear bottlenecks, 2018.
    """
    return MobileNetV2(num_classes, in_channels, **options)


def mobilenet_v3_large(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> MobileNetV3:
    """MobileNetV3-Large of width 1. Options `dropout` and `features`, as of `MobileNetV3`.

    References
    ----------
    Howard et al., Searching for MobileNetV3, 2019.
    """
    return MobileNetV3(_LARGE, 1280, num_classes, in_channels, **options)


def mobilenet_v3_small(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> MobileNetV3:
    """MobileNetV3-Small of width 1. Options `dropout` and `features`, as of `MobileNetV3`.

    References
    ----------
    Howard et al., Searching for MobileNetV3, 2019.
    """
    return MobileNetV3(_SMALL, 1024, num_classes, in_channels, **options)
