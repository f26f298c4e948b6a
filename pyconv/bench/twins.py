"""A recorded graph once more in PyTorch and in ONNX, for comparison: each op is a line in a table of either.

Constants become PyTorch's parameters or ONNX initializers. A normalization with fixed statistics is a batch norm; in
training PyTorch computes it from the batch, as pyconv does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import numpy as np

from pyconv.graph.graph import Graph


def torch_twin(graph: Graph, trained: Iterable[np.ndarray] = ()) -> tuple[Callable[[Any], Any], list[Any]]:
    """A function of one tensor that computes the graph's output, and its parameters: the constants that are trained."""
    torch = import_module("torch")
    weights = {id(array) for array in trained}
    training = bool(weights)
    tensors: dict[int, Any] = {}
    parameters: list[Any] = []
    for node in graph.constants():
        tensor = torch.from_numpy(np.array(node.value))
        if id(node.value) in weights:
            tensor.requires_grad_()
            parameters.append(tensor)
        tensors[id(node)] = tensor
    steps = [(node.op, [None if i is None else id(i) for i in node.inputs], id(node)) for node in graph.nodes]
    calls = [(TORCH_OPS[type(op).__name__](torch, op, training), inputs, out) for op, inputs, out in steps]
    last = {i: number for number, (_, inputs, _) in enumerate(steps) for i in inputs if i is not None}
    dead = [[i for i, n in last.items() if n == number and i not in tensors] for number in range(len(steps))]
    (source,), (result,) = graph.inputs, graph.outputs

    def run(x: Any) -> Any:
        values = {**tensors, id(source): x}
        for (call, inputs, out), gone in zip(calls, dead, strict=True):
            values[out] = call(*(None if i is None else values[i] for i in inputs))
            for i in gone:
                del values[i]
        return values[id(result)]

    return run, parameters


def _torch_conv(torch: Any, op: Any, training: bool) -> Any:
    F, s = torch.nn.functional, op.spec
    if any(begin != end for begin, end in s.padding):
        sides = [n for pair in reversed(s.padding) for n in pair]
        return lambda x, w, b=None: F.conv2d(F.pad(x, sides), w, b, s.stride, 0, s.dilation, s.groups)
    padding = tuple(begin for begin, _ in s.padding)
    return lambda x, w, b=None: F.conv2d(x, w, b, s.stride, padding, s.dilation, s.groups)


def _torch_norm(torch: Any, op: Any, training: bool) -> Any:
    F = torch.nn.functional
    return lambda x, moments, w=None, b=None: F.batch_norm(x, moments[0], moments[1], w, b, training, 0.1, op.eps)


def _torch_pool(kind: str) -> Any:
    def make(torch: Any, op: Any, training: bool) -> Any:
        F, s = torch.nn.functional, op.spec
        if hasattr(s, "size"):
            adaptive = getattr(F, f"adaptive_{kind}_pool2d")
            return lambda x: adaptive(x, s.size)
        padding = tuple(begin for begin, _ in s.padding)
        if kind == "max":
            return lambda x: F.max_pool2d(x, s.kernel_size, s.stride, padding, s.dilation, s.ceil_mode)
        return lambda x: F.avg_pool2d(x, s.kernel_size, s.stride, padding, s.ceil_mode, s.count_include_pad)

    return make


def _torch_unary(torch: Any, op: Any, training: bool) -> Any:
    function = getattr(torch.nn.functional, op.name)
    return lambda x: function(x, *op.parameters)


TORCH_OPS: dict[str, Callable[[Any, Any, bool], Callable[..., Any]]] = {
    "Conv": _torch_conv,
    "Normalize": _torch_norm,
    "MaxPool": _torch_pool("max"),
    "AvgPool": _torch_pool("avg"),
    "Unary": _torch_unary,
    "Linear": lambda torch, op, training: torch.nn.functional.linear,
    "Add": lambda torch, op, training: torch.add,
    "Mul": lambda torch, op, training: torch.mul,
    "Reshape": lambda torch, op, training: lambda x: x.reshape(op.shape),
}


def onnx_twin(graph: Graph) -> bytes:
    """A serialised ONNX model of a graph with one input, x, and one output, y."""
    onnx = import_module("onnx")
    helper, to_tensor = import_module("onnx.helper"), import_module("onnx.numpy_helper").from_array
    (source,), (result,) = graph.inputs, graph.outputs
    names: dict[int, str] = {id(source): "x"}
    initializers: list[Any] = []
    nodes: list[Any] = []

    def constant(value: Any) -> str:
        initializers.append(to_tensor(np.asarray(value), f"c{len(initializers)}"))
        return initializers[-1].name

    for node in graph.constants():
        names[id(node)] = constant(node.value)
    for node in graph.nodes:
        out = "y" if node is result else f"v{len(nodes)}"
        kind, extra, attributes = ONNX_OPS[type(node.op).__name__](node)
        inputs = [names[id(i)] if i is not None else "" for i in node.inputs]
        if kind == "BatchNormalization":
            moments, x = node.inputs[1], inputs[0]
            assert moments is not None
            assert moments.value is not None
            scale = inputs[2] or constant(np.ones_like(moments.value[0]))
            inputs = [x, scale, inputs[3], *map(constant, moments.value)]
        nodes.append(helper.make_node(kind, inputs + [constant(e) for e in extra], [out], **attributes))
        names[id(node)] = out
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        nodes,
        "network",
        [value("x", onnx.TensorProto.FLOAT, source.shape)],
        [value("y", onnx.TensorProto.FLOAT, result.shape)],
        initializers,
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()


def _windows(spec: Any) -> dict[str, Any]:
    return {
        "kernel_shape": spec.kernel_size,
        "strides": spec.stride,
        "pads": [begin for begin, _ in spec.padding] + [end for _, end in spec.padding],
        "dilations": spec.dilation,
        "ceil_mode": int(spec.ceil_mode),
    }


def _onnx_conv(node: Any) -> Any:
    s = node.op.spec
    pads = [begin for begin, _ in s.padding] + [end for _, end in s.padding]
    return "Conv", (), {"strides": s.stride, "pads": pads, "dilations": s.dilation, "group": s.groups}


def _onnx_max_pool(node: Any) -> Any:
    s = node.op.spec
    return ("GlobalMaxPool", (), {}) if hasattr(s, "size") else ("MaxPool", (), _windows(s))


def _onnx_avg_pool(node: Any) -> Any:
    s = node.op.spec
    if hasattr(s, "size"):
        return "GlobalAveragePool", (), {}
    return "AveragePool", (), {**_windows(s), "count_include_pad": int(s.count_include_pad)}


def _onnx_unary(node: Any) -> Any:
    name, parameters = node.op.name, [np.float32(p) for p in node.op.parameters]
    return {"relu": "Relu", "hardtanh": "Clip", "sigmoid": "Sigmoid", "gelu": "Gelu"}[name], parameters, {}


ONNX_OPS: dict[str, Callable[[Any], Any]] = {
    "Conv": _onnx_conv,
    "Normalize": lambda node: ("BatchNormalization", (), {"epsilon": node.op.eps}),
    "MaxPool": _onnx_max_pool,
    "AvgPool": _onnx_avg_pool,
    "Unary": _onnx_unary,
    "Linear": lambda node: ("Gemm", (), {"transB": 1}),
    "Add": lambda node: ("Add", (), {}),
    "Mul": lambda node: ("Mul", (), {}),
    "Reshape": lambda node: ("Reshape", (np.array(node.op.shape, np.int64),), {}),
}
