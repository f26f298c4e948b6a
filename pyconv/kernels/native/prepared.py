"""Prepared calls: one kernel, chosen and described once, then called with any arrays of the same layout.

What a call from Python costs is mostly spent on finding out what to do. That depends on shapes, strides and dtypes, but
for the addresses; so it is recorded as a program of one kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyconv.kernels import Row
from pyconv.kernels.layouts import memory_order
from pyconv.kernels.native import library
from pyconv.kernels.native.library import ffi, lib, pointer
from pyconv.kernels.native.program import BoundProgram, Program

_empty, _from_buffer, _run, _NULL = np.empty, ffi.from_buffer, lib.pyconv_program_run, ffi.NULL  # found faster so


class PreparedCall:
    """A kernel's call, for new results. Several threads may make it at a time."""

    __slots__ = ("_dtype", "_free", "_inputs", "_order", "_program", "_scratch_bytes", "_shape", "_threads")

    def __init__(self, program: Program, out: np.ndarray, order: Sequence[int], inputs: Sequence[np.ndarray | None]):
        self._program = program
        self._threads = program.threads
        self._scratch_bytes = program.workspace_bytes
        self._shape = tuple(out.shape[axis] for axis in order)  # in the order of memory
        self._order = None if list(order) == sorted(order) else tuple(np.argsort(order).tolist())
        self._dtype = out.dtype
        there = [(i, x) for i, x in enumerate(inputs) if x is not None]
        # Place among the segments, number, and in which order of axes it is C-contiguous (None: as it is; (): in none).
        self._inputs = [(place, i, _axes(x)) for place, (i, x) in enumerate(there, 1)]
        self._free: list[BoundProgram] = []

    def __call__(self, inputs: Sequence[Any]) -> np.ndarray | None:
        """The result for inputs of the layout it was prepared for; None if the instruction set is another by now."""
        try:
            bound = self._free.pop()
        except IndexError:  # all are in use by other threads
            bound = self._program.bind([0] * (len(self._inputs) + 2))
        segments = bound.segments  # of out, of inputs, of scratch
        y = _empty(self._shape, self._dtype)
        segments[0] = _from_buffer(y)
        for place, number, order in self._inputs:
            if order is None:
                segments[place] = _from_buffer(inputs[number])
            elif order:
                segments[place] = _from_buffer(inputs[number].transpose(order))
            else:
                segments[place] = pointer(inputs[number])
        if self._scratch_bytes:
            segments[len(self._inputs) + 1] = library.workspace(self._scratch_bytes)
        if _run(bound.program, bound.addresses, self._threads, _NULL):
            return None
        self._free.append(bound)
        return y if self._order is None else y.transpose(self._order)


def prepare(row: Row, out: np.ndarray, inputs: Sequence[np.ndarray | None], attributes: Sequence[Any]) -> Any:
    """The call of a row with arrays like these, which are apart in memory; None if a program cannot make it."""
    order = memory_order(out)
    program = Program([out, *(x for x in inputs if x is not None)])
    if order is None or program.record(row, out, *inputs, *attributes) is not None:
        return None
    return PreparedCall(program, out, order, inputs)


def _axes(array: np.ndarray) -> tuple[int, ...] | None:
    return None if array.flags.c_contiguous else memory_order(array) or ()
