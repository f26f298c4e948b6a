"""Sums and normalization in C: arrays become images × channels × elements; statistics run over all but channels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from pyconv.kernels.native.library import call, ffi, lib, pointer, workspace
from pyconv.kernels.native.loops import axes_of, by_stride, merged, unsupported


def sum(y, x, axes, keepdims):
    """y = sum of x over axes."""
    problem = _describe(_kept(x, axes), x.itemsize, x.shape, x.strides)
    out = np.empty(problem.c)
    call(lib.pyconv_sum, problem, pointer(x), _doubles(out), _memory(problem))
    y[...] = out.reshape(y.shape)


def refuse_sum(y, x, axes, keepdims):
    return _refuse(_kept(x, axes), x) if x.ndim else "a scalar has nothing to sum"


def moments(out, x):
    """out (2, C) = mean and biased variance of each channel."""
    problem = _describe((1,), x.itemsize, x.shape, x.strides)
    statistics = np.empty((2, x.shape[1]))
    call(lib.pyconv_moments, problem, pointer(x), *map(_doubles, statistics), _memory(problem))
    out[...] = statistics


def refuse_moments(out, x):
    return _refuse((1,), x)


def normalize(y, x, moments, w, b, eps):
    """y = (x - mean) / √(variance + eps) · w + b."""
    problem = _describe((1,), x.itemsize, x.shape, x.strides, y.strides)
    scale = _scale(moments, w, eps)
    shift = np.zeros_like(scale) if b is None else b
    call(lib.pyconv_normalize, problem, pointer(x), *_coefficients(x, moments[0], scale, shift), pointer(y))


def refuse_normalize(y, x, moments, w, b, eps):
    return _refuse((1,), x, y)


def normalize_sums(out, dy, x, moments, eps):
    """out (2, C) = per channel the sum of dy and the sum of dy · x̂."""
    problem = _describe((1,), x.itemsize, x.shape, x.strides, x.strides, dy.strides)
    sums = np.empty((2, x.shape[1]))
    (mean,) = _coefficients(x, moments[0])
    call(lib.pyconv_products, problem, pointer(dy), pointer(x), mean, *map(_doubles, sums), _memory(problem))
    sums[1] *= _scale(moments, None, eps)
    out[...] = sums


def refuse_normalize_sums(out, dy, x, moments, eps):
    return _refuse((1,), x, x, dy)


def batch_norm_backward(dx, dy, x, moments, sums, w, eps):
    """dx = w / √(variance + eps) · (dy - mean(dy) - x̂ · mean(dy · x̂))."""
    problem = _describe((1,), x.itemsize, x.shape, x.strides, dx.strides, dy.strides)
    count = x.size // x.shape[1]
    slope = sums[1] * _scale(moments, None, eps) / -count
    coefficients = _coefficients(x, moments[0], slope, _scale(moments, w, eps), sums[0] / -count)
    call(lib.pyconv_normalize_backward, problem, pointer(dy), pointer(x), *coefficients, pointer(dx))


def refuse_batch_norm_backward(dx, dy, x, moments, sums, w, eps):
    return _refuse((1,), x, dx, dy)


def _scale(moments, w, eps):
    inverse = 1 / np.sqrt(moments[1] + moments.dtype.type(eps))
    return inverse if w is None else inverse * w


def _kept(x, axes):
    return tuple(a for a in range(x.ndim) if a not in axes)


def _doubles(array):
    return ffi.from_buffer("double[]", array)


def _memory(problem):
    return workspace(lib.pyconv_channels_workspace(problem))


def _coefficients(x, *vectors):
    """Pointers to contiguous vectors in x's precision; cffi keeps the arrays alive."""
    return [ffi.from_buffer(np.ascontiguousarray(v, x.dtype)) for v in vectors]


def _refuse(kept, x, *others):
    reason = unsupported(x, *others)
    if reason is None and isinstance(
        described := _describe(kept, x.itemsize, x.shape, x.strides, *(o.strides for o in others)), str
    ):
        reason = described
    return reason


@lru_cache(maxsize=1024)
def _describe(kept, itemsize, shape, *strides):
    """A `pyconv_channels` for arrays x, y and dy of one shape, or the reason why there is none."""
    if 0 in shape:
        return "the array is empty"
    axes = axes_of(shape, strides, itemsize)
    ones, none = (1,) * len(strides), (0,) * len(strides)
    channels = merged(axes[a] for a in kept) or [(1, none)]
    inner = merged(by_stride(axis for a, axis in enumerate(axes) if a not in kept)) or [(1, none)]
    if len(channels) > 1:
        return "the axes kept do not follow each other in memory"
    (c, c_strides), (m, m_strides) = channels[0], inner[-1]
    columns = c > 1 and c_strides == ones and len(inner) == 1
    if not columns and not (len(inner) <= 2 and (m_strides == ones or m == 1)):
        return "neither channels nor the elements of a channel are contiguous"
    n, n_strides = inner[0] if len(inner) == 2 else (1, none)
    fields = [[n_strides[i], c_strides[i], m_strides[i]] for i in range(len(strides))]
    x, y, dy = fields + [[0] * 3] * (3 - len(fields))
    return ffi.new("pyconv_channels *", [n, c, m, x, dy, y, columns, 8 * itemsize])
