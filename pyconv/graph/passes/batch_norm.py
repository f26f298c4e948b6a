"""Batch-norm folding: in inference a normalization after a convolution is part of the convolution.

With fixed moments it is y · scale + shift, a number each a channel, so the weight takes the scale and the bias both.
"""

from __future__ import annotations

import numpy as np

from pyconv.graph.graph import Graph, is_constant
from pyconv.graph.shared import Folded
from pyconv.ops.conv import Conv, ConvBackwardData
from pyconv.ops.linear import Linear
from pyconv.ops.node import Node
from pyconv.ops.norm import BatchNorm, Normalize


def run(graph: Graph) -> Graph:
    """Convolutions and linear layers with the normalization that follows them, if nothing else reads their result."""
    readers = graph.consumers()
    alone = {id(node) for node in graph.nodes if len(readers[id(node)]) == 1}

    def change(node: Node, inputs: tuple[Node | None, ...]) -> Node | None:
        if not isinstance(node.op, (Normalize, BatchNorm)) or id(node.inputs[0]) not in alone:
            return None
        conv, *statistics = inputs
        assert conv is not None
        if not isinstance(conv.op, (Conv, ConvBackwardData, Linear)) or not all(map(is_constant, conv.inputs[1:])):
            return None
        if not all(map(is_constant, statistics)):
            return None
        scale, shift = _scale_and_shift(node.op.eps, *(None if s is None else s.value for s in statistics))
        x, w, b = conv.inputs
        assert w is not None
        bias = shift if b is None else shift + b.value * scale
        folded = Node(None, (), w.shape, w.dtype, _scaled(conv.op, w.value, scale.astype(node.dtype)))
        return conv.op(x, folded, bias.astype(node.dtype))

    return graph.rewrite(change)


def _scale_and_shift(eps, moments, weight, bias):
    """(C,) and (C,) in float64, such that normalizing y is y · scale + shift."""
    mean, variance = moments.astype(np.float64)
    scale = (1 if weight is None else weight) / np.sqrt(variance + eps)
    return scale, (0 if bias is None else bias) - mean * scale


def _scaled(op, weight, scale):
    """The weight with each output channel scaled: its first axis, or a group's second in a transposed convolution."""
    ones = [1] * (len(weight.shape) - 2)
    blocks = weight.shape[0], -1  # (K, everything of an output channel), scale (K, 1)
    factors = scale.reshape(-1, 1)
    if isinstance(op, ConvBackwardData):
        groups = op.spec.groups
        blocks = groups, -1, *weight.shape[1:]  # (G, K/G, C/G, *R), scale (G, C/G)
        factors = scale.reshape(groups, 1, -1, *ones)

    def fill(scaled):
        unscaled = weight
        if isinstance(weight, Folded):
            weight.fill(unscaled := scaled)
        np.multiply(unscaled.reshape(blocks), factors, out=scaled.reshape(blocks))

    return Folded(weight.shape, weight.dtype, fill, ("scaled", factors.shape), (weight, scale))
