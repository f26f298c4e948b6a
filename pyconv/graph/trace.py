"""Tracing: a function or a model is called once on symbolic nodes, and what it records becomes a `Graph`.

Arrays that it reads on the way (weights, running statistics) become constants, and whatever depends on them alone is
computed there and then. A model is traced in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from pyconv.graph.graph import Graph
from pyconv.graph.tree import leaves
from pyconv.ops.node import Node


class ArraySpec(NamedTuple):
    """Shape and dtype of an array to come."""

    shape: tuple[int, ...]
    dtype: np.dtype


def trace(function: Callable[..., Any], specs: Sequence[ArraySpec]) -> tuple[Graph, Any]:
    """The graph of `function` for inputs of these shapes, and what it returned: a tree whose leaves are its outputs.

    Raises
    ------
    TypeError
        If the function returns something else than arrays, in dicts, lists and tuples if it likes.
    """
    inputs = [Node.placeholder(spec.shape, spec.dtype, f"x{i}") for i, spec in enumerate(specs)]
    with evaluation(function):
        result = function(*inputs)
    return Graph.of(inputs, [as_output(leaf) for leaf in leaves(result)]), result


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
