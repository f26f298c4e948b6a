"""Small networks for small images: blocks of convolution, batch normalization and ReLU, then global average pooling.

The plan is VGG's (Simonyan and Zisserman, Very deep convolutional networks, 2015), with batch normalization (Ioffe and
Szegedy, 2015) and the global pooling of Lin, Chen and Yan, Network in network, 2014, in place of dense layers; so all
but `digitsnet` and `mnistnet`, whose heads are dense, take images of any size.
"""

from __future__ import annotations

from pyconv import nn
from pyconv.models.network import chain


def digitsnet(num_classes: int = 10, in_channels: int = 1, width: int = 32, features: bool = False) -> nn.Module:
    """For 8×8 images such as the bundled digits: two blocks at 8×8, one at 4×4, a dense head."""
    return chain(
        *_block(in_channels, width),
        *_block(width, width),
        nn.MaxPool2d(2),
        *_block(width, 2 * width),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(2 * width * 2 * 2, num_classes),
        features=features,
    )


def mnistnet(num_classes: int = 10, in_channels: int = 1, width: int = 16, features: bool = False) -> nn.Module:
    """For 28×28 images such as MNIST's: two blocks at 28×28, two at 14×14, one at 7×7, a dense head."""
    return chain(
        *_block(in_channels, width),
        nn.MaxPool2d(2),
        *_block(width, 2 * width),
        *_block(2 * width, 2 * width),
        nn.MaxPool2d(2),
        *_block(2 * width, 4 * width),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(4 * width * 3 * 3, num_classes),
        features=features,
    )


def catnet(num_classes: int = 2, in_channels: int = 3, width: int = 16, features: bool = False) -> nn.Module:
    """For few, larger images such as the 64×64 cats: four blocks, each but the last followed by pooling."""
    return chain(
        *_block(in_channels, width),
        nn.MaxPool2d(2),
        *_block(width, 2 * width),
        nn.MaxPool2d(2),
        *_block(2 * width, 4 * width),
        nn.MaxPool2d(2),
        *_block(4 * width, 8 * width),
        *_head(8 * width, num_classes, dropout=0.5),
        features=features,
    )


def cifarnet(num_classes: int = 10, in_channels: int = 3, width: int = 16, features: bool = False) -> nn.Module:
    """For 32×32 colour images such as CIFAR's: two blocks at 32×32, one each at 16×16, 8×8 and 4×4, then a maximum."""
    return chain(
        *_block(in_channels, width),
        *_block(width, 2 * width, pool=True),
        *_block(2 * width, 4 * width, pool=True),
        *_block(4 * width, 8 * width, pool=True),
        *_block(8 * width, 16 * width),
        nn.GlobalMaxPool(),
        nn.Flatten(),
        nn.Linear(16 * width, num_classes),
        features=features,
    )


def _block(in_channels: int, out_channels: int, pool: bool = False) -> list[nn.Module]:
    """A 3×3 convolution that keeps the size (its bias would be lost in the normalization), batch norm, ReLU.

    With `pool` the maximum of each 2×2 comes first, so that the rest works on a quarter of the values.
    """
    return [
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        *([nn.MaxPool2d(2)] if pool else []),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    ]


def _head(features: int, num_classes: int, dropout: float) -> list[nn.Module]:
    return [nn.GlobalAvgPool(), nn.Flatten(), nn.Dropout(dropout), nn.Linear(features, num_classes)]
