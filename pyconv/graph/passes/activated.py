"""Normalization with its epilogue, in training: what comes between it and the activation's result is no array.

Forward, a residual sum and an activation become part of the normalization. Backward, the activation's derivative is
taken on the way into batch norm's two passes, from an argument that they make anew: x is read there in any case. Where
the derivative costs more than a pass over memory it is taken once, into an array, as before.
"""

from __future__ import annotations

from pyconv.graph.graph import Graph, are_same
from pyconv.graph.passes.epilogue import ACTIVATIONS
from pyconv.ops.elementwise import Add, Unary, UnaryBackward
from pyconv.ops.fused import FusedBatchNormBackward, FusedNormalize, FusedNormalizeSums
from pyconv.ops.node import Node
from pyconv.ops.norm import BatchNorm, BatchNormBackward, Normalize, NormalizeSums

QUICK = ("relu", "leaky_relu", "clip", "hardtanh", "hardsigmoid", "hardswish")  # derivatives worth taking twice


def run(graph: Graph) -> Graph:
    """Fused nodes where nothing else reads what is in between."""
    readers = graph.consumers()
    absorbed = {id(node): norm for node in graph.nodes if (norm := _normalization(node, readers)) is not None}
    operands: dict[int, tuple[Node | None, ...]] = {}  # id of a normalization -> its inputs as they became

    def is_read_by(node: Node | None, reader: Node) -> bool:
        """Whether a node alone reads another, beside gradients that make it anew."""
        return node is not None and all(r is reader or id(r) in absorbed for r in readers[id(node)])

    def change(node: Node, inputs: tuple[Node | None, ...]) -> Node | None:
        op = node.op
        if isinstance(op, (Normalize, BatchNorm)):
            operands[id(node)] = inputs
        if isinstance(op, Add):
            for norm, old, other in zip(inputs, node.inputs, reversed(inputs), strict=True):
                fits = other is not None and (other.shape, other.dtype) == (node.shape, node.dtype)
                if fits and other is not norm and _is_plain(norm) and is_read_by(old, node):
                    return _fused(norm, residual=other)
        if isinstance(op, Unary) and op.name in ACTIVATIONS and is_read_by(node.inputs[0], node):
            return _fused(inputs[0], op.name, op.parameters)
        if isinstance(op, (NormalizeSums, BatchNormBackward)) and id(node.inputs[0]) in absorbed:
            gradient, *others = inputs
            assert gradient is not None
            assert isinstance(gradient.op, UnaryBackward)
            function = op.eps, gradient.op.name, gradient.op.parameters
            *_, w, b = operands[id(absorbed[id(node.inputs[0])])]
            if isinstance(op, NormalizeSums):
                return FusedNormalizeSums(*function)(gradient.inputs[0], *others, w, b)
            return FusedBatchNormBackward(*function)(gradient.inputs[0], *others[:3], w, b)
        return None

    return graph.rewrite(change)


def _is_plain(node: Node | None) -> bool:
    return node is not None and isinstance(node.op, (Normalize, BatchNorm))


def _fused(
    norm: Node | None, activation: str = "", parameters: tuple[float, ...] = (), residual: Node | None = None
) -> Node | None:
    """A normalization with its epilogue, or with more of it; None for any other node, or if it has an activation."""
    if norm is None or not isinstance(norm.op, (Normalize, BatchNorm, FusedNormalize)):
        return None
    if isinstance(norm.op, FusedNormalize):
        if norm.op.activation:
            return None
        *inputs, residual = norm.inputs
    else:
        inputs = [*norm.inputs, None, None][:4]
    return FusedNormalize(norm.op.eps, activation, parameters)(*inputs, residual)


def _normalization(node: Node, readers: dict[int, list[Node]]) -> Node | None:
    """The batch norm before an activation, for a node that is the activation's gradient and goes into batch norm's
    own alone."""
    op = node.op
    if not isinstance(op, UnaryBackward) or op.name not in QUICK:
        return None
    _, x, y = node.inputs
    assert y is not None
    norm = y.inputs[0] if y.op == Unary(op.name, op.parameters) else None
    if norm is None or not isinstance(norm.op, BatchNorm) or not (x is norm or x is y):
        return None
    sums, whole = NormalizeSums(norm.op.eps), BatchNormBackward(norm.op.eps)
    x, moments, w, _ = norm.inputs
    for reader in readers[id(node)]:
        if reader.op == sums:
            goes_on = are_same(reader.inputs, [node, x, moments])
        else:
            goes_on = reader.op == whole and are_same(reader.inputs, [node, x, moments, reader.inputs[3], w])
        if not goes_on:
            return None
    return norm
