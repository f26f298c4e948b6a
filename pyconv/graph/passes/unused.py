"""Dead code: nodes that no output needs. (An op has no effect but its result, so none need stay.)"""

from __future__ import annotations

from dataclasses import replace

from pyconv.graph.graph import Graph


def run(graph: Graph) -> Graph:
    """Only what the outputs depend on."""
    needed = {id(output) for output in graph.outputs}
    kept = []
    for node in reversed(graph.nodes):
        if id(node) in needed:
            kept.append(node)
            needed |= {id(i) for i in node.inputs}
    return replace(graph, nodes=tuple(reversed(kept)))
