"""Networks by name: `create("lenet5", num_classes=10, in_channels=1)`.

Each stands in the file of its family, with the paper it follows; adding one is a function there and a line here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyconv.functional.arguments import check_least, integer
from pyconv.models.lenet import lenet5
from pyconv.models.small import catnet, cifarnet, digitsnet, mnistnet
from pyconv.nn import Module

__all__ = ["create", "names"]

_MODELS: dict[str, Callable[..., Module]] = {
    model.__name__: model for model in (catnet, cifarnet, digitsnet, lenet5, mnistnet)
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
        Further arguments of the network's function, in terms of JSON.

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
