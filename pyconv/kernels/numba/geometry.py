"""What input a convolution's output reads, for its three kernels: a stride an axis and an offset a tap, zeros outside.

The other padding modes take a step more: `pad` the input first, or fold the gradient of the padded input back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
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


def forward_taps(spec: ConvSpec, kernel_size: tuple[int, ...]) -> Taps:
    """All taps of the forward pass with zero padding."""
    positions = np.array(list(np.ndindex(triple(kernel_size, 1))), np.int64)
    begin = np.array(triple(tuple(p[0] for p in spec.padding), 0))
    return Taps(triple(spec.stride, 1), positions * triple(spec.dilation, 1) - begin, positions)


def backward_phases(
    dx: Flat, size: tuple[int, ...], spec: ConvSpec, kernel_size: tuple[int, ...]
) -> Iterator[tuple[Flat, tuple[int, ...], Taps]]:
    """The data gradient as convolutions of dy: one for the elements of dx at phase + stride * o, which share taps.

    Input position i meets output (i + begin - r * dilation) / stride through tap r, where that is whole. Each comes as
    an array over dx's memory, its spatial size and its taps; phases beyond the end of a short axis are left out.
    """
    forward = forward_taps(spec, kernel_size)
    stride = np.array(forward.stride)
    apart = dx.strides[:2] + tuple(n * s for n, s in zip(forward.stride, dx.strides[2:], strict=True))
    for phase in product(*(range(min(s, n)) for s, n in zip(forward.stride, size, strict=True))):
        start = dx.start + sum(f * s for f, s in zip(phase, dx.strides[2:], strict=True))
        left = tuple(len(range(f, n, s)) for f, n, s in zip(phase, size, forward.stride, strict=True))
        reach = phase - forward.offsets
        whole = (reach % stride == 0).all(axis=1)
        taps = Taps((1, 1, 1), reach[whole] // stride, forward.positions[whole])
        yield Flat(dx.memory, start, apart), left, taps


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
