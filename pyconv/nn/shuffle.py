"""Layers that move elements between channels and positions, or put the axes in another order. They hold no arrays."""

from __future__ import annotations

import pyconv.functional as F
from pyconv.functional.arguments import at_least_1, integer
from pyconv.nn.layer import Layer


class ChannelShuffle(Layer):
    """The channels dealt out among the groups, as `torch.nn.ChannelShuffle`; see `F.channel_shuffle`."""

    def __init__(self, groups: int):
        self.groups = at_least_1(groups, "groups")

    def forward(self, x):
        return F.channel_shuffle(x, self.groups)


class PixelShuffle(Layer):
    """(N, C·r², H, W) -> (N, C, H·r, W·r), as `torch.nn.PixelShuffle`; see `F.pixel_shuffle`."""

    def __init__(self, upscale_factor: int):
        self.upscale_factor = at_least_1(upscale_factor, "upscale_factor")

    def forward(self, x):
        return F.pixel_shuffle(x, self.upscale_factor)


class PixelUnshuffle(Layer):
    """(N, C, H·r, W·r) -> (N, C·r², H, W), as `torch.nn.PixelUnshuffle`; see `F.pixel_unshuffle`."""

    def __init__(self, downscale_factor: int):
        self.downscale_factor = at_least_1(downscale_factor, "downscale_factor")

    def forward(self, x):
        return F.pixel_unshuffle(x, self.downscale_factor)


class Permute(Layer):
    """The axes in another order, as `torchvision.ops.Permute`; see `F.permute`.

    Parameters
    ----------
    dims : tuple of int
        Which axis of the input stands at each place.
    """

    def __init__(self, dims: tuple[int, ...]):
        self.dims = tuple(integer(d, "dims") for d in dims)

    def forward(self, x):
        return F.permute(x, self.dims)
