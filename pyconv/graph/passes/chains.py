"""Elementwise ops that end in a new value of the state become one step, which reads and writes memory once.

An optimizer's rule is a handful of them for each parameter, and so are weight decay, clipping by value, a moving
average and the choice of the old value where the loss was not finite. What several new values need, such as a momentum,
is computed for each where that can be: it takes less time than to write it and to read it again. The order of
operations stays, and so does every bit of the results.
"""

from __future__ import annotations

from dataclasses import replace

from pyconv.graph.graph import Graph, are_same
from pyconv.graph.passes import unused
from pyconv.ops.chain import Chain, ChainStep
from pyconv.ops.elementwise import Add, Div, Maximum, Minimum, Mul, Sub, Unary, Where
from pyconv.ops.node import Node

_BINARY = (Add, Sub, Mul, Div, Maximum, Minimum)
_UNARY = ("neg", "abs", "sign", "sqrt", "clip")
_INPUTS, _NUMBERS, _STEPS = 10, 16, 24  # of a chain, at most


def run(graph: Graph) -> Graph:
    """The same outputs, by chains where these save steps."""
    return _keeping(_repeating(graph))


def _repeating(graph: Graph) -> Graph:
    """Each new value by a chain of its own, as long as none replaces what another must still read; they come last."""
    inside = _inside(graph)
    chains: dict[int, tuple[Node, Node]] = {}  # id of an output -> the chain that computes it, and what it replaces
    for output, target in zip(graph.outputs, graph.targets, strict=True):
        if target is not None and id(output) in inside:
            chain = _chain(output, inside, {})
            if chain is not None:
                chains[id(output)] = chain, target
    fused = {key: chains[key][0] for key in _ordered(chains)}
    outputs = tuple(fused.get(id(output), output) for output in graph.outputs)
    return unused.run(replace(graph, nodes=(*graph.nodes, *fused.values()), outputs=outputs))


def _keeping(graph: Graph) -> Graph:
    """What is left, such as a momentum with weight decay, by chains too, but what several need is computed once."""
    readers, inside = graph.consumers(), _inside(graph)
    ends = {id(node) for node in graph.nodes if id(node) in inside and not _is_inner(node, readers)}
    fused: dict[int, Node] = {}

    def change(node: Node, inputs: tuple[Node | None, ...]) -> Node | None:
        if id(node) in ends:
            chain = _chain(node, inside - ends, fused)
            if chain is not None:
                fused[id(node)] = chain
            elif not are_same(inputs, node.inputs):
                fused[id(node)] = Node(node.op, inputs, node.shape, node.dtype, name=node.name)
        return fused.get(id(node))

    return unused.run(graph.rewrite(change))


def _is_inner(node: Node, readers: dict[int, list[Node]]) -> bool:
    return len({id(r) for r in readers[id(node)]}) == 1 and readers[id(node)][0] is not node


def _inside(graph: Graph) -> set[int]:
    """The ids of elementwise nodes that nobody reads but others of them, on the way to a new value of the state."""
    ends = {id(o) for o, target in zip(graph.outputs, graph.targets, strict=True) if target is not None}
    readers, found = graph.consumers(), set()
    for node in reversed(graph.nodes):
        is_end = id(node) in ends
        by_steps = all((r is node and is_end) or (id(r) in found and _fits(r, node)) for r in readers[id(node)])
        if by_steps and (is_end or not isinstance(node.op, Where)) and _is_step(node):
            found.add(id(node))
    return found


def _is_step(node: Node) -> bool:
    op, operands = node.op, node.inputs
    if isinstance(op, Where):
        condition, new, old = node.inputs
        if condition is None or condition.shape or condition.dtype != bool or old is None or old.op is not None:
            return False
        operands = new, old
    elif not isinstance(op, _BINARY) and not (isinstance(op, Unary) and op.name in _UNARY):
        return False
    numbers = [i for i in operands if i is not None and i.dtype == node.dtype and i.shape == ()]
    arrays = [i for i in operands if i is not None and _fits(i, node)]
    return node.shape != () and node.dtype.kind == "f" and len(numbers) + len(arrays) == len(operands)


def _fits(node: Node, other: Node) -> bool:
    return (node.shape, node.dtype) == (other.shape, other.dtype)


def _chain(end: Node, inside: set[int], fused: dict[int, Node]) -> Node | None:
    """One node that computes `end` from what is not inside; None if there is little to gain, or too much in it.

    `fused` has what stands for some nodes by now.
    """
    inputs: dict[int, Node] = {}
    numbers: dict[int, float] = {}
    steps: dict[int, tuple[Node, list[int]]] = {}  # a node -> itself and the ids of its values

    def visit(node: Node) -> None:
        if id(node) in steps or id(node) in inputs:
            return
        if node.value is not None and node.shape == () and node.dtype == end.dtype:
            numbers[id(node)] = float(node.value)
            return
        if id(node) not in inside and node is not end:
            inputs[id(node)] = fused.get(id(node), node)
            return
        for i in node.inputs:
            if i is not None:
                visit(i)
        steps[id(node)] = node, [id(i) for i in node.inputs]

    visit(end)
    if not 2 <= len(steps) <= _STEPS or len(inputs) > _INPUTS or len(numbers) > _NUMBERS:
        return None
    number = {key: n for n, key in enumerate((*inputs, *numbers, *steps))}
    listed = [_step(node, tuple(number[i] for i in values)) for node, values in steps.values()]
    op = Chain(tuple(listed), len(inputs), tuple(numbers.values()))
    return Node(op, tuple(inputs.values()), end.shape, end.dtype, name=end.name)


def _step(node: Node, values: tuple[int, ...]) -> ChainStep:
    if isinstance(node.op, Unary):
        return ChainStep(node.op.name, values, node.op.parameters)
    if isinstance(node.op, Where):
        return ChainStep("where", values)
    assert isinstance(node.op, _BINARY)
    return ChainStep(node.op.name, values)


def _ordered(chains: dict[int, tuple[Node, Node]]) -> list[int]:
    """The keys in an order in which none replaces what a later one reads.

    Those that wait for each other are left out, and so are those that read what one of them replaces.
    """
    of_target = {id(target): key for key, (_, target) in chains.items()}
    replaced_by = {key: {of_target.get(id(i), key) for i in chain.inputs} - {key} for key, (chain, _) in chains.items()}
    waiting: dict[int, set[int]] = {key: set() for key in chains}  # for the chains that read what it replaces
    for key, others in replaced_by.items():
        for other in others:
            waiting[other].add(key)
    order: dict[int, None] = {}
    while ready := [key for key, others in waiting.items() if others <= order.keys()]:
        order |= dict.fromkeys(ready)
        for key in ready:
            del waiting[key]
    while early := [key for key in order if replaced_by[key] & waiting.keys()]:
        for key in early:
            del order[key]
            waiting[key] = set()
    return list(order)
