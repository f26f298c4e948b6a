"""Dense convolution and its two adjoints: what `gemm.py` is asked to do for each.

The data gradient is a set of forward convolutions of dy (`geometry.backward_phases`), or for few channels a pointwise
one whose results are added up; the weight gradient has its own loop.
"""

from __future__ import annotations

import numpy as np

from pyconv.kernels import threads
from pyconv.kernels.numba import gemm
from pyconv.kernels.numba.geometry import Taps, backward_phases, every, fold, forward_taps, pad
from pyconv.kernels.numba.layout import Flat, kernel, source, target, triple
from pyconv.kernels.numba.runtime import parallel
from pyconv.kernels.numba.tile import MR, VECTOR_BYTES
from pyconv.kernels.spec import ConvSpec

FEW = MR  # channels a group that fill no more than a tile
COLUMN_BYTES = 8 << 20  # of the products that wait to be added up; one image at least
MACS = 4  # multiply-adds in a register tile that take as long as moving one element
PIECES = 16  # that the weight gradient's work is cut into, whatever the threads: the order of its sums must not vary


@kernel
def conv(y: np.ndarray, x: np.ndarray, w: np.ndarray, b: np.ndarray | None, spec: ConvSpec) -> None:
    """y (N, K, *O) = x (N, C, *I) * w (K, C/groups, *R) + b (K,)."""
    x, spec = pad(x, spec)
    outs, ins = w.shape[0] // spec.groups, w.shape[1]
    taps = forward_taps(spec, w.shape[2:])
    weights = source(w)
    strides = outs * weights.strides[0], weights.strides[0], weights.strides[1]
    size = (y.shape[0], *triple(y.shape[2:], 1))
    _convolve(target(y), size, source(x), triple(x.shape[2:], 1), weights, strides, b, (spec.groups, outs, ins), taps)


@kernel
def conv_backward_data(dx: np.ndarray, dy: np.ndarray, w: np.ndarray, b: np.ndarray | None, spec: ConvSpec) -> None:
    """dx (N, C, *I) from dy (N, K, *O) and w (K, C/groups, *R), plus b (C,): a transposed convolution."""
    if spec.padding_mode != "zeros":
        fold(conv_backward_data, dx, dy, w, b, spec)
        return
    if w.shape[1] <= FEW and w[0, 0].size > 1:
        _add_columns(dx, dy, w, b, spec)
        return
    outs, ins = w.shape[1], w.shape[0] // spec.groups
    weights, whole, given = source(w), target(dx), source(dy)
    strides = ins * weights.strides[0], weights.strides[1], weights.strides[0]
    counts = spec.groups, outs, ins
    dy_size = triple(dy.shape[2:], 1)
    for first, size, taps in backward_phases(dx.shape[2:], spec, w.shape[2:]):
        part = every(whole, triple(spec.stride, 1), first)
        _convolve(part, (len(dx), *size), given, dy_size, weights, strides, b, counts, taps)


def _add_columns(dx: np.ndarray, dy: np.ndarray, w: np.ndarray, b: np.ndarray | None, spec: ConvSpec) -> None:
    """The data gradient for few channels, which would not fill tiles: dy times all taps at once, then col2im."""
    taps = forward_taps(spec, w.shape[2:])
    matrix = w.reshape(spec.groups, -1, w[0].size).swapaxes(1, 2)  # (G, C/G * T, K/G)
    one = (1,) * len(spec.stride)
    turned, pointwise = matrix.reshape(-1, matrix.shape[2], *one), ConvSpec(one, ((0, 0),) * len(one), one, spec.groups)
    bias = np.empty(0, dx.dtype) if b is None else np.array(b)
    step = max(1, COLUMN_BYTES // (len(turned) * max(1, dy[0, 0].nbytes)))
    for first in range(0, len(dx), step):
        images = slice(first, first + step)
        columns = np.empty((len(dx[images]), len(turned), *dy.shape[2:]), dx.dtype)
        conv(columns, dy[images], turned, None, pointwise)
        part, given = target(dx[images]), source(columns)
        sizes = triple(dx.shape[2:], 1), (len(columns), *triple(dy.shape[2:], 1))
        arguments = *part, sizes[0], *given, sizes[1], taps.stride, taps.offsets, dx.shape[1], bias
        parallel(gemm.add_columns, len(columns) * dx.shape[1], columns.size, *arguments)


@kernel
def conv_backward_weights(dw: np.ndarray, dy: np.ndarray, x: np.ndarray, spec: ConvSpec) -> None:
    """dw (K, C/groups, *R) from dy (N, K, *O) and x (N, C, *I)."""
    if dy.size == 0:
        dw[...] = 0
        return
    x, spec = pad(x, spec)
    outs, ins = dw.shape[0] // spec.groups, dw.shape[1]
    taps = forward_taps(spec, dw.shape[2:])
    size, x_size = (dy.shape[0], *triple(dy.shape[2:], 1)), triple(x.shape[2:], 1)
    gradient, given, weights = source(dy), source(x), target(dw)
    rows = given.channels_last
    depth, blocks = ins * len(taps.offsets), -(-int(np.prod(size)) // gemm.PIXELS)
    panels = -(-depth // gemm.DEPTH) * spec.groups
    slices = max(1, min(blocks, PIECES // panels))
    counts = spec.groups, outs, ins, slices
    tiles = -(-outs // (VECTOR_BYTES // dw.itemsize))
    parts = np.empty(slices * spec.groups * -(-depth // MR) * MR * tiles * VECTOR_BYTES // dw.itemsize, dw.dtype)
    work = int(np.prod(size)) * dw.size // MACS
    arguments = parts, *gradient, size, *given, x_size, taps.stride, taps.offsets, counts, rows
    parallel(gemm.correlate, slices * panels, work, *arguments)
    gathered = *weights, _places(taps, weights), parts, counts, rows
    parallel(gemm.gather_weights, spec.groups * tiles, dw.size * slices, *gathered)


def _convolve(
    y: Flat,
    y_size: tuple[int, ...],
    x: Flat,
    x_size: tuple[int, ...],
    weights: Flat,
    strides: tuple[int, int, int],
    b: np.ndarray | None,
    counts: tuple[int, int, int],
    taps: Taps,
) -> None:
    """y = x * weights + b, in groups of outs and ins channels (`counts`); strides: of a group, out and in channel."""
    groups, outs, ins = counts
    rows = x.channels_last
    pixels, lanes = int(np.prod(y_size)), VECTOR_BYTES // y.memory.itemsize if rows else MR
    tiles, depth = -(-outs // lanes), ins * len(taps.offsets)
    packed = np.empty(groups * tiles * lanes * depth, y.memory.dtype)
    places = _places(taps, weights)
    parallel(gemm.pack_weights, groups * tiles, packed.size, packed, *weights[:2], strides, places, outs, ins, rows)
    bias = np.empty(0, y.memory.dtype) if b is None else np.array(b)
    units, count = -(-pixels // gemm.PIXELS) * groups, threads.get_num_threads()
    parts = 1 if units >= 4 * count else min(tiles, count)
    arguments = *y, y_size, *x, x_size, taps.stride, taps.offsets, packed, bias, (*counts, parts), rows
    parallel(gemm.convolve, units * parts, pixels * groups * outs * depth // MACS, *arguments)


def _places(taps: Taps, weights: Flat) -> np.ndarray:
    """Where in the weights' memory each tap stands, from a channel's first element."""
    return taps.positions @ np.array(weights.strides[2:])
