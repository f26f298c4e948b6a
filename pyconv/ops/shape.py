"""Moving elements: transposition, slices, concatenation, padding and resampling. (`Reshape` stands in reduce.py.)"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pyconv.kernels.resample import ResampleSpec
from pyconv.ops.node import Node, Op
from pyconv.ops.reduce import Reshape


@dataclass(frozen=True, slots=True)
class Transpose(Op):
    """The axes in another order; a view."""

    axes: tuple[int, ...]

    def infer(self, x):
        return tuple(x.shape[a] for a in self.axes), x.dtype

    def compute(self, x):
        return x.transpose(self.axes)

    def vjp(self, dy, y, x):
        inverse = tuple(sorted(range(len(self.axes)), key=self.axes.__getitem__))
        return (lambda: Transpose(inverse)(dy),)


@dataclass(frozen=True, slots=True)
class Slice(Op):
    """x[start], x[start + step], … on each axis; a view."""

    ranges: tuple[tuple[int, int, int], ...]  # (start ≥ 0, count, step ≠ 0) an axis

    def infer(self, x):
        return tuple(count for _, count, _ in self.ranges), x.dtype

    def compute(self, x):
        return x[_slices(self.ranges)]

    def vjp(self, dy, y, x):
        return (lambda: SliceBackward(self.ranges, tuple(x.shape))(dy),)


@dataclass(frozen=True, slots=True)
class SliceBackward(Op):
    """Zeros of `shape` with dy at `ranges`."""

    ranges: tuple[tuple[int, int, int], ...]
    shape: tuple[int, ...]
    kernel: ClassVar[str] = "slice_backward"

    def infer(self, dy):
        return self.shape, dy.dtype

    def attributes(self, dy):
        return (_slices(self.ranges),)

    def vjp(self, ddx, dx, dy):
        return (lambda: Slice(self.ranges)(ddx),)


@dataclass(frozen=True, slots=True)
class Concat(Op):
    """Any number of arrays one after another along `axis` (non-negative)."""

    axis: int
    kernel: ClassVar[str] = "concat"

    def infer(self, *arrays):
        shape = list(arrays[0].shape)
        shape[self.axis] = sum(a.shape[self.axis] for a in arrays)
        return tuple(shape), np.result_type(*(a.dtype for a in arrays))

    def vjp(self, dy, y, *arrays):
        def part(begin, size):
            return lambda: take(dy, self.axis, begin, size)

        sizes = [a.shape[self.axis] for a in arrays]
        return tuple(part(sum(sizes[:i]), size) for i, size in enumerate(sizes))


@dataclass(frozen=True, slots=True)
class Pad(Op):
    """(begin, end) elements more on each axis, of a constant or of x's own; negative numbers cut off."""

    pads: tuple[tuple[int, int], ...]
    mode: str = "constant"  # or reflect, replicate, circular
    value: float = 0.0
    kernel: ClassVar[str] = "pad"

    def infer(self, x):
        return tuple(n + begin + end for n, (begin, end) in zip(x.shape, self.pads, strict=True)), x.dtype

    def vjp(self, dy, y, x):
        return (lambda: PadBackward(self.pads, self.mode)(dy),)


@dataclass(frozen=True, slots=True)
class PadBackward(Op):
    """dx of `Pad`: what was copied to several places sums their cotangents."""

    pads: tuple[tuple[int, int], ...]
    mode: str
    kernel: ClassVar[str] = "pad_backward"

    def infer(self, dy):
        return tuple(n - begin - end for n, (begin, end) in zip(dy.shape, self.pads, strict=True)), dy.dtype

    def vjp(self, ddx, dx, dy):
        return (lambda: Pad(self.pads, self.mode)(ddx),)


@dataclass(frozen=True, slots=True)
class Interpolate(Op):
    """Resampling of the spatial axes of x (N, C, *I), separable and linear in x."""

    spec: ResampleSpec
    kernel: ClassVar[str] = "interpolate"

    def infer(self, x):
        return (*x.shape[:2], *self.spec.size), x.dtype

    def attributes(self, x):
        return (self.spec.tables(x.shape[2:]),)

    def vjp(self, dy, y, x):
        return (lambda: InterpolateBackward(self.spec, tuple(x.shape[2:]))(dy),)


@dataclass(frozen=True, slots=True)
class InterpolateBackward(Op):
    """dx of `Interpolate`, its adjoint."""

    spec: ResampleSpec
    input_size: tuple[int, ...]
    kernel: ClassVar[str] = "interpolate_backward"

    def infer(self, dy):
        return (*dy.shape[:2], *self.input_size), dy.dtype

    def attributes(self, dy):
        return (self.spec.tables(self.input_size),)

    def vjp(self, ddx, dx, dy):
        return (lambda: Interpolate(self.spec)(ddx),)


def take(x, axis, begin, count):
    """`count` elements of one axis from `begin` on."""
    return Slice(tuple((begin, count, 1) if a == axis else (0, n, 1) for a, n in enumerate(x.shape)))(x)


def getitem(x, key):
    """x[key] for integers, slices, None and Ellipsis, as NumPy reads them."""
    ranges, shape, axis = [], [], 0
    for item in _expanded(key if isinstance(key, tuple) else (key,), x.ndim):
        if item is None:
            shape.append(1)
            continue
        size = x.shape[axis]
        if isinstance(item, slice):
            picked = range(*item.indices(size))
            ranges.append((picked.start, len(picked), picked.step) if picked else (0, 0, 1))
            shape.append(len(picked))
        else:
            position = _position(item)
            if not -size <= position < size:
                raise IndexError(f"index {position} is outside axis {axis}, which has {size} elements")
            ranges.append((position % size, 1, 1))
        axis += 1
    whole = tuple((0, n, 1) for n in x.shape)
    y = x if tuple(ranges) == whole else Slice(tuple(ranges))(x)
    return y if tuple(shape) == tuple(y.shape) else Reshape(tuple(shape))(y)


def _expanded(key, ndim):
    """The key with an entry for every axis."""
    named = sum(item is not None and item is not Ellipsis for item in key)
    if named > ndim:
        raise IndexError(f"{named} indices are too many for an array of {ndim} axes")
    dots = [i for i, item in enumerate(key) if item is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can have one Ellipsis ('...') only")
    split = dots[0] if dots else len(key)
    return (*key[:split], *[slice(None)] * (ndim - named), *key[split + 1 :])


def _position(item):
    try:
        if isinstance(item, (bool, np.bool_)):
            raise TypeError
        return operator.index(item)
    except TypeError:
        raise TypeError(
            f"a recorded value is indexed with integers, slices, None and Ellipsis, not {type(item).__name__}; "
            "F.where selects by a mask"
        ) from None


def _slices(ranges):
    """The ranges as slices; an end before element 0 is written None."""
    return tuple(
        slice(start, stop if (stop := start + count * step) >= 0 else None, step) for start, count, step in ranges
    )


def transpose(x, axes=None):
    """The axes in the given order, or all of them reversed."""
    return Transpose(tuple(range(x.ndim))[::-1] if axes is None else tuple(a % x.ndim for a in axes))(x)


def reshape(x, shape):
    """x in another shape, one size of which may be -1."""
    shape = tuple(operator.index(n) for n in shape)
    if shape.count(-1) == 1:
        rest = -int(np.prod(shape, dtype=np.int64))
        if rest and x.size % rest == 0:
            shape = tuple(x.size // rest if n == -1 else n for n in shape)
    if min(shape, default=0) < 0 or int(np.prod(shape, dtype=np.int64)) != x.size:
        raise ValueError(f"an array of shape {tuple(x.shape)} cannot take shape {shape}: it has {x.size} elements")
    return Reshape(shape)(x)


def _sequence(arguments):
    """The arguments of a method that takes either a tuple or its elements."""
    return arguments[0] if len(arguments) == 1 and not hasattr(arguments[0], "__index__") else arguments


def _install_methods() -> None:
    methods = {
        "transpose": lambda self, *axes: transpose(self, None if axes in ((), (None,)) else _sequence(axes)),
        "T": property(transpose),
        "reshape": lambda self, *shape: reshape(self, _sequence(shape)),
        "__getitem__": getitem,
    }
    for name, method in methods.items():
        setattr(Node, name, method)


_install_methods()
