"""Network: a trunk of layers and a head, and the feature maps that the trunk passes through."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

import pyconv.functional as F
from pyconv import nn


class Network(nn.Module):
    """A trunk of layers that shrinks the image step by step, then a head that classifies its last map.

    With `features_only` there is no head, and a call gives the list of feature maps, from fine to coarse: the last
    map of each resolution. That is what detectors, segmenters and decoders are built upon.
    """

    head_names: ClassVar[tuple[str, ...]] = ("classifier",)  # submodules that belong to the head
    features_only = False

    def trunk(self) -> Iterable[nn.Module]:
        """The layers before the head, in the order in which they are called."""
        return self.features

    def head(self, x: Any) -> Any:
        """The last map (N, C, H, W) -> logits (N, num_classes)."""
        return self.classifier(F.flatten(F.global_avg_pool(x), 1))

    def forward(self, x: Any) -> Any:
        if self.features_only:
            return stage_maps(self.trunk(), x)
        for layer in self.trunk():
            x = layer(x)
        return self.head(x)

    @staticmethod
    def torch_name(name: str) -> str:
        """What an entry of a published file is called here; most names are the same."""
        return name


class Trunk(nn.Sequential):
    """A chain without its head, which gives its feature maps."""

    def forward(self, x: Any) -> list[Any]:
        return stage_maps(self, x)


def chain(*layers: nn.Module, features: bool) -> nn.Sequential:
    """A network in one chain, whose head begins where its maps are pooled globally or flattened."""
    if not features:
        return nn.Sequential(*layers)
    ends = (i for i, layer in enumerate(layers) if isinstance(layer, (nn.GlobalAvgPool, nn.GlobalMaxPool, nn.Flatten)))
    return Trunk(*layers[: next(ends)])


def stage_maps(layers: Iterable[nn.Module], x: Any) -> list[Any]:
    """Call the layers in turn; the map before each that has a stride (but the first of all), and the last map."""
    maps = []
    for position, layer in enumerate(layers):
        if position and any(_stride(module) > 1 for module in layer.modules()):
            maps.append(x)
        x = layer(x)
    return [*maps, x]


def _stride(module: nn.Module) -> int:
    """The largest step of a convolution or pooling; a pooling without one steps by its window."""
    stride = getattr(module, "stride", 1)
    return int(np.max(module.kernel_size if stride is None else stride))
