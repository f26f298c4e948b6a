"""Convolutions, matrix products, normalizations, softmax."""

from __future__ import annotations

import numpy as np

from pyconv.onnx.rules.shape import padded
from pyconv.onnx.writer import rule
from pyconv.ops.conv import Conv, ConvBackwardData
from pyconv.ops.linear import BatchedMatMul, Linear, MatMul
from pyconv.ops.norm import BatchNorm, Moments, Normalize
from pyconv.ops.reduce import Reshape
from pyconv.ops.shape import Concat
from pyconv.ops.softmax import LogSoftmax, Softmax


def begins_and_ends(padding):
    """(begin, end) an axis as ONNX has it: all begins, then all ends."""
    return [begin for begin, _ in padding] + [end for _, end in padding]


@rule(Conv)
def conv(w, node, x, weight, bias=None):
    spec, kernel = node.op.spec, node.inputs[1].shape[2:]
    padding = spec.padding
    if spec.padding_mode != "zeros" or min(map(min, padding)) < 0:
        mode = "constant" if spec.padding_mode == "zeros" else spec.padding_mode
        x = padded(w, x, node.inputs[0], ((0, 0), (0, 0), *padding), mode)
        padding = ((0, 0),) * len(padding)
    return w.add(
        "Conv",
        *(x, weight, bias),
        kernel_shape=list(kernel),
        strides=list(spec.stride),
        pads=begins_and_ends(padding),
        dilations=list(spec.dilation),
        group=spec.groups,
    )


@rule(ConvBackwardData)
def conv_transpose(w, node, x, weight, bias=None):
    spec, source, kernel = node.op.spec, node.inputs[0], node.inputs[1].shape[2:]
    if spec.padding_mode != "zeros" or min(map(min, spec.padding)) < 0:
        raise ValueError("a transposed convolution with a padding mode or a crop cannot be exported")
    axes = zip(source.shape[2:], node.shape[2:], kernel, spec.stride, spec.dilation, spec.padding, strict=True)
    extra = [o - ((i - 1) * s + d * (k - 1) + 1 - sum(pads)) for i, o, k, s, d, pads in axes]
    return w.add(
        "ConvTranspose",
        *(x, weight, bias),
        kernel_shape=list(kernel),
        strides=list(spec.stride),
        pads=begins_and_ends(spec.padding),
        dilations=list(spec.dilation),
        group=spec.groups,
        output_padding=extra if any(extra) else None,
    )


@rule(Linear)
def linear(w, node, x, weight, bias=None):
    return w.add("Gemm", x, weight, bias, transB=1)


@rule(MatMul, BatchedMatMul)
def matmul(w, node, a, b):
    first, second = node.inputs
    a = _turned(w, a, first.ndim) if node.op.transpose_a else a
    b = _turned(w, b, second.ndim) if node.op.transpose_b else b
    return w.add("MatMul", a, b)


def _turned(w, x, ndim):
    return w.add("Transpose", x, perm=[*range(ndim - 2), ndim - 1, ndim - 2])


@rule(Normalize)
def normalize(w, node, x, moments, weight=None, bias=None):
    """Batch normalization with running statistics, under their names where they have any."""
    mean, var = _statistics(w, node.inputs[1], moments)
    channels = node.shape[1]
    weight = weight or w.constant(np.ones(channels, node.dtype))
    bias = bias or w.constant(np.zeros(channels, node.dtype))
    return w.add("BatchNormalization", x, weight, bias, mean, var, epsilon=node.op.eps)


def _statistics(w, moments, name):
    """Mean and variance (C,) of moments (2, C): what they were made of, or their rows."""
    if moments.value is None and isinstance(moments.op, Concat):
        rows = moments.inputs
        if len(rows) == 2 and all(row.value is None and isinstance(row.op, Reshape) for row in rows):
            return [w.name(row.inputs[0]) for row in rows]
    return [w.add("Gather", name, w.constant(i, np.int64), axis=0) for i in (0, 1)]


@rule(BatchNorm)
def batch_norm(w, node, x, moments, weight=None, bias=None):
    """With the statistics of x itself; over one sample, as other normalizations are recorded, that is LayerNorm's."""
    source = node.inputs[0]
    if node.shape[0] == 1 and 0 not in w.varying(node):
        y = w.add("LayerNormalization", x, w.constant(np.ones(node.shape[2:], node.dtype)), axis=2, epsilon=node.op.eps)
    else:
        axes = w.integers([0, *range(2, source.ndim)])
        centered = w.add("Sub", x, w.add("ReduceMean", x, axes))
        variance = w.add("ReduceMean", w.add("Mul", centered, centered), axes)
        y = w.add("Div", centered, w.add("Sqrt", w.add("Add", variance, w.like(node.op.eps, node))))
    for parameter, combine in ((weight, "Mul"), (bias, "Add")):
        if parameter is not None:
            row = w.add("Reshape", parameter, w.integers([node.shape[1], *[1] * (node.ndim - 2)]))
            y = w.add(combine, y, row)
    return y


@rule(Moments)
def moments(w, node, x):
    source = node.inputs[0]
    axes, row = w.integers([0, *range(2, source.ndim)]), w.integers([1, source.shape[1]])
    mean = w.add("ReduceMean", x, axes)
    centered = w.add("Sub", x, mean)
    variance = w.add("ReduceMean", w.add("Mul", centered, centered), axes)
    return w.add("Concat", w.add("Reshape", mean, row), w.add("Reshape", variance, row), axis=0)


@rule(Softmax, LogSoftmax)
def softmax(w, node, x):
    return w.add(type(node.op).__name__, x, axis=node.op.axis)
