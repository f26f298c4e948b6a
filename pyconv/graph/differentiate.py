"""Reverse-mode differentiation: a walk over recorded nodes that calls each op's gradient rule once.

On taped nodes the rules run on arrays and give arrays; on symbolic nodes they record, and the gradient is more graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyconv.ops.elementwise import add
from pyconv.ops.node import Node


def topological_order(output: Node) -> list[Node]:
    """Every node that `output` depends on, inputs first."""
    order: list[Node] = []
    seen: set[int] = set()
    stack: list[tuple[Node, bool]] = [(output, False)]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((i, False) for i in node.inputs if i is not None and id(i) not in seen)
    return order


def gradients(output: Node, sources: Sequence[Node], dy: Any = None, record: bool = False) -> list[Any]:
    """Cotangents of `sources` for the cotangent `dy` of `output` (ones by default); zeros where it does not reach.

    With `record` the rules run on taped nodes too, so that the gradients can themselves be differentiated.
    """

    def read(node: Node) -> Any:  # what a gradient rule sees of a node: its array if it was taped, else the node itself
        return node if record or node.value is None else node.value

    order = topological_order(output)
    wanted = {id(s) for s in sources}
    for node in order:  # a node needs a gradient if a source lies below it
        if any(i is not None and id(i) in wanted for i in node.inputs):
            wanted.add(id(node))
    cotangents: dict[int, Any] = {id(output): np.ones(output.shape, output.dtype) if dy is None else dy}
    kept = {id(s) for s in sources}
    for node in reversed(order):
        if node.op is None or id(node) not in wanted or id(node) not in cotangents:
            continue
        cotangent = cotangents[id(node)] if id(node) in kept else cotangents.pop(id(node))
        rule = node.op.vjp(cotangent, read(node), *(i if i is None else read(i) for i in node.inputs))
        for source, pull in zip(node.inputs, rule, strict=False):
            if source is None or pull is None or id(source) not in wanted:
                continue
            part = pull()
            held = cotangents.get(id(source))
            cotangents[id(source)] = part if held is None else add(held, part)
    return [cotangents[id(s)] if id(s) in cotangents else np.zeros(s.shape, s.dtype) for s in sources]
