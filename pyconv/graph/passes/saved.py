"""What the backward pass keeps: a derivative that can be taken from y = f(x) does not keep x alive as well.

So the forward pass may overwrite x, and a training step holds one activation where it held two.
"""

from __future__ import annotations

from pyconv.graph.graph import Graph
from pyconv.ops.elementwise import UnaryBackward
from pyconv.ops.node import Node

FROM_RESULT = ("relu", "exp", "sqrt", "sigmoid", "tanh")  # their rows compute f' from y alone


def run(graph: Graph) -> Graph:
    """y in place of x where the derivative needs no more."""

    def change(node: Node, inputs: tuple[Node | None, ...]) -> Node | None:
        if not isinstance(node.op, UnaryBackward) or node.op.name not in FROM_RESULT:
            return None
        dy, _, y = inputs
        return node.op(dy, y, y)

    return graph.rewrite(change)
