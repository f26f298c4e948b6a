"""Pooling. Windows that run past the end (ceil mode) become padding, since runtimes differ about them."""

from __future__ import annotations

import numpy as np

from pyconv.kernels.spec import AdaptivePoolSpec
from pyconv.onnx.rules.layers import begins_and_ends
from pyconv.onnx.rules.shape import padded
from pyconv.onnx.writer import rule
from pyconv.ops.pool import AvgPool, MaxPool


@rule(MaxPool)
def max_pool(w, node, x):
    spec = node.op.spec
    if isinstance(spec, AdaptivePoolSpec):
        return _adaptive(w, node, x, "Max")
    return w.add(
        "MaxPool",
        x,
        kernel_shape=list(spec.kernel_size),
        strides=list(spec.stride),
        dilations=list(spec.dilation),
        pads=begins_and_ends(_reached(node)),
    )


@rule(AvgPool)
def avg_pool(w, node, x):
    """What lies past the padding is not counted, the padding itself if `count_include_pad` says so."""
    spec, source = node.op.spec, node.inputs[0]
    if isinstance(spec, AdaptivePoolSpec):
        return _adaptive(w, node, x, "Average")
    if max(spec.dilation) > 1:
        raise ValueError("dilated averages cannot be exported: operator set 18 does not have them")
    pads, counted = _reached(node), spec.count_include_pad and any(map(any, spec.padding))
    if counted and pads != spec.padding:
        x = padded(w, x, source, ((0, 0), (0, 0), *spec.padding), "constant")
        ends = [(0, max(end - given, 0)) for (_, end), (_, given) in zip(pads, spec.padding, strict=True)]
        pads, counted = tuple(ends), False
    return w.add(
        "AveragePool",
        x,
        kernel_shape=list(spec.kernel_size),
        strides=list(spec.stride),
        pads=begins_and_ends(pads),
        count_include_pad=int(counted),
    )


def _reached(node):
    """The padding with what the last windows need past it, so that rounding down gives as many outputs."""
    spec, found = node.op.spec, []
    sizes = zip(node.inputs[0].shape[2:], node.shape[2:], strict=True)
    windows = zip(spec.kernel_size, spec.stride, spec.padding, spec.dilation, strict=True)
    for (i, o), (k, s, (begin, end), d) in zip(sizes, windows, strict=True):
        found.append((begin, max(end, (o - 1) * s + d * (k - 1) + 1 - i - begin)))
    return tuple(found)


def _adaptive(w, node, x, kind):
    """The whole image, equal windows, or one axis after the other."""
    size, out = node.inputs[0].shape[2:], node.op.spec.size
    if set(out) == {1}:
        return w.add(f"Global{kind}Pool", x)
    if size == out:
        return w.add("Identity", x)
    if all(i % o == 0 for i, o in zip(size, out, strict=True)):
        windows = [i // o for i, o in zip(size, out, strict=True)]
        return w.add(f"{kind}Pool", x, kernel_shape=windows, strides=windows)
    for axis, table in enumerate(node.op.spec.windows(size), 2):
        x = (_averages if kind == "Average" else _maxima)(w, node, x, axis, table)
    return x


def _averages(w, node, x, axis, table):
    """A product with a matrix that holds 1 / count in each window."""
    size = node.inputs[0].shape[axis]
    matrix = np.zeros((size, len(table.start)), node.dtype)
    for o, (start, count) in enumerate(zip(table.start, table.count, strict=True)):
        matrix[start : start + count, o] = 1 / count
    perm = list(range(node.ndim))
    perm[axis], perm[-1] = perm[-1], perm[axis]
    last = axis == node.ndim - 1
    y = w.add("MatMul", x if last else w.add("Transpose", x, perm=perm), w.constant(matrix))
    return y if last else w.add("Transpose", y, perm=perm)


def _maxima(w, node, x, axis, table):
    """The maximum of each window, put together again."""
    parts = []
    for start, count in zip(table.start.tolist(), table.count.tolist(), strict=True):
        part = w.add("Slice", x, w.integers([start]), w.integers([start + count]), w.integers([axis]))
        parts.append(w.add("ReduceMax", part, w.integers([axis]), keepdims=1))
    return w.add("Concat", *parts, axis=axis)
