"""ShuffleNetV2: half of the channels pass by each block, and a shuffle mixes the halves.

References
----------
Ma, Zhang, Zheng and Sun, ShuffleNet V2: practical guidelines for efficient CNN architecture design, 2018.
"""

from __future__ import annotations

from typing import Any

import pyconv.functional as F
from pyconv import nn
from pyconv.models.blocks import ConvNormActivation
from pyconv.models.network import Network


class ShuffleUnit(nn.Module):
    """Half the channels pass by, half go through 1×1, depthwise 3×3 and 1×1 convolution.

    With a stride all channels go through two such branches, each of which makes half of the result's.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        half = out_channels // 2
        self.halves = stride == 1
        self.branch1 = nn.Sequential()
        if not self.halves:
            self.branch1.extend([*_depthwise(in_channels, stride), *_pointwise(in_channels, half)])
        self.branch2 = nn.Sequential(
            *_pointwise(half if self.halves else in_channels, half), *_depthwise(half, stride), *_pointwise(half, half)
        )
        self.shuffle = nn.ChannelShuffle(2)

    def forward(self, x: Any) -> Any:
        first, second = F.split(x, x.shape[1] // 2, 1) if self.halves else (self.branch1(x), x)
        return self.shuffle(F.concat([first, self.branch2(second)], 1))


def _pointwise(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()]


def _depthwise(channels: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False), nn.BatchNorm2d(channels)]


class ShuffleNetV2(Network):
    """A stem, three stages of shuffle units, a 1×1 convolution and one dense layer.

    Parameters
    ----------
    widths : tuple of int
        Channels of the three stages and of the last convolution.
    num_classes, in_channels : int
    features : bool
        Without the head; a call gives the last map of each resolution, 1/2 to 1/32.
    """

    head_names = ("fc",)

    def __init__(self, widths: tuple[int, ...], num_classes: int, in_channels: int, features: bool = False):
        self.features_only = features
        *stages, last = widths
        channels = 24
        self.conv1 = ConvNormActivation(in_channels, channels, 3, 2)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for name, width, depth in zip(("stage2", "stage3", "stage4"), stages, (4, 8, 4), strict=True):
            stage = nn.Sequential(ShuffleUnit(channels, width, 2))
            stage.extend(ShuffleUnit(width, width, 1) for _ in range(depth - 1))
            self.register_module(name, stage)
            channels = width
        self.conv5 = ConvNormActivation(channels, last, 1)
        if not features:
            self.fc = nn.Linear(last, num_classes)

    def trunk(self) -> tuple[nn.Module, ...]:
        return self.conv1, self.maxpool, self.stage2, self.stage3, self.stage4, self.conv5

    def head(self, x: Any) -> Any:
        return self.fc(F.flatten(F.global_avg_pool(x), 1))


def shufflenet_v2_x0_5(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> ShuffleNetV2:
    """ShuffleNetV2 0.5× of the paper's table 5. Option `features`, as of `ShuffleNetV2`."""
    return ShuffleNetV2((48, 96, 192, 1024), num_classes, in_channels, **options)


def shufflenet_v2_x1_0(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> ShuffleNetV2:
    """ShuffleNetV2 1× of the paper's table 5. Option `features`, as of `ShuffleNetV2`."""
    return ShuffleNetV2((116, 232, 464, 1024), num_classes, in_channels, **options)
