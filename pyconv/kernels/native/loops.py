"""How arrays become the loops that C runs: axes that follow each other in memory are merged, for all arrays at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

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
    if dtype != np.float32 and dtype != np.float64:
        return "it takes float32 and float64"
    for array in arrays[1:]:
        if array.dtype != dtype:
            return "the arrays differ in dtype"
    if not all(array.flags.aligned for array in arrays):
        return "an array is misaligned"
    return None
