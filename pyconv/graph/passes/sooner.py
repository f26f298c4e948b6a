"""What replaces an input runs as soon as it can: a parameter is updated when its gradient is known, not after all are.

So a gradient is no longer needed once it is made, and the new value goes over the old one.
"""

from __future__ import annotations

from dataclasses import replace

from pyconv.graph.graph import Graph
from pyconv.graph.layout import VIEWS
from pyconv.graph.passes.recompute import CHEAP
from pyconv.ops.chain import Chain
from pyconv.ops.elementwise import Compare, Pow

QUICK = (*CHEAP, *VIEWS, Chain, Compare, Pow)


def run(graph: Graph) -> Graph:
    """The same nodes, in which elementwise ops at the end of an update follow what they wait for."""
    time = {id(node): number for number, node in enumerate(graph.nodes)}
    ready: dict[int, int] = {}  # the last op that is not elementwise before a node, or the node itself
    for number, node in enumerate(graph.nodes):
        if isinstance(node.op, QUICK):
            ready[id(node)] = max((ready.get(id(i), -1) for i in node.inputs), default=-1)
        else:
            ready[id(node)] = number
    when = dict(time)
    for output, target in zip(graph.outputs, graph.targets, strict=True):
        if target is None or id(output) not in time:
            continue
        moment, stack = ready[id(output)], [output]
        while stack:
            late = stack.pop()
            if when.get(id(late), -1) > moment:
                when[id(late)] = moment
                stack.extend(i for i in late.inputs if i is not None)
    return replace(graph, nodes=tuple(sorted(graph.nodes, key=lambda node: (when[id(node)], time[id(node)]))))
