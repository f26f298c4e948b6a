"""Ops that change nothing: views of the same shape, pairs that undo each other, products by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pyconv.graph.graph import Graph
from pyconv.ops.elementwise import Add, Cast, Div, Mul, Sub
from pyconv.ops.node import Node
from pyconv.ops.reduce import Broadcast, Reshape, Sum
from pyconv.ops.shape import Slice, Transpose


def run(graph: Graph) -> Graph:
    """The graph without them."""

    def change(node: Node, inputs: tuple[Node | None, ...]) -> Node | None:
        rule = _RULES.get(type(node.op))
        return rule(node.op, node, *inputs) if rule else None

    return graph.rewrite(change)


def _same_shape(op: Any, node: Node, x: Node) -> Node | None:
    """Reshape to, or Broadcast to, the shape that x has; a Reshape of a Reshape is one."""
    if type(op) is Reshape and type(x.op) is Reshape:
        x = x.inputs[0]  # type: ignore[assignment]
        return x if x.shape == node.shape else op(x)
    return x if x.shape == node.shape else None


def _same_order(op: Transpose, node: Node, x: Node) -> Node | None:
    """A Transpose that leaves the axes where they are; a Transpose of a Transpose is one."""
    if type(x.op) is Transpose:
        op, x = Transpose(tuple(x.op.axes[a] for a in op.axes)), x.inputs[0]  # type: ignore[assignment]
        return x if op.axes == tuple(range(len(op.axes))) else op(x)
    return x if op.axes == tuple(range(len(op.axes))) else None


def _whole(op: Slice, node: Node, x: Node) -> Node | None:
    return x if op.ranges == tuple((0, n, 1) for n in x.shape) else None


def _same_dtype(op: Cast, node: Node, x: Node) -> Node | None:
    return x if x.dtype == node.dtype else None


def _no_axes(op: Sum, node: Node, x: Node) -> Node | None:
    return x if not op.axes else None


def _neutral(number: int, both: bool) -> Callable[..., Node | None]:
    """x · 1 and x + 0 on either side, x / 1 and x - 0. (That x + 0 makes 0 of -0 is forgone.)"""

    def rule(op: Any, node: Node, a: Node, b: Node) -> Node | None:
        for kept, other in ((a, b), (b, a)) if both else ((a, b),):
            known = other.value is not None and kept.value is None and _all_equal(other.value, number)
            if known and (kept.shape, kept.dtype) == (node.shape, node.dtype):
                return kept
        return None

    return rule


def _all_equal(array: np.ndarray, number: int) -> bool:
    """Whether every element is the number; an array that is one element repeated is looked at once."""
    unique = array[tuple(slice(0, 1) if s == 0 else slice(None) for s in array.strides)]
    return array.size > 0 and bool((unique == number).all())


_RULES: dict[Any, Callable[..., Node | None]] = {
    Reshape: _same_shape,
    Broadcast: _same_shape,
    Transpose: _same_order,
    Slice: _whole,
    Cast: _same_dtype,
    Sum: _no_axes,
    Mul: _neutral(1, both=True),
    Div: _neutral(1, both=False),
    Add: _neutral(0, both=True),
    Sub: _neutral(0, both=False),
}
