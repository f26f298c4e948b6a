"""Resampling in C: the tables of the axes become a `pyconv_resampling`."""

from __future__ import annotations

import numpy as np

from pyconv.kernels.native.library import call, ffi, keep, lib, pointer, workspace_for
from pyconv.kernels.native.loops import unsupported
from pyconv.kernels.resample import Taps

_SAME = Taps(np.zeros((1, 1), np.int64), np.ones((1, 1)))  # the table of an axis of one


def interpolate(y, x, tables):
    """y[o] = Σ_t weight[o, t] · x[source[o, t]] along each spatial axis."""
    tables = [*[_SAME] * (3 - len(tables)), *tables]
    source = ffi.from_buffer("int64_t[]", np.concatenate([t.source.ravel() for t in tables]))
    weight = ffi.from_buffer("double[]", np.concatenate([t.weight.ravel() for t in tables]))
    sizes = [[1] * (5 - a.ndim) + list(a.shape[2:]) for a in (x, y)]
    taps = [t.source.shape[1] for t in tables]
    strides = [_strides(a) for a in (x, y)]
    problem = ffi.new("pyconv_resampling *", [*x.shape[:2], *sizes, taps, source, weight, *strides, 8 * x.itemsize])
    workspace = workspace_for(lib.pyconv_resample_workspace, problem)
    call(lib.pyconv_resample, keep(problem, source, weight), pointer(x), pointer(y), workspace)


def refuse(y, x, tables):
    """Why a call is refused."""
    return unsupported(y, x) or ("there is nothing to sample" if 0 in x.shape[1:] else None)


def _strides(array) -> list[int]:
    steps = [step // array.itemsize for step in array.strides]
    return [*steps[:2], *[0] * (5 - array.ndim), *steps[2:]]
