"""Pooling in C: window tables and strides become a `pyconv_pool`, indices a `pyconv_points`."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from pyconv.kernels.native.library import aligned, call, ffi, fills_aligned, keep, lib, pointer, workspace_for
from pyconv.kernels.spec import Window

_ONE = Window(np.zeros(1, np.int64), np.ones(1, np.int64), np.ones(1, np.int64), 1)  # the window of an axis of one


@fills_aligned
def max_pool(y, x, windows):
    """y = the maximum of each window."""
    x = aligned(x)
    _run(lib.pyconv_max_pool, lib.PYCONV_MAX_POOL, windows, [pointer(x), pointer(y)], y, x=x)


@fills_aligned
def max_pool_indices(indices, x, windows):
    """indices = the position of each maximum in its plane."""
    x = aligned(x)
    _run(lib.pyconv_max_pool_indices, lib.PYCONV_MAX_POOL_INDICES, windows, [pointer(x), _int64(indices)], indices, x=x)


@fills_aligned
def max_pool_backward(dx, dy, x, windows):
    """dx = dy at the maxima."""
    dy, x = aligned(dy), aligned(x)
    pointers = [pointer(dy), pointer(x), pointer(dx)]
    _run(lib.pyconv_max_pool_backward, lib.PYCONV_MAX_POOL_BACKWARD, windows, pointers, dy, x=x, dx=dx)


@fills_aligned
def avg_pool(y, x, windows):
    """y = the mean of each window."""
    windows, x, y = _rows_last(windows, aligned(x), y)
    _run(lib.pyconv_avg_pool, lib.PYCONV_AVG_POOL, windows, [pointer(x), pointer(y)], y, x=x)


def refuse_avg_pool_backward(dx, dy, windows):
    """Which outputs look at an input is a range of them, if windows have no holes."""
    return "it knows no dilation" if any(window.step > 1 for window in windows) else None


@fills_aligned
def avg_pool_backward(dx, dy, windows):
    """dx = the adjoint of `avg_pool`."""
    windows, dy, dx = _rows_last(windows, aligned(dy), dx)
    _run(lib.pyconv_avg_pool_backward, lib.PYCONV_AVG_POOL_BACKWARD, windows, [pointer(dy), pointer(dx)], dy, dx=dx)


@fills_aligned
def unpool(y, x, indices, add):
    """y = 0, then x at its indices."""
    x, indices = aligned(x), aligned(indices.astype(np.int64, copy=False))
    call(lib.pyconv_unpool, _points(y, x, indices), pointer(x), _int64(indices), pointer(y), add)


@fills_aligned
def gather(y, x, indices):
    """y = the elements of x that indices name."""
    x, indices = aligned(x), aligned(indices.astype(np.int64, copy=False))
    call(lib.pyconv_gather, _points(x, y, indices), pointer(x), _int64(indices), pointer(y))


def _rows_last(windows, source, target):
    """The same pooling with its axes in the order in which they lie in the memory of `source`."""
    steps = source.strides[2:]
    if all(a >= b for a, b in pairwise(steps)):
        return windows, source, target
    order = sorted(range(len(steps)), key=lambda axis: -steps[axis])
    axes = 0, 1, *(2 + axis for axis in order)
    return tuple(windows[axis] for axis in order), source.transpose(axes), target.transpose(axes)


def _run(function, pass_, windows, pointers, outputs, x=None, dx=None):
    """Call a pooling; `outputs` has the shape of its output, x and dx that of its input."""
    inputs = dx if x is None else x
    layouts = tuple(None if array is None else (array.strides, array.itemsize) for array in (x, outputs, dx))
    problem = _describe(windows, inputs.shape, outputs.shape, layouts, inputs.itemsize)
    call(function, problem, *pointers, workspace_for(lib.pyconv_pool_workspace, problem, pass_))


@lru_cache(maxsize=256)
def _describe(windows, inputs, outputs, layouts, itemsize) -> Any:
    """The `pyconv_pool` for arrays of these shapes, and of these strides and item sizes: x, output, dx."""
    axes = _axes(inputs)
    tables = _tables(windows, tuple(axes))
    steps = [1] * (3 - len(windows)) + [window.step for window in windows]
    problem = ffi.new(
        "pyconv_pool *",
        [*inputs[:2], axes, _axes(outputs), steps, tables, *map(_elements, layouts), 8 * itemsize],
    )
    return keep(problem, tables)


def _tables(windows, sizes) -> Any:
    """The tables that C wants of windows over axes of three sizes."""
    axes = zip([*[_ONE] * (3 - len(windows)), *windows], sizes, strict=True)
    tables = np.concatenate([table for window, size in axes for table in _turned_too(window, size)])
    return ffi.from_buffer("int64_t[]", tables)  # keeps the array


def _turned_too(window, size) -> list[np.ndarray]:
    """Start, count and divisor of each output; for each of `size` inputs the first output that sees it, how many do."""
    inputs = np.arange(size)
    first = np.searchsorted(window.start + window.count, inputs, "right")
    count = np.searchsorted(window.start, inputs, "right") - first
    return [*window[:3], first, np.maximum(count, 0)]


def _points(plane, points, indices) -> Any:
    return ffi.new(
        "pyconv_points *",
        [
            *plane.shape[:2],
            _axes(plane.shape),
            _axes(points.shape),
            _strides(plane),
            _strides(points),
            _strides(indices),
            8 * plane.itemsize,
        ],
    )


def _axes(shape) -> list[int]:
    return [1] * (5 - len(shape)) + list(shape[2:])


def _strides(array) -> list[int]:
    return _elements((array.strides, array.itemsize))


def _elements(layout) -> list[int]:
    """Strides in elements: N, C, depth, height, width; zeros for no array."""
    if layout is None:
        return [0] * 5
    strides = [step // layout[1] for step in layout[0]]
    return [*strides[:2], *[0] * (5 - len(strides)), *strides[2:]]


def _int64(array) -> Any:
    return ffi.cast("int64_t *", array.__array_interface__["data"][0])
