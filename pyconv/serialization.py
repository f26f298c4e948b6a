"""Model files: arrays under names and a JSON description, as .safetensors or .npz. Nothing in a file is ever executed.

A model that is made of `pyconv.nn`'s own layers in `nn.Sequential`, or by `pyconv.models.create`, is described well
enough to be built again; of any other, its state is kept. Files are written whole or not at all.

Both formats hold the same: .safetensors (Hugging Face; needs the extra `train`) keeps the description in its metadata,
.npz (NumPy's, uncompressed, without pickles) in a member of its own.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pyconv import nn
from pyconv._extras import require
from pyconv._files import write_atomically
from pyconv.nn.layer import Layer

FORMAT = 1
_KEY = "pyconv"  # of the description in a safetensors file's metadata
_MEMBER = "__pyconv__"  # of the description in a .npz file: its bytes in UTF-8
_NPZ_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError)  # what a broken one causes
_LAYERS = {name: cls for name, cls in vars(nn).items() if isinstance(cls, type) and issubclass(cls, Layer)}


def save(model: nn.Module | Mapping[str, Any], path: str | PathLike[str], **description: Any) -> None:
    """Write a model, or a state as `state_dict` gives it, to a file.

    Parameters
    ----------
    model : Module or mapping of str to array_like
    path : path
        Ends in .safetensors or .npz.
    **description
        Whatever else the file shall say, in terms of JSON; `read` gives it back.

    Raises
    ------
    ValueError
        If the path ends otherwise, or the description is not JSON's.
    OSError
        If the file cannot be written; an old one of that name is still there then.

    Examples
    --------
    >>> import tempfile, pyconv as pc
    >>> from pyconv import nn
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pc.save(model, folder + "/model.npz")
    ...     pc.load(folder + "/model.npz")
    Sequential(
      (0): Linear(2, 3)
      (1): ReLU()
    )
    """
    if isinstance(model, nn.Module):
        arrays, about = model.state_dict(), {"kind": "model", "architecture": describe(model)}
    elif isinstance(model, Mapping):
        arrays, about = dict(model), {"kind": "state"}
    else:
        raise TypeError(f"model must be a Module or a mapping of names to arrays, not {type(model).__name__}")
    write(path, arrays, {**about, **description})


def load(path: str | PathLike[str]) -> nn.Module | dict[str, np.ndarray]:
    """Read what `save` wrote: the model, in evaluation mode, or the state where the file does not say how to build it.

    A .safetensors or .npz file of arrays alone, whoever wrote it, gives its arrays.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is cut short or damaged, of another format, or does not fit the model it describes.
    """
    arrays, description = read(path)
    architecture = description.get("architecture")
    if architecture is None:
        return arrays
    try:
        model = build(architecture)
        model.load_state_dict(arrays, assign=True)
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError, MemoryError) as error:
        raise ValueError(f"{path} describes a model that cannot be built from it: {error}") from error
    return model.eval()


def write(path: str | PathLike[str], arrays: Mapping[str, Any], description: Mapping[str, Any]) -> None:
    """Write arrays and a description in terms of JSON; `path` ends in .safetensors or .npz."""
    suffix = _suffix(path)
    packed = {}
    for name, value in arrays.items():
        array = np.asarray(value, order="C")
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{name!r} must be an array of numbers, not of {array.dtype}")
        packed[name] = array
    try:
        text = json.dumps({"format": FORMAT, **description}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the description must be made of what JSON can hold: {error}") from error
    if suffix == ".safetensors":
        content = require("safetensors.numpy", "train").save(packed, {_KEY: text})
    else:
        content = _to_npz({**packed, _MEMBER: np.frombuffer(text.encode(), np.uint8)})
    write_atomically(path, content)


def read(path: str | PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and description of a file; the description is empty where `write` did not write it.

    Raises
    ------
    FileNotFoundError, ValueError
        As `load` does.
    """
    suffix = _suffix(path)
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    with open(path, "rb") as file:  # one that may not be read says so itself
        arrays, text = _from_safetensors(path) if suffix == ".safetensors" else _from_npz(path, file)
    if text is None:
        return arrays, {}
    try:
        description = json.loads(text)
        version = description.pop("format")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise ValueError(f"{path} has a damaged description") from None
    if version != FORMAT:
        raise ValueError(f"{path} has the format {version!r}; this version of pyconv knows {FORMAT}")
    return arrays, description


def describe(model: nn.Module) -> dict[str, Any] | None:
    """How to build such a model, in terms of JSON; None if it has parts that only its own code can make."""
    if type(model) is nn.Sequential:
        modules = {name: describe(module) for name, module in model._modules.items()}
        if None not in modules.values():
            return {"class": "Sequential", "modules": modules}
    name = type(model).__name__
    if isinstance(model, Layer) and _LAYERS.get(name) is type(model):
        return {"class": name, "arguments": model.config()}
    recipe = model.__dict__.get("recipe")  # of pyconv.models.create; the model may have been changed since
    return {"model": recipe} if recipe and repr(build({"model": recipe})) == repr(model) else None


def build(architecture: Any) -> nn.Module:
    """The model that `describe` described, with weights to be loaded; only pyconv's own classes can be named."""
    if "model" in architecture:
        from pyconv import models

        return models.create(**architecture["model"])
    name = architecture["class"]
    if name == "Sequential":
        return nn.Sequential({key: build(module) for key, module in architecture["modules"].items()})
    if name not in _LAYERS:
        raise ValueError(f"{name!r} is no layer of pyconv.nn")
    return _LAYERS[name](**{key: _tuples(value) for key, value in architecture["arguments"].items()})


def _tuples(value: Any) -> Any:
    """JSON has lists where layers have tuples."""
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _suffix(path: str | PathLike[str]) -> str:
    suffix = Path(path).suffix
    if suffix not in (".safetensors", ".npz"):
        raise ValueError(f"path must end in .safetensors or .npz, not in {suffix!r} ({path})")
    return suffix


def _from_safetensors(path: str | PathLike[str]) -> tuple[dict[str, np.ndarray], str | None]:
    safetensors = require("safetensors", "train")
    try:
        with safetensors.safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            return {name: file.get_tensor(name) for name in file.keys()}, metadata.get(_KEY)  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged, cut short, or not of pyconv's kind: {error}") from error


def _to_npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as file:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())  # a fixed date: same arrays, same bytes
    return content.getvalue()


def _from_npz(path: str | PathLike[str], content: BinaryIO) -> tuple[dict[str, np.ndarray], str | None]:
    arrays = {}
    try:
        with zipfile.ZipFile(content) as file:
            for name in file.namelist():
                with file.open(name) as member:
                    arrays[name.removesuffix(".npy")] = np.lib.format.read_array(member, allow_pickle=False)
        held = arrays.pop(_MEMBER, None)
        return arrays, None if held is None else held.tobytes().decode()
    except _NPZ_ERRORS as error:
        raise ValueError(f"{path} is damaged, cut short, or not a NumPy archive of numbers: {error}") from error
