"""SqueezeNet: AlexNet's accuracy with a fiftieth of its parameters.

References
----------
Iandola et al., SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size, 2016.
"""

from __future__ import annotations

from typing import Any

import pyconv.functional as F
from pyconv import nn
from pyconv.models.network import Network


class Fire(nn.Module):
    """1×1 convolution to few channels, then 1×1 and 3×3 side by side to `expand` channels each."""

    def __init__(self, in_channels: int, squeeze: int, expand: int):
        self.squeeze = nn.Conv2d(in_channels, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Any) -> Any:
        x = F.relu(self.squeeze(x))
        return F.concat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], 1)


class SqueezeNet(Network):
    """A strided convolution, fire modules between poolings, and a 1×1 convolution that classifies each position.

    Parameters
    ----------
    stem : Conv2d
    fires : tuple of tuple of int
        `squeeze` of the modules in each of three stages; `expand` is four times as many.
    num_classes : int
    dropout : float
    features : bool
        Without the head; a call gives the map before each pooling, and the last one.
    """

    def __init__(
        self,
        stem: nn.Conv2d,
        fires: tuple[tuple[int, ...], ...],
        num_classes: int,
        dropout: float = 0.5,
        features: bool = False,
    ):
        self.features_only = features
        self.features = nn.Sequential(stem, nn.ReLU())
        channels = stem.out_channels
        for stage in fires:
            self.features.append(nn.MaxPool2d(3, 2, ceil_mode=True))
            for squeeze in stage:
                self.features.append(Fire(channels, squeeze, 4 * squeeze))
                channels = 8 * squeeze
        if not features:
            last = nn.Conv2d(channels, num_classes, 1)
            self.classifier = nn.Sequential(nn.Dropout(dropout), last, nn.ReLU(), nn.GlobalAvgPool())
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        if not features:
            nn.init.normal_(last.weight, std=0.01)

    def head(self, x: Any) -> Any:
        return F.flatten(self.classifier(x), 1)


def squeezenet1_0(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> SqueezeNet:
    """The paper's network. Options `dropout` and `features`, as of `SqueezeNet`."""
    fires = (16, 16, 32), (32, 48, 48, 64), (64,)
    return SqueezeNet(nn.Conv2d(in_channels, 96, 7, 2), fires, num_classes, **options)


def squeezenet1_1(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> SqueezeNet:
    """The authors' later version, for less than half the work. Options `dropout` and `features`, as of `SqueezeNet`."""
    fires = (16, 16), (32, 32), (48, 48, 64, 64)
    return SqueezeNet(nn.Conv2d(in_channels, 64, 3, 2), fires, num_classes, **options)
