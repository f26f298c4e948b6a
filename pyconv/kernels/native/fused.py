"""Convolutions and linear layers with their epilogue.

C adds the residual and applies the activation to outputs that it has just computed, while they are in cache. Where the
residual does not lie as the result does, one call a part does the same.
"""

from __future__ import annotations

from pyconv.kernels import Row, choose
from pyconv.kernels.native import conv, elementwise, linear
from pyconv.kernels.native.packing import packing, unsupported_layer
from pyconv.kernels.spec import SQUARES


def row(algorithm: int, of: Row) -> Row:
    """The row of y = f(x ∗ w + b + residual) by the algorithm of a row of `conv`."""

    def function(y, x, w, b, residual, spec, activation, *parameters):
        problem = conv.describe(spec, x, w, y, algorithm, activation=activation, parameters=parameters)
        conv.fused(problem, y, x, w, b, residual)

    def refuse(y, x, w, b, residual, spec, activation, *parameters):
        return (of.refuse and of.refuse(y, x, w, b, spec)) or _refuse(y, x, w, residual, activation)

    def decline(y, x, w, b, residual, spec, *activation):
        return of.decline and of.decline(y, x, w, b, spec)

    def pack(y, x, w, b, residual, spec, *activation):
        return of.pack and of.pack(y, x, w, b, spec)

    def predict(y, x, w, b, residual, spec, *activation, packed=False):
        return of.predict and of.predict(y, x, w, b, spec, packed)  # the epilogue costs little beside the convolution

    return Row(of.algorithm, function, refuse, of.decline and decline, pack, predict)


def pooled_conv(y, x, w, b, spec, pool, activation, *parameters):
    """y = the maximum of each 2×2 of f(x ∗ w + b)."""
    problem = conv.describe(spec, x, w, y, activation=activation, parameters=parameters, pooled=True)
    conv.fused(problem, y, x, w, b, None)


def refuse_pooled_conv(y, x, w, b, spec, pool, activation, *parameters):
    if pool != SQUARES:
        return "it pools 2×2 side by side alone"
    return unsupported_layer(w, y, x) if activation in ("", "relu") else f"it pools nothing after {activation}"


def pack_pooled_conv(y, x, w, b, spec, *rest):
    """How it wants w packed."""
    return packing(conv.describe(spec, x, w, y, packed=True, pooled=True), conv.FORWARD)


def refuse_direct_linear(y, x, w, b, residual, activation, *parameters):
    return linear.refuse_linear(y, x, w, b) or _refuse(y, x, w, residual, activation)


def pack_linear(y, x, w, b, residual, *activation):
    """How it wants w packed, or None if nothing is gained."""
    return linear.pack_linear(y, x, w, b)


def _refuse(y, x, w, residual, activation):
    if activation and (activation not in elementwise.UNARY or activation == "power"):
        return f"it has no {activation}"
    if residual is None:
        return unsupported_layer(w, y, x)
    steps = zip(y.shape, y.strides, residual.strides, strict=True)
    if any(n > 1 and step != other for n, step, other in steps):
        return "the residual does not lie as the result does"
    return unsupported_layer(w, y, x, residual)


def conv_in_parts(y, x, w, b, residual, spec, activation, *parameters):
    """y = f(x ∗ w + b + residual)."""
    choose("conv", y, x, w, b, spec).function(y, x, w, b, spec)
    _finish(y, residual, activation, parameters)


def refuse_conv_in_parts(y, x, w, b, residual, spec, activation, *parameters):
    return _refuse_parts(y, residual, activation, parameters)


def linear_in_parts(y, x, w, b, residual, activation, *parameters):
    """y = f(x · wᵀ + b + residual)."""
    linear.linear(y, x, w, b)
    _finish(y, residual, activation, parameters)


def refuse_linear_in_parts(y, x, w, b, residual, activation, *parameters):
    return linear.refuse_linear(y, x, w, b) or _refuse_parts(y, residual, activation, parameters)


def _finish(y, residual, activation, parameters):
    """y = f(y + residual), in place."""
    if residual is not None:
        elementwise.binary(y, y, residual, "add")
    if activation:
        elementwise.unary(y, y, activation, *parameters)


def _refuse_parts(y, residual, activation, parameters):
    reason = None if residual is None else elementwise.refuse_binary(y, y, residual, "add")
    if reason is None and activation:
        reason = elementwise.refuse_unary(y, y, activation, *parameters)
    return reason
