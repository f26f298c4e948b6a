"""Maximum and average pooling and the gradient of the average, from the tables of windows that `kernels/spec.py` makes.

All rows of a window are made one row first, then what the window shows of that row is made one. Loops run over what the
memory order makes contiguous: the channels of a pixel (channels-last), else the windows of a row or of several.
"""

from __future__ import annotations

import math

import numpy as np

from pyconv.kernels.numba.layout import Flat, kernel, source, target
from pyconv.kernels.numba.runtime import jit, parallel
from pyconv.kernels.numba.tile import get, larger, put
from pyconv.kernels.numba.windows import covers_axis, full_size, regular, tables
from pyconv.kernels.spec import Window

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
    if (
        dx.ndim > 3
        and dx.flags.c_contiguous
        and all(covers_axis(w, n) for w, n in zip(windows, dx.shape[2:], strict=True))
    ):
        start, count, divisor = np.array(
            [[0], [dx[0, 0].size], [math.prod(int(w.divisor[0]) for w in windows)]], np.int64
        )
        whole = Window(start, count, divisor, 1)  # the axes as one
        avg_pool_backward(dx.reshape(*dx.shape[:2], -1), dy.reshape(*dy.shape[:2], 1), (whole,))
        return
    out, gradient, size = target(dx), source(dy), full_size(dx)
    lanes = min(_lanes(out, dx), _lanes(gradient, dy))
    units = dx.size // (size[4] * lanes)
    parallel(_spread, units, 2 * dx.size, *out, size, *gradient, dy.shape[-1], lanes, *tables(windows, dx.dtype))


def _run_reduce(y: np.ndarray, x: np.ndarray, windows: tuple[Window, ...], mean: bool | None) -> None:
    """A unit is a plane, or a row of all channels of an image."""
    size, given = full_size(y), source(x)
    lanes = _lanes(given, x)
    function = _reduce_planes if lanes == 1 else _reduce_pixels
    units = size[0] * (size[1] if lanes == 1 else size[2] * size[3])
    parallel(function, units, x.size, *target(y), size, *given, x.shape[-1], *tables(windows, y.dtype), mean)


def _lanes(flat: Flat, a: np.ndarray) -> int:
    """How many elements of a row belong together: all channels of a pixel, or 1 where rows hold a single channel."""
    follow = flat.strides[1] == 1 and (a.shape[-1] == 1 or flat.strides[4] == a.shape[1])
    return a.shape[1] if follow else 1


@jit
def _combine(a, b, mean):
    """The sum, or (mean is None) the larger."""
    if mean is None:
        return larger(a, b)
    return a + b


@jit
def _reduce_planes(
    begin, end, y, y_start, y_strides, y_size, x, x_start, x_strides, width, starts, counts, divisors, steps, most, mean
):
    """A unit is a plane, worked through in blocks of rows.

    The rows of a block follow each other in a buffer, stride * pitch apart, so that one long loop serves all their
    windows: it gives `pitch` results a row, of which those past y's width mix two rows and are thrown away.
    """
    empty = y.dtype.type(-np.inf if mean is None else 0)
    origin, _, _, stride = regular(starts[2], counts[2], steps[2], most[2], width)
    lead = max(0, -origin)  # empty elements left of a row
    reach = max(lead + width, lead + origin + (y_size[4] - 1) * stride + (most[2] - 1) * steps[2] + 1)
    pitch = y_size[4] if stride == 0 else max(y_size[4], (reach + stride - 1) // stride)
    gap = width if stride == 0 else stride * pitch
    block = max(1, min(y_size[3], BLOCK // gap))
    rows = np.full(block * gap + reach, empty, y.dtype)
    results = np.empty(block * pitch, y.dtype)
    at = np.empty(most[0] * most[1], np.int64)
    for unit in range(begin, end):
        n, c = unit // y_size[1], unit % y_size[1]
        for d in range(y_size[2]):
            for first in range(0, y_size[3], block):
                height = min(block, y_size[3] - first)
                for h in range(height):
                    taps = 0
                    for j in range(counts[0][d]):
                        for k in range(counts[1][first + h]):
                            p, q = starts[0][d] + j * steps[0], starts[1][first + h] + k * steps[1]
                            at[taps] = x_start + n * x_strides[0] + c * x_strides[1]
                            at[taps] += p * x_strides[2] + q * x_strides[3]
                            taps += 1
                    _reduce_rows(rows, h * gap + lead, x, at[:taps], x_strides[4], width, empty, mean)
                if stride:
                    _reduce_windows(results, height * pitch, rows, lead + origin, steps[2], most[2], stride, mean)
                else:
                    for h in range(height):
                        for w in range(y_size[4]):
                            value = empty
                            for k in range(counts[2][w]):
                                value = _combine(value, get(rows, h * gap + lead + starts[2][w] + k * steps[2]), mean)
                            put(results, h * pitch + w, value)
                if mean is not None:
                    for h in range(height):
                        area = divisors[0][d] * divisors[1][first + h]
                        for w in range(y_size[4]):
                            put(results, h * pitch + w, get(results, h * pitch + w) / (area * get(divisors[2], w)))
                to = y_start + n * y_strides[0] + c * y_strides[1] + d * y_strides[2] + first * y_strides[3]
                if y_strides[4] == 1 and y_strides[3] == y_size[4] == pitch:
                    for i in range(height * pitch):
                        put(y, to + i, get(results, i))
                else:
                    for h in range(height):
                        for w in range(y_size[4]):
                            put(y, to + h * y_strides[3] + w * y_strides[4], get(results, h * pitch + w))


@jit
def _reduce_rows(row, to, x, at, along, width, empty, mean):
    """row[to:] = the rows of x at these offsets as one."""
    taps = 0
    if along == 1 and len(at) >= 3:
        taps, a, b, c = 3, at[0], at[1], at[2]
        for i in range(width):
            put(row, to + i, _combine(_combine(get(x, a + i), get(x, b + i), mean), get(x, c + i), mean))
    elif along == 1 and len(at) == 2:
        taps, a, b = 2, at[0], at[1]
        for i in range(width):
            put(row, to + i, _combine(get(x, a + i), get(x, b + i), mean))
    else:
        for i in range(width):
            put(row, to + i, empty)
    for t in range(taps, len(at)):
        a = at[t]
        if along == 1:
            for i in range(width):
                put(row, to + i, _combine(get(row, to + i), get(x, a + i), mean))
        else:
            for i in range(width):
                put(row, to + i, _combine(get(row, to + i), get(x, a + i * along), mean))


@jit
def _reduce_windows(results, count, rows, a, step, most, stride, mean):
    """results[i] = the elements rows[a + i * stride + k * step], k < most, as one."""
    b, c = a + step, a + 2 * step
    taps = 0
    if stride == 2 and most == 2:
        taps = 2
        for i in range(count):
            put(results, i, _combine(get(rows, a + 2 * i), get(rows, b + 2 * i), mean))
    elif stride == 2 and most >= 3:
        taps = 3
        for i in range(count):
            value = _combine(get(rows, a + 2 * i), get(rows, b + 2 * i), mean)
            put(results, i, _combine(value, get(rows, c + 2 * i), mean))
    elif stride == 1 and most >= 3:
        taps = 3
        for i in range(count):
            put(results, i, _combine(_combine(get(rows, a + i), get(rows, b + i), mean), get(rows, c + i), mean))
    else:
        taps = 1
        for i in range(count):
            put(results, i, get(rows, a + i * stride))
    for k in range(taps, most):
        b = a + k * step
        for i in range(count):
            put(results, i, _combine(get(results, i), get(rows, b + i * stride), mean))


@jit
def _reduce_pixels(
    begin, end, y, y_start, y_strides, y_size, x, x_start, x_strides, width, starts, counts, divisors, steps, most, mean
):
    """A unit is a row of the output, all channels of its pixels."""
    empty = y.dtype.type(-np.inf if mean is None else 0)
    channels = y_size[1]
    row = np.empty(width * channels, y.dtype)
    result = np.empty(channels, y.dtype)
    at = np.empty(most[0] * most[1], np.int64)
    for unit in range(begin, end):
        h = unit % y_size[3]
        d = unit // y_size[3] % y_size[2]
        n = unit // y_size[3] // y_size[2]
        taps = 0
        for j in range(counts[0][d]):
            for k in range(counts[1][h]):
                at[taps] = x_start + n * x_strides[0]
                at[taps] += (starts[0][d] + j * steps[0]) * x_strides[2] + (starts[1][h] + k * steps[1]) * x_strides[3]
                taps += 1
        _reduce_rows(row, 0, x, at[:taps], 1, width * channels, empty, mean)
        for w in range(y_size[4]):
            a = starts[2][w] * channels
            b = a + steps[2] * channels
            if counts[2][w] >= 2:
                for c in range(channels):
                    put(result, c, _combine(get(row, a + c), get(row, b + c), mean))
            else:
                for c in range(channels):
                    put(result, c, get(row, a + c) if counts[2][w] else empty)
            for k in range(2, counts[2][w]):
                a = (starts[2][w] + k * steps[2]) * channels
                for c in range(channels):
                    put(result, c, _combine(get(result, c), get(row, a + c), mean))
            to = y_start + n * y_strides[0] + d * y_strides[2] + h * y_strides[3] + w * y_strides[4]
            divisor = y.dtype.type(1) if mean is None else divisors[0][d] * divisors[1][h] * divisors[2][w]
            for c in range(channels):
                put(y, to + c * y_strides[1], get(result, c) if mean is None else get(result, c) / divisor)


@jit
def _cover(start, count, step, size):
    """For each input along an axis the outputs whose windows may hold it: the first, past the last; and their most."""
    first, stop = np.zeros(size, np.int64), np.zeros(size, np.int64)
    room = 0
    for o in range(len(start)):
        for k in range(count[o]):
            i = start[o] + k * step
            if stop[i] == 0:
                first[i] = o
            stop[i] = o + 1
            room = max(room, stop[i] - first[i])
    return first, stop, room


@jit
def _holds(start, count, step, i):
    return start <= i < start + count * step and (step == 1 or (i - start) % step == 0)


@jit
def _spread(
    begin, end, dx, dx_start, dx_strides, size, dy, dy_start, dy_strides, width, lanes, starts, counts, divisors, steps,
    most,
):  # fmt: skip
    """A unit is a row of dx, of an image (lanes > 1) or a plane: the sum of dy's rows over it, then spread along it."""
    first_d, stop_d, room_d = _cover(starts[0], counts[0], steps[0], size[2])
    first_h, stop_h, room_h = _cover(starts[1], counts[1], steps[1], size[3])
    room = max(1, room_d * room_h)
    at, area = np.empty(room, np.int64), np.ones(room, dx.dtype)  # of the rows of dy over a row of dx
    origin, _, _, stride = regular(starts[2], counts[2], steps[2], most[2], size[4])
    lead = max(0, -origin) if lanes == 1 else 0  # what padding takes lies around the row
    sums = np.empty(width * lanes, dx.dtype)
    reach = max(lead + size[4], lead + origin + (width - 1) * stride + (most[2] - 1) * steps[2] + 1)
    row = np.empty(reach * lanes, dx.dtype)
    along = 1 if lanes > 1 else dy_strides[4]
    last, over = -1, dx.dtype.type(0)  # where in dy the row in `row` comes from, if from a single one, and its divisor
    h = begin % size[3]
    d = begin // size[3] % size[2]
    image = begin // size[3] // size[2]
    for _ in range(begin, end):
        n, c = (image, 0) if lanes > 1 else (image // size[1], image % size[1])
        rows = 0
        for i in range(first_d[d], stop_d[d]):
            for j in range(first_h[h], stop_h[h]):
                if _holds(starts[0][i], counts[0][i], steps[0], d) and _holds(starts[1][j], counts[1][j], steps[1], h):
                    at[rows] = dy_start + n * dy_strides[0] + c * dy_strides[1] + i * dy_strides[2] + j * dy_strides[3]
                    area[rows] = divisors[0][i] * divisors[1][j]
                    rows += 1
        if rows != 1 or at[0] != last or area[0] != over:  # all rows of a broadcast dy stand in one place
            last, over = at[0] if rows == 1 else -1, area[0]
            sums[:] = 0
            alike = True  # one division does for all
            for r in range(1, rows):
                alike = alike and area[r] == area[0]
            for r in range(rows):
                first = at[r]
                before = dx.dtype.type(1) if alike else area[r]
                if along == 1:
                    for i in range(width * lanes):
                        put(sums, i, get(sums, i) + get(dy, first + i) / before)
                else:
                    for i in range(width * lanes):
                        put(sums, i, get(sums, i) + get(dy, first + i * along) / before)
            after = area[0] if alike else dx.dtype.type(1)
            if lanes == 1:
                for w in range(width):
                    put(sums, w, get(sums, w) / (after * get(divisors[2], w)))
            else:
                for w in range(width):
                    divisor = after * divisors[2][w]
                    for lane in range(w * lanes, (w + 1) * lanes):
                        put(sums, lane, get(sums, lane) / divisor)
            row[:] = 0
            if lanes == 1 and stride:
                _spread_windows(row, lead + origin, steps[2], most[2], stride, sums, width)
            else:
                for w in range(width):
                    for k in range(counts[2][w]):
                        to = lead + (starts[2][w] + k * steps[2]) * lanes
                        for lane in range(lanes):
                            put(row, to + lane, get(row, to + lane) + get(sums, w * lanes + lane))
        to = dx_start + n * dx_strides[0] + c * dx_strides[1] + d * dx_strides[2] + h * dx_strides[3]
        if dx_strides[4] == lanes and (lanes == 1 or dx_strides[1] == 1):
            for i in range(size[4] * lanes):
                put(dx, to + i, get(row, lead + i))
        else:
            for w in range(size[4]):
                for lane in range(lanes):
                    put(dx, to + w * dx_strides[4] + lane * dx_strides[1], get(row, lead + w * lanes + lane))
        h += 1
        if h == size[3]:
            h = 0
            d += 1
            if d == size[2]:
                d = 0
                image += 1


@jit
def _spread_windows(row, a, step, most, stride, sums, count):
    """row[a + i * stride + k * step] += sums[i] for k < most."""
    if stride == 2 and most == 2 and step == 1:
        for i in range(count):
            put(row, a + 2 * i, get(row, a + 2 * i) + get(sums, i))
            put(row, a + 2 * i + 1, get(row, a + 2 * i + 1) + get(sums, i))
        return
    if count == 1 and step == 1:
        for k in range(most):
            put(row, a + k, get(row, a + k) + sums[0])
        return
    for k in range(most):
        b = a + k * step
        if stride == 1:
            for i in range(count):
                put(row, b + i, get(row, b + i) + get(sums, i))
        else:
            for i in range(count):
                put(row, b + i * stride, get(row, b + i * stride) + get(sums, i))
