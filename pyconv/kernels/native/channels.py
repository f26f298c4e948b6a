"""Sums and normalization in C: arrays become images × channels × elements; statistics run over all but channels."""

from __future__ import annotations

from functools import lru_cache

from pyconv.kernels.native.elementwise import UNARY
from pyconv.kernels.native.library import call, ffi, lib, pointer, workspace
from pyconv.kernels.native.loops import axes_of, by_stride, merged, unsupported

FROM_ARGUMENT = (  # activations whose derivative C takes from x; ReLU's may be taken from x as well as from y
    *("relu", "leaky_relu", "clip", "hardtanh", "elu", "softplus", "gelu", "gelu_tanh", "silu", "mish"),
    *("hardsigmoid", "hardswish"),
)


def sum(y, x, axes, keepdims):
    """y = sum of x over axes."""
    problem = _sum_problem(y, x, axes, keepdims)
    call(lib.pyconv_sum, problem, pointer(x), pointer(y), _memory(problem))


def refuse_sum(y, x, axes, keepdims):
    reason = unsupported(x, y)
    if reason is None and isinstance(described := _sum_problem(y, x, axes, keepdims), str):
        reason = described
    return reason


def moments(out, x):
    """out (2, C) = mean and biased variance of each channel."""
    problem = _describe(0.0, x.itemsize, x.shape, x.strides)
    call(lib.pyconv_moments, problem, pointer(x), pointer(out), _memory(problem))


def refuse_moments(out, x):
    return _refuse((x,), out)


def normalize(y, x, moments, w, b, eps):
    """y = (x - mean) / √(variance + eps) · w + b."""
    fused_normalize(y, x, moments, w, b, None, eps, "")


def refuse_normalize(y, x, moments, w, b, eps):
    return _refuse((x, y), moments, w, b)


def fused_normalize(y, x, moments, w, b, residual, eps, activation, *parameters):
    """y = f((x - mean) / √(variance + eps) · w + b + residual)."""
    function = _function(activation, parameters)
    problem = _describe(eps, x.itemsize, x.shape, x.strides, y.strides, function=function)
    call(lib.pyconv_normalize, problem, *map(pointer, (x, moments, w, b, residual, y)), _memory(problem))


def refuse_fused_normalize(y, x, moments, w, b, residual, eps, activation, *parameters):
    if activation and (activation not in UNARY or activation == "power"):
        return f"it has no {activation}"
    if residual is None:
        return _refuse((x, y), moments, w, b)
    steps = zip(y.shape, y.strides, residual.strides, strict=True)
    if any(n > 1 and step != other for n, step, other in steps):
        return "the residual does not lie as the result does"
    return unsupported(x, residual) or _refuse((x, y), moments, w, b)


def normalize_sums(out, dy, x, moments, eps):
    """out (2, C) = per channel the sum of dy and the sum of dy · x̂."""
    fused_normalize_sums(out, dy, x, moments, None, None, eps, "")


def refuse_normalize_sums(out, dy, x, moments, eps):
    return _refuse((x, x, dy), out, moments)


def fused_normalize_sums(out, dy, x, moments, w, b, eps, activation, *parameters):
    """`normalize_sums` of dy · f'(x̂ · w + b)."""
    function = _function(activation, parameters)
    problem = _describe(eps, x.itemsize, x.shape, x.strides, x.strides, dy.strides, function=function)
    call(lib.pyconv_normalize_sums, problem, *map(pointer, (dy, x, moments, w, b, out)), _memory(problem))


def refuse_fused_normalize_sums(out, dy, x, moments, w, b, eps, activation, *parameters):
    return _refuse_backward(activation) or _refuse((x, x, dy), out, moments, w, b)


def batch_norm_backward(dx, dy, x, moments, sums, w, eps):
    """dx = w / √(variance + eps) · (dy - mean(dy) - x̂ · mean(dy · x̂))."""
    fused_batch_norm_backward(dx, dy, x, moments, sums, w, None, eps, "")


def refuse_batch_norm_backward(dx, dy, x, moments, sums, w, eps):
    return _refuse((x, dx, dy), moments, sums, w)


def fused_batch_norm_backward(dx, dy, x, moments, sums, w, b, eps, activation, *parameters):
    """`batch_norm_backward` of dy · f'(x̂ · w + b)."""
    function = _function(activation, parameters)
    problem = _describe(eps, x.itemsize, x.shape, x.strides, dx.strides, dy.strides, function=function)
    call(lib.pyconv_batch_norm_backward, problem, *map(pointer, (dy, x, moments, sums, w, b, dx)), _memory(problem))


def refuse_fused_batch_norm_backward(dx, dy, x, moments, sums, w, b, eps, activation, *parameters):
    return _refuse_backward(activation) or _refuse((x, dx, dy), moments, sums, w, b)


def _function(activation, parameters):
    """The number of an activation (-1: none) and its parameters, as C has them."""
    first, second = (*map(float, parameters), 0.0, 0.0)[:2]
    return UNARY.get(activation, -1), first, second


def _refuse_backward(activation):
    """C makes an activation's argument anew, and takes the derivative from that alone."""
    return None if activation in FROM_ARGUMENT else f"it has no derivative of {activation}"


def _memory(problem):
    return workspace(lib.pyconv_channels_workspace(problem))


def _refuse(arrays, *coefficients):
    """Why there is no problem for arrays of one shape with these coefficients of channels (None: left out)."""
    given = [array for array in coefficients if array is not None]
    reason = unsupported(*arrays, *given)
    if reason is None and not all(array.flags.c_contiguous for array in given):
        reason = "coefficients of channels are not contiguous"
    x = arrays[0]
    if reason is None and isinstance(
        described := _describe(0.0, x.itemsize, x.shape, *(a.strides for a in arrays)), str
    ):
        reason = described
    return reason


@lru_cache(maxsize=1024)
def _describe(eps, itemsize, shape, *strides, function=(-1, 0.0, 0.0)):
    """A `pyconv_channels` for arrays x, y and dy of one shape (N, C, …), or the reason why there is none."""
    axes = axes_of(shape, strides, itemsize)
    channels = axes.pop(1)
    problem = _problem(eps, itemsize, shape, channels, by_stride(axes), 1)
    if not isinstance(problem, str):
        problem.activation, *problem.parameters = function
    return problem


def _sum_problem(y, x, axes, keepdims):
    strides = y.strides
    if not keepdims:
        kept = iter(strides)
        strides = tuple(0 if a in axes else next(kept) for a in range(x.ndim))
    return _describe_sum(axes, x.itemsize, x.shape, x.strides, strides)


@lru_cache(maxsize=1024)
def _describe_sum(summed, itemsize, shape, *strides):
    """A `pyconv_channels` for x and the sum over some axes, whose strides along these do not matter."""
    axes = axes_of(shape, strides, itemsize)
    kept = merged(by_stride(axis for a, axis in enumerate(axes) if a not in summed))
    if len(kept) > 4:
        return "the axes kept do not follow each other in memory"
    inner = by_stride((n, (s[0],)) for a, (n, s) in enumerate(axes) if a in summed)
    kept = [(1, (0, 0))] * (4 - len(kept)) + kept
    c, (x_channel, _) = kept[-1]
    problem = _problem(0.0, itemsize, shape, (c, (x_channel,)), inner, 2)
    if not isinstance(problem, str):
        problem.outer = [n for n, _ in kept[:3]]
        problem.x_outer = [s for _, (s, _) in kept[:3]]
        problem.out_strides = [s for _, (_, s) in kept]
    return problem


def _problem(eps, itemsize, shape, channels, inner, most):
    """The problem for channels and the axes that statistics run over, outermost first; of columns at most so many."""
    if 0 in shape:
        return "the array is empty"
    c, c_strides = channels
    arrays = len(c_strides)
    ones, none = (1,) * arrays, (0,) * arrays
    inner = merged(inner) or [(1, none)]
    m, m_strides = inner[-1]
    columns = c > 1 and c_strides == ones and len(inner) <= most
    if not columns and not (len(inner) <= 2 and (m_strides == ones or m == 1)):
        return "neither channels nor the elements of a channel are contiguous"
    n, n_strides = inner[0] if len(inner) == 2 else (1, none)
    fields = [[n_strides[i], c_strides[i], m_strides[i]] for i in range(arrays)]
    x, y, dy = fields + [[0] * 3] * (3 - arrays)
    return ffi.new("pyconv_channels *", [n, c, m, [1] * 3, x, dy, y, [0] * 3, [0] * 4, columns, 8 * itemsize, eps])
