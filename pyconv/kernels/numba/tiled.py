"""Pooling whose windows tile planes in C order, as 2×2 windows at stride 2 do.

There memory alone tells the shapes: x is (rows, height, across, width) to y's (rows, across), and what is done along
rows is one long loop over many of them, however short they are. All else is for `pool.py` and `maxima.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pyconv.kernels.numba.layout import read_only, triple
from pyconv.kernels.numba.runtime import jit, parallel
from pyconv.kernels.numba.tile import get, larger, place_of_larger, put
from pyconv.kernels.numba.windows import POINT, combine, tables, tile
from pyconv.kernels.spec import Window

BLOCK = 4096  # elements of x that are dealt with together
WIDTH = 8  # of the windows that `reduce` and `locate` serve: of what wider ones hold of a row vectors can be made


class Tiles(NamedTuple):
    """How a plane falls into windows."""

    height: int
    width: int
    area: int  # what the sum of a window is divided by


def tiles(windows: tuple[Window, ...], x: np.ndarray, *others: np.ndarray) -> Tiles | None:
    """How x, or an array like it, falls into these windows; None if it does not, or an array is not in C order."""
    if x.ndim > 4 or x.size == 0 or not all(a.flags.c_contiguous and a.flags.aligned for a in (x, *others)):
        return None
    if not tile(*tables(windows), triple(x.shape[2:], 1)):
        return None
    height, width = (int(w.count[0]) for w in triple(windows, POINT)[1:])
    return Tiles(height, width, math.prod(int(w.divisor[0]) for w in windows))


def reduce(y: np.ndarray, x: np.ndarray, shape: Tiles, mean: bool | None) -> None:
    """y = the maximum of each window, or with `mean` its sum over the area."""
    _run(_reduce, x.size, y, (x,), y, shape, None if mean is None else y.dtype.type(shape.area))


def spread(dx: np.ndarray, dy: np.ndarray, shape: Tiles) -> None:
    """dx = each dy over the area, in all of its window."""
    _run(_spread, dx.size, dx, (dy,), dy, shape, dy.dtype.type(shape.area))


def locate(dx: np.ndarray, dy: np.ndarray, x: np.ndarray, shape: Tiles) -> None:
    """dx = each dy at the place of its window's maximum in x, 0 elsewhere."""
    _run(_locate, 4 * x.size, dx, (dy, x), dy, shape)


def _run(
    function: Callable[..., None],
    work: int,
    out: np.ndarray,
    inputs: tuple[np.ndarray, ...],
    y: np.ndarray,
    shape: Tiles,
    *more: object,
) -> None:
    """A unit is a row of y."""
    flat = (read_only(a.reshape(-1)) for a in inputs)
    across = y.shape[-1]
    parallel(function, y.size // across, work, out.reshape(-1), *flat, shape.height, across, shape.width, *more)


@jit
def _reduce(begin, end, y, x, height, across, width, area):
    """The maximum, or with an area the mean."""
    block = max(1, BLOCK // (height * across * width))
    lines = np.empty(block * height * across, y.dtype)  # the windows' rows, as one element each
    for first in range(begin, end, block):
        rows = min(block, end - first)
        a = first * height * across * width
        if width == 2:
            for i in range(rows * height * across):
                put(lines, i, combine(get(x, a + 2 * i), get(x, a + 2 * i + 1), area))
        elif width == 4:
            for i in range(rows * height * across):
                half = combine(get(x, a + 4 * i), get(x, a + 4 * i + 1), area)
                put(lines, i, combine(half, combine(get(x, a + 4 * i + 2), get(x, a + 4 * i + 3), area), area))
        else:
            for i in range(rows * height * across):
                value = get(x, a + i * width)
                for k in range(1, width):
                    value = combine(value, get(x, a + i * width + k), area)
                put(lines, i, value)
        for r in range(rows):
            at, to = r * height * across, (first + r) * across
            for j in range(1, height - 1):
                for w in range(across):
                    put(lines, at + w, combine(get(lines, at + w), get(lines, at + j * across + w), area))
            b = at + (height - 1) * across
            for w in range(across):
                value = get(lines, at + w)
                put(y, to + w, combine(value, get(lines, b + w), area) if height > 1 else value)
        if area is not None:
            for i in range(first * across, (first + rows) * across):
                put(y, i, get(y, i) / area)


@jit
def _spread(begin, end, dx, dy, height, across, width, area):
    """Each dy over the area, in all of its window."""
    if across == 1:
        height, width = 1, height * width
    length = across * width
    block = max(1, BLOCK // length)
    shares, lines = np.empty(block * across, dx.dtype), np.empty(block * length, dx.dtype)
    for first in range(begin, end, block):
        rows = min(block, end - first)
        for i in range(rows * across):
            put(shares, i, get(dy, first * across + i) / area)
        if width == 2:
            for i in range(rows * across):
                put(lines, 2 * i, get(shares, i))
                put(lines, 2 * i + 1, get(shares, i))
        else:
            for i in range(rows * across):
                share = get(shares, i)
                for k in range(width):
                    put(lines, i * width + k, share)
        for r in range(rows):
            for j in range(height):
                to = ((first + r) * height + j) * length
                for i in range(length):
                    put(dx, to + i, get(lines, r * length + i))


@jit
def _locate(begin, end, dx, dy, x, height, across, width):
    """Each dy at the place of its window's maximum, 0 elsewhere."""
    length = across * width
    block = max(1, BLOCK // (height * length))
    values = np.empty(block * height * across, x.dtype)  # of the windows' rows the maxima
    places = np.empty(block * height * across, np.int32)  # and which of a row's elements they are
    for first in range(begin, end, block):
        rows = min(block, end - first)
        a = first * height * length
        for i in range(rows * height * length):
            put(dx, a + i, dx.dtype.type(0))
        if width == 2:
            for i in range(rows * height * across):
                old, new = get(x, a + 2 * i), get(x, a + 2 * i + 1)
                put(values, i, larger(old, new))
                put(places, i, place_of_larger(old, new, np.int32(0), np.int32(1)))
        else:
            for i in range(rows * height * across):
                top, place = get(x, a + i * width), np.int32(0)
                for k in range(1, width):
                    value = get(x, a + i * width + k)
                    place = place_of_larger(top, value, place, np.int32(k))
                    top = larger(top, value)
                put(values, i, top)
                put(places, i, place)
        for r in range(rows):
            at = r * height * across
            for w in range(across):
                top, place = get(values, at + w), w * width + get(places, at + w)
                for j in range(1, height):
                    value = get(values, at + j * across + w)
                    there = (j * across + w) * width + get(places, at + j * across + w)
                    place = place_of_larger(top, value, place, there)
                    top = larger(top, value)
                put(dx, a + r * height * length + place, get(dy, (first + r) * across + w))
