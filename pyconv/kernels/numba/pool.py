"""Maximum and average pooling and their gradients, from the tables of windows that `kernels/spec.py` makes.

Loops run over *lanes*, what the memory order makes contiguous: the channels of a pixel (channels-last, where the pixels of
a row follow each other) or else the windows of a row that stand at one stride. Sums and maxima first make one row of all
rows of a window, then reduce that; the place of a maximum is found for all lanes at once, tap after tap.
"""

from __future__ import annotations

import numpy as np

from pyconv.kernels import threads
from pyconv.kernels.numba.layout import Flat, kernel, source, target, triple
from pyconv.kernels.numba.runtime import jit, parallel
from pyconv.kernels.numba.tile import get, put
from pyconv.kernels.spec import Window

_POINT = Window(np.zeros(1, np.int64), np.ones(1, np.int64), np.ones(1, np.int64), 1)


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
    out, gradient, size = target(dx), source(dy), _size(dx)
    lanes = _lanes(gradient, dx.shape[1])
    units = dx.size // (size[4] * lanes)
    tables = _tables(windows, dx.dtype)
    parallel(_spread, units, 2 * dx.size, *out, size, *gradient, dy.shape[-1], lanes, *tables, _regular(tables))


@kernel
def max_pool_indices(i: np.ndarray, x: np.ndarray, windows: tuple[Window, ...]) -> None:
    """i (N, C, *O) = where in its plane each maximum lies, the first of equals and the last NaN; -1 if there is none."""
    _, _, height, width = _size(x)[1:]
    _run_locate(i, _size(i), x, windows, (height * width, width, 1), None)


@kernel
def max_pool_backward(dx: np.ndarray, dy: np.ndarray, x: np.ndarray, windows: tuple[Window, ...]) -> None:
    """dx (N, C, *I) = each dy (N, C, *O) added to the place of its window's maximum in x (N, C, *I)."""
    _run_locate(dx, _size(dy), x, windows, target(dx).strides[2:], source(dy))


def _run_reduce(y: np.ndarray, x: np.ndarray, windows: tuple[Window, ...], mean: bool | None) -> None:
    size, given = _size(y), source(x)
    lanes = _lanes(given, x.shape[1])
    units = y.size // (size[4] * lanes)
    tables = _tables(windows, y.dtype)
    parallel(_reduce, units, x.size, *target(y), size, *given, x.shape[-1], lanes, *tables, _regular(tables), mean)


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
    starts, counts, _, steps = tables = _tables(windows, x.dtype)
    memory, start, strides = (np.empty(0, x.dtype), 0, (0,) * 5) if dy is None else dy
    arguments = *target(out), _size(out), *given, size, given.channels_last, chunk, starts, counts, steps, _regular(tables)
    parallel(_locate, units, 2 * x.size, *arguments, scale, dy is None, memory, start, strides)


def _size(a: np.ndarray) -> tuple[int, ...]:
    return *a.shape[:2], *triple(a.shape[2:], 1)


def _lanes(a: Flat, channels: int) -> int:
    """How many elements of a row belong together: all channels of a pixel, or 1 where rows hold a single channel."""
    return channels if a.strides[1] == 1 and a.strides[4] == channels else 1


def _tables(windows: tuple[Window, ...], dtype: np.dtype) -> tuple[tuple, tuple, tuple, tuple]:
    """Starts, counts, divisors (as `dtype`) and steps, each for three axes."""
    starts, counts, divisors, steps = zip(*triple(windows, _POINT), strict=True)
    return starts, counts, tuple(d.astype(dtype) for d in divisors), steps


def _regular(tables: tuple) -> tuple[int, int, int]:
    """The windows of a row with most elements, if they stand at one stride: the first, past the last, stride (else 0)."""
    start, count = tables[0][2], tables[1][2]
    full = np.flatnonzero(count == count.max())
    first, stop = int(full[0]), int(full[-1]) + 1
    strides = np.diff(start[first:stop])
    even = len(full) == stop - first and len(strides) and (strides == strides[0]).all()
    return first, stop, int(strides[0]) if even else 0


@jit
def _combine(a, b, mean):
    """The sum, or (mean is None) the larger, where NaN wins over numbers. Without branches, so that loops vectorise."""
    if mean is None:
        larger = b if b > a else a
        return b if b != b else larger
    return a + b


@jit
def _reduce(
    begin, end, y, y_start, y_strides, y_size, x, x_start, x_strides, width, lanes, starts, counts, divisors, steps, regular, mean
):
    """A unit is a row of the output, of an image (lanes > 1) or of a plane."""
    empty = y.dtype.type(-np.inf if mean is None else 0)
    row = np.empty(width * lanes, y.dtype)  # all rows of a window as one
    results = np.empty(y_size[4] * lanes, y.dtype)
    at = np.empty(counts[0].max() * counts[1].max(), np.int64)
    h = begin % y_size[3]
    d = begin // y_size[3] % y_size[2]
    image = begin // y_size[3] // y_size[2]
    for _ in range(begin, end):
        n, c = (image, 0) if lanes > 1 else (image // y_size[1], image % y_size[1])
        taps = 0
        for j in range(counts[0][d]):
            for k in range(counts[1][h]):
                at[taps] = x_start + n * x_strides[0] + c * x_strides[1]
                at[taps] += (starts[0][d] + j * steps[0]) * x_strides[2] + (starts[1][h] + k * steps[1]) * x_strides[3]
                taps += 1
        _reduce_rows(row, x, at[:taps], 1 if lanes > 1 else x_strides[4], width * lanes, empty, mean)
        _reduce_windows(results, row, lanes, starts[2], counts[2], steps[2], regular, empty, mean)
        to = y_start + n * y_strides[0] + c * y_strides[1] + d * y_strides[2] + h * y_strides[3]
        area = divisors[0][d] * divisors[1][h]
        if lanes == 1:
            if mean is not None:
                for w in range(y_size[4]):
                    put(results, w, get(results, w) / (area * get(divisors[2], w)))
            if y_strides[4] == 1:
                for w in range(y_size[4]):
                    put(y, to + w, get(results, w))
            else:
                for w in range(y_size[4]):
                    put(y, to + w * y_strides[4], get(results, w))
        else:
            for w in range(y_size[4]):
                divisor = y.dtype.type(1) if mean is None else area * divisors[2][w]
                for i in range(lanes):
                    value = get(results, w * lanes + i)
                    put(y, to + w * y_strides[4] + i * y_strides[1], value if mean is None else value / divisor)
        h += 1
        if h == y_size[3]:
            h = 0
            d += 1
            if d == y_size[2]:
                d = 0
                image += 1


@jit
def _reduce_rows(row, x, at, along, width, empty, mean):
    """row = the rows of x at these offsets as one."""
    taps = 0
    if along == 1 and len(at) >= 3:
        taps, a, b, c = 3, at[0], at[1], at[2]
        for i in range(width):
            put(row, i, _combine(_combine(get(x, a + i), get(x, b + i), mean), get(x, c + i), mean))
    elif along == 1 and len(at) == 2:
        taps, a, b = 2, at[0], at[1]
        for i in range(width):
            put(row, i, _combine(get(x, a + i), get(x, b + i), mean))
    else:
        for i in range(width):
            put(row, i, empty)
    for t in range(taps, len(at)):
        a = at[t]
        if along == 1:
            for i in range(width):
                put(row, i, _combine(get(row, i), get(x, a + i), mean))
        else:
            for i in range(width):
                put(row, i, _combine(get(row, i), get(x, a + i * along), mean))


@jit
def _reduce_windows(results, row, lanes, starts, counts, step, regular, empty, mean):
    """results[w] = what window w shows of the row as one, for each lane."""
    first, stop, stride = regular
    a, b, c = starts[first], starts[first] + step, starts[first] + 2 * step
    if lanes == 1 and counts[first] == 2 and stride == 2:
        for w in range(stop - first):
            put(results, first + w, _combine(get(row, a + 2 * w), get(row, b + 2 * w), mean))
    elif lanes == 1 and counts[first] == 3 and stride == 2:
        for w in range(stop - first):
            value = _combine(get(row, a + 2 * w), get(row, b + 2 * w), mean)
            put(results, first + w, _combine(value, get(row, c + 2 * w), mean))
    elif lanes == 1 and counts[first] == 3 and stride == 1:
        for w in range(stop - first):
            put(results, first + w, _combine(_combine(get(row, a + w), get(row, b + w), mean), get(row, c + w), mean))
    else:
        stop = first
    for w in range(len(starts)):
        if first <= w < stop:
            continue
        if lanes == 1:
            value = empty
            for k in range(counts[w]):
                value = _combine(value, get(row, starts[w] + k * step), mean)
            put(results, w, value)
            continue
        to, at = w * lanes, starts[w] * lanes
        taps = 1
        if counts[w] >= 2:
            taps = 2
            for i in range(lanes):
                put(results, to + i, _combine(get(row, at + i), get(row, at + step * lanes + i), mean))
        else:
            for i in range(lanes):
                put(results, to + i, get(row, at + i) if counts[w] else empty)
        for k in range(taps, counts[w]):
            at = (starts[w] + k * step) * lanes
            for i in range(lanes):
                put(results, to + i, _combine(get(results, to + i), get(row, at + i), mean))


@jit
def _cover(start, count, step, size):
    """For each input along an axis the outputs whose windows may hold it: the first, and past the last."""
    first, stop = np.full(size, len(start)), np.zeros(size, np.int64)
    for o in range(len(start)):
        for k in range(count[o]):
            i = start[o] + k * step
            first[i] = min(first[i], o)
            stop[i] = max(stop[i], o + 1)
    return first, stop


@jit
def _holds(start, count, step, i):
    return start <= i < start + count * step and (i - start) % step == 0


@jit
def _spread(
    begin, end, dx, dx_start, dx_strides, size, dy, dy_start, dy_strides, width, lanes, starts, counts, divisors, steps, regular
):
    """A unit is a row of dx, of an image (lanes > 1) or of a plane: the sum of the rows of dy over it, then spread along it."""
    first_d, stop_d = _cover(starts[0], counts[0], steps[0], size[2])
    first_h, stop_h = _cover(starts[1], counts[1], steps[1], size[3])
    sums = np.empty(width * lanes, dx.dtype)
    row = np.empty(size[4] * lanes, dx.dtype)
    first, stop, stride = regular
    along = 1 if lanes > 1 else dy_strides[4]
    h = begin % size[3]
    d = begin // size[3] % size[2]
    image = begin // size[3] // size[2]
    for _ in range(begin, end):
        n, c = (image, 0) if lanes > 1 else (image // size[1], image % size[1])
        sums[:] = 0
        for i in range(first_d[d], stop_d[d]):
            for j in range(first_h[h], stop_h[h]):
                if not (_holds(starts[0][i], counts[0][i], steps[0], d) and _holds(starts[1][j], counts[1][j], steps[1], h)):
                    continue
                at = dy_start + n * dy_strides[0] + c * dy_strides[1] + i * dy_strides[2] + j * dy_strides[3]
                area = divisors[0][i] * divisors[1][j]
                if lanes == 1:
                    for w in range(width):
                        put(sums, w, get(sums, w) + get(dy, at + w * along) / (area * get(divisors[2], w)))
                else:
                    for w in range(width):
                        divisor = area * divisors[2][w]
                        for lane in range(w * lanes, (w + 1) * lanes):
                            put(sums, lane, get(sums, lane) + get(dy, at + lane) / divisor)
        row[:] = 0
        for w in range(width):
            for k in range(counts[2][w]):
                to = (starts[2][w] + k * steps[2]) * lanes
                if lanes == 1:
                    put(row, to, get(row, to) + get(sums, w))
                else:
                    for lane in range(lanes):
                        put(row, to + lane, get(row, to + lane) + get(sums, w * lanes + lane))
        to = dx_start + n * dx_strides[0] + c * dx_strides[1] + d * dx_strides[2] + h * dx_strides[3]
        if lanes == 1:
            if dx_strides[4] == 1:
                for w in range(size[4]):
                    put(dx, to + w, get(row, w))
            else:
                for w in range(size[4]):
                    put(dx, to + w * dx_strides[4], get(row, w))
        else:
            for w in range(size[4]):
                for lane in range(lanes):
                    put(dx, to + w * dx_strides[4] + lane * dx_strides[1], get(row, w * lanes + lane))
        h += 1
        if h == size[3]:
            h = 0
            d += 1
            if d == size[2]:
                d = 0
                image += 1


@jit
def _locate(
    begin, end, out, out_start, out_strides, out_size, x, x_start, x_strides, size, rows, chunk, starts, counts, steps, regular, scale,
    indices, dy, dy_start, dy_strides,
):  # fmt: skip
    """out = the places of the maxima as d * scale[0] + h * scale[1] + w * scale[2] (`indices`), or dy added there.

    size: of what pooling gives. Lanes are the channels of a chunk (`rows`), or the regular windows of a row.
    """
    chunks = (size[1] + chunk - 1) // chunk
    room = counts[0].max() * counts[1].max() * counts[2].max()
    at, to = np.empty(room, np.int64), np.empty(room, np.int64)  # of each tap of the first lane: in x, and its place
    best, winner = np.empty(max(chunk, size[4]), x.dtype), np.empty(max(chunk, size[4]), np.int32)
    first, stop, stride = regular
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
                    together = stop - first if w == first and stride and not rows else 1
                    lanes = channels if rows else together
                    taps = 0
                    for i in range(counts[0][d]):
                        for j in range(counts[1][h]):
                            for k in range(counts[2][w]):
                                p, q, r = starts[0][d] + i * steps[0], starts[1][h] + j * steps[1], starts[2][w] + k * steps[2]
                                at[taps] = x_start + n * x_strides[0] + c * x_strides[1]
                                at[taps] += p * x_strides[2] + q * x_strides[3] + r * x_strides[4]
                                to[taps] = p * scale[0] + q * scale[1] + r * scale[2]
                                taps += 1
                    _find(best, winner, x, at[:taps], x_strides[1] if rows else stride * x_strides[4], lanes)
                    if indices:
                        here = image + d * out_strides[2] + h * out_strides[3] + w * out_strides[4]
                        along = out_strides[1] if rows else out_strides[4]
                        shift = 0 if rows else stride
                        for lane in range(lanes):
                            put(out, here + lane * along, to[winner[lane]] + lane * shift if taps else -1)
                    elif taps:
                        here = dy_start + n * dy_strides[0] + c * dy_strides[1]
                        here += d * dy_strides[2] + h * dy_strides[3] + w * dy_strides[4]
                        along = dy_strides[1] if rows else dy_strides[4]
                        shift = out_strides[1] if rows else stride * out_strides[4]
                        for lane in range(lanes):
                            place = image + to[winner[lane]] + lane * shift
                            put(out, place, get(out, place) + get(dy, here + lane * along))
                    w += together


@jit
def _find(best, winner, x, at, along, lanes):
    """winner[lane] = the tap of the maximum, where tap t of a lane is x[at[t] + lane * along]."""
    for lane in range(lanes):
        put(best, lane, best.dtype.type(-np.inf))
        put(winner, lane, np.int32(0))
    for t in range(len(at)):
        a, tap = at[t], np.int32(t)
        if along == 1:
            for lane in range(lanes):
                _keep(best, winner, lane, get(x, a + lane), tap)
        elif along == 2:
            for lane in range(lanes):
                _keep(best, winner, lane, get(x, a + 2 * lane), tap)
        else:
            for lane in range(lanes):
                _keep(best, winner, lane, get(x, a + lane * along), tap)


@jit
def _keep(best, winner, lane, value, tap):
    old = get(best, lane)
    wins = (value > old) | (value != value)
    put(best, lane, value if wins else old)
    put(winner, lane, tap if wins else get(winner, lane))


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
