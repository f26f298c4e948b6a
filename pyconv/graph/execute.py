"""Execution: the steps of a placement bound to kernels and memory, and run.

`Code` is what all calls share: for each step the row that serves it. A `Workspace` is what one call needs for itself:
an arena, and the arrays that lie in it. Steps run one after the other from Python.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from pyconv import kernels
from pyconv.graph.layout import Strides, stand_in
from pyconv.graph.memory import ALIGNMENT, Placement, Step, View
from pyconv.kernels import Row


class Bound(NamedTuple):
    """A step and the row that runs it."""

    step: Step
    row: Row


class Code:
    """The kernels of a plan, for one set of shapes and memory orders."""

    def __init__(self, placement: Placement):
        self.placement = placement
        self.bound = [Bound(step, _choose(step)) for step in placement.steps]

    @property
    def workspace_bytes(self) -> int:
        """What a call needs beside its inputs and outputs."""
        return self.placement.arena_bytes


class Workspace:
    """The memory of one call at a time."""

    def __init__(self, code: Code):
        self.arena = _aligned_memory(code.workspace_bytes)
        self.calls: list[tuple[Callable[..., None], list[Any]]] = []
        self.outside: list[tuple[list[Any], int, View]] = []  # what changes from call to call: (arguments, place, view)
        constants = code.placement.constants
        for step, row in code.bound:
            arguments: list[Any] = []
            for place, view in enumerate((step.out, *step.operands)):
                if view is not None and view.storage.segment in ("input", "output"):
                    self.outside.append((arguments, place, view))
                    view = None
                arguments.append(None if view is None else _array(view, self.arena, constants))
            self.calls.append((row.function, [*arguments, *step.attributes]))
            self.outside = [(self.calls[-1][1], p, v) if a is arguments else (a, p, v) for a, p, v in self.outside]

    def run(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        """Run every step; nothing of the caller's is held on to afterwards."""
        for arguments, place, view in self.outside:
            array = (inputs if view.storage.segment == "input" else outputs)[view.storage.number]
            for op in view.path:
                array = op.compute(array)
            arguments[place] = array
        try:
            for function, arguments in self.calls:
                function(*arguments)
        finally:
            for arguments, place, _ in self.outside:
                arguments[place] = None


def _choose(step: Step) -> Row:
    """The row that serves a step, asked with arrays that have no memory."""
    operands = [None if v is None else stand_in(v.shape, v.strides, v.dtype) for v in (step.out, *step.operands)]
    return kernels.choose(step.kernel, *operands, *step.attributes, algorithm=step.algorithm)


def _array(view: View, arena: np.ndarray, constants: Sequence[np.ndarray]) -> np.ndarray:
    """The array that a view stands for."""
    if view.storage.segment == "constant":
        array = constants[view.storage.number]
        for op in view.path:
            array = op.compute(array)
        return array
    return np.ndarray(view.shape, view.dtype, arena.data, view.storage.offset + view.offset, view.strides)


def _aligned_memory(nbytes: int) -> np.ndarray:
    memory = np.empty(nbytes + ALIGNMENT, np.uint8)
    begin = -memory.__array_interface__["data"][0] % ALIGNMENT
    return memory[begin : begin + nbytes]


def sample(shape: Sequence[int], strides: Strides, dtype: np.dtype) -> np.ndarray:
    """An array of these strides with memory of its own."""
    spans = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
    before = -sum(s for s in spans if s < 0)
    after = sum(s for s in spans if s > 0) + dtype.itemsize
    memory = np.empty(before + after if prod(shape) else dtype.itemsize, np.uint8)
    return np.ndarray(tuple(shape), dtype, memory.data, before if prod(shape) else 0, strides)
