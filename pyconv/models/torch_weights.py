"""Weights of PyTorch's models, by name: the modules here are named as torchvision's."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from pyconv.nn import Module
from pyconv.serialization import read

_TORCH_SUFFIXES = (".pth", ".pt", ".bin")


def load_torch_weights(model: Module, weights: str | PathLike[str] | Mapping[str, Any], *, head: bool = True) -> Module:
    """Copy the weights of torchvision's model of the same name into a model; gives the model back.

    Parameters
    ----------
    model : Module
        From `pyconv.models.create`, or any whose parameters are named and shaped as in the file.
    weights : path or mapping
        A `state_dict`: a .pth or .pt file (which needs PyTorch; only tensors are read, nothing in it is executed), a
        .safetensors file, or a dict of names to tensors or arrays.
    head : bool
        Whether the last layers' weights are taken too. Without them the model keeps its own, for another number of
        classes than the file's.

    Raises
    ------
    ValueError
        If names are missing, unexpected, or of another shape; the message lists them, and nothing is written. Left
        aside are the numbers of batches that batch norms count, and a head (or an auxiliary one) that the model does
        not have.
    FileNotFoundError, ImportError
        If there is no such file, or it needs a package that is not installed.

    Examples
    --------
    >>> from pyconv import models
    >>> source, other = models.create("resnet20"), models.create("resnet20", num_classes=3)
    >>> other = models.load_torch_weights(other, source.state_dict(), head=False)
    >>> bool((other.conv1.weight == source.conv1.weight).all())
    True
    """
    given = weights if isinstance(weights, Mapping) else _read(weights)
    own = model.state_dict()
    heads = getattr(model, "head_names", ())
    rename = getattr(model, "torch_name", str)

    def kept(name: str) -> bool:
        """Whether the model keeps its own value."""
        return name.endswith("num_batches_tracked") or (not head and name.partition(".")[0] in heads)

    def unused(name: str) -> bool:
        first = name.partition(".")[0]
        return kept(name) or (first in heads and first not in model._modules)

    state = {rename(name): _array(name, value) for name, value in given.items() if not unused(name)}
    model.load_state_dict({**{name: array for name, array in own.items() if kept(name)}, **state})
    return model


def _read(path: str | PathLike[str]) -> Mapping[str, Any]:
    suffix = Path(path).suffix
    if suffix not in _TORCH_SUFFIXES:
        return read(path)[0]
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"a {suffix} file is read by PyTorch: pip install torch, or turn it into .safetensors where there is one"
        ) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{path} is damaged, or holds more than tensors: {error}") from error
    if not isinstance(state, Mapping):
        raise ValueError(f"{path} holds a {type(state).__name__}, not a state_dict of names and tensors")
    return state


def _array(name: str, value: Any) -> np.ndarray:
    """An array, or a tensor of any device and float format, as an array."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if value.element_size() < 4 and value.is_floating_point() else value  # bfloat16
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"weights must map names to tensors or arrays, but {name!r} is a {type(value).__name__}")
    return array
