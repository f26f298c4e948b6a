"""Maximum pooling becomes part of a convolution of few output channels before it.

Such a convolution runs along rows of pixels. With two of them in cache their maxima take next to no time, and a quarter
as much is then written and brought into the order of channels. Where channels are many the next layer's input is as
soon pooled on its own.
"""

from __future__ import annotations

from pyconv.graph.graph import Graph
from pyconv.kernels.spec import SQUARES
from pyconv.ops.conv import Conv
from pyconv.ops.fused import FusedConv, PooledConv
from pyconv.ops.node import Node
from pyconv.ops.pool import MaxPool

MOST_CHANNELS = 6  # of the output, a group: what such a convolution computes at once


def run(graph: Graph) -> Graph:
    """Pooled convolutions where nothing else reads what the convolution gives."""
    readers = graph.consumers()

    def change(node: Node, inputs: tuple[Node | None, ...]) -> Node | None:
        if not isinstance(node.op, MaxPool) or node.op.spec != SQUARES:
            return None
        (old,), (layer,) = node.inputs, inputs
        assert old is not None
        assert layer is not None
        return _pooled(layer) if len(readers[id(old)]) == 1 else None

    return graph.rewrite(change)


def _pooled(layer: Node) -> Node | None:
    """The maxima of a layer's result as one op, if it is a convolution that pools well."""
    op = layer.op
    if isinstance(op, FusedConv):
        x, w, b, residual = layer.inputs
        activation, parameters = op.activation, op.parameters
        if activation != "relu" or residual is not None:
            return None
    elif isinstance(op, Conv) and op.algorithm == "auto":
        x, w, b = (*layer.inputs, None)[:3]
        activation, parameters = "", ()
    else:
        return None
    assert w is not None
    if not 1 < w.shape[0] // op.spec.groups <= MOST_CHANNELS:
        return None
    return PooledConv(op.spec, SQUARES, activation, parameters)(x, w, b)
