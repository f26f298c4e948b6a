"""What input a convolution's output reads, for its three kernels: a stride an axis and an offset a tap, zeros outside.

The other padding modes take a step more: `pad` the input first, or fold the gradient of the padded input back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np

from pyconv.kernels import padding
from pyconv.kernels.numba.layout import Flat, triple
from pyconv.kernels.spec import ConvSpec


class Taps(NamedTuple):
    """Output position o reads input position o * stride + offsets[t], for every tap t."""

    stride: tuple[int, int, int]
    offsets: np.ndarray  # int64 (T, 3)
    positions: np.ndarray  # int64 (T, 3): where in the weight's spatial axes a tap stands


class Phase(NamedTuple):
    """The elements of a result at `first` + o * stride, which share taps."""

    first: tuple[int, ...]
    size: tuple[int, ...]
    taps: Taps


@lru_cache(maxsize=512)
def forward_taps(spec: ConvSpec, kernel_size: tuple[int, ...]) -> Taps:
    """All taps of the forward pass with zero padding."""
    positions = np.array(list(np.ndindex(triple(kernel_size, 1))), np.int64)
    begin = np.array(triple(tuple(p[0] for p in spec.padding), 0))
    return Taps(triple(spec.stride, 1), positions * triple(spec.dilation, 1) - begin, positions)


@lru_cache(maxsize=512)
def backward_phases(size: tuple[int, ...], spec: ConvSpec, kernel_size: tuple[int, ...]) -> tuple[Phase, ...]:
    """The data gradient, of spatial size `size`, as convolutions of dy: one for each phase of the stride.

    Input position i meets output (i + begin - r * dilation) / stride through tap r, where that is whole. Phases beyond
    the end of a short axis are left out; none is larger than the first.
    """
    forward, size = forward_taps(spec, kernel_size), triple(size, 1)
    stride, phases = np.array(forward.stride), []
    for first in product(*(range(min(s, n)) for s, n in zip(forward.stride, size, strict=True))):
        reach = first - forward.offsets
        whole = (reach % stride == 0).all(axis=1)
        left = tuple(len(range(f, n, s)) for f, n, s in zip(first, size, forward.stride, strict=True))
        phases.append(Phase(first, left, Taps((1, 1, 1), reach[whole] // stride, forward.positions[whole])))
    return tuple(phases)


def every(flat: Flat, stride: tuple[int, ...], first: tuple[int, ...] = (0, 0, 0)) -> Flat:
    """The elements at `first` + o * stride along the spatial axes."""
    start = flat.start + sum(f * s for f, s in zip(first, flat.strides[2:], strict=True))
    apart = tuple(n * s for n, s in zip(stride, flat.strides[2:], strict=True))
    return Flat(flat.memory, start, flat.strides[:2] + apart)


def pad(x: np.ndarray, spec: ConvSpec) -> tuple[np.ndarray, ConvSpec]:
    """x as its padding mode shows it, and the spec of the convolution that remains; x itself under zero padding."""
    if spec.padding_mode == "zeros":
        return x, spec
    return padding.pad(x, spec.padding, spec.padding_mode), _unpadded(spec)


def fold(backward_data: Callable[..., None], dx: np.ndarray, dy: np.ndarray, w: np.ndarray, b, spec: ConvSpec) -> None:
    """The data gradient under another padding mode than zeros: that of the padded input, folded back, plus the bias."""
    padded = np.empty_like(dx, shape=padding.padded_shape(dx.shape, spec.padding))
    backward_data(padded, dy, w, None, _unpadded(spec))
    padding.fold(dx, padded, spec.padding, spec.padding_mode)
    if b is not None:
        dx += b.reshape(-1, *(1,) * (dx.ndim - 2))


def _unpadded(spec: ConvSpec) -> ConvSpec:
    """The convolution of an input that is padded already."""
    return replace(spec, padding=((0, 0),) * len(spec.padding), padding_mode="zeros")
