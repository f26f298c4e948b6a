"""Softmax in C, along an axis of contiguous elements."""

from __future__ import annotations

from functools import lru_cache

from pyconv.kernels.native.library import call, ffi, lib, pointer
from pyconv.kernels.native.loops import axes_of, by_stride, merged, unsupported


def softmax(y, x, axis):
    """y = exp(x) / Σ exp(x)."""
    call(lib.pyconv_softmax, _rows(axis, x, y), False, pointer(x), pointer(y))


def log_softmax(y, x, axis):
    """y = x - log Σ exp(x)."""
    call(lib.pyconv_softmax, _rows(axis, x, y), True, pointer(x), pointer(y))


def softmax_backward(dx, dy, y, axis):
    """dx = y · (dy - Σ dy · y)."""
    rows = _rows(axis, y, dx, dy)
    call(lib.pyconv_softmax_backward, rows, False, pointer(dy), pointer(y), pointer(dx))


def log_softmax_backward(dx, dy, y, axis):
    """dx = dy - exp(y) · Σ dy."""
    rows = _rows(axis, y, dx, dy)
    call(lib.pyconv_softmax_backward, rows, True, pointer(dy), pointer(y), pointer(dx))


def refuse(first, *rest):
    """Why a call of any of the four is refused."""
    *arrays, axis = rest
    reason = unsupported(first, *arrays)
    if reason is None and isinstance(described := _rows(axis, first, *arrays), str):
        reason = described
    return reason


def _rows(axis, *arrays):
    return _describe(axis, arrays[0].itemsize, arrays[0].shape, *(a.strides for a in arrays))


@lru_cache(maxsize=256)
def _describe(axis, itemsize, shape, *strides):
    """A `pyconv_rows` with the steps of x, y and dy (backward: y, dx and dy), or the reason why there is none."""
    axes = axes_of(shape, strides, itemsize)
    n, steps = axes.pop(axis)
    rows = merged(by_stride(axes)) or [(1, (0,) * len(strides))]
    if n > 1 and any(s != 1 for s in steps):
        return "the axis is not contiguous in every array"
    if len(rows) > 1:
        return "rows are not evenly spaced"
    count, (x, y, *dy) = rows[0]
    return ffi.new("pyconv_rows *", [count, n, x, *(dy or [0]), y, 8 * itemsize])
