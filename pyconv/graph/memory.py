"""Memory planning: where every array of a graph lies, decided before anything runs.

Views (reshapes, transpositions, slices, broadcasts) are aliases of what they look at. An elementwise op overwrites an
input that nobody needs any more. What an output is computed by writes into the output's own memory. All else lies in
one arena, where two arrays share bytes only if they are never needed at the same time.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from pyconv.graph.graph import Graph
from pyconv.graph.layout import (
    VIEWS,
    Strides,
    channels_last,
    channels_last_strides,
    contiguous,
    reshaped,
    same_order,
    stand_in,
)
from pyconv.graph.shared import Folded
from pyconv.ops.elementwise import Cast
from pyconv.ops.node import Node, Op
from pyconv.ops.reduce import Reshape
from pyconv.ops.shape import Concat, Slice

ALIGNMENT = 64  # bytes: a cache line, and the widest vector


@dataclass(slots=True, eq=False)
class Storage:
    """A piece of memory: part of the arena for the steps from `begin` to `end`, or a whole array from outside."""

    segment: str  # arena, call (what a call brings: its inputs, then its outputs), fixed (further inputs) or constant
    number: int  # which one of them
    nbytes: int
    begin: int = 0
    end: int = 0
    offset: int = 0  # in the arena


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """An array: a storage, and how it is seen. `path` makes it from the whole array of a storage outside the arena."""

    storage: Storage
    shape: tuple[int, ...]
    strides: Strides
    dtype: np.dtype
    offset: int = 0  # of the first element, in bytes from the storage's
    path: tuple[Op, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One kernel to run: out and operands are views; `node` is what it computes, None for a copy into an output."""

    kernel: str
    out: View
    operands: tuple[View | None, ...]
    attributes: tuple[Any, ...] = ()
    algorithm: str = "auto"
    node: Node | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Steps in running order, and the bytes of the arena they work in."""

    steps: list[Step]
    constants: list[np.ndarray | Folded]
    arena_bytes: int
    live_bytes: int  # the most that is needed at one time: no arena can be smaller
    brought: int  # how many inputs a call brings

    def reads_late(self) -> bool:
        """Whether a step may read an input of a call when part of an output is written already."""
        written = False
        for step in self.steps:
            written |= self._is_outside(step.out, inputs=False)
            if written and any(v is not None and self._is_outside(v, inputs=True) for v in step.operands):
                return True
        return False

    def _is_outside(self, view: View, inputs: bool) -> bool:
        return view.storage.segment == "call" and (view.storage.number < self.brought) == inputs


def place(graph: Graph, inputs: Sequence[Strides], outputs: Sequence[Strides], fixed: int = 0) -> Placement:
    """Give every array of the graph its place, for inputs and outputs of these strides in bytes.

    The last `fixed` inputs are the same arrays in every call. Outputs with a target come last, and have no strides.
    """
    planner = _Planner(graph, inputs, outputs, len(inputs) - fixed)
    steps = planner.run()
    arena = [s for s in planner.storages if s.segment == "arena"]
    return Placement(steps, planner.constants, _pack(arena), _live(arena), len(inputs) - fixed)


class _Planner:
    def __init__(self, graph: Graph, inputs: Sequence[Strides], outputs: Sequence[Strides], brought: int):
        self.graph = graph
        self.images = channels_last(graph)
        self.storages: list[Storage] = []
        self.constants: list[np.ndarray | Folded] = []
        self.views: dict[int, View] = {}
        self.time = {id(node): i for i, node in enumerate(graph.nodes)}
        self.end = len(graph.nodes)  # when outputs are read
        self.readers = self._find_readers()
        for number, (node, strides) in enumerate(zip(graph.inputs, inputs, strict=True)):
            storage = Storage("call", number, 0) if number < brought else Storage("fixed", number - brought, 0)
            self._outside(node, storage, strides)
        for node in graph.constants():
            assert node.value is not None
            self._outside(node, Storage("constant", len(self.constants), 0), node.value.strides)
            self.constants.append(node.value)
        self.results = [  # where each output goes
            View(Storage("call", brought + j, 0), o.shape, tuple(outputs[j]), o.dtype)
            if target is None
            else self.views[id(target)]
            for j, (o, target) in enumerate(zip(graph.outputs, graph.targets, strict=True))
        ]
        self.claimed = self._claim()
        self.parts = self._find_parts()

    def run(self) -> list[Step]:
        steps = []
        for time, node in enumerate(self.graph.nodes):
            steps += self._step(time, node)
        return steps + list(self._copies())

    # --- who reads what

    def _find_readers(self) -> dict[int, list[tuple[int, Node]]]:
        """id of a node -> (time, node) of every step that reads its memory, views of it included."""
        readers: dict[int, list[tuple[int, Node]]] = {
            id(n): [] for n in (*self.graph.inputs, *self.graph.constants(), *self.graph.nodes)
        }
        for output in self.graph.outputs:
            readers[id(output)].append((self.end, output))
        for node in reversed(self.graph.nodes):
            own = readers[id(node)] if isinstance(node.op, VIEWS) else []
            for i in {id(i) for i in node.inputs if i is not None}:
                readers[i] += [(self.time[id(node)], node), *own]
        return readers

    def _last(self, node: Node) -> int:
        return max((time for time, _ in self.readers[id(node)]), default=self.time[id(node)])

    # --- what lies outside of the arena

    def _outside(self, node: Node, storage: Storage, strides: Strides) -> None:
        self.views[id(node)] = View(storage, node.shape, tuple(strides), node.dtype)

    def _claim(self) -> dict[int, View]:
        """id of a node -> the view of an output's memory that it may compute into."""
        claimed: dict[int, View] = {}
        for output, target, result in zip(self.graph.outputs, self.graph.targets, self.results, strict=True):
            node, view = output, result
            if target is None:
                while isinstance(node.op, Reshape) and _is_contiguous(result) and node.inputs[0] is not None:
                    node = node.inputs[0]
                    strides = contiguous(node.shape, node.dtype.itemsize)
                    view = replace(view, shape=node.shape, strides=strides, path=(Reshape(node.shape),))
            if node.op is None or node.value is not None or isinstance(node.op, VIEWS) or id(node) in claimed:
                continue
            if target is None or self._replaces(node, target):
                claimed[id(node)] = view
        return claimed

    def _replaces(self, node: Node, target: Node) -> bool:
        """Whether the node may be written over an input: all that read the old value have run, or are in step."""
        here = self.time[id(node)]
        if any(time > here for time, _ in self.readers[id(target)]):
            return False
        if any(reader is node for _, reader in self.readers[id(target)]):
            assert node.op is not None
            direct = [slot for slot, i in enumerate(node.inputs) if i is target]
            through = [i for i in node.inputs if i is not None and i is not target and self._root(i) is target]
            return not through and all(slot in node.op.in_place for slot in direct) and node.shape == target.shape
        return True

    def _root(self, node: Node) -> Node:
        while isinstance(node.op, VIEWS):
            node = node.inputs[0]  # type: ignore[assignment]
        return node

    # --- one node

    def _step(self, time: int, node: Node) -> list[Step]:
        op = node.op
        assert op is not None
        operands = tuple(None if i is None else self.views[id(i)] for i in node.inputs)
        first = operands[0]
        if isinstance(op, VIEWS) and first is not None:
            view = _aliased(op, first)
            if view is not None:
                self.views[id(node)] = view
                return []
            return self._copy_reshaped(time, node, first)
        if isinstance(op, Concat):
            return self._join(time, node)
        out = self._given(time, node) or self._over_an_input(time, node, operands) or self._fresh(time, node)
        self.views[id(node)] = out
        if isinstance(op, Cast):
            return [Step("copy", out, operands, node=node)]
        return [Step(op.kernel, out, operands, op.attributes(*node.inputs), op.algorithm, node)]

    def _strides(self, node: Node) -> Strides:
        """The memory order that the node's array should have."""
        if id(node) in self.images:
            return channels_last_strides(node.shape, node.dtype.itemsize)
        assert node.op is not None
        views = [None if i is None else self.views[id(i)] for i in node.inputs]
        return node.op.allocate(*(None if v is None else stand_in(v.shape, v.strides, v.dtype) for v in views)).strides

    def _fresh(self, time: int, node: Node, strides: Strides | None = None) -> View:
        storage = Storage("arena", 0, _nbytes(node), time, self._last(node))
        self.storages.append(storage)
        return View(storage, node.shape, strides or self._strides(node), node.dtype)

    # --- concatenation

    def _find_parts(self) -> dict[int, tuple[Node, int]]:
        """id of a node -> the concatenation that alone reads it, and where it begins there; it is computed in place."""
        parts: dict[int, tuple[Node, int]] = {}
        for node in self.graph.nodes:
            if not isinstance(node.op, Concat) or id(node) not in self.images:
                continue
            if id(node) in self.claimed and self.claimed[id(node)].storage.segment == "fixed":
                continue  # the old value may still be needed when the first part is computed
            begin = 0
            for i in node.inputs:
                assert i is not None
                computed = id(i) in self.time and not isinstance(i.op, (*VIEWS, Concat))
                if computed and i.dtype == node.dtype and [reader for _, reader in self.readers[id(i)]] == [node]:
                    parts.setdefault(id(i), (node, begin))
                begin += i.shape[node.op.axis]
        return parts

    def _given(self, time: int, node: Node) -> View | None:
        """The place of a node whose result is to stand in an output or in a concatenation."""
        if id(node) not in self.parts:
            return self.claimed.get(id(node))
        whole, begin = self.parts[id(node)]
        return _part(self._whole(time, whole), whole, begin, node.shape)

    def _whole(self, time: int, node: Node) -> View:
        """Where a concatenation stands, from when its first part is computed."""
        if id(node) not in self.views:
            self.views[id(node)] = self.claimed.get(id(node)) or self._fresh(time, node)
        return self.views[id(node)]

    def _join(self, time: int, node: Node) -> list[Step]:
        """A copy for each part of a concatenation that is not yet there."""
        assert isinstance(node.op, Concat)
        whole, begin, steps = self._whole(time, node), 0, []
        for i in node.inputs:
            assert i is not None
            if id(i) not in self.parts or self.parts[id(i)][1] != begin:  # or it stands there twice
                steps.append(Step("copy", _part(whole, node, begin, i.shape), (self.views[id(i)],), node=node))
            begin += i.shape[node.op.axis]
        return steps

    # --- elementwise

    def _over_an_input(self, time: int, node: Node, operands: Sequence[View | None]) -> View | None:
        """The memory of an input that this op is the last to read, if the result fits it exactly."""
        assert node.op is not None
        slots = [operands[slot] for slot in node.op.in_place]
        wanted = self._strides(node) if any(s is not None and s.storage.segment == "arena" for s in slots) else ()
        for view in slots:
            if view is None or view.storage.segment != "arena" or view.storage.end > time:
                continue
            if (view.shape, view.dtype) != (node.shape, node.dtype) or not same_order(node.shape, view.strides, wanted):
                continue
            sharing = [(slot, other) for slot, other in enumerate(operands) if other and other.storage is view.storage]
            if all(_same(other, view) and slot in node.op.in_place for slot, other in sharing):
                view.storage.end = self._last(node)
                return view
        return None

    def _copy_reshaped(self, time: int, node: Node, x: View) -> list[Step]:
        """A Reshape that must move elements: to channels-last if they go there in one copy, else to C order."""
        itemsize = node.dtype.itemsize
        strides = channels_last_strides(node.shape, itemsize) if node.ndim > 2 else ()
        if not strides or reshaped(node.shape, strides, x.shape) is None:
            strides = contiguous(node.shape, itemsize)
        self.views[id(node)] = out = self._fresh(time, node, strides)
        as_x = _aliased(Reshape(x.shape), out)
        assert as_x is not None
        return [Step("copy", as_x, (x,), node=node)]

    # --- the end

    def _copies(self) -> Iterator[Step]:
        """What is not yet where it is wanted; first into outputs, then over the inputs that are replaced."""
        written = {id(r.storage) for r, t in zip(self.results, self.graph.targets, strict=True) if t is not None}
        late = []
        for output, target, result in zip(self.graph.outputs, self.graph.targets, self.results, strict=True):
            view = self.views[id(output)]
            if view.storage is result.storage and _same(view, result):
                continue
            if target is None:
                yield Step("copy", result, (view,))
                continue
            if id(view.storage) in written:  # it may be replaced before it is read
                kept = Storage("arena", 0, _nbytes(output), self.end, self.end)
                self.storages.append(kept)
                copy = View(kept, output.shape, contiguous(output.shape, output.dtype.itemsize), output.dtype)
                yield Step("copy", copy, (view,))
                view = copy
            late.append(Step("copy", result, (view,)))
        yield from late


def _aliased(op: Op, x: View) -> View | None:
    """The view that an op of `VIEWS` has of x; None if it must move elements."""
    path = () if x.storage.segment == "arena" else (*x.path, op)
    if isinstance(op, Reshape):
        strides = reshaped(x.shape, x.strides, op.shape)
        return None if strides is None else replace(x, shape=op.shape, strides=strides, path=path)
    whole = stand_in(x.shape, x.strides, x.dtype)
    part = op.compute(whole)
    offset = x.offset + part.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
    return replace(x, shape=part.shape, strides=part.strides, offset=offset, path=path)


def _part(whole: View, node: Node, begin: int, shape: tuple[int, ...]) -> View:
    """The view of a part of a concatenation."""
    assert isinstance(node.op, Concat)
    ranges = tuple((begin if a == node.op.axis else 0, n, 1) for a, n in enumerate(shape))
    part = _aliased(Slice(ranges), whole)
    assert part is not None
    return part


def _same(a: View, b: View) -> bool:
    return (a.offset, a.shape, a.dtype) == (b.offset, b.shape, b.dtype) and same_order(a.shape, a.strides, b.strides)


def _is_contiguous(view: View) -> bool:
    return same_order(view.shape, view.strides, contiguous(view.shape, view.dtype.itemsize))


def _nbytes(node: Node) -> int:
    return prod(node.shape) * node.dtype.itemsize


def _pack(storages: Sequence[Storage]) -> int:
    """Give storages their offsets, the largest first, each the lowest that is free while it is needed; bytes in all."""
    placed: list[Storage] = []  # by offset
    total = 0
    for storage in sorted(storages, key=lambda s: (-s.nbytes, s.begin)):
        offset, best, room = 0, None, None
        for other in placed:
            if other.begin > storage.end or storage.begin > other.end:
                continue
            gap = other.offset - offset
            if gap >= storage.nbytes and (room is None or gap < room):
                best, room = offset, gap
            offset = max(offset, _aligned(other.offset + other.nbytes))
        storage.offset = offset if best is None else best
        total = max(total, storage.offset + storage.nbytes)
        insort(placed, storage, key=_offset)
    return total


def _offset(storage: Storage) -> int:
    return storage.offset


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def _live(storages: Sequence[Storage]) -> int:
    """The largest sum of storages that are needed at one time."""
    change: dict[int, int] = {}
    for storage in storages:
        change[storage.begin] = change.get(storage.begin, 0) + storage.nbytes
        change[storage.end + 1] = change.get(storage.end + 1, 0) - storage.nbytes
    live = largest = 0
    for time in sorted(change):
        live += change[time]
        largest = max(largest, live)
    return largest
