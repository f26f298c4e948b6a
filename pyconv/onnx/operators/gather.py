"""Parts of an array: slices, and elements by their indices."""

from __future__ import annotations

import numpy as np

import pyconv.functional as F
from pyconv.onnx.registry import UnsupportedError, axis_of, integers, is_known, operator


@operator("Slice", until=9)
def slice_by_attributes(x, *, starts, ends, axes=None):
    return _sliced(x, starts, ends, axes, None)


@operator("Slice", since=10)
def slice_by_inputs(x, starts, ends, axes=None, steps=None):
    return _sliced(x, *(None if v is None else integers(v) for v in (starts, ends, axes, steps)))


def _sliced(x, starts, ends, axes, steps):
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    key = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = x.shape[axis_of(axis, x.ndim)]
        stop = None if step < 0 and end < -size else end  # past the first element, which a slice writes as None
        key[axis_of(axis, x.ndim)] = slice(start, stop, step)
    return x[tuple(key)] if is_known(x) else F.getitem(x, tuple(key))


@operator("Gather")
def gather(x, indices, *, axis=0):
    axis = axis_of(axis, x.ndim)
    if not is_known(indices):
        raise UnsupportedError("indices that are not known")
    if ((indices < -x.shape[axis]) | (indices >= x.shape[axis])).any():
        raise ValueError(f"indices must lie inside of axis {axis}, which has {x.shape[axis]} elements")
    if is_known(x):
        return np.asarray(np.take(x, indices, axis))
    before = (slice(None),) * axis
    if indices.ndim == 0:
        return F.getitem(x, (*before, int(indices)))
    picked = indices.reshape(-1) % x.shape[axis]
    steps = np.diff(picked)
    if indices.ndim != 1 or picked.size == 0 or (steps != steps[:1]).any() or (picked.size > 1 and steps[0] == 0):
        raise UnsupportedError("indices that are no slice")
    step = int(steps[0]) if picked.size > 1 else 1
    stop = int(picked[-1]) + (1 if step > 0 else -1)
    return F.getitem(x, (*before, slice(int(picked[0]), stop if stop >= 0 else None, step)))
