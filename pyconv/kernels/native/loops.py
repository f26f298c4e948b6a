"""How arrays become the loops that C runs: axes that follow each other in memory are merged, for all arrays at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from pyconv.kernels.native.library import ffi, lib

_DIMS = 6
Strides = tuple[int, ...]  # one stride an array, in elements


def merged(axes: Iterable[tuple[int, Strides]]) -> list[tuple[int, Strides]]:
    """(size, strides) of each axis, outermost first, with axes joined where every array's memory allows."""
    result: list[tuple[int, Strides]] = []
    for size, strides in axes:
        if size == 1:
            continue
        if result and all(outer == size * inner for outer, inner in zip(result[-1][1], strides, strict=True)):
            result[-1] = (result[-1][0] * size, strides)
        else:
            result.append((size, strides))
    return result


def axes_of(shape: Sequence[int], strides: Sequence[Strides], itemsize: int) -> list[tuple[int, Strides]]:
    """(size, strides in elements) of each axis of arrays that have one shape."""
    return [(n, tuple(s[a] // itemsize for s in strides)) for a, n in enumerate(shape)]


def by_stride(axes: Iterable[tuple[int, Strides]]) -> list[tuple[int, Strides]]:
    """The axes in the memory order of the first array, outermost first."""
    return sorted(axes, key=lambda axis: -abs(axis[1][0]))


def unsupported(*arrays: np.ndarray) -> str | None:
    """Why C cannot take these arrays, or None."""
    dtype = arrays[0].dtype
    if dtype.char not in "fd" or not dtype.isnative:
        return "it takes float32 and float64"
    for array in arrays:
        if array.dtype != dtype:
            return "the arrays differ in dtype"
        if not array.flags.aligned:
            return "an array is misaligned"
    return None


# Keyed by a dtype's char: NumPy makes its name anew each time. Unsigned sums have the same bits as signed ones.
INTEGERS = {char: np.dtype(char).name.removeprefix("u" if char in "LQ" else "") for char in "?BilqLQ"}
UNSIGNED = "LQ"
TYPES = {
    char: getattr(lib, f"PYCONV_{name.upper()}")
    for char, name in {**INTEGERS, "f": "float32", "d": "float64"}.items()
    if hasattr(lib, f"PYCONV_{name.upper()}")
}


def describe(*arrays: np.ndarray) -> Any:
    """A `pyconv_loops` for arrays of one dtype, the later ones broadcast to the first, or the reason for none."""
    return loops_of(*((a.shape, a.strides, a.itemsize) for a in arrays))


def loops_of(*arrays: tuple[Sequence[int], Strides, int]) -> Any:
    """`describe` for (shape, strides in bytes, bytes of an element) of each array."""
    return _describe((), *arrays)


def described(*arrays: np.ndarray) -> Any:
    """The same with the type of each array."""
    types = tuple(TYPES[a.dtype.char] for a in arrays)
    return _describe(types, *((a.shape, a.strides, a.itemsize) for a in arrays))


def refuse(*arrays: np.ndarray) -> str | None:
    """Why C has no loops for these arrays, or None."""
    loops = describe(*arrays)
    return loops if isinstance(loops, str) else None


@lru_cache(maxsize=1024)
def _describe(types, *arrays):
    shape = arrays[0][0]
    strides = [_broadcast(shape, *array) for array in arrays]
    if any(s % array[2] for array, steps in zip(arrays, strides, strict=True) for s in steps):
        return "strides are no multiples of an element"
    elements = [tuple(s // array[2] for s in steps) for array, steps in zip(arrays, strides, strict=True)]
    axes = merged(by_stride((n, tuple(s[a] for s in elements)) for a, n in enumerate(shape)))
    axes = _rows_next(axes) or [(1, (1,) * len(arrays))]
    if len(axes) > _DIMS:
        return f"the arrays share too little memory order: {len(axes)} loops"
    axes = [(1, (0,) * len(arrays))] * (_DIMS - len(axes)) + axes
    steps = [[s[i] for _, s in axes] for i in range(len(arrays))]
    return ffi.new("pyconv_loops *", [[n for n, _ in axes], steps, 8 * arrays[0][2], types])


def _rows_next(axes):
    """The axes with the one last but one along which some array is contiguous that is not along the last."""
    for array in range(len(axes[-1][1]) if axes else 0):
        if axes[-1][1][array] not in (0, 1):
            for i, (_, strides) in enumerate(axes[:-2]):
                if strides[array] == 1:
                    return [*axes[:i], *axes[i + 1 : -1], axes[i], axes[-1]]
    return axes


def _broadcast(shape, own, strides, itemsize):
    """Strides of an array broadcast to `shape`."""
    lead = len(shape) - len(own)
    return (0,) * lead + tuple(0 if n != m else s for n, m, s in zip(own, shape[lead:], strides, strict=True))
