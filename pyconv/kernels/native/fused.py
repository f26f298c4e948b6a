"""Fused kernels in C, one call a part; a program makes them without coming back to Python in between."""

from __future__ import annotations

from pyconv.kernels import choose
from pyconv.kernels.native import elementwise, linear


def fused_conv(y, x, w, b, residual, spec, activation, *parameters):
    """y = f(x ∗ w + b + residual)."""
    choose("conv", y, x, w, b, spec).function(y, x, w, b, spec)
    _epilogue(y, residual, activation, parameters)


def refuse_fused_conv(y, x, w, b, residual, spec, activation, *parameters):
    return _refuse(y, residual, activation, parameters)


def fused_linear(y, x, w, b, residual, activation, *parameters):
    """y = f(x · wᵀ + b + residual)."""
    linear.linear(y, x, w, b)
    _epilogue(y, residual, activation, parameters)


def refuse_fused_linear(y, x, w, b, residual, activation, *parameters):
    return linear.refuse_linear(y, x, w, b) or _refuse(y, residual, activation, parameters)


def _epilogue(y, residual, activation, parameters):
    """y = f(y + residual), in place."""
    if residual is not None:
        elementwise.binary(y, y, residual, "add")
    if activation:
        elementwise.unary(y, y, activation, *parameters)


def _refuse(y, residual, activation, parameters):
    reason = None if residual is None else elementwise.refuse_binary(y, y, residual, "add")
    if reason is None and activation:
        reason = elementwise.refuse_unary(y, y, activation, *parameters)
    return reason
