"""Arrays joined along an axis, cut along one, and repeated."""

from __future__ import annotations

import numpy as np

import pyconv.functional as F
from pyconv.onnx.registry import UnsupportedError, axis_of, check_size, integers, is_known, operator
from pyconv.ops.shape import Concat, take


@operator("Concat", since=4)
def concat(*values, axis):
    axis = axis_of(axis, values[0].ndim)
    rests = {tuple(v.shape[:axis]) + tuple(v.shape[axis + 1 :]) for v in values}
    if len(rests) > 1 or len({v.ndim for v in values}) > 1:
        raise ValueError(f"arrays must be alike but for axis {axis}, not {[tuple(v.shape) for v in values]}")
    check_size([sum(v.size for v in values)], *values)
    if is_known(*values):
        return np.concatenate(values, axis)
    if any(v.dtype != values[0].dtype for v in values):
        raise UnsupportedError("mixed dtypes")
    return Concat(axis)(*values) if len(values) > 1 else values[0]


@operator("Split", since=2, until=12)
def split_by_attribute(x, *, outputs, axis=0, split=None):
    return _split(x, axis, split, outputs)


@operator("Split", since=13)
def split(x, sizes=None, *, outputs, axis=0, num_outputs=None):
    return _split(x, axis, None if sizes is None else integers(sizes), num_outputs or outputs)


def _split(x, axis, sizes, parts):
    axis = axis_of(axis, x.ndim)
    size = x.shape[axis]
    if sizes is None:  # equal parts, the last of which may be smaller
        part = -(-size // parts)
        sizes = [max(min(part, size - i * part), 0) for i in range(parts)]
    if sum(sizes) != size or min(sizes, default=0) < 0:
        raise ValueError(f"split must sum to the {size} elements of axis {axis}, not {tuple(sizes)}")
    begins = [sum(sizes[:i]) for i in range(len(sizes))]
    return tuple(take(x, axis, begin, n) for begin, n in zip(begins, sizes, strict=True))


@operator("Expand", since=8)
def expand(x, shape):
    return F.broadcast_to(x, np.broadcast_shapes(x.shape, integers(shape)))


@operator("Tile", since=6)
def tile(x, repeats):
    times = integers(repeats)
    if len(times) != x.ndim:
        raise ValueError(f"repeats must hold {x.ndim} numbers, not {len(times)}")
    check_size([t * n for t, n in zip(times, x.shape, strict=True)], x)
    if is_known(x):
        return np.tile(x, times)
    apart = F.reshape(x, [n for size in x.shape for n in (1, size)])
    spread = F.broadcast_to(apart, [n for t, size in zip(times, x.shape, strict=True) for n in (t, size)])
    return F.reshape(spread, [t * n for t, n in zip(times, x.shape, strict=True)])
