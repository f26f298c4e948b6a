"""Maximum and average pooling and the gradient of the average, from the tables of windows that `kernels/spec.py` makes.

That gradient is such a pooling too: an element of dx is the sum of the dy whose windows hold it.

All rows of a window are made one row first, then what the window shows of that row is made one. Loops run over what the
memory order makes contiguous: the channels of a pixel (channels-last), else the windows of a row or of several.
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from pyconv.kernels.numba import tiled
from pyconv.kernels.numba.layout import Flat, kernel, source, target
from pyconv.kernels.numba.runtime import jit, parallel
from pyconv.kernels.numba.tile import get, put
from pyconv.kernels.numba.windows import combine, full_size, largest, regular, tables
from pyconv.kernels.spec import Window

FEW = 16  # channels, for which a loop over those of a pixel does not pay
BLOCK = 4096  # elements of rows that are reduced together: with the results they stay in L1


@kernel
def max_pool(y: np.ndarray, x: np.ndarray, windows: tuple[Window, ...]) -> None:
    """y (N, C, *O) = the maximum of each window of x (N, C, *I), NaN if it holds one, -inf if it is empty."""
    _run_reduce(y, x, windows, None)


@kernel
def avg_pool(y: np.ndarray, x: np.ndarray, windows: tuple[Window, ...]) -> None:
    """y (N, C, *O) = the sum of each window of x (N, C, *I) over its divisor."""
    _run_reduce(y, x, windows, True)


@kernel
def avg_pool_backward(dx: np.ndarray, dy: np.ndarray, windows: tuple[Window, ...]) -> None:
    """dx (N, C, *I) = each dy (N, C, *O) over its divisor, added to all of its window."""
    tiles = tiled.tiles(windows, dx, dy)
    if tiles:
        tiled.spread(dx, dy, tiles)
        return
    turned, uniform = [], True
    for window, size in zip(windows, dx.shape[2:], strict=True):
        *table, same = _adjoint(*window, size)
        turned.append(Window(*table))
        uniform &= same
    if not uniform:
        divisor = reduce(np.multiply.outer, [w.divisor for w in windows])
        dy = dy / divisor.astype(dy.dtype)
        turned = [w._replace(divisor=np.ones_like(w.divisor)) for w in turned]
    _run_reduce(dx, dy, tuple(turned), True)


def _run_reduce(y: np.ndarray, x: np.ndarray, windows: tuple[Window, ...], mean: bool | None) -> None:
    """A unit is a row of the output: of a plane, or of all channels of an image."""
    tiles = tiled.tiles(windows, x, y)
    if tiles and tiles.width <= tiled.WIDTH:
        tiled.reduce(y, x, tiles, mean)
        return
    size, given = full_size(y), source(x)
    function, lanes = (_reduce_rows, 1) if _lanes(given, x) == 1 else (_reduce_pixels, size[1])
    units = y.size // (size[4] * lanes)
    parallel(
        function,
        units,
        x.size + y.size,
        *target(y),
        size,
        y.flags.c_contiguous,
        *given,
        x.shape[-1],
        *tables(windows),
        mean,
    )


def _lanes(flat: Flat, a: np.ndarray) -> int:
    """How many elements of a row belong together: all channels of a pixel, or 1 where rows hold a single channel."""
    follow = flat.strides[1] == 1 and (a.shape[-1] == 1 or flat.strides[4] == a.shape[1])
    return a.shape[1] if follow else 1


@jit
def _window_rows(starts, counts, steps, strides):
    """For each (d, h) of the output the rows of its windows: where they stand from a plane's first, and how many."""
    depth, height = len(starts[0]), len(starts[1])
    offsets = np.empty((depth * height, largest(counts[0]) * largest(counts[1])), np.int64)
    taps = np.zeros(depth * height, np.int64)
    for d in range(depth):
        for h in range(height):
            at = d * height + h
            for j in range(counts[0][d]):
                for k in range(counts[1][h]):
                    p, q = starts[0][d] + j * steps[0], starts[1][h] + k * steps[1]
                    offsets[at, taps[at]] = p * strides[2] + q * strides[3]
                    taps[at] += 1
    return offsets, taps


@jit
def _reduce_rows(
    begin, end, y, y_start, y_strides, y_size, dense, x, x_start, x_strides, width, starts, counts, divisors, steps,
    mean,
):  # fmt: skip
    """A unit is a row of y; they are worked through in blocks.

    The rows of a block follow each other in a buffer, stride * pitch apart, so that one long loop serves all their
    windows: it gives `pitch` results a row, of which those past y's width mix two rows and are thrown away.
    """
    empty = y.dtype.type(-np.inf if mean is None else 0)
    offsets, taps = _window_rows(starts, counts, steps, x_strides)
    most, across = largest(counts[2]), y_size[4]
    origin, _, _, stride = regular(starts[2], counts[2], steps[2], most, width)
    lead = max(0, -origin)  # empty elements left of a row
    reach = max(lead + width, lead + origin + (across - 1) * stride + (most - 1) * steps[2] + 1)
    if stride and across == 1:
        stride = reach
    pitch = across if stride == 0 else max(across, (reach + stride - 1) // stride)
    gap = width if stride == 0 else stride * pitch
    block = max(1, min(end - begin, BLOCK // gap))
    rows = np.full(block * gap + reach, empty, y.dtype)
    results = np.empty(block * pitch, y.dtype)
    shares = _as_dtype(divisors[2], y)
    for first in range(begin, end, block):
        height = min(block, end - first)
        for h in range(height):
            plane, at = (first + h) // len(taps), (first + h) % len(taps)
            start = x_start + plane // y_size[1] * x_strides[0] + plane % y_size[1] * x_strides[1]
            _reduce_taps(rows, h * gap + lead, x, start, offsets[at], taps[at], x_strides[4], width, empty, mean)
        if mean is None and stride and dense and pitch == across:
            _reduce_windows(y, first * across, height * pitch, rows, lead + origin, steps[2], most, stride, mean)
            continue
        if stride:
            _reduce_windows(results, 0, height * pitch, rows, lead + origin, steps[2], most, stride, mean)
        else:
            for h in range(height):
                for w in range(across):
                    value = empty
                    for k in range(counts[2][w]):
                        value = combine(value, get(rows, h * gap + starts[2][w] + k * steps[2]), mean)
                    put(results, h * pitch + w, value)
        for h in range(height):
            plane, at = (first + h) // len(taps), (first + h) % len(taps)
            i, j = at // y_size[3], at % y_size[3]
            to = y_start + plane // y_size[1] * y_strides[0] + plane % y_size[1] * y_strides[1]
            to += i * y_strides[2] + j * y_strides[3]
            if mean is not None:
                area = y.dtype.type(divisors[0][i] * divisors[1][j])
                for w in range(across):
                    put(results, h * pitch + w, get(results, h * pitch + w) / (area * get(shares, w)))
            if y_strides[4] == 1:
                for w in range(across):
                    put(y, to + w, get(results, h * pitch + w))
            else:
                for w in range(across):
                    put(y, to + w * y_strides[4], get(results, h * pitch + w))


@jit
def _reduce_taps(row, to, x, start, offsets, taps, along, width, empty, mean):
    """row[to:] = the rows of x at the first `taps` of these offsets from `start`, as one."""
    done = min(taps, 3) if along == 1 else 0
    if done == 3:
        a, b, c = start + offsets[0], start + offsets[1], start + offsets[2]
        for i in range(width):
            put(row, to + i, combine(combine(get(x, a + i), get(x, b + i), mean), get(x, c + i), mean))
    elif done == 2:
        a, b = start + offsets[0], start + offsets[1]
        for i in range(width):
            put(row, to + i, combine(get(x, a + i), get(x, b + i), mean))
    elif done == 1:
        a = start + offsets[0]
        for i in range(width):
            put(row, to + i, get(x, a + i))
    else:
        for i in range(width):
            put(row, to + i, empty)
    while done < taps:
        a, b = start + offsets[done], start + offsets[min(done + 1, taps - 1)]
        if along == 1 and done + 1 < taps:
            done += 1
            for i in range(width):
                put(row, to + i, combine(combine(get(row, to + i), get(x, a + i), mean), get(x, b + i), mean))
        elif along == 1:
            for i in range(width):
                put(row, to + i, combine(get(row, to + i), get(x, a + i), mean))
        else:
            for i in range(width):
                put(row, to + i, combine(get(row, to + i), get(x, a + i * along), mean))
        done += 1


@jit
def _reduce_windows(results, to, count, rows, a, step, most, stride, mean):
    """results[to + i] = the elements rows[a + i * stride + k * step], k < most, as one."""
    b, c = a + step, a + 2 * step
    taps = 0
    if stride == 2 and most == 2:
        taps = 2
        for i in range(count):
            put(results, to + i, combine(get(rows, a + 2 * i), get(rows, b + 2 * i), mean))
    elif stride == 2 and most >= 3:
        taps = 3
        for i in range(count):
            value = combine(get(rows, a + 2 * i), get(rows, b + 2 * i), mean)
            put(results, to + i, combine(value, get(rows, c + 2 * i), mean))
    elif stride == 1 and most >= 3:
        taps = 3
        for i in range(count):
            put(results, to + i, combine(combine(get(rows, a + i), get(rows, b + i), mean), get(rows, c + i), mean))
    else:
        taps = 1
        for i in range(count):
            put(results, to + i, get(rows, a + i * stride))
    for k in range(taps, most):
        b = a + k * step
        for i in range(count):
            put(results, to + i, combine(get(results, to + i), get(rows, b + i * stride), mean))


@jit
def _reduce_pixels(
    begin, end, y, y_start, y_strides, y_size, dense, x, x_start, x_strides, width, starts, counts, divisors, steps,
    mean,
):  # fmt: skip
    """A unit is a row of the output, all channels of its pixels."""
    empty = y.dtype.type(-np.inf if mean is None else 0)
    channels, across = y_size[1], y_size[4]
    row, results = np.full(width * channels + 1, empty), np.empty(across * channels, y.dtype)
    hop, most = steps[2] * channels, largest(counts[2])
    where, number = np.empty(len(results), np.int64), np.empty(len(results), np.int64)  # of the elements of each result
    shares = np.empty(len(results), y.dtype)
    for i in range(len(results)):
        w = i // channels
        where[i] = starts[2][w] * channels + i % channels if counts[2][w] else width * channels
        number[i], shares[i] = counts[2][w], divisors[2][w]
    offsets, taps = _window_rows(starts, counts, steps, x_strides)
    for unit in range(begin, end):
        n, at = unit // len(taps), unit % len(taps)
        d, h = at // y_size[3], at % y_size[3]
        _reduce_taps(row, 0, x, x_start + n * x_strides[0], offsets[at], taps[at], 1, width * channels, empty, mean)
        if channels < FEW:
            for i in range(len(results)):
                put(results, i, get(row, get(where, i)))
            for k in range(1, most):
                for i in range(len(results)):
                    if k < get(number, i):
                        put(results, i, combine(get(results, i), get(row, get(where, i) + k * hop), mean))
        else:
            for w in range(across):
                _reduce_pixel(
                    results, w * channels, row, starts[2][w] * channels, hop, counts[2][w], channels, empty, mean
                )
        if mean is not None:
            area = y.dtype.type(divisors[0][d] * divisors[1][h])
            for i in range(len(results)):
                put(results, i, get(results, i) / (area * get(shares, i)))
        to = y_start + n * y_strides[0] + d * y_strides[2] + h * y_strides[3]
        if y_strides[1] == 1 and (y_strides[4] == channels or across == 1):
            for i in range(len(results)):
                put(y, to + i, get(results, i))
        else:
            for w in range(across):
                for c in range(channels):
                    put(y, to + w * y_strides[4] + c * y_strides[1], get(results, w * channels + c))


@jit
def _reduce_pixel(results, to, row, a, hop, count, channels, empty, mean):
    """results[to:] = the pixels at a, a + hop, … of a row as one."""
    if count < 2:
        for c in range(channels):
            put(results, to + c, get(row, a + c) if count else empty)
        return
    for c in range(channels):
        put(results, to + c, combine(get(row, a + c), get(row, a + hop + c), mean))
    for b in range(a + 2 * hop, a + count * hop, hop):
        for c in range(channels):
            put(results, to + c, combine(get(results, to + c), get(row, b + c), mean))


@jit
def _as_dtype(values, like):
    """A copy of an array of integers, as numbers of the type that `like` holds."""
    copy = np.empty(len(values), like.dtype)
    for i in range(len(values)):
        copy[i] = values[i]
    return copy


@jit
def _adjoint(start, count, divisor, step, size):
    """The windows that show each input along an axis the outputs whose windows hold it: start, count, divisor and step;
    and whether all divisors were the same, which theirs is then.
    """
    first, last, number = np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(size, np.int64)
    apart, same = 1, True
    for o in range(len(start)):
        same = same and divisor[o] == divisor[0]
        for k in range(count[o]):
            i = start[o] + k * step
            if number[i] == 0:
                first[i] = o
            else:
                apart = o - last[i]
            last[i] = o
            number[i] += 1
    return first, number, np.full(size, divisor[0]), apart, same
