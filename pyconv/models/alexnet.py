"""AlexNet, which won ImageNet in 2012, in the single-column form of 2014."""

from __future__ import annotations

from typing import Any

import pyconv.functional as F
from pyconv import nn
from pyconv.models.network import Network


class AlexNet(Network):
    """Five convolutions, the first of 11×11 and stride 4, then three dense layers; see `alexnet`."""

    def __init__(
        self, num_classes: int, in_channels: int, hidden: int = 4096, dropout: float = 0.5, features: bool = False
    ):
        self.features_only = features
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 64, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        )
        if not features:
            self.avgpool = nn.AdaptiveAvgPool2d(6)
            self.classifier = nn.Sequential(
                nn.Dropout(dropout),
                nn.Linear(256 * 6 * 6, hidden),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(hidden, hidden),
                nn.ReLU(),
                nn.Linear(hidden, num_classes),
            )

    def head(self, x: Any) -> Any:
        return self.classifier(F.flatten(self.avgpool(x), 1))


def alexnet(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> AlexNet:
    """AlexNet for images of 63×63 and more (224×224 in the paper); options `hidden`, `dropout`, `features`.

    References
    ----------
    Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks, 2012; this is
    the variant of Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014, as in torchvision.
    """
    return AlexNet(num_classes, in_channels, **options)
