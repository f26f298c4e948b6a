"""U-Net: a number for every pixel, from maps that shrink and grow again and see those of their size on the way down."""

from __future__ import annotations

from typing import Any

import pyconv.functional as F
from pyconv import nn
from pyconv.models.blocks import start_convolutions
from pyconv.models.network import Network

_LEVELS = 4  # poolings on the way down


class Up(nn.Module):
    """A transposed convolution to twice the size and half the channels, joined with the map of that size."""

    def __init__(self, in_channels: int, batch_norm: bool):
        self.up = nn.ConvTranspose2d(in_channels, in_channels // 2, 2, stride=2)
        self.convs = double_conv(in_channels, in_channels // 2, batch_norm)

    def forward(self, x: Any, skip: Any) -> Any:
        return self.convs(F.concat([skip, self.up(x)], 1))


def double_conv(in_channels: int, out_channels: int, batch_norm: bool) -> nn.Sequential:
    """Two 3×3 convolutions that keep the size, each with ReLU."""
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers.append(nn.Conv2d(channels, out_channels, 3, padding=1, bias=not batch_norm))
        layers += [nn.BatchNorm2d(out_channels), nn.ReLU()] if batch_norm else [nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(Network):
    """Four steps down, four steps up, and a 1×1 convolution: (N, in_channels, H, W) -> (N, num_classes, H, W).

    Parameters
    ----------
    num_classes, in_channels : int
    width : int
        Channels of the finest maps; each step down doubles them.
    batch_norm : bool
        Whether a batch normalization follows each convolution; the paper has none.
    dropout : float
        Probability at the lower end.
    features : bool
        Without the last convolution; a call gives the maps of the way up, from fine to coarse.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        width: int = 64,
        batch_norm: bool = False,
        dropout: float = 0.5,
        features: bool = False,
    ):
        self.features_only = features
        widths = [width * 2**i for i in range(_LEVELS + 1)]
        before = (in_channels, *widths)
        self.down = nn.ModuleList(double_conv(a, b, batch_norm) for a, b in zip(before, widths, strict=False))
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        self.up = nn.ModuleList(Up(channels, batch_norm) for channels in reversed(widths[1:]))
        if not features:
            self.classifier = nn.Conv2d(width, num_classes, 1)
        start_convolutions(self, mode="fan_in")

    def forward(self, x: Any) -> Any:
        step = 2**_LEVELS
        if x.shape[2] % step or x.shape[3] % step:
            raise ValueError(f"x must have a height and width that are multiples of {step}, not {tuple(x.shape[2:])}")
        skips: list[Any] = []
        for level in self.down:
            x = level(self.pool(x) if skips else x)
            skips.append(x)
        maps = [self.dropout(skips.pop())]
        for level in self.up:
            maps.append(level(maps[-1], skips.pop()))
        return maps[::-1] if self.features_only else self.classifier(maps[-1])


def unet(num_classes: int = 2, in_channels: int = 1, **options: Any) -> UNet:
    """U-Net, padded so that the result has the image's size, a multiple of 16. Options as of `UNet`.

    References
    ----------
    Ronneberger, Fischer and Brox, U-Net: convolutional networks for biomedical image segmentation, 2015. There the
    convolutions are not padded, and the result is smaller than the image.
    """
    return UNet(num_classes, in_channels, **options)
