"""Convolution as matrix products: patches become columns (im2col), and their gradients are added back (col2im).

For each group, with W the weights as a matrix and X the columns of patches, one column an output position:

    forward             Y  = W X
    backward_data       dX = Wᵀ dY, then col2im
    backward_weights    dW = dY Xᵀ

Matrices have the memory order of the activations: a column's elements (C', *R) lie a plane apart for channels-first,
and (*R, C') side by side for channels-last. BLAS takes both, the second as a transposed view. The batch is worked
through in tiles, so that memory is bounded and the columns stay in cache.

Shapes: x (N, C, *I), w (K, C', *R) with C' = C/groups, y (N, K, *O); matrices (G, …, positions).
"""

from __future__ import annotations

import math

import numpy as np

from pyconv.kernels.im2col.windows import by_group, is_channels_last, patches, tiles
from pyconv.kernels.padding import fold, pad, padded_shape

COLUMN_BYTES = 16 << 20  # of a tile's columns
LONG_RUN = 16  # channels that col2im adds at a time: with fewer, runs of pixels are faster
POSITIONS = 1024  # of a tile, where so many fit: fewer make thin, slow products


def conv(y, x, w, b, spec):
    """y = x ∗ w + b; overwrites y."""
    taps, last = w.shape[2:], is_channels_last(x)
    weights = _weight_matrix(w, spec.groups, last)  # (G, K', C'·R)
    bias = None if b is None else b.reshape(spec.groups, -1, 1)
    for images, parts in _tiles(y, w):
        seen = patches(pad(x[images], spec.padding, spec.padding_mode), taps, y.shape[2:], spec)
        results = by_group(y[images], spec.groups)
        for rows in parts:
            columns = _matrix(_rows(seen, rows, len(taps)), len(taps), last)  # (G, C'·R, n·O)
            part = results[:, :, :, rows]
            product = _matrix(part, 0, last)  # (G, K', n·O): y itself where its memory allows, else a buffer
            np.matmul(weights, columns, out=product)
            if bias is not None:
                product += bias
            if not np.may_share_memory(product, y):
                part[...] = _unflatten(product, part.shape, 0, last)


def conv_backward_data(dx, dy, w, b, spec):
    """dx = the gradient of `conv` for x, plus b for each of its channels; overwrites dx."""
    if _is_pointwise(w, spec):  # no two outputs share an input: a convolution with the transposed matrix
        turned = w.reshape(spec.groups, -1, w.shape[1]).swapaxes(1, 2)
        conv(dx, dy, turned.reshape(dx.shape[1], -1, *w.shape[2:]), b, spec)
        return
    taps, last = w.shape[2:], is_channels_last(dx) and w.shape[1] >= LONG_RUN
    weights = _weight_matrix(w, spec.groups, last).swapaxes(1, 2)  # (G, C'·R, K')
    for images, parts in _tiles(dy, w):
        target = dx[images]
        padded = np.zeros_like(target, shape=padded_shape(target.shape, spec.padding), subok=False)
        seen = patches(padded, taps, dy.shape[2:], spec, writeable=True)
        gradients = by_group(dy[images], spec.groups)
        for rows in parts:
            products = _matrix(gradients[:, :, :, rows], 0, last)  # (G, K', n·O)
            columns = (products.swapaxes(1, 2) @ weights.swapaxes(1, 2)).swapaxes(1, 2) if last else weights @ products
            sums = _rows(seen, rows, len(taps))
            columns = _unflatten(columns, sums.shape, len(taps), last)
            for tap in np.ndindex(taps):
                where = (slice(None), slice(None), slice(None), *tap)
                sums[where] += columns[where]
        fold(target, padded, spec.padding, spec.padding_mode)
        if b is not None:
            target += b.reshape(-1, *[1] * len(taps))


def conv_backward_weights(dw, dy, x, spec):
    """dw = the gradient of `conv` for w; overwrites dw."""
    taps, last = dw.shape[2:], is_channels_last(x)
    total = np.zeros((spec.groups, dw.shape[0] // spec.groups, dw[0].size), dw.dtype)  # (G, K', C'·R)
    for images, parts in _tiles(dy, dw):
        seen = patches(pad(x[images], spec.padding, spec.padding_mode), taps, dy.shape[2:], spec)
        gradients = by_group(dy[images], spec.groups)
        for rows in parts:
            columns = _matrix(_rows(seen, rows, len(taps)), len(taps), last)
            total += _matrix(gradients[:, :, :, rows], 0, last) @ columns.swapaxes(1, 2)
    if last:
        dw[...] = np.moveaxis(total.reshape(dw.shape[0], *taps, dw.shape[1]), -1, 1)
    else:
        dw[...] = total.reshape(dw.shape)


def _tiles(y, w):
    bytes_per_position = y.shape[1] // w.shape[0] * w[0].size * y.itemsize
    return tiles(len(y), y.shape[2:], bytes_per_position, COLUMN_BYTES, POSITIONS)


def _rows(seen, rows, n_taps):
    """The patches (n, G, C', *R, *O) of some rows of O."""
    return seen[(slice(None),) * (3 + n_taps) + (rows,)]


def _matrix(a, n_taps, last):
    """(n, G, C', *R, *O) with `n_taps` axes R as a matrix (G, C'·R, n·O); copies only where memory asks for it."""
    taps, pixels = range(3, 3 + n_taps), range(3 + n_taps, a.ndim)
    height = math.prod(a.shape[2 : 3 + n_taps])
    if last:
        matrix = a.transpose(1, 0, *pixels, *taps, 2).reshape(a.shape[1], -1, height).swapaxes(1, 2)
    else:
        matrix = a.transpose(1, 2, *taps, 0, *pixels).reshape(a.shape[1], height, -1)
    return matrix if _suits_blas(matrix) else np.array(matrix, order="K")


def _unflatten(matrix, shape, n_taps, last):
    """The inverse of `_matrix`: a view of `shape`."""
    n, groups, channels = shape[:3]
    taps, pixels = shape[3 : 3 + n_taps], shape[3 + n_taps :]
    if last:
        a = matrix.swapaxes(1, 2).reshape(groups, n, *pixels, *taps, channels)
        order = (1, 0, a.ndim - 1, *range(2 + len(pixels), a.ndim - 1), *range(2, 2 + len(pixels)))
    else:
        a = matrix.reshape(groups, channels, *taps, n, *pixels)
        order = (2 + n_taps, 0, 1, *range(2, 2 + n_taps), *range(3 + n_taps, a.ndim))
    return a.transpose(order)


def _weight_matrix(w, groups, last):
    """(G, K', C'·R), a row's elements in the order of `_matrix`."""
    w = w.reshape(groups, -1, *w.shape[1:])
    if last:
        w = np.moveaxis(w, 2, -1)
    return np.ascontiguousarray(w).reshape(*w.shape[:2], -1)


def _suits_blas(matrix):
    """Whether rows or columns are contiguous and apart, so that NumPy hands the matrix to BLAS as it is."""
    _, rows, columns = matrix.shape
    _, down, right = matrix.strides
    item = matrix.itemsize
    return (right == item and down >= columns * item) or (down == item and right >= rows * item)


def _is_pointwise(w, spec):
    return max(w.shape[2:]) == 1 == max(spec.stride) and not any(map(any, spec.padding))
