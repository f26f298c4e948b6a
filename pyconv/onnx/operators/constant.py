"""Values that a model brings or makes of nothing, and shapes as values: all known while recording."""

from __future__ import annotations

import math

import numpy as np

from pyconv.onnx.registry import UnsupportedError, check_size, integers, is_known, operator


@operator("Constant")
def constant(
    *,
    value=None,
    value_float=None,
    value_floats=None,
    value_int=None,
    value_ints=None,
):
    if value is not None:
        return value
    for given, dtype in ((value_float, np.float32), (value_floats, np.float32)):
        if given is not None:
            return np.array(given, dtype)
    if value_int is None and value_ints is None:
        raise UnsupportedError("a constant of another kind")
    return np.array(value_ints if value_int is None else value_int, np.int64)


@operator("ConstantOfShape", since=9)
def constant_of_shape(shape, *, value=None):
    element = np.zeros(1, np.float32) if value is None else value
    if len(shape) == 0:
        return element.reshape(())
    size = integers(shape)
    if min(size) < 0:
        raise UnsupportedError("a negative size")
    check_size(size)
    return np.broadcast_to(element.reshape(-1)[0], size)  # one element of memory, however many there are


@operator("Shape")
def shape(x, *, start=0, end=None):
    return np.array(x.shape[start:end], np.int64)


@operator("Size")
def size(x):
    return np.array(math.prod(x.shape), np.int64)


@operator("Range", since=11)
def number_range(start, limit, delta):
    if not is_known(start, limit, delta) or start.dtype.kind not in "iu":
        raise UnsupportedError("a range that is not known")
    check_size([abs(limit.item() - start.item()) // max(abs(delta.item()), 1)])
    return np.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)


@operator("Identity")
def identity(x):
    return x
