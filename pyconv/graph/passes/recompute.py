"""Recomputation: what is cheap to compute is computed again where it is needed late, and not kept until then.

In a step of training that is most activations: of a convolution, its normalization and a ReLU the backward pass reads
the first and the last, and the last follows from the first. (Chen et al., Training deep nets with sublinear memory
cost, 2016, where layers of every kind are recomputed.)

The pass looks at the moment when most memory is needed. A result that is kept across it is computed again after it if
that takes elementwise ops alone, on what is kept anyway. It does so as long as the largest sum of arrays falls.
"""

from __future__ import annotations

from collections.abc import Container
from itertools import accumulate
from math import inf

from pyconv.graph.graph import Graph
from pyconv.graph.layout import VIEWS
from pyconv.ops.elementwise import Add, Cast, Div, Maximum, Minimum, Mul, Sub, Unary, Where
from pyconv.ops.fused import FusedNormalize
from pyconv.ops.node import Node
from pyconv.ops.norm import BatchNorm, Normalize
from pyconv.ops.random import DropoutMask

CHEAP = (Add, Sub, Mul, Div, Maximum, Minimum, Where, Cast, Unary, Normalize, BatchNorm, FusedNormalize, DropoutMask)
LEAST_SHARE = 1 / 1000  # of the largest sum: smaller arrays are not worth a step
LONGEST = 6  # ops in a row: two residual sums with what comes before and after each


def run(graph: Graph) -> Graph:
    """The graph with cheap results computed twice, if fewer bytes are needed at one time."""
    while True:
        lives = Lives(graph)
        changed = _without(graph, lives, _recomputable(graph, lives))
        if changed is None or Lives(changed).most >= lives.most:
            return graph
        graph = changed


class Lives:
    """From when until when each array of a graph is needed, and when most bytes are.

    Times are places in the order of the nodes. A view is its source's memory.
    """

    def __init__(self, graph: Graph):
        self.time = {id(node): time for time, node in enumerate(graph.nodes)}
        self.reads: dict[int, list[int]] = {id(node): [] for node in graph.nodes}  # of a source and its views
        change = [0] * (len(graph.nodes) + 2)
        for time, node in enumerate(graph.nodes):
            if not isinstance(node.op, VIEWS):
                for i in node.inputs:
                    self._read(i, time)
        for output in graph.outputs:
            self._read(output, len(graph.nodes))
        for time, node in enumerate(graph.nodes):
            if isinstance(node.op, VIEWS) or not self.reads[id(node)]:
                continue
            end = self.reads[id(node)][-1]
            last = graph.nodes[end] if end < len(graph.nodes) else None
            overwritten = last is not None and last.size == node.size and _over(last, node)
            change[time] += nbytes(node)
            change[end + (not overwritten)] -= nbytes(node)
        sums = list(accumulate(change))
        self.most = max(sums)
        self.peak = sums.index(self.most)

    def _read(self, node: Node | None, time: int) -> None:
        if node is not None and id(root := source(node)) in self.reads:
            self.reads[id(root)].append(time)

    def are_across(self, node: Node) -> bool:
        """Whether a result is known before the peak and read after it."""
        reads = self.reads.get(id(node), [])
        return bool(reads) and self.time[id(node)] < self.peak < reads[-1]

    def first_after(self, node: Node) -> int:
        """When a result is first read after the peak."""
        return next(time for time in self.reads[id(node)] if time > self.peak)


def _recomputable(graph: Graph, lives: Lives) -> dict[int, int]:
    """What can be computed again, and what is not kept either and so must be for that: id -> ops in a row."""
    chosen: dict[int, int] = {}
    for node in graph.nodes[: lives.peak]:
        if isinstance(node.op, CHEAP) and lives.are_across(node) and nbytes(node) >= LEAST_SHARE * lives.most:
            chain: dict[int, int] = {}
            if _length(node, node, lives, chosen, chain) <= LONGEST:
                chosen |= chain
    return chosen


def _length(node: Node, goal: Node, lives: Lives, chosen: dict[int, int], chain: dict[int, int]) -> float:
    """How many ops in a row compute a node again on the way to `goal`, all of which go into `chain`."""
    if id(node) not in chosen and id(node) not in chain:
        before = [0.0]
        for i in node.inputs:
            given = None if i is None else source(i)
            if given is None or _is_there(given, goal, lives, chosen):
                continue
            before.append(_length(given, goal, lives, chosen, chain) if isinstance(given.op, CHEAP) else inf)
        if max(before) == inf:
            return inf
        chain[id(node)] = int(max(before)) + 1
    return chosen.get(id(node)) or chain[id(node)]


def _is_there(given: Node, goal: Node, lives: Lives, chosen: dict[int, int]) -> bool:
    """Whether an input is in memory when `goal` is computed again."""
    if given.op is None or given.value is not None:
        return True
    if id(given) in chosen:
        return False
    kept = lives.are_across(given) and lives.reads[id(given)][-1] >= lives.first_after(goal)
    return kept or 16 * nbytes(given) <= nbytes(goal)  # moments of channels, say: they may as well be kept


def _without(graph: Graph, lives: Lives, chosen: Container[int]) -> Graph | None:
    """The graph in which whatever runs after the peak reads results that are computed there anew."""
    if not chosen:
        return None
    again: dict[int, Node] = {}

    def anew(node: Node) -> Node:
        if id(source(node)) not in chosen or lives.time[id(node)] > lives.peak:
            return node
        if id(node) not in again:
            inputs = tuple(None if i is None else anew(i) for i in node.inputs)
            again[id(node)] = Node(node.op, inputs, node.shape, node.dtype, name=node.name)
        return again[id(node)]

    def change(node: Node, inputs: tuple[Node | None, ...]) -> Node | None:
        if lives.time[id(node)] <= lives.peak:
            return None
        late = tuple(i if i is None or i is not old else anew(i) for i, old in zip(inputs, node.inputs, strict=True))
        if all(a is b for a, b in zip(late, inputs, strict=True)):
            return None
        return Node(node.op, late, node.shape, node.dtype, name=node.name)

    return graph.rewrite(change)


def source(node: Node) -> Node:
    """The node whose memory a view shows."""
    while isinstance(node.op, VIEWS) and node.value is None and node.inputs[0] is not None:
        node = node.inputs[0]
    return node


def _over(reader: Node, node: Node) -> bool:
    """Whether a reader may put its result in the node's memory."""
    assert reader.op is not None
    return any(i is not None and source(i) is node for i in (reader.inputs[slot] for slot in reader.op.in_place))


def nbytes(node: Node) -> int:
    return node.size * node.dtype.itemsize
