"""Stretches: how a model's nodes become plans.

From a place in the model on, nodes are recorded into our graph for as long as each is one that our kernels serve; what
depends on shapes and constants alone is computed while recording. The nodes so far become one plan. A node that our
kernels do not serve makes a stretch of its own, in which the reference implementation runs it. A value that decides
shapes must be known while recording: if it comes from outside it becomes part of what the stretch is kept by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from pyconv.graph.execute import ArrayLayout
from pyconv.graph.graph import Graph
from pyconv.graph.layout import contiguous
from pyconv.graph.plan import Plan
from pyconv.graph.shared import Folded, Shared
from pyconv.onnx import operators  # noqa: F401  (registers them)
from pyconv.onnx.errors import ModelError
from pyconv.onnx.model import Call, Model
from pyconv.onnx.patterns import recognized
from pyconv.onnx.reference import ReferenceNode
from pyconv.onnx.registry import UndecidedError, UnsupportedError, find, is_plain
from pyconv.ops.node import Node

# Not computed beforehand, though all that they read be known: each run draws anew.
RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Nodes `begin` to `end` - 1: what they read, the plan that runs them, and what they make."""

    begin: int
    end: int
    inputs: tuple[str, ...]  # that the plan takes
    plan: Plan | None  # None where all is known beforehand
    results: tuple[tuple[str, int], ...]  # name -> which of the plan's outputs
    known: dict[str, Any]  # values that shapes and constants decide
    same: tuple[tuple[str, str], ...]  # name -> another name of the same value from outside
    done: tuple[str, ...]  # names that nobody reads any more

    def run(self, values: dict[str, Any]) -> None:
        """Add what the nodes make to `values`, and drop what is done with."""
        if self.plan is not None:
            made = self.plan(*(values[name] for name in self.inputs))
            values.update((name, made[place]) for name, place in self.results)
        values.update(self.known)
        for name, other in self.same:
            values[name] = values[other]
        for name in self.done:
            values.pop(name, None)

    def makes(self, names: Sequence[str]) -> bool:
        """Whether the plan's results are exactly these, each in an array of its own."""
        return (
            self.plan is not None
            and sorted(name for name, _ in self.results) == sorted(names)
            and len({place for _, place in self.results}) == len(names)
        )

    def run_into(self, values: dict[str, Any], out: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Run into the caller's arrays, without allocating any."""
        assert self.plan is not None
        places = sorted(self.results, key=lambda result: result[1])
        self.plan(*(values[name] for name in self.inputs), out=[out[name] for name, _ in places])
        return list(out.values())

    def explain(self) -> str:
        """What runs, as text."""
        if self.plan is None:
            return f"nodes {self.begin} to {self.end - 1}: known beforehand"
        return f"nodes {self.begin} to {self.end - 1}:\n{self.plan.explain()}"


@dataclass(frozen=True, slots=True, eq=False)
class Foreign:
    """One node that the reference implementation runs."""

    begin: int
    end: int
    node: ReferenceNode
    reason: str
    done: tuple[str, ...]

    def run(self, values: dict[str, Any]) -> None:
        """Add what the node makes to `values`, and drop what is done with."""
        values.update(zip(self.node.call.outputs, self.node(values), strict=True))
        for name in self.done:
            values.pop(name, None)

    def explain(self) -> str:
        """The node, and why no plan holds it."""
        return f"node {self.begin}: {self.node.call.label} runs in onnx.reference ({self.reason})"


class StaticError(Exception):
    """A value from outside must be known while recording."""

    def __init__(self, name: str):
        super().__init__(name)
        self.name = name


class Recorder:
    """Records a model's nodes from `begin` on, for values like those of one call."""

    def __init__(self, model: Model, begin: int, values: dict[str, Any], statics: set[str]):
        self.model = model
        self.begin = begin
        self.values = values  # from outside
        self.statics = statics  # names of those whose values may be looked at
        self.inputs: dict[str, Node] = {}  # placeholders that were asked for
        self.local: dict[str, Any] = {}  # what the recorded nodes make: nodes or arrays
        self.fixed = set(model.constants) - values.keys()  # names of what no input decides

    def record(self, threads: int | None, shared: Shared) -> Stretch | Foreign:
        """The stretch that begins here, whose plan shares what it can with others of the model.

        Raises
        ------
        StaticError
            If a value from outside must be looked at, and is not among `statics`.
        """
        position, reason = self.begin, ""
        while position < len(self.model.calls):
            call = self.model.calls[position]
            try:
                made = self._made(call)
            except UndecidedError as error:
                for name, node in self.inputs.items():
                    if node is error.node:
                        raise StaticError(name) from None
                reason = str(error)
                break
            except UnsupportedError as error:
                reason = str(error)
                break
            self._check_sizes(call, made)
            self.local.update((name, value) for name, value in zip(call.outputs, made, strict=False) if name)
            position += 1
        if position == self.begin:
            call = self.model.calls[position]
            reference = ReferenceNode(call, self.model)
            return Foreign(self.begin, position + 1, reference, reason, self._done(call.reads, position + 1))
        return self._stretch(position, threads, shared)

    def _value(self, name: str) -> Any:
        """A node, an array, or a weight in its file; None for an input left out."""
        if not name:
            return None
        if name in self.local:
            return self.local[name]
        if name in self.inputs:
            return self.inputs[name]
        if name not in self.values:
            return self.model.constants[name]
        value = self.values[name]
        if not isinstance(value, np.ndarray):
            raise UnsupportedError("a value that is no array")
        if name in self.statics:
            return value
        if not is_plain(value.dtype):
            raise UnsupportedError(str(value.dtype))
        self.inputs[name] = Node.placeholder(value.shape, value.dtype, name)
        return self.inputs[name]

    def _made(self, call: Call) -> Sequence[Any]:
        """What a node makes, recorded; or computed, where all that it reads is known.

        What constants alone decide is taken from earlier recordings while a plan still uses it, so that plans share it.
        """
        fixed = all(name in self.fixed for name in call.reads) and call.op_type not in RANDOM
        known = [self.model.folded.get(name) for name in call.outputs] if fixed else [None]
        if fixed:
            self.fixed.update(call.outputs)
        if all(array is not None for array in known):
            return known
        made = self._computed(call)
        for name, value in zip(call.outputs, made, strict=False):
            if fixed and name and isinstance(value, np.ndarray):
                self.model.folded[name] = value
        return made

    def _computed(self, call: Call) -> Sequence[Any]:
        values = [self._value(name) for name in call.inputs]
        recorded = any(type(v) is Node for v in values)
        for place, value in enumerate(values):
            if isinstance(value, Folded):  # recorded, it stays in its file until it is packed
                values[place] = Node(None, (), value.shape, value.dtype, value) if recorded else np.asarray(value)
        read = self.model.last_read
        wanted = max((i + 1 for i, name in enumerate(call.outputs) if name in read), default=0)
        entry = find(call.domain, call.op_type, call.version)
        try:
            if entry is None:
                raise UnsupportedError("no entry of ours")
            if call.captured:
                raise UnsupportedError("it takes values from around it")
            if any(v is not None and not is_plain(v.dtype) for v in values):
                raise UnsupportedError("a dtype that is not NumPy's own")
            return entry(values, call.attributes, len(call.outputs), wanted)
        except UnsupportedError:
            if any(type(v) is Node for v in values) or call.captured or call.op_type in RANDOM:
                raise
            made = ReferenceNode(call, self.model)(dict(zip(call.inputs, values, strict=True)))
            if not all(isinstance(v, np.ndarray) or v is None for v in made):
                raise
            return made

    def _check_sizes(self, call: Call, made: Sequence[Any]) -> None:
        """Refuse what would take more memory than allowed, before anything is allocated for it."""
        limit = self.model.memory_limit
        largest = max((prod(v.shape) * v.dtype.itemsize for v in made if type(v) is Node), default=0)
        if limit is not None and largest > limit:
            raise ModelError(
                f"{call.label} makes an array of {largest:,} bytes, past the memory limit of {limit:,}; a larger "
                "memory_limit would let it be"
            )

    def _stretch(self, end: int, threads: int | None, shared: Shared) -> Stretch:
        last = self.model.last_read
        wanted = {name: value for name, value in self.local.items() if last.get(name, -1) >= end}
        name_of = {id(node): name for name, node in self.inputs.items()}
        known = {name: _read_only(value) for name, value in wanted.items() if type(value) is not Node}
        same = tuple((name, name_of[id(node)]) for name, node in wanted.items() if id(node) in name_of)
        computed = {n: v for n, v in wanted.items() if type(v) is Node and id(v) not in name_of}
        outputs = list({id(node): node for node in computed.values()}.values())
        places = {id(node): place for place, node in enumerate(outputs)}
        plan = None
        if outputs:
            graph = recognized(Graph.of(self.inputs.values(), outputs))
            layouts = [
                ArrayLayout(node.shape, contiguous(node.shape, node.dtype.itemsize), node.dtype)
                for node in self.inputs.values()
            ]
            plan = Plan(_Replay(graph), layouts, threads, shared=shared)
        read = [name for call in self.model.calls[self.begin : end] for name in call.reads]
        return Stretch(
            self.begin,
            end,
            tuple(self.inputs) if plan else (),
            plan,
            tuple((name, places[id(node)]) for name, node in computed.items()),
            known,
            same,
            self._done(read, end),
        )

    def _done(self, names: Sequence[str], end: int) -> tuple[str, ...]:
        last = self.model.last_read
        return tuple(name for name in dict.fromkeys(names) if last[name] < end)


def _read_only(value: Any) -> Any:
    """A view that nobody writes to: later runs read the same memory."""
    if isinstance(value, np.ndarray):
        value = value.view()
        value.flags.writeable = False
    return value


class _Replay:
    """The function that a recorded graph stands for: the same ops on other inputs."""

    def __init__(self, graph: Graph):
        self.graph = graph

    def __call__(self, *inputs: Node) -> list[Any]:
        stands: dict[int, Any] = dict(zip(map(id, self.graph.inputs), inputs, strict=True))
        for node in self.graph.nodes:
            assert node.op is not None
            stands[id(node)] = node.op(*(None if i is None else stands.get(id(i), i) for i in node.inputs))
        return [stands.get(id(output), output) for output in self.graph.outputs]
