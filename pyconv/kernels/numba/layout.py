"""How arrays of any strides reach the kernels: as a flat buffer, an offset and a stride an axis, counted in elements.

So one compiled kernel serves every memory order, without a copy, and LLVM sees plain 1-D indexing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import numpy as np


class Flat(NamedTuple):
    """An array of N, C and three spatial axes (absent ones have size 1) over its memory seen as 1-D."""

    memory: np.ndarray  # 1-D, contiguous
    start: int  # of element (0, 0, 0, 0, 0)
    strides: tuple[int, ...]  # 5, in elements

    @property
    def channels_last(self) -> bool:
        """Whether neighbours in memory are channels rather than positions along a row."""
        return abs(self.strides[1]) < abs(self.strides[4])


def source(a: np.ndarray) -> Flat:
    """An input. It reaches the kernel as read-only, whatever it is, so that there is one compiled kernel for both."""
    if not _regular(a):
        a = np.array(a)  # misaligned
    flat = target(a)
    return Flat(read_only(flat.memory), flat.start, flat.strides)


def read_only(a: np.ndarray) -> np.ndarray:
    """A view of a that cannot be written."""
    view = a.view()
    view.flags.writeable = False
    return view


def target(a: np.ndarray) -> Flat:
    """An output, or any array whose strides count whole elements."""
    a = a.reshape(*a.shape[:2], *(1,) * (5 - a.ndim), *a.shape[2:])
    strides = tuple(s // a.itemsize for s in a.strides)
    if a.flags.c_contiguous:
        return Flat(a.reshape(-1), 0, strides)
    last = a.transpose(0, 2, 3, 4, 1)
    if last.flags.c_contiguous:
        return Flat(last.reshape(-1), 0, strides)
    upward = a[tuple(slice(None, None, -1 if s < 0 else 1) for s in strides)]  # begins at the lowest address
    reach = [(n - 1) * abs(s) for n, s in zip(a.shape, strides, strict=True)]
    start = sum(r for r, s in zip(reach, strides, strict=True) if s < 0)
    return Flat(np.lib.stride_tricks.as_strided(upward, (1 + sum(reach),), (a.itemsize,)), start, strides)


def kernel(function: Callable[..., None]) -> Callable[..., None]:
    """Give a kernel an `out` it can write: a copy stands in for one that is misaligned; an empty one needs no work."""

    @wraps(function)
    def run(out: np.ndarray, *arguments: Any) -> None:
        if out.size == 0:
            return
        if _regular(out):
            function(out, *arguments)
        else:
            result = np.empty(out.shape, out.dtype)
            function(result, *arguments)
            out[...] = result

    return run


def triple(values: tuple[Any, ...], absent: Any) -> tuple[Any, ...]:
    """An entry for each of three spatial axes, `absent` for those that the arrays lack."""
    return (absent,) * (3 - len(values)) + tuple(values)


def _regular(a: np.ndarray) -> bool:
    return a.flags.aligned and not any(s % a.itemsize for s in a.strides)
