"""Tensors of a model file as arrays: nothing is allocated that the file does not hold, nothing read beside it."""

from __future__ import annotations

import os
import sys
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from pyconv.onnx.errors import ModelError
from pyconv.onnx.wire import Data

STRING = TensorProto.STRING
_EXTERNAL = TensorProto.EXTERNAL
_PACKED = {  # elements in a byte
    getattr(TensorProto, name): count
    for name, count in {"UINT4": 2, "INT4": 2, "FLOAT4E2M1": 2, "UINT2": 4, "INT2": 4}.items()
    if hasattr(TensorProto, name)
}
_KNOWN = frozenset(TensorProto.DataType.values()) - {TensorProto.UNDEFINED}
_AS_THEY_LIE = () if sys.byteorder == "big" else (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64)


class Budget:
    """How many bytes the tensors of a model may still take."""

    def __init__(self, limit: int | None):
        self.limit = limit
        self.taken = 0

    def take(self, nbytes: int, name: str) -> None:
        """Count a tensor, or raise ModelError if it is too much."""
        self.taken += nbytes
        if self.limit is not None and self.taken > self.limit:
            raise ModelError(
                f"tensor {name!r} takes the model's constants to {self.taken:,} bytes, past the memory limit of "
                f"{self.limit:,}; a larger memory_limit would let it in"
            )


def to_array(
    tensor: TensorProto,
    folder: Path | None,
    budget: Budget,
    data: Data | None = None,
    number: int = 0,
    stays: bool = False,
) -> Any:
    """The values of a tensor, after its size is held against the bytes that are there.

    It is the initializer of this number in a file whose `data` may be read apart; one that `stays` in its file is a
    `Folded` where that is possible.

    Raises
    ------
    ModelError
        If sizes are negative, overflow, or do not go with the data; if the budget is spent; or if external data lies
        outside of `folder` (there is none for a model that came as bytes).
    """
    name, shape = tensor.name or "a constant", tuple(tensor.dims)
    if any(n < 0 for n in shape):
        raise ModelError(f"tensor {name!r} has a negative size in its shape {shape}")
    if tensor.data_type not in _KNOWN:
        raise ModelError(f"tensor {name!r} has the unknown element type {tensor.data_type}")
    if tensor.HasField("segment"):
        raise ModelError(f"tensor {name!r} is a segment of another, which no operator set has ever allowed")
    count = prod(shape)
    if tensor.data_type == STRING:
        budget.take(sum(map(len, tensor.string_data)), name)
        if count != len(tensor.string_data):
            raise ModelError(f"tensor {name!r} of shape {shape} holds {len(tensor.string_data)} strings, not {count}")
        return np.asarray(numpy_helper.to_array(tensor))
    nbytes = expected_bytes(tensor.data_type, count)
    budget.take(nbytes, name)
    if tensor.data_location == _EXTERNAL:
        raw = _external(tensor, folder, nbytes)
        inline = TensorProto(dims=shape, data_type=tensor.data_type, name=tensor.name, raw_data=raw)
        return numpy_helper.to_array(inline)
    if data is not None and (apart := data.nbytes(number)) is not None:
        _check_bytes(name, shape, nbytes, apart)
        if tensor.data_type in _AS_THEY_LIE:
            dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
            kept = data.kept(number, shape, dtype) if stays else None
            return data.read(number).view(dtype).reshape(shape) if kept is None else kept
        memory = data.read(number)
        return numpy_helper.to_array(TensorProto(dims=shape, data_type=tensor.data_type, raw_data=memory.tobytes()))
    if tensor.HasField("raw_data"):
        raw = tensor.raw_data  # a copy, each time that it is asked for
        _check_bytes(name, shape, nbytes, len(raw))
        if tensor.data_type in _AS_THEY_LIE:
            return np.frombuffer(raw, helper.tensor_dtype_to_np_dtype(tensor.data_type)).reshape(shape)
    else:
        field = helper.tensor_dtype_to_field(tensor.data_type)
        held = len(getattr(tensor, field))
        parts = 2 if tensor.data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128) else 1
        needed = -(-count // _PACKED.get(tensor.data_type, 1)) * parts
        if held != needed:
            raise ModelError(f"tensor {name!r} of shape {shape} needs {needed:,} entries, and has {held:,}")
    return numpy_helper.to_array(tensor)


def _check_bytes(name: str, shape: tuple[int, ...], needed: int, held: int) -> None:
    if held != needed:
        raise ModelError(f"tensor {name!r} of shape {shape} needs {needed:,} bytes, and has {held:,}")


def expected_bytes(data_type: int, count: int) -> int:
    """The bytes of so many elements."""
    if data_type in _PACKED:
        return -(-count // _PACKED[data_type])
    return count * helper.tensor_dtype_to_np_dtype(data_type).itemsize


def _external(tensor: TensorProto, folder: Path | None, nbytes: int) -> bytes:
    """The bytes of a tensor that lie in a file beside the model."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise ModelError(f"tensor {tensor.name!r} lies in the file {location!r}: load such a model by its path")
    if not location or os.path.isabs(location) or ".." in Path(location).parts:
        raise ModelError(f"tensor {tensor.name!r} lies in {location!r}, outside of the model's folder")
    path, root = (folder / location).resolve(), folder.resolve()
    if not path.is_relative_to(root):
        raise ModelError(f"tensor {tensor.name!r} lies in {location!r}, outside of the model's folder")
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", nbytes))
    except ValueError:
        raise ModelError(f"tensor {tensor.name!r} has an offset or length that is no number") from None
    if offset < 0 or length != nbytes:
        raise ModelError(f"tensor {tensor.name!r} needs {nbytes:,} bytes, and names {length:,} from {offset:,} on")
    if not path.is_file():
        raise ModelError(f"tensor {tensor.name!r} lies in the file {location!r}, which is not there")
    with path.open("rb") as file:
        file.seek(offset)
        raw = file.read(nbytes)
    if len(raw) != nbytes:
        raise ModelError(
            f"tensor {tensor.name!r} needs {nbytes:,} bytes, and {location!r} has {len(raw):,} at {offset:,}"
        )
    return raw
