"""EfficientNet: MobileNet's inverted residuals with squeeze-and-excite, found by search.

References
----------
Tan and Le, EfficientNet: rethinking model scaling for convolutional neural networks, 2019.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pyconv.functional as F
from pyconv import nn
from pyconv.models.blocks import ConvNormActivation, SqueezeExcitation, start_convolutions
from pyconv.models.network import Network

# expansion, kernel, stride of the first block, channels, blocks: table 1 of the paper
_B0 = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


class MBConv(nn.Module):
    """1×1 convolution to more channels, depthwise, squeeze-and-excite, 1×1 to few; added to x where shapes agree."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, expansion: int, drop: float):
        expanded = in_channels * expansion
        layer = partial(ConvNormActivation, activation=nn.SiLU)
        self.block = nn.Sequential()
        if expansion != 1:
            self.block.append(layer(in_channels, expanded, 1))
        self.block.append(layer(expanded, expanded, kernel_size, stride, expanded))
        self.block.append(SqueezeExcitation(expanded, max(1, in_channels // 4), nn.SiLU))
        self.block.append(ConvNormActivation(expanded, out_channels, 1, activation=None))
        self.residual = stride == 1 and in_channels == out_channels
        self.stochastic_depth = nn.StochasticDepth(drop)

    def forward(self, x: Any) -> Any:
        y = self.block(x)
        return F.add(x, self.stochastic_depth(y)) if self.residual else y


class EfficientNet(Network):
    """A strided convolution, seven groups of `MBConv`, a 1×1 convolution and one dense layer.

    Parameters
    ----------
    num_classes, in_channels : int
    dropout : float
        Probability before the dense layer.
    stochastic_depth : float
        Probability that the last block is skipped for a sample; it grows from 0 at the first.
    features : bool
        Without the head; a call gives the last map of each resolution, 1/2 to 1/32.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        dropout: float = 0.2,
        stochastic_depth: float = 0.2,
        features: bool = False,
    ):
        self.features_only = features
        self.features = nn.Sequential(ConvNormActivation(in_channels, 32, 3, 2, activation=nn.SiLU))
        channels, done, total = 32, 0, sum(row[-1] for row in _B0)
        for expansion, kernel_size, stride, width, blocks in _B0:
            stage = nn.Sequential()
            for i in range(blocks):
                drop = stochastic_depth * done / total
                stage.append(MBConv(channels, width, kernel_size, 1 if i else stride, expansion, drop))
                channels, done = width, done + 1
            self.features.append(stage)
        self.features.append(ConvNormActivation(channels, 1280, 1, activation=nn.SiLU))
        start_convolutions(self)
        if not features:
            dense = nn.Linear(1280, num_classes)
            bound = 1 / math.sqrt(num_classes)
            nn.init.uniform_(dense.weight, -bound, bound)
            nn.init.zeros_(dense.bias)
            self.classifier = nn.Sequential(nn.Dropout(dropout), dense)


def efficientnet_b0(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> EfficientNet:
    """EfficientNet-B0 of the paper's table 1. Options as of `EfficientNet`."""
    return EfficientNet(num_classes, in_channels, **options)
