"""Arithmetic, comparison, selection, and functions of one variable."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pyconv.onnx.writer import rule
from pyconv.ops import elementwise as ops

_ARITHMETIC = {
    ops.Add: "Add",
    ops.Sub: "Sub",
    ops.Mul: "Mul",
    ops.Div: "Div",
    ops.Pow: "Pow",
    ops.Maximum: "Max",
    ops.Minimum: "Min",
}
_COMPARISONS = {"less": "Less", "less_equal": "LessOrEqual", "equal": "Equal", "not_equal": "Equal"}
_TRUTH = {"Mul": "And", "Max": "Or"}  # of truth values


@rule(*_ARITHMETIC)
def arithmetic(w, node, *inputs):
    kind = _ARITHMETIC[type(node.op)]
    if node.dtype == bool:
        return w.add(_TRUTH[kind], *inputs)
    return w.add(kind, *_alike(w, node, inputs, node.dtype))


@rule(ops.Compare)
def compare(w, node, *inputs):
    name = node.op.name
    truth = w.add(_COMPARISONS[name], *_alike(w, node, inputs, np.result_type(*(i.dtype for i in node.inputs))))
    return w.add("Not", truth) if name == "not_equal" else truth


@rule(ops.Where)
def where(w, node, condition, *values):
    condition = w.cast(condition, node.inputs[0], np.bool_)
    a, b = (w.cast(v, i, node.dtype) for v, i in zip(values, node.inputs[1:], strict=True))
    return w.add("Where", condition, a, b)


@rule(ops.Cast)
def cast(w, node, x):
    return w.cast(x, node.inputs[0], node.dtype)


def _alike(w, node, inputs, dtype):
    """The inputs in one dtype, as ONNX wants them."""
    return [w.cast(x, i, dtype) for x, i in zip(inputs, node.inputs, strict=True)]


_ONE_NODE = {  # functions without parameters that ONNX has
    "neg": "Neg",
    "abs": "Abs",
    "sign": "Sign",
    "floor": "Floor",
    "ceil": "Ceil",
    "round": "Round",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "sin": "Sin",
    "cos": "Cos",
    "erf": "Erf",
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "mish": "Mish",
    "hardswish": "HardSwish",
}


@rule(ops.Unary)
def unary(w, node, x):
    name, parameters = node.op.name, node.op.parameters
    if name in _ONE_NODE:
        return w.add(_ONE_NODE[name], x)
    return _UNARY[name](w, node, x, *parameters)


def _log1p(w, node, x):
    return w.add("Log", w.add("Add", x, w.like(1, node)))


def _power(w, node, x, exponent):
    return w.add("Pow", x, w.like(exponent, node))


def _leaky_relu(w, node, x, slope):
    return w.add("LeakyRelu", x, alpha=float(slope))


def _clip(w, node, x, low, high):
    return w.add("Clip", x, *(None if np.isinf(bound) else w.like(bound, node) for bound in (low, high)))


def _elu(w, node, x, alpha):
    return w.add("Elu", x, alpha=float(alpha))


def _softplus(w, node, x, beta, threshold):
    scaled = x if beta == 1 else w.add("Mul", x, w.like(beta, node))
    smooth = w.add("Softplus", scaled)
    smooth = smooth if beta == 1 else w.add("Div", smooth, w.like(beta, node))
    if threshold >= 20:  # beyond, y is x to float32's last digit anyway
        return smooth
    return w.add("Where", w.add("Greater", scaled, w.like(threshold, node)), x, smooth)


def _gelu(w, node, x):
    """Written out, as exporters did before operator set 20: every runtime knows these."""
    inner = w.add("Erf", w.add("Div", x, w.like(2**0.5, node)))
    return _half_of_one_plus(w, node, x, inner)


def _gelu_tanh(w, node, x):
    cube = w.add("Mul", w.add("Mul", x, w.add("Mul", x, x)), w.like(0.044715, node))
    inner = w.add("Tanh", w.add("Mul", w.add("Add", x, cube), w.like((2 / np.pi) ** 0.5, node)))
    return _half_of_one_plus(w, node, x, inner)


def _half_of_one_plus(w, node, x, inner):
    return w.add("Mul", w.add("Mul", x, w.like(0.5, node)), w.add("Add", inner, w.like(1, node)))


def _silu(w, node, x):
    return w.add("Mul", x, w.add("Sigmoid", x))


def _hardsigmoid(w, node, x):
    return w.add("HardSigmoid", x, alpha=1 / 6, beta=0.5)


_UNARY: dict[str, Callable[..., str]] = {
    "log1p": _log1p,
    "power": _power,
    "leaky_relu": _leaky_relu,
    "clip": _clip,
    "hardtanh": _clip,
    "elu": _elu,
    "softplus": _softplus,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": _silu,
    "hardsigmoid": _hardsigmoid,
}
