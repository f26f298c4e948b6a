"""Where maxima lie: the indices of max pooling, and its gradient, which finds the maxima again.

A maximum's place is found tap after tap for all *lanes* at once: the channels of a pixel (channels-last), else the
windows of a row that stand at one stride.
"""

from __future__ import annotations

import numpy as np

from pyconv.kernels import threads
from pyconv.kernels.numba.layout import Flat, kernel, source, target
from pyconv.kernels.numba.runtime import jit, parallel
from pyconv.kernels.numba.tile import get, larger, place_of_larger, put
from pyconv.kernels.numba.windows import full_size, regular, tables
from pyconv.kernels.spec import Window


@kernel
def max_pool_indices(i: np.ndarray, x: np.ndarray, windows: tuple[Window, ...]) -> None:
    """i (N, C, *O) = where in its plane each maximum lies, the first of equals, the last NaN; -1 if there is none."""
    _, _, height, width = full_size(x)[1:]
    _run_locate(i, full_size(i), x, windows, (height * width, width, 1), None)


@kernel
def max_pool_backward(dx: np.ndarray, dy: np.ndarray, x: np.ndarray, windows: tuple[Window, ...]) -> None:
    """dx (N, C, *I) = each dy (N, C, *O) added to the place of its window's maximum in x (N, C, *I)."""
    _run_locate(dx, full_size(dy), x, windows, target(dx).strides[2:], source(dy))


def _run_locate(
    out: np.ndarray,
    size: tuple[int, ...],
    x: np.ndarray,
    windows: tuple[Window, ...],
    scale: tuple[int, ...],
    dy: Flat | None,
) -> None:
    """A unit is a plane, or a chunk of an image's channels: windows of one unit alone overlap."""
    given, chunk = source(x), 1
    if given.channels_last:
        pieces = -(-2 * threads.get_num_threads() // len(x))
        chunk = -(-x.shape[1] // (16 * pieces)) * 16
    units = len(x) * -(-x.shape[1] // chunk)
    starts, counts, _, steps, most = tables(windows, x.dtype)
    memory, start, strides = (np.empty(0, x.dtype), 0, (0,) * 5) if dy is None else dy
    arguments = *target(out), full_size(out), *given, size, given.channels_last, chunk, starts, counts, steps, most
    parallel(_locate, units, 2 * x.size, *arguments, x.shape[-1], scale, dy is None, memory, start, strides)


@jit
def _locate(
    begin, end, out, out_start, out_strides, out_size, x, x_start, x_strides, size, rows, chunk, starts, counts, steps,
    most, width, scale, indices, dy, dy_start, dy_strides,
):  # fmt: skip
    """out = the places of the maxima as d * scale[0] + h * scale[1] + w * scale[2] (`indices`), or dy added there.

    size: of what pooling gives. Lanes are the channels of a chunk (`rows`), or the regular windows of a row.
    """
    chunks = (size[1] + chunk - 1) // chunk
    room = most[0] * most[1] * most[2]
    at, to = np.empty(room, np.int64), np.empty(room, np.int64)  # of each tap of the first lane: in x, and its place
    best, winner = np.empty(max(chunk, size[4]), x.dtype), np.empty(2 * max(chunk, size[4]), x.dtype)
    _, first, full, stride = regular(starts[2], counts[2], steps[2], most[2], width)
    for unit in range(begin, end):
        n, c = unit // chunks, unit % chunks * chunk
        image = out_start + n * out_strides[0] + c * out_strides[1]
        channels = min(chunk, size[1] - c)
        if not indices:
            _clear(out, image, out_strides, channels, out_size)
        for d in range(size[2]):
            for h in range(size[3]):
                w = 0
                while w < size[4]:
                    together = full if w == first and stride and not rows else 1
                    lanes = channels if rows else together
                    taps = 0
                    for i in range(counts[0][d]):
                        for j in range(counts[1][h]):
                            for k in range(counts[2][w]):
                                p, q = starts[0][d] + i * steps[0], starts[1][h] + j * steps[1]
                                r = starts[2][w] + k * steps[2]
                                at[taps] = x_start + n * x_strides[0] + c * x_strides[1]
                                at[taps] += p * x_strides[2] + q * x_strides[3] + r * x_strides[4]
                                to[taps] = p * scale[0] + q * scale[1] + r * scale[2]
                                taps += 1
                    found = _find(best, winner, x, at[:taps], x_strides[1] if rows else stride * x_strides[4], lanes)
                    if indices:
                        here = image + d * out_strides[2] + h * out_strides[3] + w * out_strides[4]
                        along = out_strides[1] if rows else out_strides[4]
                        shift = 0 if rows else stride
                        for lane in range(lanes):
                            put(out, here + lane * along, to[int(winner[found + lane])] + lane * shift if taps else -1)
                    elif taps:
                        here = dy_start + n * dy_strides[0] + c * dy_strides[1]
                        here += d * dy_strides[2] + h * dy_strides[3] + w * dy_strides[4]
                        along = dy_strides[1] if rows else dy_strides[4]
                        shift = out_strides[1] if rows else stride * out_strides[4]
                        for lane in range(lanes):
                            place = image + to[int(winner[found + lane])] + lane * shift
                            put(out, place, get(out, place) + get(dy, here + lane * along))
                    w += together


@jit
def _find(best, winner, x, at, along, lanes):
    """The tap of each lane's maximum, where tap t of a lane is x[at[t] + lane * along]; gives where they begin.

    They go back and forth between the halves of `winner`: what is written where it was read LLVM makes conditional.
    """
    half = len(winner) // 2
    if lanes == 1:
        top, where = best.dtype.type(-np.inf), best.dtype.type(0)
        for t in range(len(at)):
            value = get(x, at[t])
            where = place_of_larger(top, value, where, best.dtype.type(t))
            top = larger(top, value)
        winner[0] = where
        return 0
    for lane in range(lanes):
        put(best, lane, best.dtype.type(-np.inf))
        put(winner, lane, best.dtype.type(0))
    old = 0
    for t in range(len(at)):
        a, new = at[t], half - old
        if along == 1:
            for lane in range(lanes):
                _keep(best, winner, lane, old, new, get(x, a + lane), best.dtype.type(t))
        elif along == 2:
            for lane in range(lanes):
                _keep(best, winner, lane, old, new, get(x, a + 2 * lane), best.dtype.type(t))
        else:
            for lane in range(lanes):
                _keep(best, winner, lane, old, new, get(x, a + lane * along), best.dtype.type(t))
        old = new
    return old


@jit
def _keep(best, winner, lane, old, new, value, tap):
    top = get(best, lane)
    put(winner, new + lane, place_of_larger(top, value, get(winner, old + lane), tap))
    put(best, lane, larger(top, value))


@jit
def _clear(y, start, strides, channels, size):
    """Zero some channels of an image."""
    for d in range(size[2]):
        for h in range(size[3]):
            at = start + d * strides[2] + h * strides[3]
            if strides[1] == 1:
                for w in range(size[4]):
                    for c in range(channels):
                        put(y, at + w * strides[4] + c, y.dtype.type(0))
            else:
                for c in range(channels):
                    for w in range(size[4]):
                        put(y, at + c * strides[1] + w * strides[4], y.dtype.type(0))
