"""Images sampled at places that are no pixels."""

import math
from itertools import product

import numpy as np


def grid_sample(y, x, grid, mode, padding, align_corners):
    """y (N, C, *O) from x (N, C, *I) and grid (N, *O, axes); overwrites y."""
    taps = []
    for axis, size in enumerate(x.shape[2:]):
        place = grid[..., x.ndim - 3 - axis]  # the grid names the last axis first
        low, high = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)
        place = (place + 1) / 2 * (size - 1) if align_corners else ((place + 1) * size - 1) / 2
        place = np.nan_to_num(np.rint(place) if mode == "nearest" else place)
        if mode != "cubic":  # whose taps are brought back one by one, as PyTorch and ONNX Runtime do
            place = _inside(place, size, low, high, padding)
        taps.append([(*_pixel(i, size, low, high, padding), w) for i, w in _TAPS[mode](place)])
    _gather(y, x, taps)


def _nearest(place):
    return [(place, np.ones_like(place))]


def _linear(place):
    first = np.floor(place)
    t = place - first
    return [(first, 1 - t), (first + 1, t)]


def _cubic(place, a=-0.75):
    """Keys, Cubic convolution interpolation for digital image processing, 1981."""
    first = np.floor(place)
    t = place - first

    def near(d):
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d):
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return [(first - 1, far(t + 1)), (first, near(t)), (first + 1, near(1 - t)), (first + 2, far(2 - t))]


_TAPS = {"nearest": _nearest, "linear": _linear, "cubic": _cubic}


def _inside(place, size, low, high, padding):
    """Places beyond the borders brought back, as the padding says."""
    if padding == "border":
        return np.where((place < low) | (place > high), np.clip(place, 0, size - 1), place)
    return _reflected(place, low, high) if padding == "reflection" else place


def _reflected(place, low, high):
    span = high - low
    if span <= 0:
        return np.full_like(place, low)
    beyond = np.where(place < low, low - place, np.where(place > high, place - high, 0))
    turns = np.floor(beyond / span)
    rest = beyond - turns * span
    back = np.where((place < low) == (turns % 2 == 0), low + rest, high - rest)
    return np.where(beyond > 0, back, place)


def _pixel(place, size, low, high, padding):
    """A pixel's index, and whether it is there (None: always)."""
    if padding == "reflection":
        place = np.trunc(_reflected(place, low, high))
    there = (place >= 0) & (place < size) if padding == "zeros" else None
    return np.clip(place, 0, size - 1).astype(np.intp), there


def _gather(y, x, taps):
    """y (N, C, *O) = Σ w · x over the products of each axis's taps, (index, there, w) of shape (N, *O) each."""
    n, c = x.shape[:2]
    pixels = x.reshape(n, c, -1)
    total = np.zeros((n, c, *y.shape[2:]), y.dtype)
    for corner in product(*taps):
        place, weight = np.zeros((), np.intp), np.ones(())
        for size, (index, there, w) in zip(x.shape[2:], corner, strict=True):
            place = place * size + index
            weight = weight * (w if there is None else w * there)
        found = np.take_along_axis(pixels, place.reshape(n, 1, -1), 2) if pixels.shape[2] else 0
        total += np.reshape(found, total.shape) * weight[:, None].astype(y.dtype)
    y[...] = total


def deformed_taps(y, x, offset, mask, kernel_size, stride, padding, dilation, groups):
    """y (N, C, OH·R, OW·S): what each tap reads, bilinearly, 0 outside of the image; overwrites y."""
    n, c = x.shape[:2]
    (r, s), (oh, ow) = kernel_size, offset.shape[2:]
    moved = offset.reshape(n * groups, r, s, 2, oh, ow).transpose(3, 0, 4, 1, 5, 2)  # (2, N·G, OH, R, OW, S)
    taps = []
    for axis, (size, out, k) in enumerate(zip(x.shape[2:], (oh, ow), (r, s), strict=True)):
        base = np.arange(out)[:, None] * stride[axis] - padding[axis][0] + np.arange(k) * dilation[axis]
        base = base[:, :, None, None] if axis == 0 else base
        place = np.nan_to_num(moved[axis] + base)
        taps.append([(*_pixel(i, size, 0, 0, "zeros"), w) for i, w in _linear(place)])
    total = np.empty((n * groups, c // groups, oh, r, ow, s), y.dtype)
    _gather(total, x.reshape(n * groups, c // groups, *x.shape[2:]), taps)
    if mask is not None:
        total *= mask.reshape(n * groups, 1, r, s, oh, ow).transpose(0, 1, 4, 2, 5, 3)
    y[...] = total.reshape(y.shape)


def roi_align(y, x, rois, images, size, mode, ratio, scale, half_pixel):
    """y (R, C, *size) from x (N, C, H, W), rois (R, 4) and images (R,); overwrites y."""
    if images.size and not 0 <= images.min() <= images.max() < x.shape[0]:
        raise ValueError(f"batch_indices must name images in 0 … {x.shape[0] - 1}, not {images.min()} … {images.max()}")
    for result, roi, image in zip(y, rois.astype(np.float64), images, strict=True):
        begin, end = (roi[[a + 1, a]] * scale - (0.5 if half_pixel else 0.0) for a in (0, 2))  # (y, x)
        extent = end - begin if half_pixel else np.maximum(end - begin, 1.0)
        axes = [_bins(begin[a], extent[a] / size[a], size[a], ratio, x.shape[2 + a]) for a in (0, 1)]
        (rows, row_weights), (columns, column_weights) = axes
        corners = [
            x[image][:, rows[i]][:, :, columns[j]] * (row_weights[i][:, None] * column_weights[j]).astype(y.dtype)
            for i, j in product((0, 1), (0, 1))
        ]
        sampled = sum(corners) if mode == "avg" else np.maximum.reduce(corners)
        parts = sampled.reshape(len(result), size[0], len(rows[0]) // size[0], size[1], len(columns[0]) // size[1])
        fold = np.mean if mode == "avg" else np.max
        result[...] = fold(parts, (2, 4)) if parts.size else 0


def _bins(begin, width, count, ratio, size):
    """For each sample of each bin along one axis two pixels and their weights."""
    samples = ratio if ratio > 0 else max(math.ceil(width), 0)
    place = begin + (np.arange(count)[:, None] + (np.arange(samples) + 0.5) / max(samples, 1)) * width
    place = place.reshape(-1)
    there = (place >= -1) & (place <= size)
    place = np.clip(np.nan_to_num(place), 0, size - 1)
    low = np.minimum(place.astype(np.intp), max(size - 2, 0))
    t = place - low
    return (low, np.minimum(low + 1, size - 1)), ((1 - t) * there, t * there)
