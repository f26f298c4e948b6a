"""Export: a model of ours, trained or not, as an ONNX file that other runtimes take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, helper
from onnx.serialization import registry

from pyconv._files import write_atomically
from pyconv._version import __version__
from pyconv.graph.graph import Graph
from pyconv.graph.trace import as_output, evaluation
from pyconv.graph.tree import leaves
from pyconv.nn import Module, functional_call
from pyconv.onnx import rules  # noqa: F401  (registers them)
from pyconv.onnx.writer import IR_VERSION, OPSET, Writer
from pyconv.ops.node import Node

LARGEST = (1 << 31) - 1  # bytes of a protobuf message


def export(
    model: Module | Callable[..., Any],
    path: str | PathLike[str] | None,
    *input_shapes: Sequence[int],
    dynamic_batch: bool = True,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> ModelProto:
    """Write a model as ONNX (operator set 18), in evaluation mode, its weights under their `state_dict` names.

    Parameters
    ----------
    model : nn.Module or callable
        A function must compute with `pyconv.functional`.
    path : path or None
        Where to write it; None only returns it.
    *input_shapes : sequence of ints
        The shape of each input, with its batch axis: ``(1, 3, 224, 224)``.
    dynamic_batch : bool
        Whether the file takes any number of samples, the first axis of every input.
    input_names, output_names : sequence of str, optional
        By default ``x`` and ``y``, numbered if there are several.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    ValueError, TypeError
        If the model holds an op that ONNX has no counterpart for, or a shape that goes with the batch in a way that no
        file can say; if it is larger than 2 GB; if shapes or names do not fit the model.

    Examples
    --------
    >>> import numpy as np
    >>> import pyconv as pc
    >>> from pyconv import nn
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    >>> proto = pc.onnx.export(model, None, (1, 3, 32, 32))
    >>> [node.op_type for node in proto.graph.node]
    ['Conv', 'Relu', 'GlobalAveragePool', 'Constant', 'Reshape', 'Gemm']
    >>> [t.name for t in proto.graph.initializer][:2]
    ['0.weight', '0.bias']
    """
    shapes = [_shape(shape) for shape in input_shapes]
    if not shapes:
        raise ValueError("input_shapes must hold the shape of each input, batch axis included")
    names = _names(input_names, "input_names", "x", len(shapes))
    weights = model.state_dict() if isinstance(model, Module) else {}
    dtype = next((a.dtype for a in weights.values() if a.dtype.kind == "f"), np.dtype(np.float32))
    graph = _recorded(model, weights, shapes, dtype, names)
    output_names = _names(output_names, "output_names", "y", len(graph.outputs))
    other: dict[int, Node] = {}
    if dynamic_batch:
        larger = [(2 * shape[0] + 1, *shape[1:]) for shape in shapes]
        other = _twins(graph, _recorded(model, weights, larger, dtype, names))
    for name in {*names, *output_names} & weights.keys():
        raise ValueError(f"{name!r} is the name of a parameter: give the input or output another")
    writer = Writer({id(node): str(node.name) for node in graph.inputs}, other, output_names)
    for node in graph.inputs[len(shapes) :]:
        writer.initializers[str(node.name)] = weights[str(node.name)]
    for node in graph.nodes:
        writer.write(node)
    for node, name in zip(graph.outputs, output_names, strict=True):
        _rename(writer, node, name)
    return _saved(_proto(writer, graph, len(shapes), output_names), path)


def _recorded(
    model: Any, weights: dict[str, np.ndarray], shapes: Sequence[tuple[int, ...]], dtype: np.dtype, names: Sequence[str]
) -> Graph:
    """The graph of the model, whose inputs are its own inputs, then its weights."""
    inputs = [Node.placeholder(shape, dtype, name) for shape, name in zip(shapes, names, strict=True)]
    held = {name: Node.placeholder(a.shape, a.dtype, name) for name, a in weights.items()}
    with evaluation(model):
        result = functional_call(model, held, *inputs)[0] if isinstance(model, Module) else model(*inputs)
    return Graph.of([*inputs, *held.values()], [as_output(leaf) for leaf in leaves(result)])


def _twins(graph: Graph, larger: Graph) -> dict[int, Node]:
    """id of a node -> the same node for a larger batch."""
    pairs = [*zip(graph.inputs, larger.inputs, strict=True), *zip(graph.nodes, larger.nodes, strict=False)]
    same = len(graph.nodes) == len(larger.nodes) and all(type(a.op) is type(b.op) for a, b in pairs)
    if not same or any(a.ndim != b.ndim for a, b in pairs):
        raise ValueError("the model computes differently for another batch size: export with dynamic_batch=False")
    return {id(a): b for a, b in pairs}


def _rename(writer: Writer, node: Node, name: str) -> None:
    """Give an output its name, by one more node where it is an input, a constant or an output already."""
    held = str(writer.name(node))
    made = any(held in n.output for n in writer.nodes)
    if not made or held in writer.finished:
        writer.nodes.append(helper.make_node("Identity", [held], [name]))
    else:
        writer.rename(held, name)
        writer.names[id(node)] = name
    writer.finished.add(name)


def _proto(writer: Writer, graph: Graph, count: int, output_names: Sequence[str]) -> ModelProto:
    nodes, initializers = writer.needed(output_names)
    if sum(array.nbytes for array in initializers.values()) > LARGEST:
        raise ValueError("the model is larger than the 2 GB that an ONNX file can hold")

    def declared(node: Node, name: str) -> onnx.ValueInfoProto:
        shape = ["N" if axis in writer.varying(node) else n for axis, n in enumerate(node.shape)]
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(node.dtype), shape)

    inputs = [declared(node, str(node.name)) for node in graph.inputs[:count]]
    outputs = [declared(node, name) for node, name in zip(graph.outputs, output_names, strict=True)]
    proto = helper.make_model(
        helper.make_graph(nodes, "pyconv", inputs, outputs),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="pyconv",
        producer_version=__version__,
    )
    for name, array in initializers.items():  # straight into the message, which else would copy them once more
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        proto.graph.initializer.add(name=name, data_type=kind, dims=array.shape, raw_data=_little_endian(array))
    return proto


def _little_endian(array: np.ndarray) -> bytes:
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _saved(proto: ModelProto, path: str | PathLike[str] | None) -> ModelProto:
    if path is not None:
        content = BytesIO()
        onnx.save(proto, content, registry.get_format_from_file_extension(Path(path).suffix) or "protobuf")
        write_atomically(path, content.getvalue())  # sessions may have the file open that was there
    return proto


def _shape(shape: Sequence[int]) -> tuple[int, ...]:
    if not isinstance(shape, (tuple, list)) or not shape or not all(isinstance(n, int) and n > 0 for n in shape):
        raise TypeError(f"input_shapes must be sequences of positive ints, batch axis included, not {shape!r}")
    return tuple(shape)


def _names(given: Sequence[str] | None, argument: str, stem: str, count: int) -> list[str]:
    if given is None:
        return [stem] if count == 1 else [f"{stem}{i}" for i in range(count)]
    names = list(given)
    if len(set(names)) != count or len(names) != count:
        raise ValueError(f"{argument} must be {count} different names, not {names}")
    return names
