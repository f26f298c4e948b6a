"""How a trainer runs its steps: op by op, or as a plan that holds the whole step. Both leave the same behind.

A plan writes the new parameters, buffers, optimizer's state and averages over the old ones; it belongs to these very
arrays and is made anew when the trainer has others. It is no part of what is copied, pickled or saved.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from pyconv import kernels
from pyconv.graph.compile import compile_step
from pyconv.graph.graph import Graph
from pyconv.graph.plan import Plan
from pyconv.graph.trace import trace_step
from pyconv.graph.tree import leaves, map_leaves
from pyconv.kernels.threads import get_num_threads
from pyconv.train.step import Inputs, State, TrainingStep

UNRECORDABLE = (TypeError, ValueError, AttributeError, IndexError)  # what code raises that wants values of nodes
OWN = ("optimizer", "average")  # parts of a state that a plan has arrays of its own for


class Eager:
    """Runs steps op by op."""

    def run(self, step: TrainingStep, state: State, inputs: Inputs) -> tuple[Any, Any, State]:
        """(loss, output, state afterwards). The model's arrays are written; if the loss is not finite, nothing is."""
        loss, output, grads, buffers = step.gradients(state, inputs)
        if not np.isfinite(loss):
            return loss, output, state
        new = step.update(state, grads, buffers)
        for kind in ("params", "buffers"):
            for name, array in state[kind].items():
                if new[kind][name] is not array:
                    np.copyto(array, new[kind][name])
        return loss, output, {**new, "params": state["params"], "buffers": state["buffers"]}


class Compiled:
    """Runs steps as plans; a step that cannot be recorded op by op, after a warning.

    Parameters
    ----------
    recompute : bool
        Compute cheap activations again in the backward pass rather than keep them.
    """

    _plan: Any
    _kind: Any  # of what the plan is for
    _own: State  # the arrays that the plan writes: the model's own, and others for the rest
    _refused: Any  # the kind that cannot be recorded

    def __init__(self, recompute: bool = False):
        self.recompute = recompute
        self._forget()

    def run(self, step: TrainingStep, state: State, inputs: Inputs) -> tuple[Any, Any, State]:
        """As `Eager.run`; all arrays of the state are written."""
        given = tuple(name for name, array in inputs._asdict().items() if array is not None)
        modes = tuple(module.training for module in step.model.modules())
        kind = (step, given, modes, kernels.get_backend(), get_num_threads())
        if kind == self._refused:
            return Eager().run(step, state, inputs)
        if kind != self._kind or not self._fits(state):
            reason = self._compile(step, state, inputs)
            if reason is not None:
                result = Eager().run(step, state, inputs)
                warnings.warn(
                    f"the training step cannot be compiled and runs op by op: {reason}."
                    " Trainer(compiled=False) does so without this warning",
                    stacklevel=5,
                )
                self._refused = kind
                return result
            self._kind = kind
        state = self._adopted(state)
        loss, output = self._plan(*(array for array in inputs if array is not None))
        return loss, output, state

    def _forget(self) -> None:
        self._plan = self._kind = self._refused = None
        self._own = {}

    def _compile(self, step: TrainingStep, state: State, inputs: Inputs) -> str | None:
        """Make the plan; None, or why that cannot be."""
        self._forget()
        own = {**state, **{kind: map_leaves(np.array, state[kind]) for kind in OWN}}
        try:
            self._plan = compile_recordable(step, own, inputs, self.recompute)
        except UNRECORDABLE as error:
            return str(error)
        self._own = own
        return None

    def _fits(self, state: State) -> bool:
        """Whether these are the model's arrays that the plan was made for, and all others are like its own."""
        for kind, own in self._own.items():
            given = state[kind]
            if kind in OWN:
                if map_leaves(np.shape, own) != map_leaves(np.shape, given):
                    return False
            elif own.keys() != given.keys() or any(array is not given[name] for name, array in own.items()):
                return False
        return True

    def _adopted(self, state: State) -> State:
        """The state with the plan's own arrays, which take over what was set (a rate) or restored in others."""
        for kind in OWN:
            replaced = False
            for own, given in zip(leaves(self._own[kind]), leaves(state[kind]), strict=True):
                if own is not given:
                    np.copyto(own, given)
                    replaced = True
            if replaced:
                state = {**state, kind: map_leaves(lambda array: array, self._own[kind])}
        return state

    def __getstate__(self) -> dict[str, Any]:
        return {"recompute": self.recompute}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.recompute = state["recompute"]
        self._forget()


def compile_recordable(step: TrainingStep, state: State, inputs: Inputs, recompute: bool) -> Plan:
    """A plan of the step for such inputs.

    Raises
    ------
    TypeError, ValueError, AttributeError, IndexError
        If the step cannot be recorded, or what is recorded is not the same each time.
    """
    names = tuple(name for name, array in inputs._asdict().items() if array is not None)
    arrays = [a for a in inputs if a is not None]

    def function(state: State, *values: Any) -> Any:
        return step(state, Inputs(**dict(zip(names, values, strict=True))))

    first, second = (trace_step(function, arrays, state)[0] for _ in range(2))
    if not _same(first, second):
        raise ValueError("the model computes something else each time, without a random state of its own")
    return compile_step(function, state, *arrays, recompute=recompute)


def _same(a: Graph, b: Graph) -> bool:
    """Whether two graphs compute the same, constants included."""
    if [node.op for node in a.nodes] != [node.op for node in b.nodes]:
        return False
    pairs = [[np.asarray(node.value) for node in pair] for pair in zip(a.constants(), b.constants(), strict=True)]
    return all(np.array_equal(x, y, equal_nan=x.dtype.kind == "f") for x, y in pairs)
