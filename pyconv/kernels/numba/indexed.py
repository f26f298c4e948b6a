"""What goes by the index of an element in its plane: max unpooling, and its adjoint."""

from __future__ import annotations

import numpy as np

from pyconv.kernels.numba.layout import kernel, source, target, triple
from pyconv.kernels.numba.runtime import jit, parallel
from pyconv.kernels.numba.tile import get, put


@kernel
def unpool(y: np.ndarray, x: np.ndarray, indices: np.ndarray, add: bool) -> None:
    """Each x (N, C, *O) goes where its index names in y (N, C, *I), -1: nowhere; the last wins, or `add` sums them."""
    y[...] = 0
    _run(_scatter, y, x, indices, add)


@kernel
def gather(y: np.ndarray, x: np.ndarray, indices: np.ndarray) -> None:
    """y (N, C, *O) = the elements of x (N, C, *I) that the indices name, 0 for -1."""
    _run(_gather, y, x, indices)


def _run(function, y, x, indices, *more):
    """Units are the planes; the first array's memory is written."""
    size, plane = (*indices.shape[:2], *triple(indices.shape[2:], 1)), y if function is _scatter else x
    arguments = *target(y), *source(x), *source(indices), size, triple(plane.shape[2:], 1)
    parallel(function, size[0] * size[1], indices.size, *arguments, *more)


@jit
def _row(start, strides, size, plane, row):
    """Where in memory a row of a plane begins; planes (n, c) and their rows (d, h) are counted."""
    start += plane // size[1] * strides[0] + plane % size[1] * strides[1]
    return start + row // size[3] * strides[2] + row % size[3] * strides[3]


@jit
def _place(index, strides, size):
    """How far from its plane's first element the one of that index stands."""
    row = index // size[2]
    return row // size[1] * strides[2] + row % size[1] * strides[3] + index % size[2] * strides[4]


@jit
def _scatter(begin, end, y, y_start, y_strides, x, x_start, x_strides, i, i_start, i_strides, size, plane, add):
    for unit in range(begin, end):
        first = _row(y_start, y_strides, size, unit, 0)
        for row in range(size[2] * size[3]):
            given, named = _row(x_start, x_strides, size, unit, row), _row(i_start, i_strides, size, unit, row)
            for w in range(size[4]):
                index = get(i, named + w * i_strides[4])
                if index >= 0:
                    to, value = first + _place(index, y_strides, plane), get(x, given + w * x_strides[4])
                    put(y, to, get(y, to) + value if add else value)


@jit
def _gather(begin, end, y, y_start, y_strides, x, x_start, x_strides, i, i_start, i_strides, size, plane):
    for unit in range(begin, end):
        first = _row(x_start, x_strides, size, unit, 0)
        for row in range(size[2] * size[3]):
            to, named = _row(y_start, y_strides, size, unit, row), _row(i_start, i_strides, size, unit, row)
            for w in range(size[4]):
                index = get(i, named + w * i_strides[4])
                value = get(x, first + _place(index, x_strides, plane)) if index >= 0 else y.dtype.type(0)
                put(y, to + w * y_strides[4], value)
