"""Epilogue fusion: a residual sum and an activation become part of the convolution or linear layer before them.

What is fused runs as one kernel, which a backend may finish while the result is still in its registers.
"""

from __future__ import annotations

from typing import Any

from pyconv.graph.graph import Graph
from pyconv.ops.conv import Conv
from pyconv.ops.elementwise import Add, Unary
from pyconv.ops.fused import FusedConv, FusedLinear
from pyconv.ops.linear import Linear
from pyconv.ops.node import Node

ACTIVATIONS = (
    *("relu", "leaky_relu", "clip", "hardtanh", "elu", "gelu", "gelu_tanh", "silu", "mish", "sigmoid", "tanh"),
    *("hardsigmoid", "hardswish"),
)


def run(graph: Graph) -> Graph:
    """Fused nodes where nothing else reads what is in between."""
    readers = graph.consumers()

    def before(node: Node, slot: int, changed: Node | None) -> Node | None:
        """What comes before a node, if it can still take an epilogue and the node alone reads it."""
        source = node.inputs[slot]
        if source is None or changed is None or len(readers.get(id(source), ())) != 1:
            return None
        return changed if _takes_more(changed) else None

    def change(node: Node, inputs: tuple[Node | None, ...]) -> Node | None:
        if isinstance(node.op, Add):
            for slot in (0, 1):
                layer, other = before(node, slot, inputs[slot]), inputs[1 - slot]
                if layer is None or other is None or len(layer.inputs) == 4:
                    continue
                if (other.shape, other.dtype) == (node.shape, node.dtype) == (layer.shape, layer.dtype):
                    return _fused(layer.op)(*layer.inputs, other)
        if isinstance(node.op, Unary) and node.op.name in ACTIVATIONS:
            layer = before(node, 0, inputs[0])
            if layer is not None:
                return _fused(layer.op, node.op.name, node.op.parameters)(
                    *layer.inputs, *[None] * (4 - len(layer.inputs))
                )
        return None

    return graph.rewrite(change)


def _takes_more(layer: Node) -> bool:
    """A layer without an activation yet, whose algorithm nobody chose."""
    op: Any = layer.op
    if isinstance(op, (Conv, Linear)):
        return op.algorithm == "auto"
    return isinstance(op, (FusedConv, FusedLinear)) and not op.activation


def _fused(op: Any, activation: str = "", parameters: tuple[float, ...] = ()) -> FusedConv | FusedLinear:
    if isinstance(op, (Conv, FusedConv)):
        return FusedConv(op.spec, activation, parameters)
    return FusedLinear(activation, parameters)
