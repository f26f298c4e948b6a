"""A model file, read and checked: its inputs, outputs, constants, and its nodes in an order in which they can run.

Everything that a file could get wrong is looked at here, before anything is allocated for it or run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import onnx
import onnx.inliner
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, ValueInfoProto

from pyconv.graph.shared import Folded
from pyconv.onnx.errors import ModelError
from pyconv.onnx.tensors import Budget, to_array
from pyconv.onnx.wire import Data, apart

NESTING = 16  # graphs inside of attributes of nodes inside of …
MEMORY_LIMIT = 4 << 30  # bytes that constants may take, unless the caller says otherwise


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One node: an operator, the names it reads and makes, and its attributes as Python values."""

    proto: NodeProto
    domain: str
    op_type: str
    version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    captured: tuple[str, ...]  # names that the graphs in its attributes take from around it

    @property
    def label(self) -> str:
        """What messages call it: Conv 'features.0'."""
        return f"{self.op_type} {self.proto.name or (self.outputs[0] if self.outputs else '')!r}"

    @property
    def reads(self) -> tuple[str, ...]:
        """Every name that it needs."""
        return tuple(name for name in (*self.inputs, *self.captured) if name)


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A checked model."""

    inputs: dict[str, ValueInfoProto]  # that a call must bring
    optional: dict[str, ValueInfoProto]  # that a call may bring in place of a constant
    outputs: dict[str, ValueInfoProto]
    constants: dict[str, Any]
    calls: list[Call]
    opsets: dict[str, int]
    last_read: dict[str, int] = field(default_factory=dict)  # name -> the number of the last call that reads it
    memory_limit: int | None = None  # bytes that any one array may take which the model makes
    about: ModelProto = field(default_factory=ModelProto)  # who made it, and whatever they wrote into it; no graph
    folded: WeakValueDictionary[str, np.ndarray] = field(default_factory=WeakValueDictionary)  # made of constants alone

    def constant(self, name: str) -> Any:
        """A constant in memory."""
        value = self.constants[name]
        return np.asarray(value) if isinstance(value, Folded) else value


def read(source: Any, memory_limit: int | None = MEMORY_LIMIT, *, stay: bool = False) -> Model:
    """A checked model from a path, bytes, or a `ModelProto`.

    Large weights that are read as weights alone `stay` in the file, if there is one: such a constant is a `Folded`.

    Raises
    ------
    ModelError
        If it is broken or hostile, or needs operators that nobody knows (all of them are named).
    """
    with _parsed(source) as (proto, folder, data):
        return _checked(proto, folder, data, memory_limit, stay)


def _checked(proto: ModelProto, folder: Path | None, data: Data | None, memory_limit: int | None, stay: bool) -> Model:
    _check_nesting(proto.graph, 0)
    _refuse_training(proto)
    if proto.functions:
        proto = _inlined(proto)
    opsets = {("" if o.domain == "ai.onnx" else o.domain): o.version for o in proto.opset_import}
    newest = onnx.defs.onnx_opset_version()
    if not opsets:
        raise ModelError("the model imports no operator set")
    if opsets.get("", 1) > newest:
        raise ModelError(f"the model needs operator set {opsets['']}, and the installed onnx knows {newest} at most")
    if not all(0 < version < 1 << 31 for version in opsets.values()):
        raise ModelError(f"the model imports operator sets that there cannot be: {opsets}")
    _check_operators(proto.graph, opsets)
    budget = Budget(memory_limit)
    staying = _weights(proto.graph) if stay else set()
    constants = {
        t.name: to_array(t, folder, budget, data, i, t.name in staying) for i, t in enumerate(proto.graph.initializer)
    }
    for sparse in proto.graph.sparse_initializer:
        constants[sparse.values.name] = _dense(sparse, folder, budget)
    for array in constants.values():
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    inputs = {i.name: _detached(i) for i in proto.graph.input if i.name not in constants}
    optional = {i.name: _detached(i) for i in proto.graph.input if i.name in constants}
    calls = [_call(node, opsets, folder, budget) for node in proto.graph.node]
    outputs = {o.name: _detached(o) for o in proto.graph.output}
    last_read = _check_order(calls, {*inputs, *constants}, outputs)
    return Model(inputs, optional, outputs, constants, calls, opsets, last_read, memory_limit, _about(proto))


def _weights(graph: GraphProto) -> set[str]:
    """The names that nodes read as they are for the weights of a convolution or linear layer, and for nothing else."""
    weights: set[str] = set()
    others = {value.name for value in (*graph.input, *graph.output)}
    for node in graph.node:
        as_weights = node.domain in ("", "ai.onnx") and node.op_type in ("Conv", "ConvTranspose", "Gemm")
        if as_weights and node.op_type == "Gemm":
            factors = {a.name: a.i if a.name == "transB" else a.f for a in node.attribute}
            as_weights = factors.get("transB", 0) == 1 and factors.get("alpha", 1.0) == 1
        for place, name in enumerate(node.input):
            (weights if as_weights and place == 1 else others).add(name)
        others.update(name for inner in _graphs(node) for name in _captured(inner))
    return weights - others


def _about(proto: ModelProto) -> ModelProto:
    """The file without its graph, of which the name alone stays."""
    about = ModelProto(
        producer_name=proto.producer_name,
        domain=proto.domain,
        doc_string=proto.doc_string,
        model_version=proto.model_version,
        metadata_props=proto.metadata_props,
    )
    about.graph.name, about.graph.doc_string = proto.graph.name, proto.graph.doc_string
    return about


def _detached(message: Any) -> Any:
    """A copy of part of a message, which would keep all of it in memory."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


@contextmanager
def _parsed(source: Any) -> Iterator[tuple[ModelProto, Path | None, Data | None]]:
    """The protobuf message, the folder in which its external data may lie, and the data that the message lacks."""
    if isinstance(source, ModelProto):
        yield source, None, None
        return
    folder = None
    if isinstance(source, (str, PathLike)):
        source = Path(fspath(source))
        folder = source.parent
    elif isinstance(source, (bytes, bytearray, memoryview)):
        source = bytes(source)
    else:
        raise TypeError(f"a model must be a path, bytes or a ModelProto, not {type(source).__name__}")
    with apart(source) as parts:
        message, data = parts or (source if folder is None else source.read_bytes(), None)
        proto = ModelProto()
        try:
            proto.ParseFromString(message)
        except (DecodeError, RuntimeError) as error:
            raise ModelError(f"this is no ONNX model, or a truncated one: {error}") from None
        if not proto.HasField("graph"):
            raise ModelError("this is no ONNX model: it holds no graph")
        yield proto, folder, data


def _graphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _check_nesting(graph: GraphProto, depth: int) -> None:
    if depth > NESTING:
        raise ModelError(f"the model nests graphs more than {NESTING} deep")
    for node in graph.node:
        for inner in _graphs(node):
            _check_nesting(inner, depth + 1)


def _refuse_training(proto: ModelProto) -> None:
    if proto.training_info:
        raise ModelError("the model brings a training graph of its own (training_info), which is not run here")


def _inlined(proto: ModelProto) -> ModelProto:
    """The model with the functions that it defines written out where they are called."""
    try:
        return onnx.inliner.inline_local_functions(proto)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"the functions that the model defines cannot be written out: {error}") from None


def _check_operators(graph: GraphProto, opsets: dict[str, int]) -> None:
    """Name every operator that is not known, all at once."""
    unknown: dict[str, list[str]] = {}

    def look(inside: GraphProto) -> None:
        for node in inside.node:
            if not all(
                isinstance(text, str) for text in (node.op_type, node.domain, node.name, *node.input, *node.output)
            ):
                raise ModelError("the model names nodes, operators or values in bytes that are no text")
            domain = "" if node.domain == "ai.onnx" else node.domain
            try:
                known = domain in opsets and onnx.defs.get_schema(node.op_type, opsets[domain], domain)
            except onnx.defs.SchemaError:
                known = None
            if not known:
                operator = f"{domain}::{node.op_type}" if domain else node.op_type
                unknown.setdefault(operator, []).append(node.name or next(iter(node.output), "without a name"))
            for inner in _graphs(node):
                look(inner)

    look(graph)
    if unknown:
        listed = "; ".join(f"{operator} (nodes {', '.join(nodes)})" for operator, nodes in sorted(unknown.items()))
        raise ModelError(f"the model needs operators that are in none of its operator sets: {listed}")


def _call(node: NodeProto, opsets: dict[str, int], folder: Path | None, budget: Budget) -> Call:
    domain = "" if node.domain == "ai.onnx" else node.domain
    captured = dict.fromkeys(name for graph in _graphs(node) for name in _captured(graph))
    return Call(
        _detached(node),
        domain,
        node.op_type,
        opsets[domain],
        tuple(node.input),
        tuple(node.output),
        {a.name: _attribute(a, node, folder, budget) for a in node.attribute},
        tuple(captured),
    )


def _captured(graph: GraphProto) -> list[str]:
    """The names that an inner graph reads and does not make."""
    own = {i.name for i in graph.input} | {t.name for t in graph.initializer}
    own |= {t.values.name for t in graph.sparse_initializer}
    found = []
    for node in graph.node:
        inner = [name for g in _graphs(node) for name in _captured(g)]
        found += [name for name in (*node.input, *inner) if name and name not in own]
        own.update(node.output)
    return found + [o.name for o in graph.output if o.name not in own]


def _attribute(attribute: AttributeProto, node: NodeProto, folder: Path | None, budget: Budget) -> Any:
    """An attribute's value: numbers, strings, lists of them, arrays; graphs and types as they are."""
    if attribute.ref_attr_name:
        raise ModelError(f"{node.op_type} {node.name!r} takes an attribute of a function, and is in none")
    if attribute.type == AttributeProto.TENSOR:
        return to_array(attribute.t, folder, budget)
    try:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            return value.decode()
        if attribute.type == AttributeProto.STRINGS:
            return [v.decode() for v in value]
    except ValueError as error:  # UnicodeDecodeError is one
        raise ModelError(f"attribute {attribute.name!r} of {node.op_type} {node.name!r} is broken: {error}") from None
    return list(value) if isinstance(value, (list, tuple)) or hasattr(value, "add") else value


def _dense(sparse: Any, folder: Path | None, budget: Budget) -> np.ndarray:
    """A sparse tensor as an array."""
    name, shape = sparse.values.name, tuple(sparse.dims)
    values, indices = to_array(sparse.values, folder, budget), to_array(sparse.indices, folder, budget)
    if any(n < 0 for n in shape):
        raise ModelError(f"sparse tensor {name!r} has a negative size in its shape {shape}")
    size = int(np.prod(shape, dtype=object))
    budget.take(size * values.dtype.itemsize, name)
    if indices.ndim == 2:
        if indices.shape != (len(values), len(shape)) or (indices < 0).any() or (indices >= np.array(shape)).any():
            raise ModelError(f"sparse tensor {name!r} has indices outside of its shape {shape}")
        indices = np.ravel_multi_index(tuple(indices.T), shape)
    elif len(indices) != len(values) or (indices < 0).any() or (indices >= size).any():
        raise ModelError(f"sparse tensor {name!r} has indices outside of its shape {shape}")
    dense = np.zeros(size, values.dtype)
    dense[indices] = values
    return dense.reshape(shape)


def _check_order(calls: list[Call], known: set[str], outputs: dict[str, ValueInfoProto]) -> dict[str, int]:
    """Every name is made once, before it is read; returns who reads each last."""
    made = {name for call in calls for name in call.outputs if name}
    last_read: dict[str, int] = {}
    have = set(known)
    for number, call in enumerate(calls):
        for name in call.reads:
            if name not in have:
                if name in made:
                    raise ModelError(
                        f"{call.label} reads {name!r} before it is made: nodes in a cycle, or out of order"
                    )
                raise ModelError(f"{call.label} reads {name!r}, which is no input, initializer or result of a node")
            last_read[name] = number
        for name in call.outputs:
            if name and name in have:
                raise ModelError(f"{call.label} makes {name!r}, which is there already")
            have.add(name)
    for name in outputs:
        if name not in have:
            raise ModelError(f"output {name!r} is made by no node")
        last_read[name] = len(calls)
    return last_read
