"""Writing graphs as ONNX: nodes and initializers as they come, and the registry of rules, one for each op.

A rule takes a `Writer`, the recorded node, and the names of its inputs in the file (None for one left out); it writes
the ONNX nodes that compute it and returns the name of the result. What nobody reads in the end is left out. Arrays that
the model holds become initializers; what a rule needs besides becomes a Constant, so that whoever trains the file can
tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, helper, numpy_helper

from pyconv.ops.node import Node, Op

OPSET, IR_VERSION = 18, 8
Rule = Callable[..., str]
_RULES: dict[type[Op], Rule] = {}


def rule(*ops: type[Op]) -> Callable[[Rule], Rule]:
    """Register a function that writes these ops."""

    def register(function: Rule) -> Rule:
        _RULES.update(dict.fromkeys(ops, function))
        return function

    return register


class Writer:
    """The nodes and initializers of one file.

    `other` maps each recorded node to the same node of a graph recorded for another batch size, where the batch may
    vary, and is empty where it may not. Names that are `reserved` are given to no node.
    """

    def __init__(self, names: dict[int, str], other: dict[int, Node], reserved: Sequence[str] = ()):
        self.names = names  # id of a recorded node -> its name in the file
        self.other = other
        self.nodes: list[NodeProto] = []
        self.initializers: dict[str, np.ndarray] = {}
        self.finished: set[str] = set()  # names of outputs
        self._taken = {*names.values(), *reserved}
        self._numbers: dict[tuple[Any, ...], str] = {}  # small constants that are there already

    def write(self, node: Node) -> None:
        """Write what computes a recorded node.

        Raises
        ------
        ValueError
            If there is no rule for its op, or ONNX has no way to say it.
        """
        assert node.op is not None
        write = _RULES.get(type(node.op))
        if write is None:
            raise ValueError(
                f"a model with the op {type(node.op).__name__} cannot be exported: ONNX has no counterpart"
            )
        self.names[id(node)] = write(self, node, *map(self.name, node.inputs))

    def name(self, node: Node | None) -> str | None:
        """The name of a node that is written, or of a constant."""
        if node is None:
            return None
        if id(node) not in self.names:
            assert node.value is not None
            if node.size == 1:
                self.names[id(node)] = self.constant(node.value)
            else:
                self.names[id(node)] = name = self._free("weight")
                self.initializers[name] = node.value
        return self.names[id(node)]

    def add(self, op_type: str, *inputs: str | None, **attributes: Any) -> str:
        """Write a node of one output, and give its name; attributes that are None are left out."""
        name = self._free(op_type.lower())
        given = [i or "" for i in inputs]
        while given and not given[-1]:
            given.pop()
        said = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(op_type, given, [name], name, **said))
        return name

    def constant(self, value: Any, dtype: Any = None) -> str:
        """A Constant; equal small ones are written once."""
        array = np.asarray(value, dtype)
        key = (array.shape, array.dtype, array.tobytes() if array.size <= 64 else id(value))
        if key not in self._numbers:
            self._numbers[key] = self.add("Constant", value=numpy_helper.from_array(array))
        return self._numbers[key]

    def like(self, value: float, node: Node) -> str:
        """A number in a node's dtype."""
        return self.constant(value, node.dtype)

    def integers(self, values: Sequence[int]) -> str:
        """A list of sizes or axes."""
        return self.constant(list(values), np.int64)

    def varying(self, node: Node) -> list[int]:
        """The axes whose size goes with the batch."""
        twin = self.other.get(id(node), node)
        return [axis for axis, (n, m) in enumerate(zip(node.shape, twin.shape, strict=True)) if n != m]

    def reshape(self, x: str, node: Node) -> str:
        """x in the shape of a node."""
        varying, shape = self.varying(node), list(node.shape)
        if len(varying) > 1:
            raise ValueError(f"two axes of the shape {node.shape} go with the batch: export with dynamic_batch=False")
        for axis in varying:
            shape[axis] = -1
        return self.add("Reshape", x, self.integers(shape), allowzero=1 if 0 in shape else None)

    def cast(self, x: str, node: Node, dtype: Any) -> str:
        """x, which has a node's dtype, in another."""
        if node.dtype == dtype:
            return x
        return self.add("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def rename(self, old: str, new: str) -> None:
        """Give a node's result another name."""
        for node in self.nodes:
            node.input[:] = [new if name == old else name for name in node.input]
            node.output[:] = [new if name == old else name for name in node.output]

    def needed(self, outputs: Sequence[str]) -> tuple[list[NodeProto], dict[str, np.ndarray]]:
        """The nodes and initializers that lead to the outputs."""
        needed, kept = set(outputs), []
        for node in reversed(self.nodes):
            if not needed.isdisjoint(node.output):
                needed.update(node.input)
                kept.append(node)
        return kept[::-1], {name: array for name, array in self.initializers.items() if name in needed}

    def _free(self, stem: str) -> str:
        """A name that nothing has yet."""
        number = 0
        while f"{stem}_{number}" in self._taken:
            number += 1
        self._taken.add(f"{stem}_{number}")
        return f"{stem}_{number}"
