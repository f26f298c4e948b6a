"""Flatten before Linear: plans keep activations channels-last, and the weight's columns are put in that order instead.

A flattened (N, C, *I) in C order would be a copy of a channels-last array; flattened in its own order it is a view.
"""

from __future__ import annotations

import numpy as np

from pyconv.graph.graph import Graph
from pyconv.graph.layout import channels_last
from pyconv.ops.linear import Linear
from pyconv.ops.node import Node
from pyconv.ops.reduce import Reshape
from pyconv.ops.shape import Transpose


def run(graph: Graph) -> Graph:
    """Linear layers with a constant weight that read channels-last elements as they lie."""
    images = channels_last(graph)

    def change(node: Node, inputs: tuple[Node | None, ...]) -> Node | None:
        x, *parameters = inputs
        if not isinstance(node.op, Linear) or x is None or not isinstance(x.op, Reshape):
            return None
        (image,), (weight, bias) = x.inputs, parameters
        assert image is not None and weight is not None and node.inputs[0] is not None
        if weight.value is None or id(node.inputs[0].inputs[0]) not in images or image.shape[0] != x.shape[0]:
            return None
        rows = Reshape(x.shape)(Transpose((0, *range(2, image.ndim), 1))(image))
        columns = np.moveaxis(weight.value.reshape(-1, *image.shape[1:]), 1, -1).reshape(weight.shape)
        return Linear()(rows, columns, bias)

    return graph.rewrite(change)
