"""Guards: labels and indices, which kernels trust, are looked at in each call of a plan, before anything runs.

While a function is recorded its labels are not known; eager code refuses wrong ones where it validates arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from pyconv.graph.graph import Graph
from pyconv.graph.layout import VIEWS
from pyconv.ops.loss import NLL, CrossEntropy, CrossEntropyBackward, LabelWeights, NLLBackward
from pyconv.ops.node import Node, Op
from pyconv.ops.pool import Gather, MaxPoolIndices, Unpool


@dataclass(frozen=True, slots=True, eq=False)
class Guard:
    """An input, seen through `path`, must hold integers from `least` up to `count` - 1, or `ignored`."""

    number: int
    path: tuple[Op, ...]
    least: int
    count: int
    ignored: int

    def check(self, arrays: Sequence[np.ndarray]) -> None:
        """Raise ValueError if the input holds others."""
        array = arrays[self.number]
        for op in self.path:
            array = op.compute(array)
        if array.size == 0 or (array.min() >= self.least and array.max() < self.count):
            return
        wrong = array[((array < self.least) | (array >= self.count)) & (array != self.ignored)]
        if wrong.size:
            raise ValueError(
                f"input {self.number} must hold integers in {self.least} … {self.count - 1} where it names classes or "
                f"elements, not {wrong[0]}"
            )


def guards(graph: Graph, brought: int) -> list[Guard]:
    """What must be checked of the first `brought` inputs, and is of the constants here and now.

    Raises
    ------
    ValueError
        If a constant is out of range.
    TypeError
        If labels or indices are computed from something else, so that nobody could check them in time.
    """
    number_of = {id(node): number for number, node in enumerate(graph.inputs[:brought])}
    found: dict[Any, Guard] = {}
    for node in graph.nodes:
        names = _names(node)
        if names is None:
            continue
        source, bounds = names
        path: list[Op] = []
        while isinstance(source.op, VIEWS) and source.value is None:
            path.insert(0, source.op)
            (source,) = source.inputs  # type: ignore[assignment]
        if source.value is not None:
            Guard(0, tuple(path), *bounds).check([source.value])
        elif id(source) in number_of:
            guard = Guard(number_of[id(source)], tuple(path), *bounds)
            found[guard.number, guard.path, bounds] = guard
        elif not _are_maxima(source, bounds[1]):
            raise TypeError(
                f"{type(node.op).__name__} must take its labels or indices from an input of the compiled function, "
                "where they can be checked, not from what it computes"
            )
    return list(found.values())


def _names(node: Node) -> tuple[Node, tuple[int, int, int]] | None:
    """The labels or indices that an op takes, and their least value, their count and the one to ignore."""
    op, inputs = node.op, [i for i in node.inputs if i is not None]
    if isinstance(op, Unpool):
        return inputs[1], (-1, prod(op.output_size), -1)
    if isinstance(op, Gather):
        return inputs[1], (-1, prod(inputs[0].shape[2:]), -1)
    if isinstance(op, (CrossEntropy, NLL)):
        return inputs[1], (0, inputs[0].shape[1], op.ignore_index)
    if isinstance(op, CrossEntropyBackward):
        return inputs[2], (0, inputs[1].shape[1], op.ignore_index)
    if isinstance(op, LabelWeights):
        return inputs[0], (0, op.classes, op.ignore_index)
    if isinstance(op, NLLBackward):
        return inputs[1], (0, op.classes, op.ignore_index)
    return None


def _are_maxima(node: Node, count: int) -> bool:
    """Whether a node holds positions of maxima in planes of at most `count` elements."""
    if not isinstance(node.op, MaxPoolIndices):
        return False
    (x,) = node.inputs
    return x is not None and prod(x.shape[2:]) <= count
