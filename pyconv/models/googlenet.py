"""GoogLeNet: branches of different filter sizes side by side, with batch normalization.

References
----------
Szegedy et al., Going deeper with convolutions, 2015. As in torchvision, batch normalization follows each convolution
(Ioffe and Szegedy, 2015), and the third branch has 3×3 filters where the paper has 5×5.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pyconv.functional as F
from pyconv import nn
from pyconv.models.network import Network


class BasicConv2d(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, **options: Any):
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, bias=False, **options)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Any) -> Any:
        return F.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    """1×1, twice 1×1 and 3×3, and pooling with 1×1, concatenated.

    Parameters
    ----------
    in_channels : int
    single, reduce3, wide3, reduce5, wide5, pooled : int
        Channels of the 1×1 branch, before and after the 3×3 convolutions, and of the pooling branch.
    """

    def __init__(self, in_channels: int, single: int, reduce3: int, wide3: int, reduce5: int, wide5: int, pooled: int):
        self.branch1 = BasicConv2d(in_channels, single, 1)
        self.branch2 = nn.Sequential(BasicConv2d(in_channels, reduce3, 1), BasicConv2d(reduce3, wide3, 3, padding=1))
        self.branch3 = nn.Sequential(BasicConv2d(in_channels, reduce5, 1), BasicConv2d(reduce5, wide5, 3, padding=1))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), BasicConv2d(in_channels, pooled, 1))

    def forward(self, x: Any) -> Any:
        return F.concat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class InceptionAux(nn.Module):
    """A classifier on an inner map, which gives the layers before it a second gradient."""

    def __init__(self, in_channels: int, num_classes: int):
        self.conv = BasicConv2d(in_channels, 128, 1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(0.7)

    def forward(self, x: Any) -> Any:
        x = F.flatten(self.conv(F.adaptive_avg_pool2d(x, 4)), 1)
        return self.fc2(self.dropout(F.relu(self.fc1(x))))


class GoogLeNet(Network):
    """A stem, nine inception modules in three stages, and one dense layer.

    Parameters
    ----------
    num_classes, in_channels : int
    auxiliary : bool
        Whether there are the paper's two auxiliary classifiers; in training a call then gives (logits, those of the
        first, those of the second), which the paper weights 1, 0.3 and 0.3.
    dropout : float
    features : bool
        Without the heads; a call gives the map before each pooling, and the last one.
    """

    head_names = ("fc", "aux1", "aux2")

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        auxiliary: bool = False,
        dropout: float = 0.2,
        features: bool = False,
    ):
        self.features_only = features
        self.auxiliary = auxiliary and not features
        pool = partial(nn.MaxPool2d, stride=2, ceil_mode=True)
        self.conv1 = BasicConv2d(in_channels, 64, 7, stride=2, padding=3)
        self.maxpool1 = pool(3)
        self.conv2 = BasicConv2d(64, 64, 1)
        self.conv3 = BasicConv2d(64, 192, 3, padding=1)
        self.maxpool2 = pool(3)
        self.inception3a = Inception(192, 64, 96, 128, 16, 32, 32)
        self.inception3b = Inception(256, 128, 128, 192, 32, 96, 64)
        self.maxpool3 = pool(3)
        self.inception4a = Inception(480, 192, 96, 208, 16, 48, 64)
        self.inception4b = Inception(512, 160, 112, 224, 24, 64, 64)
        self.inception4c = Inception(512, 128, 128, 256, 24, 64, 64)
        self.inception4d = Inception(512, 112, 144, 288, 32, 64, 64)
        self.inception4e = Inception(528, 256, 160, 320, 32, 128, 128)
        self.maxpool4 = pool(2)
        self.inception5a = Inception(832, 256, 160, 320, 32, 128, 128)
        self.inception5b = Inception(832, 384, 192, 384, 48, 128, 128)
        if self.auxiliary:
            self.aux1 = InceptionAux(512, num_classes)
            self.aux2 = InceptionAux(528, num_classes)
        if not features:
            self.dropout = nn.Dropout(dropout)
            self.fc = nn.Linear(1024, num_classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.normal_(module.weight, std=0.01)  # torchvision truncates it at 200 deviations

    def trunk(self) -> tuple[nn.Module, ...]:
        return (
            *(self.conv1, self.maxpool1, self.conv2, self.conv3, self.maxpool2),
            *(self.inception3a, self.inception3b, self.maxpool3),
            *(self.inception4a, self.inception4b, self.inception4c, self.inception4d, self.inception4e, self.maxpool4),
            *(self.inception5a, self.inception5b),
        )

    def head(self, x: Any) -> Any:
        return self.fc(self.dropout(F.flatten(F.global_avg_pool(x), 1)))

    def forward(self, x: Any) -> Any:
        if not (self.auxiliary and self.training):
            return super().forward(x)
        beside = []
        for layer in self.trunk():
            x = layer(x)
            if layer is self.inception4a:
                beside.append(self.aux1(x))
            elif layer is self.inception4d:
                beside.append(self.aux2(x))
        return self.head(x), *beside


def googlenet(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> GoogLeNet:
    """GoogLeNet with batch normalization. Options as of `GoogLeNet`.

    torchvision's published weights expect images in -1 … 1: (x - 0.5) / 0.5 of images in 0 … 1.
    """
    return GoogLeNet(num_classes, in_channels, **options)
