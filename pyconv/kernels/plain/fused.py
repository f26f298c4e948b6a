"""Fused kernels part by part, each by the best row of the current backend; what a backend without better rows runs."""

from pyconv import kernels


def fused_conv(y, x, w, b, residual, spec, activation, *parameters):
    """y = f(x ∗ w + b + residual); overwrites y."""
    kernels.run("conv", y, x, w, b, spec)
    _epilogue(y, residual, activation, parameters)


def fused_linear(y, x, w, b, residual, activation, *parameters):
    """y = f(x · wᵀ + b + residual); overwrites y."""
    kernels.run("linear", y, x, w, b)
    _epilogue(y, residual, activation, parameters)


def _epilogue(y, residual, activation, parameters):
    """y = f(y + residual), in place."""
    if residual is not None:
        kernels.run("binary", y, y, residual, "add")
    if activation:
        kernels.run("unary", y, y, activation, *parameters)
