"""Execution: the steps of a placement bound to kernels and memory, and run.

`Code` is what all calls share: for each step the row that serves it, and, in the native backend, programs that run
whole stretches of steps in one call into C. A `Workspace` is what one call needs for itself: an arena and the arrays
in it. What cannot be recorded into a program runs step by step from Python, as everything does in other backends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pyconv import kernels
from pyconv.graph.layout import Strides
from pyconv.graph.memory import ALIGNMENT, Placement, Step, View
from pyconv.graph.shared import Folded, Held, Shared
from pyconv.kernels import Row
from pyconv.kernels.layouts import sample

if TYPE_CHECKING:
    from pyconv.graph.autotune import Tuner
    from pyconv.kernels.native.packing import PackedWeights
    from pyconv.kernels.native.program import BoundProgram, Program


class ArrayLayout(NamedTuple):
    """Shape, strides in bytes and dtype of an array from outside."""

    shape: tuple[int, ...]
    strides: Strides
    dtype: np.dtype

    def sample(self) -> np.ndarray:
        """Such an array with memory of its own."""
        return sample(*self)


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """A step, the row that runs it, why it is no part of a program (None if it is), and what a tuner measured."""

    step: Step
    row: Row
    reason: str | None
    measured: dict[str, float] = field(default_factory=dict)  # algorithm -> seconds


class Code:
    """The kernels of a plan, for one set of shapes and memory orders, in the current backend.

    A call brings `inputs` and takes `outputs`; `fixed` are further inputs that are the same arrays in every call.
    """

    def __init__(
        self,
        placement: Placement,
        inputs: Sequence[ArrayLayout],
        outputs: Sequence[ArrayLayout],
        fixed: Sequence[np.ndarray] = (),
        shared: Shared | None = None,
        tuner: Tuner | None = None,
    ):
        self.placement = placement
        self.fixed = fixed
        self.arrays = len(inputs) + len(outputs)  # that a call hands over
        self.choices: list[Choice] = []
        self.parts: list[Program | Choice] = []  # what runs, in order; a program stands for several steps
        self.scratch_bytes = 0  # what programs need beside the arena
        self.packed_bytes = 0  # of weights that programs keep in the order kernels want
        self._next: Program | None = None  # one that nothing is recorded in yet
        self._constants = _Constants(placement.constants, Shared() if shared is None else shared)
        native = kernels.get_backend() == "native"
        samples = [layout.sample() for layout in (*inputs, *outputs)]
        memory = _Arrays(placement, fixed, self._constants.arrays, samples)
        for step in placement.steps:
            arguments = [*memory.of(step), *step.attributes]
            row, measured = self._choose(step, arguments, tuner)
            with np.errstate(all="ignore"):  # a row that computes in Python may do so on what was never written
                reason = self._record(memory, step, row, arguments) if native else "the backend has no programs"
            if reason is not None:
                self._constants.read(step.operands)
            self.choices.append(Choice(step, row, reason, measured))
            if reason is not None:
                self.parts.append(self.choices[-1])
        self._constants.drop()

    @property
    def constants(self) -> list[np.ndarray | None]:
        """The placement's constants; None where no step reads one as it lies."""
        return self._constants.arrays

    def _choose(self, step: Step, arguments: list[Any], tuner: Tuner | None) -> tuple[Row, dict[str, float]]:
        """The row that shall run a step, and the times of those that could if they were measured."""
        if tuner is None:
            return kernels.choose(step.kernel, *arguments, algorithm=step.algorithm), {}
        return tuner.choose(step, arguments, has_constant_weights(step))

    def _record(self, memory: _Arrays, step: Step, row: Row, arguments: list[Any]) -> str | None:
        """Append a step to the program at the end, or to a new one; None, or why that cannot be."""
        from pyconv.kernels.native.program import Program

        packing = row.pack(*arguments) if row.pack and has_constant_weights(step) else None
        packed = None if packing is None else self._constants.packed(step.operands[1], arguments[2], packing)
        if packed is not None:
            arguments[2] = packed
        self._constants.read(step.operands if packed is None else (*step.operands[:1], *step.operands[2:]))
        if not self.parts or isinstance(self.parts[-1], Choice):
            self._next = self._next or Program(memory.segments)
            program = self._next
        else:
            program = self.parts[-1]
        reason = program.record(row, *arguments)
        if reason is None:
            self.packed_bytes += 0 if packed is None else packed.nbytes
            self.scratch_bytes = max(self.scratch_bytes, program.workspace_bytes)
            if program is self._next:
                self.parts.append(program)
                self._next = None
        return reason


def has_constant_weights(step: Step) -> bool:
    """Whether its second operand, where a layer has its weights, is a constant."""
    weights = step.operands[1] if len(step.operands) > 1 else None
    return weights is not None and weights.storage.segment == "constant"


class _Constants:
    """The constants of a placement as arrays. A folded one is computed if a step reads it as it lies."""

    def __init__(self, constants: Sequence[np.ndarray | Folded], shared: Shared):
        self._shared = shared
        self._constants = constants
        self._held: list[Held] = []  # what is shared, for as long as this is here
        self._missing: dict[int, Folded] = {}  # not yet computed
        largest = max((c.nbytes for c in constants if isinstance(c, Folded)), default=0)
        self._memory = np.empty(largest, np.uint8)  # for one at a time, on its way to be packed
        self.arrays: list[np.ndarray | None] = []
        for number, constant in enumerate(constants):
            if not isinstance(constant, Folded):
                self.arrays.append(constant)
            elif (held := shared.found(constant)) is not None:
                self._held.append(held)
                self.arrays.append(held.value)
            else:
                self._missing[number] = constant
                self.arrays.append(np.empty(constant.shape, constant.dtype))  # takes no memory unless it is filled

    def packed(self, view: View | None, array: np.ndarray, packing: Any) -> PackedWeights:
        """Weights that a step reads, packed."""
        assert view is not None
        if view.path:  # a part of a constant, say
            self.read([view])
        constant = array if view.path else self._constants[view.storage.number]
        self._held.append(self._shared.packed(constant, packing, self._memory))
        return self._held[-1].value

    def read(self, views: Sequence[View | None]) -> None:
        """Compute those that are seen by these views."""
        for view in views:
            if view is not None and view.storage.segment == "constant" and view.storage.number in self._missing:
                room = self.arrays[view.storage.number]
                assert room is not None
                self._held.append(self._shared.filled(self._missing.pop(view.storage.number), room))

    def drop(self) -> None:
        """Forget those that no step reads as they lie."""
        self._memory = self._memory[:0].copy()
        for number in self._missing:
            self.arrays[number] = None


class _Arrays:
    """The arrays that views stand for: in a new arena, or among those from outside, None where they come later."""

    def __init__(
        self,
        placement: Placement,
        fixed: Sequence[np.ndarray],
        constants: Sequence[np.ndarray | None],
        arrays: Sequence[np.ndarray | None],  # inputs, then outputs
        scratch: int = 0,
    ):
        begin = -(-placement.arena_bytes // ALIGNMENT) * ALIGNMENT
        memory = np.empty(begin + scratch + ALIGNMENT, np.uint8)
        shift = -memory.__array_interface__["data"][0] % ALIGNMENT
        self.arena, self.scratch = memory[shift : shift + begin], memory[shift + begin :]
        self._from_call = arrays
        self._constant = {"fixed": fixed, "constant": constants}
        self.segments: list[Any] = [*arrays, self.arena, *fixed, *constants]

    def of(self, step: Step) -> list[np.ndarray | None]:
        """The result and the operands of a step."""
        return [None if v is None else self._array(v) for v in (step.out, *step.operands)]

    def _array(self, view: View) -> np.ndarray | None:
        segment, number = view.storage.segment, view.storage.number
        if segment == "arena":
            offset = view.storage.offset + view.offset
            return np.ndarray(view.shape, view.dtype, self.arena.data, offset, view.strides)
        array = self._from_call[number] if segment == "call" else self._constant[segment][number]
        return None if array is None else seen(array, view)


def seen(array: np.ndarray, view: View) -> np.ndarray:
    """The view that it has of an array from outside."""
    for op in view.path:
        array = op.compute(array)
    return array


class _Call:
    """A step that runs from Python, and the arrays that it runs on."""

    def __init__(self, choice: Choice, memory: _Arrays):
        self.function = choice.row.function
        self.arguments = [*memory.of(choice.step), *choice.step.attributes]
        self.missing = [  # (place among the arguments, view, which of the caller's arrays it is of)
            (place, view, view.storage.number)
            for place, view in enumerate((choice.step.out, *choice.step.operands))
            if view is not None and view.storage.segment == "call"
        ]

    def run(self, threads: int) -> None:
        self.function(*self.arguments)

    def profile(self, threads: int) -> list[float]:
        begin = perf_counter()
        self.function(*self.arguments)
        return [perf_counter() - begin]


class Workspace:
    """The memory of one call at a time, and the parts of the code bound to it."""

    def __init__(self, code: Code):
        nothing = [None] * code.arrays
        self._memory = _Arrays(code.placement, code.fixed, code.constants, nothing, code.scratch_bytes)
        self._programs: list[BoundProgram] = []
        self._calls: list[_Call] = []
        self._parts: list[BoundProgram | _Call] = []
        for part in code.parts:
            if isinstance(part, Choice):
                self._calls.append(_Call(part, self._memory))
                self._parts.append(self._calls[-1])
            else:
                segments = [0 if s is None else s for s in self._memory.segments]
                self._programs.append(part.bind([*segments, self._memory.scratch]))
                self._parts.append(self._programs[-1])
        self._whole = self._programs[0] if self._programs and len(self._parts) == 1 else None  # one call into C

    def run(self, arrays: Sequence[np.ndarray], threads: int) -> None:
        """Run all parts on the caller's inputs and outputs, of which nothing is held afterwards."""
        if self._whole is not None:
            self._whole.call(arrays, threads)
            return
        self._bind(arrays)
        for part in self._parts:
            part.run(threads)
        self._release()

    def profile(self, arrays: Sequence[np.ndarray], threads: int) -> list[float]:
        """Run, and give the seconds of each step."""
        self._bind(arrays)
        seconds = [s for part in self._parts for s in part.profile(threads)]
        self._release()
        return seconds

    def _bind(self, arrays: Sequence[np.ndarray]) -> None:
        for program in self._programs:
            program.place(arrays)
        for call in self._calls:
            for place, view, number in call.missing:
                call.arguments[place] = seen(arrays[number], view)

    def _release(self) -> None:
        for call in self._calls:
            for place, *_ in call.missing:
                call.arguments[place] = None
