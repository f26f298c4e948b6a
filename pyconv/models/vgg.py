"""VGG: stacks of 3×3 convolutions between poolings, with and without batch normalization.

References
----------
Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition, 2015.
"""

from __future__ import annotations

from typing import Any

import pyconv.functional as F
from pyconv import nn
from pyconv.models.blocks import start_convolutions, start_dense
from pyconv.models.network import Network

_WIDTHS = (64, 128, 256, 512, 512)


class VGG(Network):
    """Five stacks of convolutions, each followed by pooling, then three dense layers.

    Parameters
    ----------
    depths : tuple of int
        Convolutions in each of the five stacks.
    num_classes, in_channels : int
    batch_norm : bool
        Whether a batch normalization follows each convolution.
    hidden : int
        Width of the two dense layers before the last; 4096 in the paper, far fewer do for small images.
    dropout : float
        Probability after each of the two.
    features : bool
        Without the head; a call gives the map before each pooling, and the last one.
    """

    def __init__(
        self,
        depths: tuple[int, ...],
        num_classes: int,
        in_channels: int,
        batch_norm: bool = False,
        hidden: int = 4096,
        dropout: float = 0.5,
        features: bool = False,
    ):
        self.features_only = features
        self.features = nn.Sequential()
        for depth, width in zip(depths, _WIDTHS, strict=True):
            for _ in range(depth):
                self.features.append(nn.Conv2d(in_channels, width, 3, padding=1))
                if batch_norm:
                    self.features.append(nn.BatchNorm2d(width))
                self.features.append(nn.ReLU())
                in_channels = width
            self.features.append(nn.MaxPool2d(2))
        if not features:
            self.avgpool = nn.AdaptiveAvgPool2d(7)
            self.classifier = nn.Sequential(
                nn.Linear(512 * 7 * 7, hidden),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(hidden, hidden),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(hidden, num_classes),
            )
        start_convolutions(self)
        start_dense(self)

    def head(self, x: Any) -> Any:
        return self.classifier(F.flatten(self.avgpool(x), 1))


def vgg11(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """Configuration A of the paper: 8 convolutions. Options as of `VGG`."""
    return VGG((1, 1, 2, 2, 2), num_classes, in_channels, **options)


def vgg13(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """Configuration B of the paper: 10 convolutions. Options as of `VGG`."""
    return VGG((2, 2, 2, 2, 2), num_classes, in_channels, **options)


def vgg16(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """Configuration D of the paper: 13 convolutions. Options as of `VGG`."""
    return VGG((2, 2, 3, 3, 3), num_classes, in_channels, **options)


def vgg19(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """Configuration E of the paper: 16 convolutions. Options as of `VGG`."""
    return VGG((2, 2, 4, 4, 4), num_classes, in_channels, **options)


def vgg11_bn(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """`vgg11` with batch normalization."""
    return vgg11(num_classes, in_channels, batch_norm=True, **options)


def vgg13_bn(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """`vgg13` with batch normalization."""
    return vgg13(num_classes, in_channels, batch_norm=True, **options)


def vgg16_bn(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """`vgg16` with batch normalization."""
    return vgg16(num_classes, in_channels, batch_norm=True, **options)


def vgg19_bn(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """`vgg19` with batch normalization."""
    return vgg19(num_classes, in_channels, batch_norm=True, **options)
