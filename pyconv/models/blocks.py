"""What several families are made of: convolution with normalization, squeeze-and-excite, and how weights start."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pyconv.functional as F
from pyconv import nn

Make = Callable[..., nn.Module]


class ConvNormActivation(nn.Sequential):
    """Convolution that keeps the size (or divides it by its stride), batch norm, activation unless it is None."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        groups: int = 1,
        norm: Make = nn.BatchNorm2d,
        activation: Make | None = nn.ReLU,
    ):
        padding = (kernel_size - 1) // 2
        self.append(nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False))
        self.append(norm(out_channels))
        if activation is not None:
            self.append(activation())


class SqueezeExcitation(nn.Module):
    """Channels scaled by what a small network makes of their means.

    References
    ----------
    Hu, Shen and Sun, Squeeze-and-excitation networks, 2018.
    """

    def __init__(self, channels: int, squeezed: int, activation: Make = nn.ReLU, gate: Make = nn.Sigmoid):
        self.avgpool = nn.GlobalAvgPool()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.activation = activation()
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.scale_activation = gate()

    def forward(self, x: Any) -> Any:
        scale = self.fc2(self.activation(self.fc1(self.avgpool(x))))  # (N, C, 1, 1)
        return F.mul(x, self.scale_activation(scale))


def make_divisible(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `channels`, but not below 90 % of it: how the MobileNets round widths."""
    nearest = max(divisor, math.floor(channels / divisor + 0.5) * divisor)
    return nearest if nearest >= 0.9 * channels else nearest + divisor


def start_convolutions(model: nn.Module, mode: str = "fan_out") -> None:
    """He's normal initialisation of all convolutions, biases 0."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def start_dense(model: nn.Module, std: float = 0.01) -> None:
    """Normal initialisation of all dense layers, biases 0."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
