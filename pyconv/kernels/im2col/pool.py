"""Pooling as operations on whole slices, one spatial axis after the other.

Maxima and sums over a box are maxima and sums over its axes in turn, which costs Σk instead of Πk passes. Along an
axis, window tables are cut into runs of windows equally long and equally far apart: the j-th elements of all windows of
a run are one slice. Fixed windows have one long run between the borders, adaptive ones a few short runs.

Shapes: x (N, C, *I), y (N, C, *O); `windows` has one table an axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from pyconv.kernels.im2col.windows import tiles

TILE_BYTES = 1 << 20  # of a tile of the input: every pass over it should find it in cache
NOWHERE = -(1 << 62)  # the place of an empty window's maximum: stays negative whatever is added


def max_pool(y, x, windows):
    """y = the maximum of each window, NaN if it holds one, -inf if it is empty; overwrites y."""
    for images in _tiles(x):
        best = x[images]
        for axis in _axes(x):
            best = _reduce(best, axis, windows[axis - 2], np.maximum, -np.inf)
        y[images] = best


def max_pool_indices(indices, x, windows):
    """indices = where in its plane each maximum lies (first of equals, last NaN, -1: none); overwrites them."""
    for images in _tiles(x):
        indices[images] = _maxima(x[images], windows)


def max_pool_backward(dx, dy, x, windows):
    """dx = each dy added to the place of its window's maximum; overwrites dx."""
    for images in _tiles(x):
        unpool(dx[images], dy[images], _maxima(x[images], windows), add=True)


def avg_pool(y, x, windows):
    """y = the sum of each window over its divisor; overwrites y."""
    divisor = _divisor(windows, y.dtype)
    for images in _tiles(x):
        sums = x[images]
        for axis in _axes(x):
            sums = _reduce(sums, axis, windows[axis - 2], np.add, 0)
        np.divide(sums, divisor, out=y[images])


def avg_pool_backward(dx, dy, windows):
    """dx = each dy over its divisor, added to all of its window; overwrites dx."""
    divisor = _divisor(windows, dy.dtype)
    for images in _tiles(dx):
        share = dy[images] / divisor
        for axis in _axes(dx):
            window = windows[axis - 2]
            spread = np.zeros_like(share, shape=(*share.shape[:axis], dx.shape[axis], *share.shape[axis + 1 :]))
            for run, taps in _runs(window):
                for tap in taps:
                    spread[_along(axis, tap)] += share[_along(axis, run)]
            share = spread
        dx[images] = share


def unpool(y, x, indices, add):
    """y = each x at the place in its plane that its index names (-1: nowhere), 0 elsewhere; the last of several wins,
    or with `add` they sum; overwrites y."""
    planes, size = math.prod(y.shape[:2]), math.prod(y.shape[2:])
    named = indices >= 0
    plane = np.arange(planes).reshape(*y.shape[:2], *[1] * (y.ndim - 2))
    places, values = (indices + plane * size)[named], x[named]
    if add:
        flat = np.bincount(places, values, planes * size)  # sums in float64
    else:
        flat = np.zeros(planes * size, y.dtype)
        flat[places] = values
    y[...] = flat.reshape(y.shape)


def gather(y, x, indices):
    """y = for each index the element of x's plane that it names, 0 for -1; overwrites y."""
    flat = x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
    places = np.maximum(indices, 0).reshape(*y.shape[:2], math.prod(y.shape[2:]))
    taken = np.take_along_axis(flat, places, axis=2)
    y[...] = np.where(indices >= 0, taken.reshape(y.shape), 0)


def _reduce(x, axis, window, combine, empty):
    """Combine the elements of each window along one axis; `empty` where a window has none."""
    y = np.empty_like(x, shape=(*x.shape[:axis], len(window.start), *x.shape[axis + 1 :]), subok=False)
    for run, taps in _runs(window):
        result = y[_along(axis, run)]
        if run.stop == run.start + 1 and taps:
            box = slice(taps[0].start, taps[-1].stop, window.step)
            combine.reduce(x[_along(axis, box)], axis=axis, keepdims=True, out=result)
            continue
        result[...] = x[_along(axis, taps[0])] if taps else empty
        for tap in taps[1:]:
            combine(result, x[_along(axis, tap)], out=result)
    return y


def _maxima(x, windows):
    """The places of the maxima, found axis by axis from the last, so that the first of equals in C order stays."""
    best, place, stride = x, None, 1
    for axis in reversed(_axes(x)):
        window = windows[axis - 2]
        values = _reduce(best, axis, window, np.maximum, -np.inf)
        places = np.zeros_like(values, np.int64)
        for run, taps in _runs(window):
            value, at = values[_along(axis, run)], places[_along(axis, run)]
            if not taps:
                at[...] = NOWHERE
            found, any_nan = np.zeros_like(value, bool), np.isnan(value).any()
            for tap in taps:
                candidate = best[_along(axis, tap)]
                here = np.arange(tap.start, tap.stop, tap.step).reshape(-1, *[1] * (x.ndim - 1 - axis)) * stride
                if place is not None:
                    here = here + place[_along(axis, tap)]
                equal = candidate == value
                at += (equal > found) * here  # arithmetic, since selecting by a mask mispredicts half its branches
                found |= equal
                if any_nan:
                    np.copyto(at, here, where=np.isnan(candidate))
        best, place = values, places
        stride *= x.shape[axis]
    return np.maximum(places, -1)


def _runs(window) -> Iterator[tuple[slice, list[slice]]]:
    """Runs of windows along an axis: which outputs, and for each tap the slice of inputs that they meet."""
    starts, counts = window.start.tolist(), window.count.tolist()
    first = 0
    while first < len(starts):
        stop, stride = first + 1, 1
        if stop < len(starts) and counts[stop] == counts[first] and starts[stop] > starts[first]:
            stride = starts[stop] - starts[first]
            while stop < len(starts) and counts[stop] == counts[first] and starts[stop] - starts[stop - 1] == stride:
                stop += 1
        last = starts[stop - 1]
        shifts = range(0, counts[first] * window.step, window.step)
        yield slice(first, stop), [slice(starts[first] + shift, last + shift + 1, stride) for shift in shifts]
        first = stop


def _divisor(windows, dtype):
    """(*O) what each sum is divided by."""
    divisor = windows[0].divisor
    for window in windows[1:]:
        divisor = divisor[..., None] * window.divisor
    return divisor.astype(dtype)


def _along(axis, part):
    return (slice(None),) * axis + (part,)


def _axes(x):
    return range(2, x.ndim)


def _tiles(x):
    for images, _ in tiles(len(x), x.shape[2:], x.shape[1] * x.itemsize, TILE_BYTES, TILE_BYTES):
        yield images
