"""Maximum and average pooling and the gradient of the average, from the tables of windows that `kernels/spec.py` makes.

All rows of a window are made one row first, then what the window shows of that row is made one. Loops run over what the
memory order makes contiguous: the channels of a pixel (channels-last), else the windows of a row or of several.
"""

from __future__ import annotations

import numpy as np

from pyconv.kernels.numba.layout import Flat, kernel, source, target
from pyconv.kernels.numba.runtime import jit, parallel
from pyconv.kernels.numba.tile import get, put
from pyconv.kernels.numba.windows import combine, full_size, largest, regular, tables
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
    out, gradient, size = target(dx), source(dy), full_size(dx)
    lanes = min(_lanes(out, dx), _lanes(gradient, dy))
    units = dx.size // (size[4] * lanes)
    parallel(_spread, units, 2 * dx.size, *out, size, *gradient, dy.shape[-1], lanes, *tables(windows))


def _run_reduce(y: np.ndarray, x: np.ndarray, windows: tuple[Window, ...], mean: bool | None) -> None:
    """A unit is a row of the output: of a plane, or of all channels of an image."""
    size, given = full_size(y), source(x)
    function, lanes = (_reduce_rows, 1) if _lanes(given, x) == 1 else (_reduce_pixels, size[1])
    units = y.size // (size[4] * lanes)
    parallel(
        function, units, x.size, *target(y), size, y.flags.c_contiguous, *given, x.shape[-1], *tables(windows), mean
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
    for t in range(done, taps):
        a = start + offsets[t]
        if along == 1:
            for i in range(width):
                put(row, to + i, combine(get(row, to + i), get(x, a + i), mean))
        else:
            for i in range(width):
                put(row, to + i, combine(get(row, to + i), get(x, a + i * along), mean))


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
    channels = y_size[1]
    row, result = np.empty(width * channels, y.dtype), np.empty(channels, y.dtype)
    offsets, taps = _window_rows(starts, counts, steps, x_strides)
    for unit in range(begin, end):
        n, at = unit // len(taps), unit % len(taps)
        d, h = at // y_size[3], at % y_size[3]
        _reduce_taps(row, 0, x, x_start + n * x_strides[0], offsets[at], taps[at], 1, width * channels, empty, mean)
        for w in range(y_size[4]):
            count, a, hop = counts[2][w], starts[2][w] * channels, steps[2] * channels
            for c in range(channels if count > 2 else 0):
                put(result, c, combine(get(row, a + c), get(row, a + hop + c), mean))
            for k in range(2, count - 1):
                b = a + k * hop
                for c in range(channels):
                    put(result, c, combine(get(result, c), get(row, b + c), mean))
            to = y_start + n * y_strides[0] + d * y_strides[2] + h * y_strides[3] + w * y_strides[4]
            divisor = y.dtype.type(1 if mean is None else divisors[0][d] * divisors[1][h] * divisors[2][w])
            b = a + (count - 1) * hop
            for c in range(channels):
                if count > 2:
                    value = combine(get(result, c), get(row, b + c), mean)
                elif count == 2:
                    value = combine(get(row, a + c), get(row, b + c), mean)
                else:
                    value = get(row, a + c) if count == 1 else empty
                put(y, to + c * y_strides[1], value if mean is None else value / divisor)


@jit
def _as_dtype(values, like):
    """A copy of an array of integers, as numbers of the type that `like` holds."""
    copy = np.empty(len(values), like.dtype)
    for i in range(len(values)):
        copy[i] = values[i]
    return copy


@jit
def _cover(start, count, step, size):
    """For each input along an axis the outputs whose windows may hold it: the first, past the last; and their most."""
    first, stop = np.zeros(size, np.int64), np.zeros(size, np.int64)
    room = 1
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
    begin, end, dx, dx_start, dx_strides, size, dy, dy_start, dy_strides, width, lanes, starts, counts, divisors, steps
):
    """A unit is a row of dx, of an image (lanes > 1) or a plane: the sum of the rows of dy whose windows hold it.

    A row of dy is divided and spread along its row when it is met first, and kept while later rows need it.
    """
    first_d, stop_d, room_d = _cover(starts[0], counts[0], steps[0], size[2])
    first_h, stop_h, room_h = _cover(starts[1], counts[1], steps[1], size[3])
    most = largest(counts[2])
    origin, _, _, stride = regular(starts[2], counts[2], steps[2], most, size[4])
    if lanes > 1:
        stride = 0
    lead = max(0, -origin) if stride else 0  # what padding takes lies around the row
    reach = max(lead + size[4], lead + origin + (width - 1) * stride + (most - 1) * steps[2] + 1) * lanes
    kept, which = np.empty(room_d * room_h * reach, dx.dtype), np.full(room_d * room_h, -1)
    share, shares = np.empty(width * lanes, dx.dtype), _as_dtype(divisors[2], dx)
    along = 1 if lanes > 1 else dx_strides[4]
    for unit in range(begin, end):
        h, d, plane = unit % size[3], unit // size[3] % size[2], unit // (size[3] * size[2])
        n, c = (plane, 0) if lanes > 1 else (plane // size[1], plane % size[1])
        to = dx_start + n * dx_strides[0] + c * dx_strides[1] + d * dx_strides[2] + h * dx_strides[3]
        rows = 0
        for i in range(first_d[d], stop_d[d]):
            for j in range(first_h[h], stop_h[h]):
                if not (
                    _holds(starts[0][i], counts[0][i], steps[0], d) and _holds(starts[1][j], counts[1][j], steps[1], h)
                ):
                    continue
                slot, name = i % room_d * room_h + j % room_h, (plane * len(starts[0]) + i) * len(starts[1]) + j
                row = slot * reach
                if which[slot] != name:
                    which[slot] = name
                    at = dy_start + n * dy_strides[0] + c * dy_strides[1] + i * dy_strides[2] + j * dy_strides[3]
                    area = dx.dtype.type(divisors[0][i] * divisors[1][j])
                    _divide(share, dy, at, dy_strides[4], shares, area, lanes)
                    for k in range(row, row + reach):
                        put(kept, k, dx.dtype.type(0))
                    if stride:
                        _spread_windows(kept, row + lead + origin, steps[2], most, stride, share, width)
                    else:
                        _spread_pixels(kept, row, starts[2], counts[2], steps[2], share, lanes)
                _put_row(dx, to, along, kept, row + lead, size[4] * lanes, rows > 0)
                rows += 1
        if rows == 0:
            for k in range(size[4] * lanes):
                put(dx, to + k * along, dx.dtype.type(0))


@jit
def _divide(share, dy, at, along, shares, area, lanes):
    """share = a row of dy over the sizes of its windows."""
    if lanes > 1:
        for w in range(len(shares)):
            divisor = area * shares[w]
            for lane in range(w * lanes, (w + 1) * lanes):
                put(share, lane, get(dy, at + lane) / divisor)
    elif along == 1:
        for w in range(len(shares)):
            put(share, w, get(dy, at + w) / (area * get(shares, w)))
    else:
        for w in range(len(shares)):
            put(share, w, get(dy, at + w * along) / (area * get(shares, w)))


@jit
def _put_row(dx, to, along, row, start, count, add):
    """dx[to:] = row[start:], or added to it."""
    if along != 1:
        for i in range(count):
            before = get(dx, to + i * along) if add else dx.dtype.type(0)
            put(dx, to + i * along, before + get(row, start + i))
    elif add:
        for i in range(count):
            put(dx, to + i, get(dx, to + i) + get(row, start + i))
    else:
        for i in range(count):
            put(dx, to + i, get(row, start + i))


@jit
def _spread_pixels(row, start, starts, counts, step, share, lanes):
    """row[start:] += for each pixel its share, at every pixel of its window."""
    for w in range(len(starts)):
        for k in range(counts[w]):
            to = start + (starts[w] + k * step) * lanes
            for lane in range(lanes):
                put(row, to + lane, get(row, to + lane) + get(share, w * lanes + lane))


@jit
def _spread_windows(row, a, step, most, stride, share, count):
    """row[a + i * stride + k * step] += share[i] for k < most."""
    if stride == 2 and most == 2 and step == 1:
        for i in range(count):
            put(row, a + 2 * i, get(row, a + 2 * i) + get(share, i))
            put(row, a + 2 * i + 1, get(row, a + 2 * i + 1) + get(share, i))
        return
    if count == 1 and step == 1:
        for k in range(most):
            put(row, a + k, get(row, a + k) + share[0])
        return
    for k in range(most):
        b = a + k * step
        if stride == 1:
            for i in range(count):
                put(row, b + i, get(row, b + i) + get(share, i))
        else:
            for i in range(count):
                put(row, b + i * stride, get(row, b + i * stride) + get(share, i))
