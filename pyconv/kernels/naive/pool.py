"""Pooling as a loop over output positions: each looks at its window of the input, in every image and channel at once.

Here x is (N, C, *I) and y (N, C, *O); `windows` has a table an axis that says where each output position looks.
"""

from __future__ import annotations

import math

import numpy as np


def max_pool(y, x, windows):
    """y = the maximum of each window, NaN if it holds one, -inf if it is empty; overwrites y."""
    for position, box in _boxes(windows):
        window = x[box]
        y[position] = window.max(axis=_spatial(x)) if 0 not in window.shape[2:] else -np.inf


def max_pool_indices(indices, x, windows):
    """indices = where in its plane each maximum lies (first of equals, last NaN, -1: none); overwrites them."""
    places = np.arange(math.prod(x.shape[2:])).reshape(x.shape[2:])
    for position, box in _boxes(windows):
        if 0 in x[box].shape[2:]:
            indices[position] = -1
            continue
        window = x[box].reshape(*x.shape[:2], math.prod(x[box].shape[2:]))
        last = window.shape[2] - 1 - window[:, :, ::-1].argmax(axis=2)  # argmax takes the first NaN: look from the end
        best = np.where(np.isnan(window).any(axis=2), last, window.argmax(axis=2))
        indices[position] = places[box[2:]].reshape(-1)[best]


def max_pool_backward(dx, dy, x, windows):
    """dx = each dy added to the place of its window's maximum; overwrites dx."""
    indices = np.empty(dy.shape, np.int64)
    max_pool_indices(indices, x, windows)
    unpool(dx, dy, indices, add=True)


def avg_pool(y, x, windows):
    """y = the sum of each window over its divisor; overwrites y."""
    for position, box in _boxes(windows):
        y[position] = x[box].sum(axis=_spatial(x)) / _divisor(windows, position[2:])


def avg_pool_backward(dx, dy, windows):
    """dx = each dy over its divisor, added to all of its window; overwrites dx."""
    dx[...] = 0
    for position, box in _boxes(windows):
        share = dy[position] / _divisor(windows, position[2:])
        dx[box] += share.reshape(*share.shape, *[1] * (dx.ndim - 2))


def unpool(y, x, indices, add):
    """y = each x at the place in its plane that its index names (-1: nowhere), 0 elsewhere; the last of several wins,
    or with `add` they sum; overwrites y."""
    y[...] = 0
    for position in np.ndindex(indices.shape):
        if indices[position] >= 0:
            place = (*position[:2], *np.unravel_index(indices[position], y.shape[2:]))
            y[place] = y[place] + x[position] if add else x[position]


def gather(y, x, indices):
    """y = for each index the element of x's plane that it names, 0 for -1; overwrites y."""
    for position in np.ndindex(indices.shape):
        place = (*position[:2], *np.unravel_index(max(indices[position], 0), x.shape[2:]))
        y[position] = x[place] if indices[position] >= 0 else 0


def _boxes(windows):
    """Every output position with the box of inputs that its window holds, both as indices of (N, C, …) arrays."""
    everything = (slice(None), slice(None))
    for position in np.ndindex(*(len(window.start) for window in windows)):
        box = []
        for window, o in zip(windows, position, strict=True):
            start, count = int(window.start[o]), int(window.count[o])
            box.append(slice(start, start + count * window.step, window.step))
        yield (*everything, *position), (*everything, *box)


def _divisor(windows, position):
    return math.prod(int(window.divisor[o]) for window, o in zip(windows, position, strict=True))


def _spatial(x):
    return tuple(range(2, x.ndim))
