"""What exporters write out in small operators, recognized: GELU, SiLU, hard-swish, a bias or scale of a layer.

ONNX had no operator for some of them for years, so model files hold the arithmetic instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pyconv.graph.graph import Graph, is_constant
from pyconv.ops.conv import Conv, ConvBackwardData
from pyconv.ops.elementwise import Add, Div, Mul, Unary
from pyconv.ops.linear import Linear, MatMul
from pyconv.ops.node import Node
from pyconv.ops.reduce import Reshape

DEPTH = 4  # products are looked at so many factors deep


def recognized(graph: Graph) -> Graph:
    """The graph with what is recognized in place of its parts; the parts that others read stay."""
    readers = graph.consumers()

    def change(node: Node, inputs: tuple[Node | None, ...]) -> Node | None:
        if not isinstance(node.op, (Mul, Div, Add)) or node.dtype.kind != "f":
            return None
        a, b = inputs
        assert a is not None
        assert b is not None
        if isinstance(node.op, (Mul, Div)):
            found = _activation(node, a, b)
            if found is not None:
                return found
        for slot, (layer, other) in enumerate(((a, b), (b, a))):
            source = node.inputs[slot]
            alone = source is not None and len(readers.get(id(source), ())) == 1
            if alone and (slot == 0 or not isinstance(node.op, Div)):
                found = _into_layer(node, layer, other)
                if found is None and isinstance(node.op, Add) and source is not None:
                    behind = source.inputs[0] if source.inputs else None
                    found = _into_product(node, layer, other, len(readers.get(id(behind), ())) == 1)
                if found is not None:
                    return found
        return None

    return graph.rewrite(change)


# --- activations: products of x, of a gate, and of a number


def _activation(node: Node, a: Node, b: Node) -> Node | None:
    scale, factors = _factors(node.op, a, b, DEPTH)
    if len(factors) == 1 and math.isclose(scale, 1 / 6, rel_tol=1e-6):
        x = _before_clip(factors[0])
        return None if x is None else _replaced(node, "hardsigmoid", x)
    if len(factors) != 2:
        return None
    for x, gate in (factors, factors[::-1]):
        if math.isclose(scale, 0.5, rel_tol=1e-6) and _before_erf(gate) is x:
            return _replaced(node, "gelu", x)
        if math.isclose(scale, 1 / 6, rel_tol=1e-6) and _before_clip(gate) is x:
            return _replaced(node, "hardswish", x)
        if scale == 1 and isinstance(gate.op, Unary) and gate.inputs[0] is x:
            name = {"sigmoid": "silu", "hardsigmoid": "hardswish"}.get(gate.op.name)
            if name is not None:
                return _replaced(node, name, x)
    return None


def _factors(op: object, a: Node, b: Node, depth: int) -> tuple[float, list[Node]]:
    """A product or quotient as a number and the nodes that it multiplies."""
    scale = 1.0
    found: list[Node] = []
    for place, part in enumerate((a, b)):
        known = _number(part)
        if known is not None and known != 0:
            scale *= 1 / known if isinstance(op, Div) and place == 1 else known
        elif isinstance(op, Div) and place == 1:
            return math.nan, []  # by something that is not known
        elif isinstance(part.op, (Mul, Div)) and part.value is None and depth:
            first, second = part.inputs
            assert first is not None
            assert second is not None
            inner, more = _factors(part.op, first, second, depth - 1)
            scale, found = scale * inner, [*found, *more]
        else:
            found.append(part)
    return scale, found


def _before_erf(gate: Node) -> Node | None:
    """x of 1 + erf(x / √2)."""
    inner = _plus(gate, 1.0)
    if inner is None or inner.op != Unary("erf"):
        return None
    (scaled,) = inner.inputs
    assert scaled is not None
    if not isinstance(scaled.op, (Mul, Div)):
        return None
    first, second = scaled.inputs
    assert first is not None
    assert second is not None
    scale, factors = _factors(scaled.op, first, second, 0)
    return factors[0] if len(factors) == 1 and math.isclose(scale, 2**-0.5, rel_tol=1e-5) else None


def _before_clip(gate: Node) -> Node | None:
    """x of x + 3 cut off at 0 and 6."""
    if not isinstance(gate.op, Unary) or gate.op.name not in ("clip", "hardtanh") or gate.op.parameters != (0.0, 6.0):
        return None
    (inner,) = gate.inputs
    return None if inner is None else _plus(inner, 3.0)


def _plus(node: Node, number: float) -> Node | None:
    """The other part of a sum with a number."""
    if not isinstance(node.op, Add):
        return None
    for place in (0, 1):
        part, other = node.inputs[place], node.inputs[1 - place]
        if part is not None and _number(part) == number:
            return other
    return None


def _number(node: Node) -> float | None:
    """The one number that a constant holds."""
    return node.value.item() if node.value is not None and node.size == 1 else None


def _replaced(node: Node, name: str, x: Node) -> Node | None:
    return Unary(name)(x) if (x.shape, x.dtype) == (node.shape, node.dtype) else None


# --- a number for each channel, added to a convolution or multiplied with it


def _into_layer(node: Node, layer: Node, other: Node) -> Node | None:
    """The convolution with a bias or a scale that follows it."""
    if not isinstance(layer.op, (Conv, ConvBackwardData)) or not all(map(is_constant, layer.inputs[1:])):
        return None
    if (layer.shape, layer.dtype) != (node.shape, node.dtype) or other.value is None or other.dtype != node.dtype:
        return None
    row = _channels(other.value, layer.shape)
    if row is None:
        return None
    x, w, *rest = layer.inputs
    assert w is not None
    assert w.value is not None
    bias = rest[0].value if rest and rest[0] is not None else None
    if isinstance(node.op, Add):
        return layer.op(x, w, row if bias is None else bias + row)
    if isinstance(layer.op, ConvBackwardData):
        return None
    scale = row if isinstance(node.op, Mul) else 1 / row
    weight = np.asarray(w.value) * scale.reshape(-1, *[1] * (w.ndim - 1))
    return layer.op(x, weight, None if bias is None else bias * scale)


def _into_product(node: Node, layer: Node, other: Node, alone: bool) -> Node | None:
    """The linear layer that a product and a bias after it are; `alone`: the layer alone reads its first input."""
    product: Node | None = layer
    if isinstance(layer.op, Reshape) and alone:
        (product,) = layer.inputs
    if product is None or product.op != MatMul() or (layer.shape, layer.dtype) != (node.shape, node.dtype):
        return None
    rows, weight = product.inputs
    bias, size = other.value, layer.shape[-1]
    if weight is None or not isinstance(weight.value, np.ndarray) or bias is None or other.dtype != node.dtype:
        return None
    if bias.ndim > node.ndim or bias.shape[-1:] != (size,) or bias.size != size or product.shape[-1] != size:
        return None
    y = Linear()(rows, weight.value.T, bias.reshape(-1))
    return y if product is layer else Reshape(node.shape)(y)


def _channels(value: np.ndarray, shape: Sequence[int]) -> np.ndarray | None:
    """A number for each channel of an array (N, C, *I), if that is what is broadcast to it."""
    if value.ndim > len(shape) or not np.isfinite(value).all():
        return None
    sizes = (1,) * (len(shape) - value.ndim) + value.shape
    if any(n != 1 for axis, n in enumerate(sizes) if axis != 1):
        return None
    return np.broadcast_to(value.reshape(-1), (shape[1],)).copy()
