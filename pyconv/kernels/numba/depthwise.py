"""Convolution with one input channel a group (depthwise), where there is nothing to multiply matrices for.

- planar: each plane of the input is laid out once in a buffer, zeros around it, split into one plane for each phase of
  the stride. In that layout a tap is a shift, so the whole output plane is a few long sums of shifted vectors;
- rows (channels-last, as many outputs as inputs): each tap multiplies the channels of a pixel by a row of weights.

The data gradient is a set of such convolutions of dy (`geometry.backward_phases`). In all, the source of output channel
q is channel q // share of the input; a data gradient with several outputs a group sums `fan` sources.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from pyconv.kernels.numba.geometry import Phase, backward_phases, every, fold, forward_taps, pad
from pyconv.kernels.numba.layout import Flat, kernel, read_only, source, target, triple
from pyconv.kernels.numba.runtime import jit, parallel
from pyconv.kernels.numba.tile import get, put
from pyconv.kernels.spec import ConvSpec

PIECES = 16  # into how many the weight gradient of rows is cut, whatever the threads
BLOCK = 512  # elements of a shifted vector: sums of this length stay in L1
LAYING_OUT = 4  # products that take as long as copying an element of the input
UNROLLED = 32  # elements that LLVM deals with at a time where it unrolls a loop over vectors


def refuse(out: np.ndarray, first: np.ndarray, second: np.ndarray, *rest: object) -> str | None:
    """Whether the weight (or its gradient, which comes first) has one input channel a group."""
    w = out if len(rest) == 1 else second
    return None if w.shape[1] == 1 else f"it needs one input channel a group, not {w.shape[1]}"


class Plan(NamedTuple):
    """What depends on shapes alone: the phases of the result, their taps one after another, and the grid (`_grid`)."""

    apart: tuple[int, ...]  # in the result, the elements of a phase
    firsts: np.ndarray  # (P, 3): where in the result a phase begins
    sizes: np.ndarray  # (P, 3): none is larger than the first
    bounds: np.ndarray  # (P + 1,): of each phase's taps
    stride: tuple[int, int, int]  # of the input
    offsets: np.ndarray  # (T, 3)
    columns: np.ndarray  # (T,): where a tap's weight stands in a filter
    first: np.ndarray  # (3,): the least offset
    shifts: np.ndarray  # (T,)
    grid: tuple[int, ...]
    products: int  # of a plane


@kernel
def conv(y: np.ndarray, x: np.ndarray, w: np.ndarray, b: np.ndarray | None, spec: ConvSpec) -> None:
    """y (N, C*M, *O) = x (N, C, *I) * w (C*M, 1, *R) + b (C*M,)."""
    x, spec = pad(x, spec)
    plan = _forward_plan(y.shape[2:], spec, w.shape[2:])
    _convolve(target(y), y.shape[:2], x, w, b, plan, 1, w.shape[0] // x.shape[1])


@kernel
def conv_backward_data(dx: np.ndarray, dy: np.ndarray, w: np.ndarray, b: np.ndarray | None, spec: ConvSpec) -> None:
    """dx (N, C, *I) from dy (N, C*M, *O) and w (C*M, 1, *R), plus b (C,)."""
    if spec.padding_mode != "zeros":
        fold(conv_backward_data, dx, dy, w, b, spec)
        return
    plan = _backward_plan(dx.shape[2:], spec, w.shape[2:])
    _convolve(target(dx), dx.shape[:2], dy, w, b, plan, w.shape[0] // dx.shape[1], 1)


@kernel
def conv_backward_weights(dw: np.ndarray, dy: np.ndarray, x: np.ndarray, spec: ConvSpec) -> None:
    """dw (C*M, 1, *R) from dy (N, C*M, *O) and x (N, C, *I)."""
    x, spec = pad(x, spec)
    plan = _forward_plan(dy.shape[2:], spec, dw.shape[2:])
    gradient, given = source(dy), source(x)
    y_size, x_size = (*dy.shape[:2], *triple(dy.shape[2:], 1)), triple(x.shape[2:], 1)
    common = *gradient, y_size, *given, x_size, plan.stride
    work = dy.size * len(plan.offsets) + LAYING_OUT * x.size
    if dy.shape[1] == x.shape[1] and gradient.strides[1] == given.strides[1] == 1:
        sums = np.empty((PIECES, len(plan.offsets), dy.shape[1]))
        parallel(_correlate_rows, PIECES, work, sums, *common, plan.offsets)
        total = sums.sum(axis=0).T
    else:
        total, share = np.empty((dy.shape[1], len(plan.offsets))), dy.shape[1] // x.shape[1]
        parallel(_correlate_planes, dy.shape[1], work, total, *common, plan.first, plan.shifts, plan.grid, share)
    dw[...] = total.reshape(dw.shape)


def _convolve(
    y: Flat,
    planes: tuple[int, ...],
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    plan: Plan,
    fan: int,
    share: int,
) -> None:
    """y (N, Q = `planes`, OD, OH, OW) = b + the sum over `fan` sources and all taps, for each phase."""
    given, x_size = source(x), triple(x.shape[2:], 1)
    starts, strides = y.start + plan.firsts @ np.array(y.strides[2:]), every(y, plan.apart).strides
    weights = w.reshape(len(w), -1).T.take(plan.columns, axis=0)  # (T, Q * fan)
    bias = np.zeros(planes[1], w.dtype) if b is None else np.array(b)
    work = math.prod(planes) * fan * plan.products + LAYING_OUT * x.size
    common = y.memory, starts, strides, planes[1], plan.sizes, plan.bounds, *given, x_size, plan.stride
    if fan == share == 1 and strides[1] == given.strides[1] == 1:
        apart = strides[4], given.strides[4] * plan.stride[2]
        together = max(1, BLOCK // planes[1]) if apart == (planes[1],) * 2 else 1
        copies = read_only(np.tile(weights, (1, together)).reshape(-1)), read_only(np.tile(bias, together))
        rows = planes[0] * plan.sizes[0, 0] * plan.sizes[0, 1]
        parallel(_convolve_rows, rows, work, *common, plan.offsets, *copies, together)
        return
    grid = plan.first, plan.shifts, plan.grid
    parallel(_convolve_planes, planes[0] * planes[1], work, *common, *grid, weights, bias, fan, share)


@lru_cache(maxsize=512)
def _forward_plan(size: tuple[int, ...], spec: ConvSpec, kernel_size: tuple[int, ...]) -> Plan:
    whole = Phase((0, 0, 0), triple(size, 1), forward_taps(spec, kernel_size))
    return _plan((whole,), (1, 1, 1), kernel_size)


@lru_cache(maxsize=512)
def _backward_plan(size: tuple[int, ...], spec: ConvSpec, kernel_size: tuple[int, ...]) -> Plan:
    return _plan(backward_phases(size, spec, kernel_size), triple(spec.stride, 1), kernel_size)


def _plan(phases: tuple[Phase, ...], apart: tuple[int, ...], kernel_size: tuple[int, ...]) -> Plan:
    firsts, sizes, taps = zip(*phases, strict=True)
    bounds, stride = np.cumsum([0] + [len(t.offsets) for t in taps]), taps[0].stride
    offsets = np.concatenate([t.offsets for t in taps])
    columns = np.ravel_multi_index(np.concatenate([t.positions for t in taps]).T, triple(kernel_size, 1))
    first = offsets.min(axis=0) if len(offsets) else np.zeros(3, np.int64)
    shifts, grid = _grid(offsets - first, stride, sizes[0])
    products = sum(math.prod(size) * len(t.offsets) for size, t in zip(sizes, taps, strict=True))
    return Plan(
        apart, np.array(firsts), np.array(sizes), bounds, stride, offsets, columns, first, shifts, grid, products
    )


def _grid(reach: np.ndarray, stride: tuple[int, ...], size: tuple[int, ...]) -> tuple[np.ndarray, tuple[int, ...]]:
    """The layout of a plane in its buffer, (phases, *grid): where the first output finds each tap, and the grid's size.

    Output (d, h, w) finds a tap (d * GH + h) * GW + w further on. A grid has room for a row's last tap, so runs on to
    the next row read only what they throw away. reach (T, 3): of the taps, from the least of all.
    """
    shift = reach // stride
    grid = size + shift.max(axis=0, initial=0)
    phase = np.ravel_multi_index(tuple((reach % stride).T), stride)
    return phase * grid.prod() + (shift[:, 0] * grid[1] + shift[:, 1]) * grid[2] + shift[:, 2], tuple(map(int, grid))


@jit
def _lay_out(buffer, x, start, strides, size, step, first, grid):
    """buffer[phase, g] = x[first + phase + g * step]; what lies outside of x is not written, so stays 0."""
    at = -grid[2]
    along = step[2] * strides[4]
    for phase_d in range(step[0]):
        for phase_h in range(step[1]):
            for phase_w in range(step[2]):
                w = first[2] + phase_w
                low = min(grid[2], max(0, -(w // step[2])))
                high = min(grid[2], -((w - size[2]) // step[2]))
                for g in range(grid[0]):
                    d = first[0] + phase_d + g * step[0]
                    for i in range(grid[1]):
                        h = first[1] + phase_h + i * step[1]
                        at += grid[2]
                        if not (0 <= d < size[0] and 0 <= h < size[1]):
                            continue
                        row = start + d * strides[2] + h * strides[3] + w * strides[4]
                        if along == 1:
                            for j in range(low, high):
                                put(buffer, at + j, get(x, row + j))
                        else:
                            for j in range(low, high):
                                put(buffer, at + j, get(x, row + j * along))


@jit
def _length(size, grid):
    """How many elements of the grid the outputs take, a few more at the end so that loops over vectors have no rest."""
    length = ((size[0] - 1) * grid[1] + size[1] - 1) * grid[2] + size[2]
    return (length + UNROLLED - 1) // UNROLLED * UNROLLED


@jit
def _convolve_planes(
    begin, end, y, y_starts, y_strides, channels, y_sizes, bounds, x, x_start, x_strides, x_size, step, first, shifts,
    grid, weights, bias, fan, share,
):  # fmt: skip
    """A unit is an output plane (n, q), all its phases: phase p has the taps from bounds[p] to bounds[p + 1]."""
    plane = np.zeros(step[0] * step[1] * step[2] * grid[0] * grid[1] * grid[2] + UNROLLED, y.dtype)
    sums = np.empty(_length(y_sizes[0], grid), y.dtype)
    for unit in range(begin, end):
        n, q = unit // channels, unit % channels
        held = -1  # the channel of x in `plane`
        for p in range(len(y_starts)):
            size = y_sizes[p]
            length = _length(size, grid)
            for i in range(length):
                put(sums, i, bias[q])
            for row in range(q * fan, (q + 1) * fan):
                if row // share != held:
                    held = row // share
                    start = x_start + n * x_strides[0] + held * x_strides[1]
                    _lay_out(plane, x, start, x_strides, x_size, step, first, grid)
                for low in range(0, length, BLOCK):
                    high = min(low + BLOCK, length)
                    for t in range(bounds[p], bounds[p + 1] - 2, 3):
                        a, b, c = shifts[t], shifts[t + 1], shifts[t + 2]
                        u, v, w = weights[t, row], weights[t + 1, row], weights[t + 2, row]
                        for i in range(low, high):
                            total = get(sums, i) + u * get(plane, a + i)
                            put(sums, i, total + v * get(plane, b + i) + w * get(plane, c + i))
                    for t in range(bounds[p + 1] - (bounds[p + 1] - bounds[p]) % 3, bounds[p + 1]):
                        a, u = shifts[t], weights[t, row]
                        for i in range(low, high):
                            put(sums, i, get(sums, i) + u * get(plane, a + i))
            for d in range(size[0]):
                for h in range(size[1]):
                    at = (d * grid[1] + h) * grid[2]
                    to = y_starts[p] + n * y_strides[0] + q * y_strides[1] + d * y_strides[2] + h * y_strides[3]
                    if y_strides[4] == 1:
                        for i in range(size[2]):
                            put(y, to + i, get(sums, at + i))
                    else:
                        for i in range(size[2]):
                            put(y, to + i * y_strides[4], get(sums, at + i))


@jit(reorder_sums=True)
def _dot(a, b, shift, begin, end):
    total = a.dtype.type(0)
    for i in range(begin, end):
        total += get(a, i) * get(b, shift + i)
    return total


@jit
def _correlate_planes(
    begin, end, dw, dy, dy_start, dy_strides, y_size, x, x_start, x_strides, x_size, step, first, shifts, grid, share
):
    """dw (Q, T) in float64. A unit is an output channel; dy is laid out on the grid of x, zeros where a row runs on."""
    length = _length(y_size[2:], grid)
    plane = np.zeros(step[0] * step[1] * step[2] * grid[0] * grid[1] * grid[2] + UNROLLED, x.dtype)
    gradient = np.zeros(grid[0] * grid[1] * grid[2] + UNROLLED, x.dtype)
    once, origin = (1, 1, 1), (0, 0, 0)
    for q in range(begin, end):
        dw[q] = 0
        for n in range(y_size[0]):
            start = x_start + n * x_strides[0] + q // share * x_strides[1]
            _lay_out(plane, x, start, x_strides, x_size, step, first, grid)
            start = dy_start + n * dy_strides[0] + q * dy_strides[1]
            _lay_out(gradient, dy, start, dy_strides, y_size[2:], once, origin, grid)
            for low in range(0, length, BLOCK):
                for t in range(len(shifts)):
                    dw[q, t] += _dot(gradient, plane, shifts[t], low, min(low + BLOCK, length))


@jit
def _convolve_rows(
    begin, end, y, y_starts, y_strides, channels, y_sizes, bounds, x, x_start, x_strides, x_size, step, offsets,
    weights, bias, together,
):  # fmt: skip
    """A unit is a row of output pixels (n, d, h) in each phase: phase p has the taps from bounds[p] to bounds[p + 1].

    `together` pixels that follow each other in x and y are as one of so many times the channels; `weights` and `bias`
    hold as many copies. Pixels that miss a tap go alone.
    """
    taps, depth, height = len(offsets), y_sizes[0, 0], y_sizes[0, 1]
    along = step[2] * x_strides[4]
    at, by = np.empty(taps, np.int64), np.empty(taps, np.int64)  # of a row's taps: where pixel 0 meets x, and weights
    some_at, some_by = np.empty(taps, np.int64), np.empty(taps, np.int64)
    which = np.empty(taps, np.int64)
    for unit in range(begin, end):
        h, d, n = unit % height, unit // height % depth, unit // height // depth
        for p in range(len(y_starts)):
            width = y_sizes[p, 2]
            if d >= y_sizes[p, 0] or h >= y_sizes[p, 1]:
                continue
            met, low, high = 0, 0, width  # the row's taps; pixels from low to high meet them all
            for t in range(bounds[p], bounds[p + 1]):
                i, j = d * step[0] + offsets[t, 0], h * step[1] + offsets[t, 1]
                if 0 <= i < x_size[0] and 0 <= j < x_size[1]:
                    at[met] = x_start + n * x_strides[0] + i * x_strides[2] + j * x_strides[3]
                    at[met] += offsets[t, 2] * x_strides[4]
                    by[met] = t * channels * together
                    which[met] = t
                    met += 1
                    low = max(low, -(offsets[t, 2] // step[2]))
                    high = min(high, -((offsets[t, 2] - x_size[2]) // step[2]))
            to = y_starts[p] + n * y_strides[0] + d * y_strides[2] + h * y_strides[3]
            w = 0
            while w < width:
                if low <= w < high:
                    pixels = min(together, high - w)
                    _add_taps(y, to + w * y_strides[4], x, at, w * along, weights, by, met, pixels * channels, bias)
                    w += pixels
                    continue
                some = 0
                for t in range(met):
                    if 0 <= w * step[2] + offsets[which[t], 2] < x_size[2]:
                        some_at[some], some_by[some] = at[t], by[t]
                        some += 1
                _add_taps(y, to + w * y_strides[4], x, some_at, w * along, weights, some_by, some, channels, bias)
                w += 1


@jit
def _add_taps(y, to, x, at, shift, weights, by, taps, count, bias):
    """y[to:] = bias + the sum over taps of x[at + shift:] * weights[by:]."""
    for i in range(count):
        put(y, to + i, get(bias, i))
    for t in range(0, taps - 2, 3):
        a, b, c = at[t] + shift, at[t + 1] + shift, at[t + 2] + shift
        _add_products(y, to, x, a, b, c, weights, by[t], by[t + 1], by[t + 2], count)
    for t in range(taps // 3 * 3, taps):
        a, b = at[t] + shift, by[t]
        for i in range(count):
            put(y, to + i, get(y, to + i) + get(x, a + i) * get(weights, b + i))


@jit
def _add_products(y, to, a, a0, a1, a2, b, b0, b1, b2, count):
    """y[to:] += a[a0:] * b[b0:] + a[a1:] * b[b1:] + a[a2:] * b[b2:]: three at once, for fewer loads and stores of y."""
    for i in range(count):
        total = get(y, to + i) + get(a, a0 + i) * get(b, b0 + i)
        put(y, to + i, total + get(a, a1 + i) * get(b, b1 + i) + get(a, a2 + i) * get(b, b2 + i))


@jit
def _correlate_rows(begin, end, sums, dy, dy_start, dy_strides, y_size, x, x_start, x_strides, x_size, step, offsets):
    """sums (PIECES, T, C) in float64. A unit is a piece of the output's rows."""
    channels, taps = y_size[1], len(offsets)
    rows = y_size[0] * y_size[2] * y_size[3]
    part = np.empty(taps * channels, x.dtype)
    for unit in range(begin, end):
        sums[unit] = 0
        for row in range(rows * unit // PIECES, rows * (unit + 1) // PIECES):
            h = row % y_size[3]
            d = row // y_size[3] % y_size[2]
            n = row // y_size[3] // y_size[2]
            gradient = dy_start + n * dy_strides[0] + d * dy_strides[2] + h * dy_strides[3]
            part[:] = 0
            for t in range(taps):
                i, j = d * step[0] + offsets[t, 0], h * step[1] + offsets[t, 1]
                if not (0 <= i < x_size[0] and 0 <= j < x_size[1]):
                    continue
                low = min(y_size[4], max(0, -(offsets[t, 2] // step[2])))
                high = max(low, min(y_size[4], -((offsets[t, 2] - x_size[2]) // step[2])))
                first = x_start + n * x_strides[0] + i * x_strides[2] + j * x_strides[3] + offsets[t, 2] * x_strides[4]
                along = step[2] * x_strides[4]
                for w in range(low, high - 2, 3):
                    a, b = first + w * along, gradient + w * dy_strides[4]
                    _add_products(
                        part, t * channels, x, a, a + along, a + 2 * along,
                        dy, b, b + dy_strides[4], b + 2 * dy_strides[4], channels,
                    )  # fmt: skip
                for w in range(low + (high - low) // 3 * 3, high):
                    a, b = first + w * along, gradient + w * dy_strides[4]
                    for c in range(channels):
                        put(part, t * channels + c, get(part, t * channels + c) + get(x, a + c) * get(dy, b + c))
            for t in range(taps):
                for c in range(channels):
                    sums[unit, t, c] += part[t * channels + c]
