"""The same elements under other axes."""

from __future__ import annotations

import math

import numpy as np

from pyconv.onnx.registry import axis_of, integers, is_known, operator
from pyconv.ops import shape as ops
from pyconv.ops.reduce import Reshape


@operator("Reshape", until=4)
def reshape_by_attribute(x, *, shape):
    return _reshaped(x, shape, False)


@operator("Reshape", since=5)
def reshape(x, shape, *, allowzero=0):
    return _reshaped(x, integers(shape), bool(allowzero))


def _reshaped(x, shape, allowzero):
    if not allowzero:
        shape = [x.shape[a] if n == 0 else n for a, n in enumerate(shape)]
    return _with(x, ops.reshape(_stand_in(x), shape).shape)


def _stand_in(x):
    """An array of its shape that holds nothing, to ask shapes of."""
    return np.broadcast_to(np.zeros((), bool), x.shape)


def _with(x, shape):
    shape = tuple(shape)
    return x.reshape(shape) if is_known(x) else Reshape(shape)(x)


@operator("Flatten")
def flatten(x, *, axis=1):
    axis = x.ndim if axis == x.ndim else axis_of(axis, x.ndim)
    return _with(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


@operator("Squeeze", until=12)
def squeeze_by_attribute(x, *, axes=None):
    return _squeezed(x, axes)


@operator("Squeeze", since=13)
def squeeze(x, axes=None):
    return _squeezed(x, None if axes is None else integers(axes))


def _squeezed(x, axes):
    gone = {a for a, n in enumerate(x.shape) if n == 1} if axes is None else {axis_of(a, x.ndim) for a in axes}
    if any(x.shape[a] != 1 for a in gone):
        raise ValueError(f"axes must name axes of one element of the shape {tuple(x.shape)}, not {sorted(gone)}")
    return _with(x, [n for a, n in enumerate(x.shape) if a not in gone])


@operator("Unsqueeze", until=12)
def unsqueeze_by_attribute(x, *, axes):
    return _unsqueezed(x, axes)


@operator("Unsqueeze", since=13)
def unsqueeze(x, axes):
    return _unsqueezed(x, integers(axes))


def _unsqueezed(x, axes):
    ndim = x.ndim + len(axes)
    new = {axis_of(a, ndim) for a in axes}
    if len(new) != len(axes):
        raise ValueError(f"axes must name each axis once, not {tuple(axes)}")
    sizes = iter(x.shape)
    return _with(x, [1 if a in new else next(sizes) for a in range(ndim)])


@operator("Transpose")
def transpose(x, *, perm=None):
    axes = tuple(range(x.ndim))[::-1] if perm is None else tuple(axis_of(a, x.ndim) for a in perm)
    if sorted(axes) != list(range(x.ndim)):
        raise ValueError(f"perm must name each of the {x.ndim} axes once, not {tuple(perm)}")
    return x.transpose(axes) if is_known(x) else ops.Transpose(axes)(x)
