"""Reductions over axes: an attribute in older operator sets, an input in newer ones."""

from __future__ import annotations

import numpy as np

import pyconv.functional as F
from pyconv.onnx.registry import UnsupportedError, axis_of, floats, integers, is_known, operator


def _sum_square(x, axes, keepdims):
    return F.sum(F.mul(x, x), axes, keepdims)


def _log_sum_exp(x, axes, keepdims):
    largest = F.max(x, axes, True)
    total = F.add(F.log(F.sum(F.exp(F.sub(x, largest)), axes, True)), largest)
    return total if keepdims else F.reshape(total, [n for a, n in enumerate(x.shape) if a not in axes])


_REDUCTIONS = {  # name -> (function, first operator set in which axes are an input)
    "ReduceSum": (F.sum, 13),
    "ReduceMean": (F.mean, 18),
    "ReduceMax": (F.max, 18),
    "ReduceMin": (F.min, 18),
    "ReduceL1": (lambda x, axes, keepdims: F.sum(F.abs(x), axes, keepdims), 18),
    "ReduceL2": (lambda x, axes, keepdims: F.sqrt(_sum_square(x, axes, keepdims)), 18),
    "ReduceSumSquare": (_sum_square, 18),
    "ReduceLogSum": (lambda x, axes, keepdims: F.log(F.sum(x, axes, keepdims)), 18),
    "ReduceLogSumExp": (_log_sum_exp, 18),
}


def _register(name, function, by_input):
    @operator(name, until=by_input - 1)
    def over_attribute(x, *, axes=None, keepdims=1):
        return _reduced(function, x, axes, keepdims)

    @operator(name, since=by_input)
    def over_input(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
        axes = None if axes is None else integers(axes)
        if not axes and noop_with_empty_axes:
            if name not in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"):
                raise UnsupportedError("no axes")
            return x
        return _reduced(function, x, axes, keepdims)


def _reduced(function, x, axes, keepdims):
    floats(x)
    axes = tuple(range(x.ndim)) if not axes else tuple(axis_of(a, x.ndim) for a in axes)
    if 0 in x.shape or x.ndim == 0:
        raise UnsupportedError("nothing to reduce")
    return function(x, axes, bool(keepdims))


for _name, (_function, _by_input) in _REDUCTIONS.items():
    _register(_name, _function, _by_input)


@operator("ReduceProd", until=17)
def reduce_prod(x, *, axes=None, keepdims=1):
    if not is_known(x):
        raise UnsupportedError("a product")
    return np.asarray(np.prod(x, tuple(axes) if axes else None, x.dtype, keepdims=bool(keepdims)))
