"""Graph: a recorded computation as a value that passes turn into other graphs.

Nothing is hidden in it: inputs, the nodes that ops make of them in the order in which they run, and outputs. Whatever
has a value already is a constant. An output may have a *target*, an input whose memory it replaces once the graph has
run: that is how a training step updates parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from operator import is_
from typing import Any

import numpy as np

from pyconv.ops.node import Node


def are_same(nodes: Sequence[Node | None], others: Sequence[Node | None]) -> bool:
    """Whether these are the very same nodes; == would record a comparison."""
    return len(nodes) == len(others) and all(map(is_, nodes, others))


@dataclass(frozen=True, eq=False)
class Graph:
    """Inputs, nodes in running order, outputs, and for each output the input that it replaces, or None."""

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    nodes: tuple[Node, ...]
    targets: tuple[Node | None, ...]

    @classmethod
    def of(cls, inputs: Iterable[Node], outputs: Sequence[Node], targets: Sequence[Node | None] | None = None) -> Graph:
        """The graph between inputs and outputs, in the order in which its nodes were recorded."""
        nodes = sorted(_reached(outputs), key=lambda node: node.number)
        return cls(tuple(inputs), tuple(outputs), tuple(nodes), tuple(targets or (None,) * len(outputs)))

    def constants(self) -> list[Node]:
        """The nodes with a value that others read, each once."""
        read = [i for node in self.nodes for i in node.inputs if i is not None]
        return list({id(n): n for n in (*read, *self.outputs) if n.value is not None}.values())

    def consumers(self) -> dict[int, list[Node]]:
        """id of a node -> the nodes that read it, once for each time they do; an output counts as read by itself."""
        readers: dict[int, list[Node]] = {id(n): [] for n in (*self.inputs, *self.nodes, *self.constants())}
        for node in self.nodes:
            for i in node.inputs:
                if i is not None:
                    readers[id(i)].append(node)
        for output in self.outputs:
            readers[id(output)].append(output)
        return readers

    def rewrite(self, change: Callable[[Node, tuple[Node | None, ...]], Node | None]) -> Graph:
        """A graph in which `change(node, inputs)` stands for each node, where `inputs` are already changed.

        Where it returns None the node stays, on the changed inputs. New nodes that it records on the way run where the
        node ran; what nobody reads any more is left to the pass `unused`.
        """
        changed: dict[int, Node] = {}
        order: dict[int, Node] = {}

        def place(node: Node) -> None:
            if id(node) in order or node.op is None or node.value is not None:
                return
            for i in node.inputs:
                if i is not None:
                    place(i)
            order[id(node)] = node

        for node in self.nodes:
            inputs = tuple(None if i is None else changed.get(id(i), i) for i in node.inputs)
            new = change(node, inputs)
            if new is None:
                if are_same(inputs, node.inputs):
                    order[id(node)] = node  # after its inputs, which stayed as well
                    continue
                new = Node(node.op, inputs, node.shape, node.dtype, name=node.name)
            if new.shape != node.shape or new.dtype != node.dtype:
                raise ValueError(f"{node!r} cannot become {new!r}: shape and dtype must stay")
            place(new)
            changed[id(node)] = new
        outputs = tuple(changed.get(id(o), o) for o in self.outputs)
        return Graph(self.inputs, outputs, tuple(order.values()), self.targets)

    def evaluate(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """The outputs, computed op by op as eager code would; what plans are held to."""
        values: dict[int, Any] = dict(zip(map(id, self.inputs), arrays, strict=True))

        def read(node: Node | None) -> Any:
            return None if node is None else values[id(node)] if node.value is None else np.asarray(node.value)

        for node in self.nodes:
            assert node.op is not None
            values[id(node)] = node.op.compute(*map(read, node.inputs))
        return [read(output) for output in self.outputs]

    def names(self) -> dict[int, str]:
        """A short name for every input, constant and node, as the text and the picture of the graph use it."""
        named = {id(n): n.name or f"x{i}" for i, n in enumerate(self.inputs)}
        named |= {id(n): f"c{i}" for i, n in enumerate(self.constants())}
        return named | {id(n): f"%{i}" for i, n in enumerate(self.nodes, 1)}

    def __str__(self) -> str:
        names = self.names()
        rows = [(names[id(n)], "input", array_text(n), "") for n in self.inputs]
        rows += [(names[id(n)], "constant", array_text(n), "") for n in self.constants()]
        for node in self.nodes:
            read = ", ".join("-" if i is None else names[id(i)] for i in node.inputs)
            rows.append((names[id(node)], op_text(node), array_text(node), read))
        widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, (*widths, 0), strict=True)).rstrip() for row in rows]
        outputs = [
            names[id(o)] + ("" if t is None else f" -> {names[id(t)]}")
            for o, t in zip(self.outputs, self.targets, strict=True)
        ]
        return "\n".join([*lines, f"returns {', '.join(outputs)}"])


def _reached(outputs: Iterable[Node]) -> list[Node]:
    """Every op's node that the outputs need."""
    found: dict[int, Node] = {}
    stack = list(outputs)
    while stack:
        node = stack.pop()
        if node.op is not None and node.value is None and id(node) not in found:
            found[id(node)] = node
            stack.extend(i for i in node.inputs if i is not None)
    return list(found.values())


def is_constant(node: Node | None) -> bool:
    """Whether an input of an op is left out or known."""
    return node is None or node.value is not None


def array_text(node: Node) -> str:
    """float32 1×3×8×8"""
    return f"{node.dtype} {size_text(node.shape)}"


def size_text(shape: Sequence[int]) -> str:
    """1×3×8×8, and () for a scalar."""
    return "×".join(map(str, shape)) or "()"


_NEUTRAL = {"stride": 1, "padding": 0, "dilation": 1}  # what a convolution or pooling does not mention
_SHOWN = ("shape", "input_size", "dtype", "classes", "reads", "numbers")  # by the shapes of arrays, or not


def op_text(node: Node) -> str:
    """The op with those of its attributes that its shape does not tell: Conv(padding=1)."""
    assert node.op is not None
    said = list(_attributes(node.op))
    return type(node.op).__name__ + (f"({', '.join(said)})" if said else "")


def _attributes(described: Any) -> Iterable[str]:
    for field in fields(described):
        value = getattr(described, field.name)
        if is_dataclass(value):
            yield from _attributes(value)
            continue
        if field.name == "steps":
            yield ", ".join(step.name for step in value)
            continue
        value = _common(value)
        if value not in (field.default, _NEUTRAL.get(field.name)) and field.name not in _SHOWN:
            yield f"{value}" if field.name in ("name", "activation") else f"{field.name}={value}"


def _common(value: Any) -> Any:
    """What all entries of a tuple have in common, or the tuple."""
    while isinstance(value, tuple) and len(value) > 0 and all(v == value[0] for v in value):
        value = value[0]
    return value
