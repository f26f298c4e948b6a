"""Padding: an attribute in older operator sets, an input in newer ones."""

from __future__ import annotations

from pyconv.onnx.registry import UnsupportedError, axis_of, check_size, floats, integers, number, operator
from pyconv.ops.shape import Pad

_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


@operator("Pad", since=2, until=10)
def pad_by_attribute(x, *, pads, mode="constant", value=0.0):
    return _padded(x, pads, range(x.ndim), mode, value)


@operator("Pad", since=11)
def pad(x, pads, value=None, axes=None, *, mode="constant"):
    axes = range(x.ndim) if axes is None else integers(axes)
    return _padded(x, integers(pads), axes, mode, 0.0 if value is None else number(value))


def _padded(x, pads, axes, mode, value):
    floats(x)
    if mode not in _MODES or len(pads) != 2 * len(axes):
        raise ValueError(f"pads must hold {2 * len(axes)} numbers and mode be one of {', '.join(_MODES)}")
    amounts = [(0, 0)] * x.ndim
    for axis, begin, end in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        amounts[axis_of(axis, x.ndim)] = begin, end
    for n, pair in zip(x.shape, amounts, strict=True):
        most = {"reflect": n - 1, "wrap": n, "edge": n * (1 << 30)}.get(mode, 1 << 30)
        if n + sum(pair) < 1 or max(pair) > most or (mode != "constant" and min(pair) < 0):
            raise UnsupportedError("a padding larger than the array, or nothing left")
    check_size([n + sum(pair) for n, pair in zip(x.shape, amounts, strict=True)], x)
    return Pad(tuple(amounts), _MODES[mode], float(value))(x)
