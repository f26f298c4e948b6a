"""Pooling in C: window tables and strides become a `pyconv_pool`, indices a `pyconv_points`."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyconv.kernels.native.library import aligned, call, ffi, fills_aligned, keep, lib, pointer, workspace_for

_WHOLE = np.array([0, 1, 1], np.int64)  # start, count and divisor of an axis of one


@fills_aligned
def max_pool(y, x, windows):
    """y = the maximum of each window."""
    x = aligned(x)
    _run(lib.pyconv_max_pool, windows, [pointer(x), pointer(y)], y, x=x)


@fills_aligned
def max_pool_indices(indices, x, windows):
    """indices = the position of each maximum in its plane."""
    x = aligned(x)
    _run(lib.pyconv_max_pool_indices, windows, [pointer(x), _int64(indices)], indices, x=x)


@fills_aligned
def max_pool_backward(dx, dy, x, windows):
    """dx = dy at the maxima."""
    dy, x = aligned(dy), aligned(x)
    _run(lib.pyconv_max_pool_backward, windows, [pointer(dy), pointer(x), pointer(dx)], dy, x=x, dx=dx)


@fills_aligned
def avg_pool(y, x, windows):
    """y = the mean of each window."""
    x = aligned(x)
    _run(lib.pyconv_avg_pool, windows, [pointer(x), pointer(y)], y, x=x)


@fills_aligned
def avg_pool_backward(dx, dy, windows):
    """dx = the adjoint of `avg_pool`."""
    dy = aligned(dy)
    _run(lib.pyconv_avg_pool_backward, windows, [pointer(dy), pointer(dx)], dy, dx=dx)


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


def _run(function, windows, pointers, outputs, x=None, dx=None):
    """Call a pooling; `outputs` has the shape of its output, x and dx that of its input."""
    inputs = dx if x is None else x
    missing = 3 - len(windows)
    tables = np.concatenate([*[_WHOLE] * missing, *(table for window in windows for table in window[:3])])
    problem = ffi.new(
        "pyconv_pool *",
        [
            *inputs.shape[:2],
            _axes(inputs),
            _axes(outputs),
            [1] * missing + [window.step for window in windows],
            _int64(tables),
            _strides(x),
            _strides(outputs),
            _strides(dx),
            8 * inputs.itemsize,
        ],
    )
    call(function, keep(problem, tables), *pointers, workspace_for(lib.pyconv_pool_workspace, problem))


def _points(plane, points, indices) -> Any:
    return ffi.new(
        "pyconv_points *",
        [
            *plane.shape[:2],
            _axes(plane),
            _axes(points),
            _strides(plane),
            _strides(points),
            _strides(indices),
            8 * plane.itemsize,
        ],
    )


def _axes(array) -> list[int]:
    return [1] * (5 - array.ndim) + list(array.shape[2:])


def _strides(array) -> list[int]:
    """Strides in elements: N, C, depth, height, width; zeros for no array."""
    if array is None:
        return [0] * 5
    strides = [s // array.itemsize for s in array.strides]
    return [*strides[:2], *[0] * (5 - array.ndim), *strides[2:]]


def _int64(array) -> Any:
    return ffi.cast("int64_t *", array.__array_interface__["data"][0])
