"""What a model is and costs, layer by layer, and what dense layers in its place would: `model.summary(input_shape)`.

The model is called once on symbolic nodes, so nothing is computed; what each module recorded is then counted op by op.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, NamedTuple, cast

import numpy as np

from pyconv.kernels.padding import source_positions
from pyconv.nn.functional_call import functional_call
from pyconv.nn.module import Module
from pyconv.nn.trace import watch
from pyconv.ops.conv import Conv, ConvBackwardData
from pyconv.ops.linear import BatchedMatMul, Linear, MatMul
from pyconv.ops.node import Node
from pyconv.ops.pool import AvgPool, MaxPool, MaxPoolIndices
from pyconv.ops.reduce import Sum

_BATCH = 2  # samples of the recorded call: batch norm wants more than one
_POOLS = (MaxPool, AvgPool, MaxPoolIndices)


@dataclass(frozen=True)
class Row:
    """One layer's figures, for one sample."""

    name: str  # dotted path in the model
    layer: str  # its class
    output_shape: tuple[int, ...]  # without the batch axis
    parameters: int  # 0 where the layer was called before: they are shared
    connections: int  # pairs of an input and an output that the layer connects, padding not counted
    macs: int  # multiplications with an addition each
    inputs_per_output: int  # the most inputs that one output is computed from
    receptive_field: tuple[int, ...]  # how much of each axis of the model's input an output may depend on
    dense_weights: int  # what a dense layer between the same shapes would need; 0 where there are no connections


@dataclass(frozen=True)
class Summary:
    """A model's figures; `print` shows them as a table, `to_dict` gives them to a program.

    Attributes
    ----------
    input_shapes : tuple of tuple of int
    rows : tuple of Row
    parameters, connections, macs, dense_weights : int
        Totals; a parameter that is used twice counts once.
    """

    input_shapes: tuple[tuple[int, ...], ...]
    rows: tuple[Row, ...]
    parameters: int

    @property
    def connections(self) -> int:
        return sum(row.connections for row in self.rows)

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.rows)

    @property
    def dense_weights(self) -> int:
        return sum(row.dense_weights for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """All figures in terms of JSON."""
        totals = {name: getattr(self, name) for name in ("parameters", "connections", "macs", "dense_weights")}
        return {"input_shapes": self.input_shapes, "rows": [asdict(row) for row in self.rows], **totals}

    def __str__(self) -> str:
        head = ("layer", "", "output", "parameters", "connections", "MACs", "inputs", "sees", "dense weights")
        body = [("input", "", " ".join(map(_times, self.input_shapes)), *[""] * 6)]
        body += [
            (
                row.name,
                row.layer,
                _times(row.output_shape),
                f"{row.parameters:,}",
                *(_count(n) for n in (row.connections, row.macs, row.inputs_per_output)),
                _times(row.receptive_field),
                _count(row.dense_weights),
            )
            for row in self.rows
        ]
        totals = (_count(n) for n in (self.connections, self.macs))
        foot = ("total", "", "", f"{self.parameters:,}", *totals, "", "", _count(self.dense_weights))
        widths = [max(len(line[i]) for line in (head, *body, foot)) for i in range(len(head))]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        lines = [_line(head, widths), rule, *(_line(row, widths) for row in body), rule, _line(foot, widths)]
        return "\n".join([*lines, _KEY])


_KEY = """\
For one sample. connections: pairs of an input and an output that meet; inputs: the most that one output has; sees: how
much of the model's input that comes to; dense weights: of a fully connected layer between the same shapes. Each filter
of a convolution spans all channels of its group: parameters = filters · (channels / groups · kernel size + 1)."""


def summarize(model: Module, *input_shapes: tuple[int, ...], dtype: Any = None) -> Summary:
    """Figures of a model for inputs of these shapes.

    Parameters
    ----------
    model : Module
        Written in terms of `pyconv.functional`; it is left as it is.
    *input_shapes : tuple of int
        One for each argument of the model, without the batch axis.
    dtype : float32 or float64, optional
        Of the inputs; by default that of the model's parameters.

    Returns
    -------
    Summary

    Raises
    ------
    ValueError, TypeError
        If the model does not take such inputs.

    Examples
    --------
    The lecture's layer. (Where the lecture counts 156 parameters, its filters have one channel: 6 · (5 · 5 + 1). On an
    image of three channels they have three: 6 · (3 · 5 · 5 + 1) = 456.)

    >>> from pyconv import nn
    >>> row = nn.Conv2d(3, 6, 5).summary((3, 32, 32)).rows[0]
    >>> row.parameters, row.inputs_per_output, row.dense_weights
    (456, 75, 14450688)
    """
    if not input_shapes:
        raise ValueError("input_shapes must name at least one shape, as in (3, 32, 32)")
    if dtype is None:
        dtype = next((p.dtype for p in model.parameters()), np.float32)
    inputs = [Node.placeholder((_BATCH, *shape), dtype, "input") for shape in input_shapes]
    recorder = _Recorder(model)
    with watch(recorder.record):
        functional_call(model, {}, *inputs)
    fields = _receptive_fields(inputs, recorder.outputs)
    rows = tuple(_row(call, fields, inputs) for call in recorder.calls if call.shown)
    return Summary(tuple(tuple(shape) for shape in input_shapes), rows, model.num_parameters())


class _Call(NamedTuple):
    name: str
    module: Module
    output: Node
    nodes: list[Node]  # that the module recorded itself
    parameters: int

    @property
    def shown(self) -> bool:
        return not self.module._modules or self.parameters > 0 or any(_cost(n).macs for n in self.nodes)


class _Recorder:
    """Notes every module's call and which nodes are its own rather than a submodule's."""

    def __init__(self, model: Module):
        self.names = {id(module): name or type(module).__name__ for name, module in model.named_modules()}
        self.calls: list[_Call] = []
        self.outputs: list[Node] = []
        self._owned: set[int] = set()
        self._counted: set[int] = set()

    def record(self, module: Module, args: tuple[Any, ...], output: Any) -> None:
        outputs = list(_nodes(output))
        if not outputs or id(module) not in self.names:
            return
        own = []
        stack, known = list(outputs), {id(node) for node in _nodes(args)}
        while stack:
            node = stack.pop()
            if node.op is not None and id(node) not in self._owned and id(node) not in known:
                self._owned.add(id(node))
                own.append(node)
                stack.extend(i for i in node.inputs if i is not None)
        fresh = {id(p): p.size for p in module._parameters.values() if p is not None and id(p) not in self._counted}
        self._counted.update(fresh)
        self.outputs.extend(outputs)
        self.calls.append(_Call(self.names[id(module)], module, outputs[0], own, sum(fresh.values())))


def _row(call: _Call, fields: dict[int, tuple[_Field, ...]], inputs: list[Node]) -> Row:
    costs = [_cost(node) for node in call.nodes]
    return Row(
        call.name,
        type(call.module).__name__,
        tuple(call.output.shape[1:]),
        call.parameters,
        sum(cost.connections for cost in costs),
        sum(cost.macs for cost in costs),
        max((cost.fan_in for cost in costs), default=0),
        tuple(
            min(math.ceil(f.size), n)
            for f, n in zip(fields.get(id(call.output), ()), inputs[0].shape[2:], strict=False)
        ),
        sum(cost.dense_weights for cost in costs),
    )


class _Cost(NamedTuple):
    connections: int = 0
    macs: int = 0
    fan_in: int = 0
    dense_weights: int = 0


def _cost(node: Node) -> _Cost:
    """One sample's share of an op that connects positions; nothing for one that works on each element alone."""
    op, operands = node.op, cast(Any, node.inputs)
    if isinstance(op, (MaxPool, AvgPool, Conv, ConvBackwardData, Linear)):
        x = operands[0]
        dense = math.prod(x.shape[1:]) * math.prod(node.shape[1:])
        if isinstance(op, Linear):
            pairs = node.size * x.shape[1] // _BATCH
            return _Cost(pairs, pairs, x.shape[1], dense * x.shape[0] // _BATCH)
        if isinstance(op, (MaxPool, AvgPool)):
            windows = op.spec.windows(tuple(x.shape[2:]))
            pairs = x.shape[1] * math.prod(int(w.count.sum()) for w in windows)
            return _Cost(pairs, 0, math.prod(int(w.count.max()) for w in windows), dense)
        wide, narrow = (x, node) if isinstance(op, Conv) else (node, x)  # the convolution's own input and output
        w, channels = operands[1], wide.shape[1] // op.spec.groups
        taps = [_taps(op.spec, axis, wide.shape[axis + 2], w.shape[axis + 2]) for axis in range(w.ndim - 2)]
        pairs = narrow.shape[1] * channels * math.prod(total for total, _, _ in taps)
        per_output = channels if isinstance(op, Conv) else w.shape[0] // op.spec.groups
        fan_in = per_output * math.prod(into if isinstance(op, Conv) else out_of for _, into, out_of in taps)
        return _Cost(pairs, math.prod(narrow.shape[1:]) * channels * math.prod(w.shape[2:]), fan_in, dense)
    if isinstance(op, (MatMul, BatchedMatMul)):
        inner = operands[0].shape[-2 if op.transpose_a else -1]
        return _Cost(macs=node.size * inner // _BATCH)
    return _Cost()


@lru_cache(maxsize=512)
def _taps(spec: Any, axis: int, size: int, kernel_size: int) -> tuple[int, int, int]:
    """Along one axis: pairs of an input and an output that meet, most inputs of an output, most outputs of an input."""
    begin, end = spec.padding[axis]
    source = source_positions(size, begin, end, spec.padding_mode)
    step, reach = spec.stride[axis], spec.dilation[axis]
    outputs = (len(source) - reach * (kernel_size - 1) - 1) // step + 1
    seen = source[np.arange(outputs)[:, None] * step + np.arange(kernel_size) * reach]  # (outputs, kernel_size)
    meet = np.zeros((outputs, size + 1), bool)
    np.put_along_axis(meet, seen, True, 1)  # -1, a zero of the padding, lands in the last column
    meet = meet[:, :size]
    return int(meet.sum()), int(meet.sum(1).max()), int(meet.sum(0).max())


class _Field(NamedTuple):
    """Along one axis of the model's input: positions an output depends on, and how far apart neighbours' are."""

    size: float
    jump: float


def _receptive_fields(inputs: list[Node], outputs: list[Node]) -> dict[int, tuple[_Field, ...]]:
    """The receptive field of every node that depends on an input, by the node's identity."""
    fields: dict[int, tuple[_Field, ...]] = {id(i): (_Field(1, 1),) * (len(i.shape) - 2) for i in inputs}
    everything = tuple(_Field(n, n) for n in inputs[0].shape[2:])
    stack = [(node, False) for node in outputs]
    while stack:
        node, ready = stack.pop()
        if id(node) in fields or node.op is None:
            continue
        if not ready:
            stack.append((node, True))
            stack.extend((i, False) for i in node.inputs if i is not None)
            continue
        below = [fields[id(i)] for i in node.inputs if i is not None and id(i) in fields]
        if below:
            joined = tuple(_Field(max(f.size for f in a), max(f.jump for f in a)) for a in zip(*below, strict=False))
            fields[id(node)] = _grown(node, joined, everything)
    return fields


def _grown(node: Node, below: tuple[_Field, ...], everything: tuple[_Field, ...]) -> tuple[_Field, ...]:
    """The receptive field behind an op, from that before it."""
    op, operands = node.op, cast(Any, node.inputs)
    if isinstance(op, (Linear, MatMul)):
        return everything
    if isinstance(op, Sum):
        axes = {axis - 2 for axis in op.axes}
        return tuple(whole if i in axes else f for i, (f, whole) in enumerate(zip(below, everything, strict=False)))
    if isinstance(op, (Conv, ConvBackwardData)):
        spec, w = op.spec, operands[1]
        reach = [d * (k - 1) + 1 for d, k in zip(spec.dilation, w.shape[2:], strict=True)]
        if isinstance(op, Conv):
            return tuple(_windowed(f, r, s) for f, r, s in zip(below, reach, spec.stride, strict=True))
        return tuple(_windowed(f, -(-r // s), 1 / s) for f, r, s in zip(below, reach, spec.stride, strict=True))
    if isinstance(op, _POOLS):
        sizes = operands[0].shape[2:]
        grown = []
        for f, window, size in zip(below, op.spec.windows(tuple(sizes)), sizes, strict=True):
            start = window.start
            stride = (start[-1] - start[0]) / (len(start) - 1) if len(start) > 1 else size
            grown.append(_windowed(f, int((window.count.max() - 1) * window.step + 1), float(stride)))
        return tuple(grown)
    return below


def _windowed(field: _Field, reach: int, stride: float) -> _Field:
    return _Field(field.size + (reach - 1) * field.jump, field.jump * stride)


def _nodes(value: Any) -> Iterator[Node]:
    """The nodes in nested tuples, lists and dicts."""
    if isinstance(value, Node):
        yield value
    elif isinstance(value, dict):
        yield from _nodes(list(value.values()))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _nodes(item)


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _count(n: int) -> str:
    return f"{n:,}" if n else ""


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    left = [cell.ljust(width) for cell, width in zip(cells[:3], widths[:3], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(cells[3:], widths[3:], strict=True)]
    return "  ".join(left + right).rstrip()
