"""Flatten before Linear: plans keep activations channels-last, and the weight's columns are put in that order instead.

A flattened (N, C, *I) in C order would be a copy of a channels-last array; flattened in its own order it is a view.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pyconv.graph.graph import Graph
from pyconv.graph.layout import channels_last
from pyconv.graph.shared import Folded
from pyconv.ops.linear import Linear
from pyconv.ops.node import Node
from pyconv.ops.reduce import Reshape
from pyconv.ops.shape import Transpose

_BLOCK = 1 << 20  # bytes of a weight that are turned at a time


def run(graph: Graph) -> Graph:
    """Linear layers with a constant weight that read channels-last elements as they lie."""
    images = channels_last(graph)

    def change(node: Node, inputs: tuple[Node | None, ...]) -> Node | None:
        if not isinstance(node.op, Linear):
            return None
        rows, weight, bias = inputs
        assert rows is not None
        assert weight is not None
        if weight.value is None or not isinstance(rows.op, Reshape) or id(_image(node)) not in images:
            return None
        (image,) = rows.inputs
        assert image is not None
        if image.shape[0] != rows.shape[0]:
            return None
        rows = Reshape(rows.shape)(Transpose((0, *range(2, image.ndim), 1))(image))
        columns = Node(None, (), weight.shape, weight.dtype, _turned(weight.value, image.shape[1:]))
        return Linear()(rows, columns, bias)

    return graph.rewrite(change)


def _turned(weight: Any, image: tuple[int, ...]) -> Folded:
    """The weight, whose columns are an image (C, *I), with these in the order (*I, C)."""

    def fill(columns: np.ndarray) -> None:
        source = weight
        if isinstance(weight, Folded):
            weight.fill(source := columns)
        step = max(_BLOCK // (columns.itemsize * columns.shape[1]), 1)  # rows at a time: source and result may be one
        for begin in range(0, len(columns), step):
            turned = np.moveaxis(source[begin : begin + step].reshape(-1, *image), 1, -1)
            columns[begin : begin + step] = turned.reshape(len(turned), -1)

    return Folded(weight.shape, weight.dtype, fill, ("turned", image), (weight,))


def _image(node: Node) -> Node | None:
    """What was flattened for a linear layer."""
    rows = node.inputs[0]
    return rows.inputs[0] if rows is not None and rows.inputs else None
