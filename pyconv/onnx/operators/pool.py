"""Pooling: maximum with indices, average, p-norm, and over the whole image."""

from __future__ import annotations

import math

import numpy as np

import pyconv.functional as F
from pyconv.onnx.operators.windows import each, padding, spatial_axes
from pyconv.onnx.registry import UnsupportedError, floats, operator

_MAX_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVG_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_LP_POOL = {1: F.lp_pool1d, 2: F.lp_pool2d, 3: F.lp_pool3d}


@operator("MaxPool")
def max_pool(
    x,
    *,
    outputs,
    kernel_shape,
    auto_pad="NOTSET",
    ceil_mode=0,
    dilations=None,
    pads=None,
    storage_order=0,
    strides=None,
):
    floats(x)
    n = spatial_axes(x)
    if outputs > 1 and storage_order:
        raise UnsupportedError("indices in column-major order")
    strides, dilations = each(strides, n), each(dilations, n)
    pads = padding(auto_pad, pads, x.shape[2:], kernel_shape, strides, dilations)
    arguments = (x, tuple(kernel_shape), strides, pads, dilations, bool(ceil_mode))
    if outputs == 1:
        return _MAX_POOL[n](*arguments)
    y, indices = _MAX_POOL[n](*arguments, return_indices=True)
    planes = np.arange(x.shape[0] * x.shape[1]) * math.prod(x.shape[2:])  # ONNX counts through the whole array
    return y, F.add(indices, planes.reshape(*x.shape[:2], *[1] * n))


@operator("AveragePool")
def average_pool(
    x,
    *,
    kernel_shape,
    auto_pad="NOTSET",
    ceil_mode=0,
    count_include_pad=0,
    dilations=None,
    pads=None,
    strides=None,
):
    floats(x)
    n = spatial_axes(x)
    strides, dilations = each(strides, n), each(dilations, n)
    if max(dilations) > 1:
        raise UnsupportedError("dilated averages")
    pads = padding(auto_pad, pads, x.shape[2:], kernel_shape, strides, dilations)
    return _AVG_POOL[n](x, tuple(kernel_shape), strides, pads, bool(ceil_mode), bool(count_include_pad))


@operator("LpPool", since=2)
def lp_pool(x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, dilations=None, p=2, pads=None, strides=None):
    floats(x)
    n = spatial_axes(x)
    strides, dilations = each(strides, n), each(dilations, n)
    pads = padding(auto_pad, pads, x.shape[2:], kernel_shape, strides, dilations)
    if max(dilations) > 1 or any(map(any, pads)) or ceil_mode:
        raise UnsupportedError("dilated, padded or incomplete windows")
    return _LP_POOL[n](x, p, tuple(kernel_shape), strides)


@operator("GlobalAveragePool")
def global_average_pool(x):
    floats(x)
    spatial_axes(x)
    return F.global_avg_pool(x)


@operator("GlobalMaxPool")
def global_max_pool(x):
    floats(x)
    spatial_axes(x)
    return F.global_max_pool(x)


@operator("GlobalLpPool", since=2)
def global_lp_pool(x, *, p=2):
    floats(x)
    return F.pow(F.sum(F.pow(F.abs(x), float(p)), tuple(range(2, x.ndim)), keepdim=True), 1 / p)
