"""What a plan will do, as a table for people: a line a step."""

from __future__ import annotations

from math import prod

from pyconv import kernels
from pyconv.graph.execute import Choice, Code, has_constant_weights
from pyconv.graph.graph import op_text, size_text
from pyconv.graph.layout import channels_last_strides, contiguous, same_order, stand_in
from pyconv.graph.memory import View
from pyconv.ops.conv import Conv, ConvBackwardData, ConvBackwardWeights
from pyconv.ops.fused import FusedConv, FusedLinear, PooledConv
from pyconv.ops.linear import BatchedMatMul, Linear, MatMul
from pyconv.ops.node import Node


def explain(code: Code) -> str:
    """The table of a plan's steps, and below it what it works in."""
    head = ("step", "op", "result", "order", "algorithm", "runs in", "bytes", "MACs")
    rows = [head, *(_row(number, choice) for number, choice in enumerate(code.choices, 1))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = []
    for row in rows:
        cells = zip(row, widths, (str.rjust, *(str.ljust,) * 5, str.rjust, str.rjust), strict=True)
        lines.append("  ".join(justify(cell, width) for cell, width, justify in cells))
    recorded = sum(choice.reason is None for choice in code.choices)
    calls = sum(not isinstance(part, Choice) for part in code.parts)
    total = sum(macs(c.step.node) for c in code.choices if c.step.node is not None)
    placement = code.placement
    return "\n".join(
        [
            *lines,
            f"{_machine()}; {len(code.choices)} steps, {recorded} of them in {calls} calls into C; {total:,} MACs",
            f"arena {placement.arena_bytes:,} bytes ({placement.live_bytes:,} needed at one time), "
            f"scratch {code.scratch_bytes:,}, packed weights {code.packed_bytes:,}",
        ]
    )


def _machine() -> str:
    backend = kernels.get_backend()
    if backend != "native":
        return backend
    from pyconv.kernels.native.library import get_isa

    return f"native, {get_isa()}"


def _row(number: int, choice: Choice) -> tuple[str, ...]:
    step = choice.step
    moved = sum(prod(v.shape) * v.dtype.itemsize for v in (step.out, *step.operands) if v is not None)
    return (
        str(number),
        "Copy" if step.node is None else op_text(step.node),
        f"{step.out.dtype} {size_text(step.out.shape)}",
        _order(step.out),
        _algorithm(choice),
        "C" if choice.reason is None else "Python",
        f"{moved:,}",
        f"{macs(step.node):,}" if step.node is not None else "0",
    )


def _order(view: View) -> str:
    """The memory order of an array."""
    itemsize = view.dtype.itemsize
    if same_order(view.shape, view.strides, contiguous(view.shape, itemsize)):
        return "C"
    if len(view.shape) > 2 and same_order(view.shape, view.strides, channels_last_strides(view.shape, itemsize)):
        return "channels last"
    return "strided"


def _algorithm(choice: Choice) -> str:
    """The row's name, and why: times that were measured and predicted, or why those before it do not serve."""
    step, reasons = choice.step, []
    operands = [None if v is None else stand_in(v.shape, v.strides, v.dtype) for v in (step.out, *step.operands)]
    packed = has_constant_weights(step)
    predicted = {
        row.algorithm: row.predict(*operands, *step.attributes, packed=packed)
        for row in kernels.fitting(step.kernel, *operands, *step.attributes)
        if row.predict and (choice.reason is None or row is choice.row)
    }
    if choice.measured:
        reasons.append(f"measured: {_times(choice.measured)}")
    if predicted:
        reasons.append(f"predicted: {_times(predicted)}")
    if choice.measured or len(predicted) > 1:
        return f"{choice.row.algorithm} ({'; '.join(reasons)})"
    for row in kernels.rows(step.kernel):
        if row is choice.row:
            break
        for objection in filter(None, (row.refuse, row.decline)):
            if (reason := objection(*operands, *step.attributes)) is not None:
                reasons.append(f"{row.algorithm}: {reason}")
                break
    return choice.row.algorithm + (f" ({'; '.join(reasons)})" if reasons else "")


def _times(seconds: dict[str, float]) -> str:
    """Milliseconds of algorithms, the quickest first."""
    return ", ".join(f"{name} {1e3 * s:.3g} ms" for name, s in sorted(seconds.items(), key=lambda item: item[1]))


def macs(node: Node) -> int:
    """Multiplications with an addition that a convolution or a matrix product takes by its definition; else 0."""
    op, (first, *others) = node.op, [i for i in node.inputs if i is not None]
    if isinstance(op, (Conv, FusedConv, ConvBackwardData)):  # each element of y meets each weight of its output channel
        y, w = first if isinstance(op, ConvBackwardData) else node, others[0]
        return y.size * (w.size // w.shape[0])
    if isinstance(op, PooledConv):
        y_size = op.spec.output_size(first.shape[2:], others[0].shape[2:])
        return first.shape[0] * prod(y_size) * others[0].size
    if isinstance(op, ConvBackwardWeights):
        return first.size * (node.size // node.shape[0])
    if isinstance(op, (Linear, FusedLinear)):
        return node.size * first.shape[1]
    if isinstance(op, (MatMul, BatchedMatMul)):
        return node.size * first.shape[-2 if op.transpose_a else -1]
    return 0
