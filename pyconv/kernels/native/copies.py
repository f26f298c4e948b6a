"""Moving elements in C: copies between memory orders, broadcasting, conversions, and what is made of them."""

from __future__ import annotations

import numpy as np

from pyconv.kernels.native.elementwise import cast, refuse_cast
from pyconv.kernels.native.library import call, ffi, lib, pointer
from pyconv.kernels.native.loops import describe, refuse

_SIZES = (1, 4, 8)  # bytes of the elements that are moved as they are


def copy(y, x):
    """y = x, broadcast, in y's dtype."""
    if y.dtype != x.dtype:
        cast(y, x)
    elif y.size:
        call(lib.pyconv_copy, describe(y, x), pointer(y), pointer(x))


def refuse_copy(y, x):
    if y.dtype != x.dtype:
        return refuse_cast(y, x)
    if y.itemsize not in _SIZES:
        return f"it does not take {y.dtype}"
    if not (y.flags.aligned and x.flags.aligned):
        return "an array is misaligned"
    return refuse(y, x)


def fill(y, value):
    """y = a number."""
    if y.size:
        call(lib.pyconv_fill, describe(y), pointer(y), ffi.new("double[1]", [value]))


def _refuse_fill(y):
    if y.dtype not in (np.float32, np.float64):
        return "it takes float32 and float64"
    return refuse_copy(y, y)


def concat(y, *arguments):
    """y = the arrays one after another along an axis (the last argument)."""
    for part, array in _parts(y, *arguments):
        copy(part, array)


def refuse_concat(y, *arguments):
    return next((reason for part, array in _parts(y, *arguments) if (reason := refuse_copy(part, array))), None)


def slice_backward(dx, dy, index):
    """dx[index] = dy, 0 elsewhere."""
    fill(dx, 0)
    copy(dx[index], dy)


def refuse_slice_backward(dx, dy, index):
    return _refuse_fill(dx) or refuse_copy(dx[index], dy)


def pad(y, x, pads, mode, value):
    """y = x with (begin, end) elements of a value more on each axis; negative numbers cut off."""
    inside, source = _overlap(y, x, pads)
    for border in _borders(y, inside):
        fill(border, value)
    copy(y[inside], x[source])


def refuse_pad(y, x, pads, mode, value):
    return _refuse_padding(y, x, pads, mode)


def pad_backward(dx, dy, pads, mode):
    """dx = the part of dy that x was copied to, 0 where x was cut off."""
    source, inside = _overlap(dy, dx, pads)
    for border in _borders(dx, inside):
        fill(border, 0)
    copy(dx[inside], dy[source])


def refuse_pad_backward(dx, dy, pads, mode):
    return _refuse_padding(dx, dy, [(-begin, -end) for begin, end in pads], mode)


def _refuse_padding(y, x, pads, mode):
    if mode != "constant":
        return f"it has no padding mode {mode}"
    inside, source = _overlap(y, x, pads)
    return _refuse_fill(y) or refuse_copy(y[inside], x[source])


def _parts(y, *arguments):
    """(part of y, array that goes there) for the arrays, along the axis that comes last."""
    *arrays, axis = arguments
    begin = 0
    for array in arrays:
        end = begin + array.shape[axis]
        yield y[(slice(None),) * axis + (slice(begin, end),)], array
        begin = end


def _overlap(y, x, pads):
    """Where y and x coincide if x stands `begin` elements from the beginning of y, as slices of y and of x."""
    spans = [
        (max(0, begin), max(max(0, begin), min(n, begin + m)), begin)
        for n, m, (begin, _) in zip(y.shape, x.shape, pads, strict=True)
    ]
    return (
        tuple(slice(first, last) for first, last, _ in spans),
        tuple(slice(first - begin, last - begin) for first, last, begin in spans),
    )


def _borders(y, inside):
    """The parts of y outside of a box, none twice."""
    for axis, box in enumerate(inside):
        for outside in (slice(0, box.start), slice(box.stop, y.shape[axis])):
            place = (*inside[:axis], outside)
            yield y[place]
