"""Convolution as a loop over output positions: each looks through the filter at one patch of the padded input.

At every position the same weights meet another patch (parameter sharing), and a patch holds few of the inputs (sparse
connections). The two gradients walk the same positions. Here x is (N, C, *I), w (K, C/groups, *R), y (N, K, *O).
"""

from __future__ import annotations

import numpy as np

from pyconv.kernels.padding import fold, pad, padded_shape


def conv(y, x, w, b, spec):
    """y = x ∗ w + b; overwrites y."""
    padded = pad(x, spec.padding, spec.padding_mode)
    for k, c in _groups(y, x, spec.groups):
        filters = w[k].reshape(len(w[k]), -1)  # (K', C'·R)
        for position in np.ndindex(y.shape[2:]):
            patch = padded[:, c][_patch(position, w.shape[2:], spec)]  # (N, C', *R)
            at = (slice(None), k, *position)
            y[at] = patch.reshape(len(x), filters.shape[1]) @ filters.T  # (N, K')
    if b is not None:
        y += b.reshape(-1, *[1] * (y.ndim - 2))


def conv_backward_data(dx, dy, w, b, spec):
    """dx = the gradient of `conv` for x: each dy, times the filter, added to the patch it looked at; overwrites dx."""
    padded = np.zeros(padded_shape(dx.shape, spec.padding), dx.dtype)
    for k, c in _groups(dy, dx, spec.groups):
        filters = w[k].reshape(len(w[k]), -1)  # (K', C'·R)
        for position in np.ndindex(dy.shape[2:]):
            patch = padded[:, c][_patch(position, w.shape[2:], spec)]  # (N, C', *R), a view
            at = (slice(None), k, *position)
            patch += (dy[at] @ filters).reshape(patch.shape)
    fold(dx, padded, spec.padding, spec.padding_mode)
    if b is not None:
        dx += b.reshape(-1, *[1] * (dx.ndim - 2))


def conv_backward_weights(dw, dy, x, spec):
    """dw = the gradient of `conv` for w: the patches, each weighted by the dy it led to, summed up; overwrites dw."""
    padded = pad(x, spec.padding, spec.padding_mode)
    dw[...] = 0
    for k, c in _groups(dy, x, spec.groups):
        for position in np.ndindex(dy.shape[2:]):
            patch = padded[:, c][_patch(position, dw.shape[2:], spec)]  # (N, C', *R)
            at = (slice(None), k, *position)
            dw[k] += np.tensordot(dy[at], patch, axes=(0, 0))  # over the images


def _groups(y, x, groups):
    """The output and the input channels of each group."""
    outputs, inputs = y.shape[1] // groups, x.shape[1] // groups
    for g in range(groups):
        yield slice(g * outputs, (g + 1) * outputs), slice(g * inputs, (g + 1) * inputs)


def _patch(position, kernel_size, spec):
    """What one output position sees of the padded input (N, C, *I)."""
    taps = [
        slice(o * s, o * s + d * (r - 1) + 1, d)
        for o, r, s, d in zip(position, kernel_size, spec.stride, spec.dilation, strict=True)
    ]
    return (slice(None), slice(None), *taps)
