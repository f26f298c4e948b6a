"""What a convolution or a pooling is, apart from its arrays: the descriptors that every backend's kernels take."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


@dataclass(frozen=True, slots=True)
class ConvSpec:
    """A convolution over `len(stride)` spatial axes; every tuple has one entry an axis.

    The same descriptor serves the forward pass and both backward passes. Padding may be negative (a crop) inside the
    library; the public functions refuse that.
    """

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]  # (begin, end)
    dilation: tuple[int, ...]
    groups: int = 1
    padding_mode: str = "zeros"

    def output_size(self, size: tuple[int, ...], kernel_size: tuple[int, ...]) -> tuple[int, ...]:
        """Spatial size of the forward result for an input of spatial size `size`; entries may come out ≤ 0."""
        out = []
        for i, k, s, (begin, end), d in zip(size, kernel_size, self.stride, self.padding, self.dilation, strict=True):
            out.append((i + begin + end - d * (k - 1) - 1) // s + 1)
        return tuple(out)


class Window(NamedTuple):
    """Where each output position of a pooling looks along one spatial axis (padding already cut off).

    A window equals itself alone, so that what a backend makes of it can be kept by it.
    """

    start: np.ndarray  # int64 (O,): the first input index inside the array
    # int64 (O,): how many inputs, `step` apart; 0 where the window lies in the padding alone
    count: np.ndarray  # type: ignore[assignment]  # takes the name of tuple's method, which says nothing of a window
    divisor: np.ndarray  # int64 (O,): this axis's factor of what an average divides by
    step: int  # dilation

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """A pooling with a fixed window; `windows` turns it into the tables that kernels take."""

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]  # (begin, end)
    dilation: tuple[int, ...]
    ceil_mode: bool = False
    count_include_pad: bool = True

    def output_size(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Spatial size of the result. In ceil mode the last window must start inside the input or its left padding."""
        out = []
        axes = zip(size, self.kernel_size, self.stride, self.padding, self.dilation, strict=True)
        for i, k, s, (begin, end), d in axes:
            room = i + begin + end - d * (k - 1) - 1
            o = (-(-room // s) if self.ceil_mode else room // s) + 1
            if self.ceil_mode and (o - 1) * s >= i + begin:
                o -= 1
            out.append(o)
        return tuple(out)

    def windows(self, size: tuple[int, ...]) -> tuple[Window, ...]:
        return _fixed_windows(self, size)


SQUARES = PoolSpec(kernel_size=(2, 2), stride=(2, 2), padding=((0, 0), (0, 0)), dilation=(1, 1))  # 2×2, side by side


@dataclass(frozen=True, slots=True)
class AdaptivePoolSpec:
    """A pooling to a given output size: window o covers [floor(o·I/O), ceil((o+1)·I/O))."""

    size: tuple[int, ...]

    def output_size(self, size: tuple[int, ...]) -> tuple[int, ...]:
        return self.size

    def windows(self, size: tuple[int, ...]) -> tuple[Window, ...]:
        return _adaptive_windows(self, size)


@lru_cache(maxsize=512)
def _fixed_windows(spec: PoolSpec, size: tuple[int, ...]) -> tuple[Window, ...]:
    tables = []
    for axis, (i, o) in enumerate(zip(size, spec.output_size(size), strict=True)):
        k, s, (begin, end), d = spec.kernel_size[axis], spec.stride[axis], spec.padding[axis], spec.dilation[axis]
        first = np.arange(o, dtype=np.int64) * s - begin  # before clipping
        skipped = np.maximum(0, -(first // d)) if d > 1 else np.maximum(0, -first)
        start = first + skipped * d
        stop = np.minimum(first + d * (k - 1), i - 1)  # last tap allowed
        count = np.maximum(0, (stop - start) // d + 1)
        inside = np.minimum(k, -((first - i - end) // d))  # taps up to the padding's end, which ceil mode may run past
        divisor = inside if spec.count_include_pad else np.maximum(count, 1)
        tables.append(Window(start, count, divisor, d))
    return tuple(tables)


@lru_cache(maxsize=512)
def _adaptive_windows(spec: AdaptivePoolSpec, size: tuple[int, ...]) -> tuple[Window, ...]:
    tables = []
    for i, o in zip(size, spec.size, strict=True):
        position = np.arange(o, dtype=np.int64)
        start = position * i // max(o, 1)
        count = -(-(position + 1) * i // max(o, 1)) - start
        tables.append(Window(start, count, np.maximum(count, 1), 1))
    return tuple(tables)
