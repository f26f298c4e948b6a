"""ResNets: residual blocks, for ImageNet and for 32×32 images.

References
----------
He, Zhang, Ren and Sun, Deep residual learning for image recognition, 2016. As in torchvision, a bottleneck has its
stride in the 3×3 convolution ("v1.5").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyconv.functional as F
from pyconv import nn
from pyconv.models.blocks import start_convolutions
from pyconv.models.network import Network


class BasicBlock(nn.Module):
    """Two 3×3 convolutions, added to the shortcut."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, downsample: nn.Module):
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample

    def forward(self, x: Any) -> Any:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(F.add(y, self.downsample(x)))


class Bottleneck(nn.Module):
    """1×1 convolution to `width` channels, 3×3, and 1×1 to four times as many, added to the shortcut."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, downsample: nn.Module):
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU()
        self.downsample = downsample

    def forward(self, x: Any) -> Any:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(F.add(y, self.downsample(x)))


class PaddedShortcut(nn.Module):
    """The paper's option A, without parameters: every stride-th position, and channels of zeros on both sides."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        missing = out_channels - in_channels
        self.step = stride
        self.added = (missing // 2, missing - missing // 2)

    def forward(self, x: Any) -> Any:
        strided = F.getitem(x, (..., slice(None, None, self.step), slice(None, None, self.step)))
        return F.pad(strided, (0, 0, 0, 0, *self.added))


def projection(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """The paper's option B: a 1×1 convolution with batch normalization."""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))


class ResNet(Network):
    """A stem, stages of residual blocks at ever lower resolution, and one dense layer.

    Parameters
    ----------
    block : BasicBlock or Bottleneck, the class
    depths, widths : tuple of int
        Blocks and channels (of a bottleneck's inside) of each stage; every stage but the first halves the image.
    num_classes, in_channels : int
    small_images : bool
        A stem of one 3×3 convolution, which keeps the size, instead of 7×7 of stride 2 and pooling.
    shortcut : callable
        Makes the shortcut where channels or size change, from the channels before and after, and the stride.
    features : bool
        Without the head; a call gives the stem's map (unless it keeps the size) and those of all stages.
    """

    head_names = ("fc",)

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, ...],
        num_classes: int,
        in_channels: int,
        *,
        widths: tuple[int, ...] = (64, 128, 256, 512),
        small_images: bool = False,
        shortcut: Callable[[int, int, int], nn.Module] = projection,
        features: bool = False,
    ):
        self.features_only = features
        channels = widths[0]
        if small_images:
            self.conv1 = nn.Conv2d(in_channels, channels, 3, 1, 1, bias=False)
        else:
            self.conv1 = nn.Conv2d(in_channels, channels, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.maxpool = nn.Identity() if small_images else nn.MaxPool2d(3, 2, 1)
        self.stages = [f"layer{i}" for i in range(1, len(depths) + 1)]
        for i, name in enumerate(self.stages):
            stage = nn.Sequential()
            for j in range(depths[i]):
                stride = 2 if i and not j else 1
                out_channels = block.expansion * widths[i]
                same = stride == 1 and channels == out_channels
                down = nn.Identity() if same else shortcut(channels, out_channels, stride)
                stage.append(block(channels, widths[i], stride, down))
                channels = out_channels
            self.register_module(name, stage)
        if not features:
            self.fc = nn.Linear(channels, num_classes)
        start_convolutions(self)

    def trunk(self) -> tuple[nn.Module, ...]:
        return self.conv1, self.bn1, self.relu, self.maxpool, *(getattr(self, name) for name in self.stages)

    def head(self, x: Any) -> Any:
        return self.fc(F.flatten(F.global_avg_pool(x), 1))


def resnet18(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> ResNet:
    """The 18-layer network of the paper's table 1. Options as of `ResNet`."""
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes, in_channels, **options)


def resnet34(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> ResNet:
    """The 34-layer network of the paper's table 1. Options as of `ResNet`."""
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes, in_channels, **options)


def resnet50(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> ResNet:
    """The 50-layer network of the paper's table 1. Options as of `ResNet`."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, in_channels, **options)


def resnet101(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> ResNet:
    """The 101-layer network of the paper's table 1. Options as of `ResNet`."""
    return ResNet(Bottleneck, (3, 4, 23, 3), num_classes, in_channels, **options)


def resnet18_cifar(num_classes: int = 10, in_channels: int = 3, **options: Any) -> ResNet:
    """`resnet18` with a stem that keeps the size, for 32×32 images: not from the paper, but in wide use."""
    return resnet18(num_classes, in_channels, small_images=True, **options)


def _paper_cifar(blocks: int, num_classes: int, in_channels: int, **options: Any) -> ResNet:
    """6 · blocks + 2 layers, as section 4.2 of the paper has them."""
    depths, widths = (blocks,) * 3, (16, 32, 64)
    small = {"widths": widths, "small_images": True, "shortcut": PaddedShortcut}
    return ResNet(BasicBlock, depths, num_classes, in_channels, **small, **options)  # type: ignore[arg-type]


def resnet20(num_classes: int = 10, in_channels: int = 3, **options: Any) -> ResNet:
    """The paper's 20-layer network for CIFAR."""
    return _paper_cifar(3, num_classes, in_channels, **options)


def resnet32(num_classes: int = 10, in_channels: int = 3, **options: Any) -> ResNet:
    """The paper's 32-layer network for CIFAR."""
    return _paper_cifar(5, num_classes, in_channels, **options)


def resnet44(num_classes: int = 10, in_channels: int = 3, **options: Any) -> ResNet:
    """The paper's 44-layer network for CIFAR."""
    return _paper_cifar(7, num_classes, in_channels, **options)


def resnet56(num_classes: int = 10, in_channels: int = 3, **options: Any) -> ResNet:
    """The paper's 56-layer network for CIFAR."""
    return _paper_cifar(9, num_classes, in_channels, **options)
