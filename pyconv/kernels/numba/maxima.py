"""Where maxima lie: the indices of max pooling, and its gradient, which finds the maxima again.

As in `pool.py`, one axis after the other: the places of the maxima along a row of x are found once and kept while the
windows of later rows need them, then rows are compared. All *lanes* of a row are dealt with at once: the windows
(x holds rows of one channel), or the channels of each window (channels-last).

No result is written where its old value was read: LLVM would make the selection a conditional store, which is slow.
"""

from __future__ import annotations

import numpy as np

from pyconv.kernels.numba import tiled
from pyconv.kernels.numba.layout import kernel, source, target
from pyconv.kernels.numba.runtime import jit, parallel
from pyconv.kernels.numba.tile import get, larger, place_of_larger, put
from pyconv.kernels.numba.windows import full_size, largest, regular, tables
from pyconv.kernels.spec import Window

ROWS_BYTES = 1 << 19  # of what is kept of eight rows, which should stay in L2: channels are cut into chunks to that end
UNITS = 16  # at least, if there are rows enough: planes are cut into parts
ROWS = 4  # at least, of a part


@kernel
def max_pool_indices(i: np.ndarray, x: np.ndarray, windows: tuple[Window, ...]) -> None:
    """i (N, C, *O) = where in its plane each maximum lies, the first of equals, the last NaN; -1 if there is none."""
    _run_locate(i, x, x[:0], full_size(i), windows, True)


@kernel
def max_pool_backward(dx: np.ndarray, dy: np.ndarray, x: np.ndarray, windows: tuple[Window, ...]) -> None:
    """dx (N, C, *I) = each dy (N, C, *O) added to the place of its window's maximum in x (N, C, *I)."""
    tiles = tiled.tiles(windows, x, dx, dy)
    if tiles and tiles.width <= tiled.WIDTH:
        tiled.locate(dx, dy, x, tiles)
        return
    spatial = target(dx).strides[2:]
    if dx.size and any(s != n * t for s, n, t in zip(spatial[:2], full_size(dx)[3:], spatial[1:], strict=True)):
        result = np.empty(dx.shape, dx.dtype)  # a place in a plane must be one number
        max_pool_backward(result, dy, x, windows)
        dx[...] = result
        return
    _run_locate(dx, x, dy, full_size(dy), windows, None)


def _run_locate(
    out: np.ndarray,
    x: np.ndarray,
    dy: np.ndarray,
    y_size: tuple[int, ...],
    windows: tuple[Window, ...],
    indices: bool | None,
) -> None:
    """A unit is some rows of a plane, or of some channels of an image."""
    given, size, gradient = source(x), full_size(x), source(dy)
    chunk, height = 1, size[2] * size[3]
    if given.channels_last:
        chunk = min(size[1], max(16, ROWS_BYTES // (8 * x.itemsize * size[4]) // 16 * 16))
    planes = size[0] * -(-size[1] // chunk)
    parts = max(1, min(UNITS // planes, height // ROWS))
    place = np.empty(0, np.int32 if height * size[4] < 2**31 else np.int64)
    starts, counts, _, steps = tables(windows)
    common = *given, size, given.channels_last, chunk, parts, starts, counts, steps, place
    parallel(_locate, planes * parts, 4 * x.size, *target(out), *gradient, y_size, *common, indices)


@jit
def _locate(
    begin, end, out, out_start, out_strides, dy, dy_start, dy_strides, y_size, x, x_start, x_strides, size, last, chunk,
    parts, starts, counts, steps, place, indices,
):  # fmt: skip
    """out = the places of the maxima in their planes (`indices`), or (None) dy added there."""
    most = largest(counts[2])
    origin, _, _, stride = regular(starts[2], counts[2], steps[2], most, size[4])
    if last:
        stride = 0
    lead = max(0, -origin) if stride else 0  # elements left of a row, and right of it: none is larger
    reach = max(lead + size[4], lead + origin + (y_size[4] - 1) * stride + (most - 1) * steps[2] + 1)
    row = np.full(reach * chunk, x.dtype.type(-np.inf))
    slots_d, slots_h = _span(starts[0], counts[0], steps[0]), _span(starts[1], counts[1], steps[1])
    lanes = y_size[4] * chunk
    slots = slots_d * slots_h  # rows kept; behind them room for three more: intermediate results
    spare = slots * lanes
    values, places = np.empty(spare + 3 * lanes, x.dtype), np.empty(spare + 3 * lanes, place.dtype)
    kept = np.empty(slots, np.int64)
    chunks = (size[1] + chunk - 1) // chunk
    height = size[2] * size[3]
    for unit in range(begin, end):
        part, plane = unit % parts, unit // parts
        n, c = plane // chunks, plane % chunks * chunk
        channels = min(chunk, size[1] - c)
        low, high = height * part // parts, height * (part + 1) // parts  # rows of x whose maxima this unit sees to
        image = out_start + n * out_strides[0] + c * out_strides[1]
        if indices is None:
            _clear(out, image, out_strides, low * size[4], high * size[4], channels)
        kept[:] = -1
        for d in range(y_size[2]):
            for h in range(y_size[3]):
                from_d, from_h = starts[0][d], starts[1][h]
                first = from_d * size[3] + from_h if counts[0][d] and counts[1][h] else 0
                final = first + (counts[0][d] - 1) * steps[0] * size[3] + (counts[1][h] - 1) * steps[1]
                if first >= high or max(first, final) < low:
                    continue
                found, after = -1, spare
                for p in range(from_d, from_d + counts[0][d] * steps[0], steps[0]):
                    for q in range(from_h, from_h + counts[1][h] * steps[1], steps[1]):
                        slot = p % slots_d * slots_h + q % slots_h
                        here, name = slot * lanes, p * size[3] + q
                        if kept[slot] != name:
                            kept[slot] = name
                            at = x_start + n * x_strides[0] + c * x_strides[1] + p * x_strides[2] + q * x_strides[3]
                            _copy_row(row, lead, x, at, x_strides, size[4], channels)
                            _search_row(
                                values, places, here, spare + 2 * lanes, row, lead, name * size[4],
                                origin, stride, starts[2], counts[2], steps[2], most, channels,
                            )  # fmt: skip
                        if found < 0:
                            found = here
                        else:
                            _compare_rows(values, places, after, found, here, y_size[4] * channels)
                            found, after = after, spare + lanes if after == spare else spare
                if indices is not None:
                    to = image + d * out_strides[2] + h * out_strides[3]
                    for w in range(y_size[4]):
                        for lane in range(channels):
                            where = to + w * out_strides[4] + lane * out_strides[1]
                            put(out, where, get(places, found + w * channels + lane) if found >= 0 else -1)
                elif found >= 0:
                    to = dy_start + n * dy_strides[0] + c * dy_strides[1] + d * dy_strides[2] + h * dy_strides[3]
                    for w in range(y_size[4]):
                        for lane in range(channels):
                            at = get(places, found + w * channels + lane)
                            if low * size[4] <= at < high * size[4]:
                                where = image + at * out_strides[4] + lane * out_strides[1]
                                more = get(dy, to + w * dy_strides[4] + lane * dy_strides[1])
                                put(out, where, get(out, where) + more)


@jit
def _span(starts, counts, step):
    """How far apart the first and the last element of a window are, plus one."""
    return max(1, (largest(counts) - 1) * step + 1)


@jit
def _compare_rows(values, places, to, a, b, count):
    """values[to:], places[to:] = the larger of those at a and at b, the first of equals."""
    for i in range(count):
        old, new = get(values, a + i), get(values, b + i)
        put(places, to + i, place_of_larger(old, new, get(places, a + i), get(places, b + i)))
        put(values, to + i, larger(old, new))


@jit
def _search_row(values, places, to, spare, row, lead, place, origin, stride, starts, counts, step, most, channels):
    """values[to:], places[to:] = the maxima of all windows along a row that begins at `place`; -inf and -1 for none."""
    if stride == 0:
        for w in range(len(starts)):
            a = starts[w] * channels
            here = to + w * channels
            _search(
                values, places, here, spare, row, a, step * channels, 1, place + starts[w], step, 0, counts[w], channels
            )
        return
    windows = len(starts)
    _search(values, places, to, spare, row, lead + origin, step, stride, place + origin, step, stride, most, windows)
    for way in (1, -1):  # of the windows that padding takes from, at both ends
        w = 0 if way == 1 else windows - 1
        while 0 <= w < windows and counts[w] < most:
            if get(values, to + w) == -np.inf:
                put(places, to + w, places.dtype.type(place + starts[w] if counts[w] else -1))
            w += way


@jit
def _search(values, places, to, spare, row, a, hop, along, place, step, shift, taps, count):
    """values[to + i], places[to + i] = the maximum of row[a + i * along + k * hop], k < taps, and its place, for i <
    count; that of an element is place + i * shift + k * step.
    """
    kind = places.dtype.type
    if taps < 2:
        for i in range(count):
            put(values, to + i, get(row, a + i * along) if taps else values.dtype.type(-np.inf))
            put(places, to + i, kind(place + i * shift if taps else -1))
        return
    old, new = (to, spare) if taps % 2 == 0 else (spare, to)  # they take turns, so that the last is `to`
    b, next_place = a + hop, place + step
    if along == 1:
        for i in range(count):
            here, there = kind(place + i * shift), kind(next_place + i * shift)
            _keep(values, places, old + i, get(row, a + i), get(row, b + i), here, there)
    elif along == 2:
        for i in range(count):
            here, there = kind(place + i * shift), kind(next_place + i * shift)
            _keep(values, places, old + i, get(row, a + 2 * i), get(row, b + 2 * i), here, there)
    else:
        for i in range(count):
            here, there = kind(place + i * shift), kind(next_place + i * shift)
            _keep(values, places, old + i, get(row, a + i * along), get(row, b + i * along), here, there)
    for _ in range(2, taps):
        b, next_place = b + hop, next_place + step
        if along == 1:
            for i in range(count):
                here, there = get(places, old + i), kind(next_place + i * shift)
                _keep(values, places, new + i, get(values, old + i), get(row, b + i), here, there)
        else:
            for i in range(count):
                here, there = get(places, old + i), kind(next_place + i * shift)
                _keep(values, places, new + i, get(values, old + i), get(row, b + i * along), here, there)
        old, new = new, old


@jit
def _keep(values, places, to, old, new, old_place, new_place):
    put(places, to, place_of_larger(old, new, old_place, new_place))
    put(values, to, larger(old, new))


@jit
def _copy_row(row, to, x, at, strides, width, channels):
    """row[to:] = a row of x, all channels of a pixel together."""
    if channels == 1 and strides[4] == 1:
        for w in range(width):
            put(row, to + w, get(x, at + w))
    elif strides[1] == 1:
        for w in range(width):
            for c in range(channels):
                put(row, to + w * channels + c, get(x, at + w * strides[4] + c))
    else:
        for w in range(width):
            for c in range(channels):
                put(row, to + w * channels + c, get(x, at + w * strides[4] + c * strides[1]))


@jit
def _clear(y, start, strides, low, high, channels):
    """Zero some channels of the pixels from `low` to `high` of an image."""
    if channels == 1 and strides[4] == 1:
        for i in range(low, high):
            put(y, start + i, y.dtype.type(0))
    elif strides[1] == 1:
        for i in range(low, high):
            for c in range(channels):
                put(y, start + i * strides[4] + c, y.dtype.type(0))
    else:
        for i in range(low, high):
            for c in range(channels):
                put(y, start + i * strides[4] + c * strides[1], y.dtype.type(0))
