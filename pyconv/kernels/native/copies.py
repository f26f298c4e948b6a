"""Moving elements in C: copies between memory orders, broadcasting, conversions, and what is made of them.

Joining, padding and the gradient of a slice are copies and fills of parts of an array. Which parts, and as what loops,
is worked out once for arrays of given shapes and strides.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from pyconv.kernels.native.elementwise import cast, refuse_cast
from pyconv.kernels.native.library import call, ffi, lib, pointer
from pyconv.kernels.native.loops import describe, loops_of, refuse

_SIZES = (1, 4, 8)  # bytes of the elements that are moved as they are


class Layout(NamedTuple):
    """Where elements lie: shape, strides in bytes, bytes from the beginning of the array that they are a part of."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    def part(self, index: tuple[slice, ...]) -> Layout:
        """The layout of array[index]; axes that the index leaves out are whole."""
        ranges = [range(*i.indices(n)) for i, n in zip(index, self.shape, strict=False)]
        rest = len(ranges)
        offset = sum(r.start * s for r, s in zip(ranges, self.strides, strict=False) if r)
        return Layout(
            (*map(len, ranges), *self.shape[rest:]),
            (*(r.step * s for r, s in zip(ranges, self.strides, strict=False)), *self.strides[rest:]),
            self.offset + offset,
        )


class Part(NamedTuple):
    """Elements of y that are copied from array number `source`, or filled if that is None."""

    loops: Any  # a `pyconv_loops`, or the reason why there is none
    offset: int
    source: int | None = None
    source_offset: int = 0


def copy(y, x):
    """y = x, broadcast, in y's dtype."""
    if y.dtype != x.dtype:
        cast(y, x)
    else:
        call(lib.pyconv_copy, describe(y, x), pointer(y), pointer(x))


def refuse_copy(y, x):
    if y.dtype != x.dtype:
        return refuse_cast(y, x)
    return _refuse_type(y, x) or refuse(y, x)


def concat(y, *arguments):
    """y = the arrays one after another along an axis (the last argument)."""
    *arrays, axis = arguments
    _move(_joined(axis, y.itemsize, *map(_layout, (y, *arrays))), y, arrays)


def refuse_concat(y, *arguments):
    *arrays, axis = arguments
    return _refuse_type(y, *arrays) or _refuse_parts(_joined(axis, y.itemsize, *map(_layout, (y, *arrays))))


def slice_backward(dx, dy, index):
    """dx[index] = dy, 0 elsewhere."""
    _move(_scattered(_ranges(index), dx.itemsize, _layout(dx), _layout(dy)), dx, [dy])


def refuse_slice_backward(dx, dy, index):
    return _refuse_real(dx, dy) or _refuse_parts(_scattered(_ranges(index), dx.itemsize, _layout(dx), _layout(dy)))


def pad(y, x, pads, mode, value):
    """y = x with (begin, end) elements of a value more on each axis; negative numbers cut off."""
    _move(_padded(tuple(pads), y.itemsize, _layout(y), _layout(x)), y, [x], value)


def refuse_pad(y, x, pads, mode, value):
    return _refuse_padding(y, x, tuple(pads), mode)


def pad_backward(dx, dy, pads, mode):
    """dx = the part of dy that x was copied to, 0 where x was cut off."""
    _move(_padded(_inverse(pads), dx.itemsize, _layout(dx), _layout(dy)), dx, [dy])


def refuse_pad_backward(dx, dy, pads, mode):
    return _refuse_padding(dx, dy, _inverse(pads), mode)


def _refuse_padding(y, x, pads, mode):
    if mode != "constant":
        return f"it has no padding mode {mode}"
    return _refuse_real(y, x) or _refuse_parts(_padded(pads, y.itemsize, _layout(y), _layout(x)))


def _refuse_type(y, *arrays):
    if y.itemsize not in _SIZES:
        return f"it does not take {y.dtype}"
    for array in arrays:
        if array.dtype != y.dtype:
            return "the arrays differ in dtype"
        if not (array.flags.aligned and y.flags.aligned):
            return "an array is misaligned"
    return None


def _refuse_real(y, x):
    """What is filled must be of real numbers."""
    return _refuse_type(y, x) if y.dtype.char in "fd" else "it takes float32 and float64"


def _refuse_parts(parts):
    return next((part.loops for part in parts if isinstance(part.loops, str)), None)


def _move(parts, y, arrays, value=0.0):
    """Fill and copy the parts of y."""
    to = _bytes(y)
    sources, filling = [_bytes(array) for array in arrays], ffi.new("double[1]", [value])
    for loops, offset, source, source_offset in parts:
        if source is None:
            call(lib.pyconv_fill, loops, to + offset, filling)
        else:
            call(lib.pyconv_copy, loops, to + offset, sources[source] + source_offset)


def _bytes(array):
    return ffi.cast("char *", pointer(array))


def _layout(array):
    return Layout(array.shape, array.strides)


def _inverse(pads):
    return tuple((-begin, -end) for begin, end in pads)


def _ranges(index):
    """Slices as a key of a cache, which they can be from Python 3.12 on."""
    return tuple((i.start, i.stop, i.step) for i in index)


def _copied(itemsize, y, x, source=0):
    """The part of y that a part of an array goes to, if there is anything in it."""
    loops = loops_of((y.shape, y.strides, itemsize), (x.shape, x.strides, itemsize))
    return [] if 0 in y.shape else [Part(loops, y.offset, source, x.offset)]


def _filled(itemsize, y):
    return [] if 0 in y.shape else [Part(loops_of((y.shape, y.strides, itemsize)), y.offset)]


@lru_cache(maxsize=256)
def _joined(axis, itemsize, y, *arrays):
    parts: list[Part] = []
    begin = 0
    for number, x in enumerate(arrays):
        index = (*[slice(None)] * axis, slice(begin, begin + x.shape[axis]))
        parts += _copied(itemsize, y.part(index), x, number)
        begin += x.shape[axis]
    return parts


@lru_cache(maxsize=256)
def _scattered(ranges, itemsize, dx, dy):
    return [*_filled(itemsize, dx), *_copied(itemsize, dx.part(tuple(slice(*r) for r in ranges)), dy)]


@lru_cache(maxsize=256)
def _padded(pads, itemsize, y, x):
    """Parts of y where x stands `begin` elements from its beginning: borders, none twice, and what both share."""
    inside: list[slice] = []
    source: list[slice] = []
    parts: list[Part] = []
    for n, m, (begin, _) in zip(y.shape, x.shape, pads, strict=True):
        first = min(max(0, begin), n)
        last = max(first, min(n, begin + m))
        for outside in (slice(0, first), slice(last, n)):
            parts += _filled(itemsize, y.part((*inside, outside)))
        inside.append(slice(first, last))
        source.append(slice(first - begin, last - begin) if first < last else slice(0, 0))
    return [*parts, *_copied(itemsize, y.part(tuple(inside)), x.part(tuple(source)))]
