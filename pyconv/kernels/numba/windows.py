"""The tables of a pooling's windows as kernels take them, always for three axes."""

from __future__ import annotations

import numpy as np

from pyconv.kernels.numba.layout import triple
from pyconv.kernels.numba.runtime import jit
from pyconv.kernels.numba.tile import larger
from pyconv.kernels.spec import Window

POINT = Window(np.zeros(1, np.int64), np.ones(1, np.int64), np.ones(1, np.int64), 1)


def full_size(a: np.ndarray) -> tuple[int, ...]:
    """N, C and three spatial sizes."""
    return *a.shape[:2], *triple(a.shape[2:], 1)


def tables(windows: tuple[Window, ...]) -> tuple[tuple, tuple, tuple, tuple]:
    """Starts, counts, divisors and steps, each for three axes."""
    return tuple(zip(*triple(windows, POINT), strict=True))  # type: ignore[return-value]


@jit
def tile(starts, counts, divisors, steps, sizes):
    """Whether along each axis equal windows follow each other from its first element to its last."""
    for axis in range(3):
        start, count, divisor = starts[axis], counts[axis], divisors[axis]
        if steps[axis] != 1 or len(start) * count[0] != sizes[axis]:
            return False
        for o in range(len(start)):
            if start[o] != o * count[0] or count[o] != count[0] or divisor[o] != divisor[0]:
                return False
    return True


@jit
def largest(counts):
    """The most elements that a window has along an axis."""
    most = 0
    for count in counts:
        most = max(most, count)
    return most


@jit
def regular(start, count, step, most, size):
    """Where windows along an axis stand at one stride: where window 0 starts (maybe left of the axis), the first
    window that holds the `most` elements, how many do from there on, and the stride; 0 where they do not.
    """
    first, full = 0, 0
    while count[first] < most:
        first += 1
    while first + full < len(count) and count[first + full] == most:
        full += 1
    stride = start[first + 1] - start[first] if full > 1 else step
    if most == 0 or stride <= 0:  # dilated windows whose first element is cut off may stand in any order
        return 0, 0, 0, 0
    begin = start[first] - first * stride
    for o in range(len(start)):  # each must be what padding leaves of a whole window
        elements = 0
        for k in range(most):
            i = begin + o * stride + k * step
            if 0 <= i < size:
                if elements == 0 and start[o] != i:
                    return 0, 0, 0, 0
                elements += 1
        if elements != count[o]:
            return 0, 0, 0, 0
    return begin, first, full, stride


@jit
def combine(a, b, mean):
    """Of two elements the sum, or (mean is None) the larger."""
    if mean is None:
        return larger(a, b)
    return a + b
