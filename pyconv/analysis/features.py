"""What a network has learnt to see: its filters, and what they find in an image."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyconv import nn
from pyconv.data.dataset import as_float


def filter_images(layer: nn.Module) -> np.ndarray:
    """The filters of a two-dimensional convolution as images from 0 to 1, in which 0.5 stands for a weight of 0.

    Returns
    -------
    array (K, R, S, 3) or (K · C, R, S)
        A colour image a filter where filters have three channels, else a grey one a filter and channel.

    Examples
    --------
    >>> from pyconv import nn
    >>> from pyconv.analysis import filter_images
    >>> filter_images(nn.Conv2d(3, 6, 5)).shape, filter_images(nn.Conv2d(6, 16, 5)).shape
    ((6, 5, 5, 3), (96, 5, 5))
    """
    weight = getattr(layer, "weight", None)
    if not isinstance(layer, nn.Conv2d) or weight is None:
        raise TypeError(f"layer must be nn.Conv2d, not {type(layer).__name__}")
    largest = np.abs(weight).max((1, 2, 3), keepdims=True)
    images = 0.5 + 0.5 * weight / np.where(largest > 0, largest, 1)
    return images.transpose(0, 2, 3, 1) if weight.shape[1] == 3 else images.reshape(-1, *weight.shape[2:])


def feature_maps(model: nn.Module, image: Any) -> dict[str, np.ndarray]:
    """What each layer of a model makes of one image, in the order of the calls.

    Parameters
    ----------
    model : nn.Module
        Is run in evaluation mode, on a copy.
    image : array (C, H, W)
        uint8 is scaled to [0, 1].

    Returns
    -------
    dict of str to array (C, H, W)
        By the layer's dotted name in the model; layers whose output is no image are left out. A layer that is called
        again gives its last maps.

    Examples
    --------
    >>> import numpy as np
    >>> from pyconv import nn
    >>> from pyconv.analysis import feature_maps
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2))
    >>> {name: maps.shape for name, maps in feature_maps(model, np.zeros((1, 8, 8), np.float32)).items()}
    {'0': (4, 6, 6), '1': (4, 6, 6), '2': (4, 3, 3)}
    """
    image = as_float(np.asarray(image))
    if image.ndim != 3:
        raise ValueError(f"image must have the shape (C, H, W), not {image.shape}")
    model = model.clone().eval()
    names = {id(module): name for name, module in model.named_modules()}
    maps: dict[str, np.ndarray] = {}

    def keep(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        name = names.get(id(module))
        if name and not module._modules and isinstance(output, np.ndarray) and output.ndim == 4:
            maps.pop(name, None)
            maps[name] = output[0]

    with nn.watch(keep):
        model(image[None])
    return maps
