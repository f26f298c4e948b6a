"""Constant folding: what depends on constants alone is computed once, when the plan is made."""

from __future__ import annotations

import numpy as np

from pyconv.graph.graph import Graph, is_constant
from pyconv.ops.node import Node


def run(graph: Graph) -> Graph:
    """Constants in place of the nodes whose inputs are all constant."""

    def change(node: Node, inputs: tuple[Node | None, ...]) -> Node | None:
        if not all(map(is_constant, inputs)):
            return None
        assert node.op is not None
        return Node.leaf(node.op.compute(*(None if i is None else np.asarray(i.value) for i in inputs)), node.name)

    return graph.rewrite(change)
