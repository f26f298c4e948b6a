"""A recorded graph once more in PyTorch, for comparison: each op is a line in a table.

Constants become PyTorch's parameters. A normalization with fixed statistics is a batch norm; in training PyTorch
computes it from the batch, as pyconv does.
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


def _torch_conv_transpose(torch: Any, op: Any, training: bool) -> Any:
    F, s, size = torch.nn.functional, op.spec, op.input_size
    padding = tuple(begin for begin, _ in s.padding)

    def call(x: Any, w: Any, b: Any = None) -> Any:
        axes = zip(size, x.shape[2:], w.shape[2:], s.stride, padding, s.dilation, strict=True)
        more = [i - ((o - 1) * t - 2 * p + d * (r - 1) + 1) for i, o, r, t, p, d in axes]
        return F.conv_transpose2d(x, w, b, s.stride, padding, more, s.groups, s.dilation)

    return call


def _torch_pad(torch: Any, op: Any, training: bool) -> Any:
    sides = [n for pair in reversed(op.pads) for n in pair]
    return lambda x: torch.nn.functional.pad(x, sides, op.mode, op.value)


def _torch_slice(torch: Any, op: Any, training: bool) -> Any:
    slices = tuple(slice(start, start + count * step, step) for start, count, step in op.ranges)
    return lambda x: x[slices]


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
    "ConvBackwardData": _torch_conv_transpose,
    "Normalize": _torch_norm,
    "MaxPool": _torch_pool("max"),
    "AvgPool": _torch_pool("avg"),
    "Unary": _torch_unary,
    "Linear": lambda torch, op, training: torch.nn.functional.linear,
    "Add": lambda torch, op, training: torch.add,
    "Mul": lambda torch, op, training: torch.mul,
    "Reshape": lambda torch, op, training: lambda x: x.reshape(op.shape),
    "Transpose": lambda torch, op, training: lambda x: x.permute(op.axes),
    "Concat": lambda torch, op, training: lambda *arrays: torch.cat(arrays, op.axis),
    "Pad": _torch_pad,
    "Slice": _torch_slice,
}
