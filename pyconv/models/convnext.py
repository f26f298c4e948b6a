"""ConvNeXt: a ResNet brought up to date with what transformers do: large depthwise filters, layer norm, GELU.

References
----------
Liu et al., A ConvNet for the 2020s, 2022.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import pyconv.functional as F
from pyconv import nn
from pyconv.models.network import Network


class CNBlock(nn.Module):
    """Depthwise 7×7 convolution, layer norm, and at each position two dense layers; scaled and added to x."""

    def __init__(self, channels: int, scale: float, drop: float):
        self.block = nn.Sequential(
            nn.Conv2d(channels, channels, 7, padding=3, groups=channels),
            nn.Permute((0, 2, 3, 1)),  # (N, H, W, C)
            nn.LayerNorm(channels, eps=1e-6),
            nn.Linear(channels, 4 * channels),
            nn.GELU(),
            nn.Linear(4 * channels, channels),
            nn.Permute((0, 3, 1, 2)),
        )
        self.layer_scale = nn.Parameter(np.full((channels, 1, 1), scale, np.float32))
        self.stochastic_depth = nn.StochasticDepth(drop)

    def forward(self, x: Any) -> Any:
        return F.add(x, self.stochastic_depth(F.mul(self.block(x), self.layer_scale)))


class ConvNeXt(Network):
    """Patches of 4×4, then four stages of blocks with layer norm and a strided convolution between them.

    Parameters
    ----------
    depths, widths : tuple of int
        Blocks and channels of each stage.
    num_classes, in_channels : int
    stochastic_depth : float
        Probability that the last block is skipped for a sample; it grows from 0 at the first.
    layer_scale : float
        What the blocks' scales start from.
    features : bool
        Without the head; a call gives the maps of the four stages.
    """

    def __init__(
        self,
        depths: tuple[int, ...],
        widths: tuple[int, ...],
        num_classes: int,
        in_channels: int,
        stochastic_depth: float = 0.1,
        layer_scale: float = 1e-6,
        features: bool = False,
    ):
        self.features_only = features
        self.features = nn.Sequential(
            nn.Sequential(nn.Conv2d(in_channels, widths[0], 4, stride=4), nn.LayerNorm2d(widths[0]))
        )
        drops = iter(np.linspace(0, stochastic_depth, sum(depths)).tolist())
        for i, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            if i:
                before = widths[i - 1]
                self.features.append(nn.Sequential(nn.LayerNorm2d(before), nn.Conv2d(before, width, 2, stride=2)))
            self.features.append(nn.Sequential(*(CNBlock(width, layer_scale, next(drops)) for _ in range(depth))))
        if not features:
            self.classifier = nn.Sequential(
                nn.LayerNorm2d(widths[-1]), nn.Flatten(), nn.Linear(widths[-1], num_classes)
            )
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.normal_(module.weight, std=0.02)  # the authors truncate it at 100 deviations
                nn.init.zeros_(module.bias)

    def head(self, x: Any) -> Any:
        return self.classifier(F.global_avg_pool(x))


def convnext_tiny(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> ConvNeXt:
    """ConvNeXt-T. Options as of `ConvNeXt`."""
    return ConvNeXt((3, 3, 9, 3), (96, 192, 384, 768), num_classes, in_channels, **options)
