"""Classification losses in C: samples with a label each become a `pyconv_labels`."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from math import prod

import numpy as np

from pyconv.kernels.native.library import call, ffi, lib, pointer, workspace_for
from pyconv.kernels.native.loops import unsupported

_LABELS = {char: 8 * np.dtype(char).itemsize for char in "Bilq"}  # bits


def cross_entropy(loss, x, labels, weight, label_smoothing, ignore_index):
    """loss (N, *I) = -Σ q log softmax(x)."""
    problem = _labels(x.shape[1], labels, loss, x, None, label_smoothing, ignore_index)
    arrays = map(pointer, (loss, x, labels, weight))
    call(lib.pyconv_cross_entropy, problem, *arrays, workspace_for(lib.pyconv_labels_workspace, problem))


def refuse_cross_entropy(loss, x, labels, weight, label_smoothing, ignore_index):
    return _refuse(x.shape[1], labels, loss, weight, x, None)


def cross_entropy_backward(dx, dloss, x, labels, weight, label_smoothing, ignore_index):
    """dx = dloss · (softmax(x) · Σ q - q)."""
    problem = _labels(x.shape[1], labels, dloss, x, dx, label_smoothing, ignore_index)
    arrays = map(pointer, (dx, dloss, x, labels, weight))
    call(lib.pyconv_cross_entropy_backward, problem, *arrays, workspace_for(lib.pyconv_labels_workspace, problem))


def refuse_cross_entropy_backward(dx, dloss, x, labels, weight, label_smoothing, ignore_index):
    return _refuse(x.shape[1], labels, dloss, weight, x, dx)


def label_weights(out, labels, weight, classes, label_smoothing, ignore_index):
    """out (N, *I) = Σ q."""
    problem = _labels(classes, labels, out, None, None, label_smoothing, ignore_index)
    call(lib.pyconv_label_weights, problem, *map(pointer, (out, labels, weight)))


def refuse_label_weights(out, labels, weight, classes, label_smoothing, ignore_index):
    return _refuse(classes, labels, out, weight, None, None)


def nll(loss, x, labels, weight, ignore_index):
    """loss (N, *I) = -w · x at the label."""
    problem = _labels(x.shape[1], labels, loss, x, None, 0.0, ignore_index)
    call(lib.pyconv_nll, problem, *map(pointer, (loss, x, labels, weight)))


def refuse_nll(loss, x, labels, weight, ignore_index):
    return _refuse(x.shape[1], labels, loss, weight, x, None)


def nll_backward(dx, dloss, labels, weight, ignore_index):
    """dx = -w · dloss at the label, 0 elsewhere."""
    problem = _labels(dx.shape[1], labels, dloss, None, dx, 0.0, ignore_index)
    call(lib.pyconv_nll_backward, problem, *map(pointer, (dx, dloss, labels, weight)))


def refuse_nll_backward(dx, dloss, labels, weight, ignore_index):
    return _refuse(dx.shape[1], labels, dloss, weight, None, dx)


def _refuse(classes, labels, loss, weight, x, dx):
    if labels.dtype.char not in _LABELS or not labels.flags.aligned:
        return f"labels must be aligned uint8, int32 or int64, not {labels.dtype}"
    if weight is not None and not weight.flags.c_contiguous:
        return "weight is not contiguous"
    reason = unsupported(*(array for array in (loss, x, dx, weight) if array is not None))
    if reason is None and isinstance(described := _labels(classes, labels, loss, x, dx, 0.0, 0), str):
        reason = described
    return reason


def _labels(classes, labels, loss, x, dx, smoothing, ignored):
    return _describe(
        *(classes, _LABELS[labels.dtype.char], loss.itemsize, labels.shape, labels.strides, loss.strides),
        *(None if x is None else x.strides, None if dx is None else dx.strides, smoothing, ignored),
    )


@lru_cache(maxsize=256)
def _describe(
    classes, label_bits, itemsize, shape, label_strides, loss_strides, x_strides, dx_strides, smoothing, ignored
):
    """A `pyconv_labels`, or the reason why there is none; samples without spatial axes are those of one image."""
    if 0 in shape or not classes:
        return "an array is empty"
    samples = [_samples(shape, s, size) for s, size in ((label_strides, label_bits // 8), (loss_strides, itemsize))]
    logits = [
        (0, 0, 0) if s is None else _samples(shape, (s[0], *s[2:]), itemsize, s[1] // itemsize)
        for s in (x_strides, dx_strides)
    ]
    if None in samples or None in logits:
        return "the spatial axes do not follow each other in memory"
    n, m = (1, shape[0]) if len(shape) == 1 else (shape[0], prod(shape[1:]))
    return ffi.new("pyconv_labels *", [n, classes, m, *logits, *samples, ignored, label_bits, 8 * itemsize, smoothing])


def _samples(shape, strides, itemsize, classes=None):
    """Strides of images and positions, and between them the classes'; None where positions have no one stride."""
    image, *inner = (s // itemsize for s in strides)
    if len(shape) == 1:
        image, step = 0, image
    else:
        axes = [(n, s) for n, s in zip(shape[1:], inner, strict=True) if n > 1] or [(1, 1)]
        if any(outer != n * s for (_, outer), (n, s) in pairwise(axes)):
            return None
        step = axes[-1][1]
    return (image, step) if classes is None else (image, classes, step)
