"""DenseNet: every layer sees the maps of all layers before it in its block.

References
----------
Huang, Liu, van der Maaten and Weinberger, Densely connected convolutional networks, 2017.
"""

from __future__ import annotations

import re
from typing import Any

import pyconv.functional as F
from pyconv import nn
from pyconv.models.blocks import start_convolutions
from pyconv.models.network import Network


class DenseLayer(nn.Module):
    """Batch norm, ReLU and 1×1 convolution, then batch norm, ReLU and 3×3 convolution to `growth` new channels."""

    def __init__(self, in_channels: int, growth: int, dropout: float):
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(in_channels, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Any) -> Any:
        x = self.conv1(self.relu1(self.norm1(x)))
        return self.dropout(self.conv2(self.relu2(self.norm2(x))))


class DenseBlock(nn.Module):
    """Layers that each append their channels to what they were given."""

    def __init__(self, depth: int, in_channels: int, growth: int, dropout: float):
        for i in range(depth):
            self.register_module(f"denselayer{i + 1}", DenseLayer(in_channels + i * growth, growth, dropout))

    def forward(self, x: Any) -> Any:
        for layer in self.children():
            x = F.concat([x, layer(x)], 1)
        return x


def transition(in_channels: int, out_channels: int) -> nn.Sequential:
    """Between two blocks: fewer channels, half the size."""
    return nn.Sequential(
        {
            "norm": nn.BatchNorm2d(in_channels),
            "relu": nn.ReLU(),
            "conv": nn.Conv2d(in_channels, out_channels, 1, bias=False),
            "pool": nn.AvgPool2d(2, 2),
        }
    )


class DenseNet(Network):
    """A stem, dense blocks with transitions between them, and one dense layer.

    Parameters
    ----------
    depths : tuple of int
        Layers in each block.
    num_classes, in_channels : int
    growth, width : int
        Channels that each layer adds, and those of the stem.
    dropout : float
        Probability after each layer.
    features : bool
        Without the head; a call gives the stem's map and those of the four blocks.
    """

    def __init__(
        self,
        depths: tuple[int, ...],
        num_classes: int,
        in_channels: int,
        growth: int = 32,
        width: int = 64,
        dropout: float = 0.0,
        features: bool = False,
    ):
        self.features_only = features
        layers: dict[str, nn.Module] = {
            "conv0": nn.Conv2d(in_channels, width, 7, 2, 3, bias=False),
            "norm0": nn.BatchNorm2d(width),
            "relu0": nn.ReLU(),
            "pool0": nn.MaxPool2d(3, 2, 1),
        }
        for i, depth in enumerate(depths, start=1):
            layers[f"denseblock{i}"] = DenseBlock(depth, width, growth, dropout)
            width += depth * growth
            if i < len(depths):
                layers[f"transition{i}"] = transition(width, width // 2)
                width //= 2
        layers["norm5"] = nn.BatchNorm2d(width)
        self.features = nn.Sequential(layers)
        if not features:
            self.classifier = nn.Linear(width, num_classes)
            nn.init.zeros_(self.classifier.bias)
        start_convolutions(self, mode="fan_in")

    def head(self, x: Any) -> Any:
        return super().head(F.relu(x))

    @staticmethod
    def torch_name(name: str) -> str:
        """The published files write denselayer1.norm.1.weight for today's denselayer1.norm1.weight."""
        return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name)


def densenet121(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> DenseNet:
    """DenseNet-121 of the paper's table 1. Options as of `DenseNet`."""
    return DenseNet((6, 12, 24, 16), num_classes, in_channels, **options)
