"""Networks by name: `create("lenet5", num_classes=10, in_channels=1)`.

Each stands in the file of its family, with the paper it follows; adding one is a function there and a line here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyconv.functional.arguments import check_least, integer
from pyconv.models.airbench import airbench94
from pyconv.models.alexnet import alexnet
from pyconv.models.convnext import convnext_tiny
from pyconv.models.densenet import densenet121
from pyconv.models.efficientnet import efficientnet_b0
from pyconv.models.googlenet import googlenet
from pyconv.models.lenet import lenet5
from pyconv.models.mobilenet import mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small
from pyconv.models.resnet import (
    resnet18,
    resnet18_cifar,
    resnet20,
    resnet32,
    resnet34,
    resnet44,
    resnet50,
    resnet56,
    resnet101,
)
from pyconv.models.shufflenet import shufflenet_v2_x0_5, shufflenet_v2_x1_0
from pyconv.models.small import catnet, cifarnet, digitsnet, mnistnet
from pyconv.models.squeezenet import squeezenet1_0, squeezenet1_1
from pyconv.models.torch_weights import load_torch_weights
from pyconv.models.unet import unet
from pyconv.models.vgg import vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn
from pyconv.nn import Module

__all__ = ["create", "load_torch_weights", "names"]

_MODELS: dict[str, Callable[..., Module]] = {
    model.__name__: model
    for model in (
        *(airbench94, alexnet, catnet, cifarnet, convnext_tiny, densenet121, digitsnet, efficientnet_b0, googlenet),
        *(lenet5, mnistnet, mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small),
        *(resnet18, resnet34, resnet50, resnet101, resnet18_cifar, resnet20, resnet32, resnet44, resnet56),
        *(shufflenet_v2_x0_5, shufflenet_v2_x1_0, squeezenet1_0, squeezenet1_1, unet),
        *(vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn),
    )
}


def create(name: str, num_classes: int = 10, in_channels: int = 3, **options: Any) -> Module:
    """A network with freshly drawn weights; `pyconv.save` keeps how it was made.

    Parameters
    ----------
    name : str
        One of `names()`.
    num_classes : int
        Numbers that it gives for each image (logits).
    in_channels : int
        Channels of the images.
    **options
        Further arguments of the network's function, in terms of JSON. All have

        features : bool
            Without the head (`num_classes` does not matter then); a call gives the list of feature maps instead, the
            last of each resolution, from fine to coarse.

    Raises
    ------
    ValueError
        If there is no such network.

    Examples
    --------
    >>> import numpy as np, pyconv as pc
    >>> model = pc.models.create("digitsnet", num_classes=10, in_channels=1)
    >>> model(np.zeros((2, 1, 8, 8), np.float32)).shape
    (2, 10)
    >>> backbone = pc.models.create("resnet20", features=True)
    >>> [y.shape for y in backbone(np.zeros((1, 3, 32, 32), np.float32))]
    [(1, 16, 32, 32), (1, 32, 16, 16), (1, 64, 8, 8)]
    """
    if name not in _MODELS:
        raise ValueError(f"model must be one of {', '.join(names())}, not {name!r}")
    num_classes, in_channels = integer(num_classes, "num_classes"), integer(in_channels, "in_channels")
    check_least((num_classes,), "num_classes", 1)
    check_least((in_channels,), "in_channels", 1)
    model = _MODELS[name](num_classes, in_channels, **options)
    model.recipe = {"name": name, "num_classes": num_classes, "in_channels": in_channels, **options}
    return model


def names() -> tuple[str, ...]:
    """The names that `create` knows."""
    return tuple(_MODELS)
