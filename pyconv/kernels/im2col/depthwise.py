"""Depthwise convolution: with one input channel a group there is nothing to multiply matrices for, so each tap of the
filter is one multiply-add over all positions, channels and images at once.

Shapes: x (N, C, *I), w (C·M, 1, *R), y (N, C·M, *O); inside, y is (N, C, M, *O) and a tap's view of x (N, C, 1, *O).
"""

from __future__ import annotations

import numpy as np

from pyconv.kernels.im2col.windows import by_group, patches, tiles
from pyconv.kernels.padding import fold, pad, padded_shape

TILE_BYTES = 1 << 20  # of a tile of y: each tap passes over it, so it should stay in cache


def refuse_conv(y, x, w, b, spec):
    """For `conv` and `conv_backward_data`."""
    return None if w.shape[1] == 1 else f"it needs one input channel a group, not {w.shape[1]}"


def refuse_backward_weights(dw, dy, x, spec):
    """For `conv_backward_weights`."""
    return None if dw.shape[1] == 1 else f"it needs one input channel a group, not {dw.shape[1]}"


def conv(y, x, w, b, spec):
    """y = x ∗ w + b; overwrites y."""
    taps, weights = w.shape[2:], _weights(w, spec)
    for images in _tiles(y):
        seen = patches(pad(x[images], spec.padding, spec.padding_mode), taps, y.shape[2:], spec)
        sums = by_group(y[images], spec.groups)
        product = np.empty_like(sums)
        for number, tap in enumerate(np.ndindex(taps)):
            np.multiply(seen[_at(tap)], weights[tap], out=product if number else sums)
            if number:
                sums += product
        if b is not None:
            sums += b.reshape(spec.groups, -1, *[1] * len(taps))


def conv_backward_data(dx, dy, w, b, spec):
    """dx = the gradient of `conv` for x, plus b for each of its channels; overwrites dx."""
    taps, weights = w.shape[2:], _weights(w, spec)
    for images in _tiles(dy):
        target = dx[images]
        padded = np.zeros_like(target, shape=padded_shape(target.shape, spec.padding), subok=False)
        seen = patches(padded, taps, dy.shape[2:], spec, writeable=True)
        gradients = by_group(dy[images], spec.groups)
        product = np.empty_like(gradients)
        for tap in np.ndindex(taps):
            np.multiply(gradients, weights[tap], out=product)
            seen[_at(tap)] += product.sum(axis=2, keepdims=True) if product.shape[2] > 1 else product
        fold(target, padded, spec.padding, spec.padding_mode)
        if b is not None:
            target += b.reshape(-1, *[1] * len(taps))


def conv_backward_weights(dw, dy, x, spec):
    """dw = the gradient of `conv` for w; overwrites dw."""
    taps = dw.shape[2:]
    total = np.zeros((*taps, spec.groups, dw.shape[0] // spec.groups), dw.dtype)
    for images in _tiles(dy):
        seen = patches(pad(x[images], spec.padding, spec.padding_mode), taps, dy.shape[2:], spec)
        gradients = by_group(dy[images], spec.groups)
        product = np.empty_like(gradients)
        for tap in np.ndindex(taps):
            np.multiply(gradients, seen[_at(tap)], out=product)
            total[tap] += product.sum(axis=(0, *range(3, product.ndim)))
    dw[...] = np.moveaxis(total, (-2, -1), (0, 1)).reshape(dw.shape)


def _weights(w, spec):
    """(*R, C, M, 1, …): a tap's weights, ready to multiply maps."""
    taps = w.shape[2:]
    by_channel = w.reshape(spec.groups, -1, *taps)
    return np.moveaxis(by_channel, (0, 1), (-2, -1)).reshape(*taps, spec.groups, -1, *[1] * len(taps))


def _at(tap):
    return (slice(None), slice(None), slice(None), *tap)


def _tiles(y):
    for images, _ in tiles(len(y), y.shape[2:], y.shape[1] * y.itemsize, TILE_BYTES, TILE_BYTES):
        yield images
