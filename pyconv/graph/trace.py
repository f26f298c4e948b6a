"""Tracing: a function or a model is called once on symbolic nodes, and what it records becomes a `Graph`.

Arrays that it reads on the way (weights, running statistics) become constants, and whatever depends on them alone is
computed there and then. A model is traced in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from pyconv.graph.graph import Graph
from pyconv.graph.tree import leaves, map_leaves, names
from pyconv.ops.node import Node


def trace(function: Callable[..., Any], specs: Sequence[Any]) -> tuple[Graph, Any]:
    """The graph of `function` for inputs like `specs`, and what it returned: a tree whose leaves are its outputs.

    A spec is anything with a shape and a dtype, such as an array.

    Raises
    ------
    TypeError
        If the function returns something else than arrays, in dicts, lists and tuples if it likes.
    """
    inputs = _inputs(specs)
    with evaluation(function):
        result = function(*inputs)
    return Graph.of(inputs, [as_output(leaf) for leaf in leaves(result)]), result


def trace_step(function: Callable[..., Any], specs: Sequence[Any], state: Any) -> tuple[Graph, Any]:
    """As `trace`, for a function of (state, *inputs) that returns a pair: its result, and the state after it.

    The leaves of the state are inputs after the others; those of the new state are outputs that replace them.

    Raises
    ------
    TypeError
        If the function does not return such a pair, or a leaf of the state would change its shape or dtype.
    """
    inputs = _inputs(specs)
    held = map_leaves(lambda array: Node.placeholder(array.shape, array.dtype), state)
    for name, node in zip(names(state), leaves(held), strict=True):
        node.name = name
    pair = function(held, *inputs)
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise TypeError(f"a step must return a pair (result, new state), not {type(pair).__name__}")
    result, after = pair
    new, targets = [as_output(leaf) for leaf in leaves(after)], leaves(held)
    if names(after) != names(state):
        raise TypeError("the new state must have the structure of the old one")
    for node, target in zip(new, targets, strict=True):
        if (node.shape, node.dtype) != (target.shape, target.dtype):
            raise TypeError(f"a step must leave {target.name} as {target!r}, and makes {node!r} of it")
    results = [as_output(leaf) for leaf in leaves(result)]
    graph = Graph.of([*inputs, *targets], [*results, *new], [*[None] * len(results), *targets])
    return graph, result


def _inputs(specs: Sequence[Any]) -> list[Node]:
    return [Node.placeholder(spec.shape, spec.dtype, f"x{i}") for i, spec in enumerate(specs)]


def as_output(leaf: Any) -> Node:
    """What a traced function returned, as a node."""
    if type(leaf) is Node:
        return leaf
    if isinstance(leaf, (np.ndarray, np.generic)):
        return Node.leaf(np.asarray(leaf))
    raise TypeError(f"a function to compile must return arrays, not {type(leaf).__name__}")


@contextmanager
def evaluation(function: Any) -> Iterator[None]:
    """A model, and the modules in it, in evaluation mode inside a `with` block; plain functions are as they are."""
    modules = list(function.modules()) if hasattr(function, "modules") else []
    before = [module.training for module in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.training = training
