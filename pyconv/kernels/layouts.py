"""Arrays of given shapes and strides, which stand for those of a caller while calls like his are prepared."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np


def sample(shape: tuple[int, ...], strides: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of this layout, with memory of its own that nobody wrote to."""
    spans = [(n - 1) * s for n, s in zip(shape, strides, strict=True)] if prod(shape) else []
    before, after = -sum(s for s in spans if s < 0), sum(s for s in spans if s > 0)
    memory = np.empty(before + after + dtype.itemsize, np.uint8)
    return np.ndarray(shape, dtype, memory.data, before, strides)


def memory_order(array: np.ndarray) -> tuple[int, ...] | None:
    """The axes in whose order an array is C-contiguous, or None if there is no such order."""
    order = sorted(range(array.ndim), key=lambda a: (-array.strides[a], -array.shape[a]))
    return tuple(order) if array.transpose(order).flags.c_contiguous else None
