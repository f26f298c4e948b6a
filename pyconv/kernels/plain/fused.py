"""Fused kernels part by part, each by the best row of the current backend; what a backend without better rows runs."""

import numpy as np

from pyconv import kernels


def fused_conv(y, x, w, b, residual, spec, activation, *parameters):
    """y = f(x ∗ w + b + residual); overwrites y."""
    kernels.run("conv", y, x, w, b, spec)
    _epilogue(y, residual, activation, parameters)


def pooled_conv(y, x, w, b, spec, pool, activation, *parameters):
    """y = the maximum of each window of f(x ∗ w + b); overwrites y."""
    size = spec.output_size(x.shape[2:], w.shape[2:])
    whole = np.empty((*y.shape[:2], *size), y.dtype)
    kernels.run("fused_conv", whole, x, w, b, None, spec, activation, *parameters)
    kernels.run("max_pool", y, whole, pool.windows(size))


def fused_linear(y, x, w, b, residual, activation, *parameters):
    """y = f(x · wᵀ + b + residual); overwrites y."""
    kernels.run("linear", y, x, w, b)
    _epilogue(y, residual, activation, parameters)


def fused_normalize(y, x, moments, w, b, residual, eps, activation, *parameters):
    """y = f(x̂ · w + b + residual); overwrites y."""
    kernels.run("normalize", y, x, moments, w, b, eps)
    _epilogue(y, residual, activation, parameters)


def fused_normalize_sums(out, dy, x, moments, w, b, eps, activation, *parameters):
    """out (2, C) = per channel Σ g and Σ g · x̂ of g = dy · f'(x̂ · w + b); overwrites out."""
    g = _through_activation(dy, x, moments, w, b, eps, activation, parameters)
    kernels.run("normalize_sums", out, g, x, moments, eps)


def fused_batch_norm_backward(dx, dy, x, moments, sums, w, b, eps, activation, *parameters):
    """dx = w / √(variance + eps) · (g - mean(g) - x̂ · mean(g · x̂)), g = dy · f'(x̂ · w + b); overwrites dx."""
    g = _through_activation(dy, x, moments, w, b, eps, activation, parameters)
    kernels.run("batch_norm_backward", dx, g, x, moments, sums, w, eps)


def _through_activation(dy, x, moments, w, b, eps, activation, parameters):
    """dy · f'(x̂ · w + b)."""
    z, y, g = (np.empty_like(x) for _ in range(3))
    kernels.run("normalize", z, x, moments, w, b, eps)
    kernels.run("unary", y, z, activation, *parameters)
    kernels.run("unary_backward", g, dy, z, y, activation, *parameters)
    return g


def _epilogue(y, residual, activation, parameters):
    """y = f(y + residual), in place."""
    if residual is not None:
        kernels.run("binary", y, y, residual, "add")
    if activation:
        kernels.run("unary", y, y, activation, *parameters)
