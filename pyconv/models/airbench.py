"""airbench94: six convolutions that reach 94 % on CIFAR-10 in seconds on a GPU, the network of the speed runs.

References
----------
Jordan, 94% on CIFAR-10 in 3.29 seconds on a single GPU, arXiv 2404.00498, 2024.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import pyconv.functional as F
from pyconv import nn
from pyconv.models.network import Network


class Whitening(nn.Module):
    """A 2×2 convolution by the eigenvectors of the images' 2×2 patches, scaled to variance 1, and by their negatives.

    Until `fit` has seen images the eigenvectors are drawn, as if the patches were white already.

    Parameters
    ----------
    in_channels : int
        C; there are 8 · C filters.
    frozen : bool
        Whether the weight is a buffer, which is not trained; the bias always is.
    """

    def __init__(self, in_channels: int, frozen: bool):
        size = 4 * in_channels
        self.out_channels = 2 * size
        axes = nn.init.orthogonal_(np.empty((size, in_channels, 2, 2), np.float32))
        weight = np.concatenate([axes, -axes])
        if frozen:
            self.register_buffer("weight", weight)
        else:
            self.register_parameter("weight", weight)
        self.bias = nn.Parameter(np.zeros(self.out_channels, np.float32))

    def forward(self, x: Any) -> Any:
        return F.conv2d(x, self.weight, self.bias)

    def fit(self, images: np.ndarray, eps: float = 5e-4) -> None:
        """Set the weight for images like these (N, C, H, W); `eps` is added to the variances."""
        images, shape = np.asarray(images), self.weight.shape
        if images.ndim != 4 or images.shape[1] != shape[1] or min(images.shape[2:]) < 2 or not len(images):
            raise ValueError(f"images must be (N, {shape[1]}, H, W), at least one of 2×2, not {images.shape}")
        moments, count = np.zeros((self.out_channels // 2,) * 2), 0
        for first in range(0, len(images), 256):  # all patches at once would be twelve times the images
            patches = np.lib.stride_tricks.sliding_window_view(images[first : first + 256], (2, 2), (2, 3))
            rows = patches.transpose(0, 2, 3, 1, 4, 5).reshape(-1, len(moments)).astype(np.float64)
            moments += rows.T @ rows
            count += len(rows)
        variances, vectors = np.linalg.eigh(moments / count)
        scaled = (vectors / np.sqrt(variances + eps)).T[::-1]  # a row a filter, the largest variance first
        self.weight[...] = np.concatenate([scaled, -scaled]).reshape(shape)


class ConvGroup(nn.Module):
    """Convolution, pooling to half the size, then a second convolution; batch norm and GELU after each."""

    def __init__(self, in_channels: int, out_channels: int):
        self.conv1 = _near_identity(in_channels, out_channels)
        self.pool = nn.MaxPool2d(2)
        self.norm1 = _shift_alone(out_channels)
        self.conv2 = _near_identity(out_channels, out_channels)
        self.norm2 = _shift_alone(out_channels)
        self.activation = nn.GELU()

    def forward(self, x: Any) -> Any:
        x = self.activation(self.norm1(self.pool(self.conv1(x))))
        return self.activation(self.norm2(self.conv2(x)))


def _near_identity(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A 3×3 convolution whose first output channels start as the input's."""
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    same = np.arange(min(in_channels, out_channels))
    conv.weight[same] = 0
    conv.weight[same, same, 1, 1] = 1
    return conv


def _shift_alone(channels: int) -> nn.BatchNorm2d:
    """Batch normalization without a scale."""
    norm = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    norm.register_parameter("weight", None)
    return norm


class AirBench(Network):
    """Whitening, three groups of two convolutions, maximum pooling, and a dense layer whose logits are scaled down.

    Parameters
    ----------
    num_classes, in_channels : int
    widths : tuple of int
        Channels of the three groups.
    frozen : bool
        Whether the whitening convolution's weight stays as `whiten` sets it.
    scale : float
        What the logits are multiplied by.
    features : bool
        Without the head; a call gives the whitened image and the maps of the groups.
    """

    head_names = ("fc",)

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        widths: tuple[int, int, int] = (64, 256, 256),
        frozen: bool = True,
        scale: float = 1 / 9,
        features: bool = False,
    ):
        self.features_only, self.scale = features, scale
        self.whitening = Whitening(in_channels, frozen)
        self.activation = nn.GELU()
        before = (self.whitening.out_channels, *widths)
        self.groups = nn.ModuleList(ConvGroup(a, b) for a, b in zip(before, widths, strict=False))
        if not features:
            self.fc = nn.Linear(widths[-1], num_classes, bias=False)

    def trunk(self) -> tuple[nn.Module, ...]:
        return self.whitening, self.activation, *self.groups

    def head(self, x: Any) -> Any:
        return F.mul(self.fc(F.flatten(F.global_max_pool(x), 1)), self.scale)

    def whiten(self, images: np.ndarray, eps: float = 5e-4) -> None:
        """Set the first convolution to whiten images like these (N, C, H, W); a few thousand will do.

        Raises
        ------
        ValueError
            If they have another number of channels, or are smaller than 2×2.
        """
        self.whitening.fit(images, eps)


def airbench94(num_classes: int = 10, in_channels: int = 3, **options: Any) -> AirBench:
    """The network of airbench94, for 32×32 images; call `model.whiten(images)` before training.

    Options as of `AirBench`.
    """
    return AirBench(num_classes, in_channels, **options)
