"""Quantization, and convolutions and products of 8-bit integers: exact, in floating point that holds their sums.

A sum of products of 8-bit integers has less than 53 bits, so the float64 kernels find it as integer ones would.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

import pyconv.functional as F
from pyconv.onnx.operators.conv import conv
from pyconv.onnx.registry import UnsupportedError, axis_of, floats, operator
from pyconv.ops.elementwise import Cast

_DOUBLE = np.dtype(np.float64)
_BYTES = (np.dtype(np.uint8), np.dtype(np.int8))
_QUANTIZED = (*_BYTES, np.dtype(np.uint16), np.dtype(np.int16))


@operator("QuantizeLinear", since=10)
def quantize_linear(x, scale, zero=None, *, axis=1, block_size=0, output_dtype=0, precision=0, saturate=1):
    floats(x, scale)
    if block_size or x.dtype != scale.dtype or precision not in (0, helper.np_dtype_to_tensor_dtype(x.dtype)):
        raise UnsupportedError("blocks, or another precision")
    dtype = zero.dtype if zero is not None else helper.tensor_dtype_to_np_dtype(output_dtype or TensorProto.UINT8)
    if dtype not in _QUANTIZED:
        raise UnsupportedError(f"to {dtype}")
    y = F.round(F.div(x, _spread(scale, x, axis)))
    return _rounded(y if zero is None else F.add(y, Cast(x.dtype)(_spread(zero, x, axis))), dtype)


@operator("DequantizeLinear", since=10)
def dequantize_linear(x, scale, zero=None, *, axis=1, block_size=0, output_dtype=0):
    floats(scale)
    dtype = scale.dtype
    if block_size or output_dtype not in (0, helper.np_dtype_to_tensor_dtype(dtype)):
        raise UnsupportedError("blocks, or another dtype")
    if x.dtype not in (*_QUANTIZED, np.int32):
        raise UnsupportedError(f"from {x.dtype}")
    y = Cast(dtype)(x)
    if zero is not None:
        y = F.sub(y, Cast(dtype)(_spread(zero, x, axis)))
    return F.mul(y, _spread(scale, x, axis))


@operator("ConvInteger", since=10)
def conv_integer(
    x,
    w,
    x_zero=None,
    w_zero=None,
    *,
    auto_pad="NOTSET",
    dilations=None,
    group=1,
    kernel_shape=None,
    pads=None,
    strides=None,
):
    window = _window(auto_pad, dilations, group, pads, strides)
    return Cast(np.dtype(np.int32))(F.round(_convolved(x, x_zero, w, w_zero, None, window)))


@operator("QLinearConv", since=10)
def qlinear_conv(
    x,
    x_scale,
    x_zero,
    w,
    w_scale,
    w_zero,
    y_scale,
    y_zero,
    b=None,
    *,
    auto_pad="NOTSET",
    dilations=None,
    group=1,
    kernel_shape=None,
    pads=None,
    strides=None,
):
    floats(x_scale, w_scale, y_scale)
    y = F.round(_convolved(x, x_zero, w, w_zero, b, _window(auto_pad, dilations, group, pads, strides)))
    scale = F.div(F.mul(x_scale, w_scale), y_scale)
    if scale.size > 1:
        scale = F.reshape(scale, (scale.size, *[1] * (x.ndim - 2)))
    return _requantized(y, scale, y_zero)


@operator("MatMulInteger", since=10)
def matmul_integer(a, b, a_zero=None, b_zero=None):
    return Cast(np.dtype(np.int32))(F.round(F.matmul(_centered(a, a_zero, -2), _centered(b, b_zero, -1))))


@operator("QLinearMatMul", since=10)
def qlinear_matmul(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero):
    floats(a_scale, b_scale, y_scale)
    if not a_scale.size == b_scale.size == y_scale.size == 1:
        raise UnsupportedError("scales for each row or column")
    y = F.matmul(_centered(a, a_zero, -2), _centered(b, b_zero, -1))
    scale = F.reshape(F.div(F.mul(a_scale, b_scale), y_scale), ())
    return _requantized(F.round(y), scale, y_zero)


def _window(auto_pad, dilations, group, pads, strides):
    return {"auto_pad": auto_pad, "dilations": dilations, "group": group, "pads": pads, "strides": strides}


def _convolved(x, x_zero, w, w_zero, b, window):
    """The convolution's exact sums, in float64."""
    bias = None if b is None else Cast(_DOUBLE)(b)
    return conv(_centered(x, x_zero, 1), _centered(w, w_zero, 0), bias, **window)


def _centered(x, zero, axis):
    """x less its zero point, one for all or one for each place along an axis."""
    if x.dtype not in _BYTES:
        raise UnsupportedError(str(x.dtype))
    x = Cast(_DOUBLE)(x)
    if zero is None:
        return x
    if zero.ndim > 1:
        raise UnsupportedError("zero points of several axes")
    return F.sub(x, Cast(_DOUBLE)(_spread(zero, x, axis)))


def _requantized(y, scale, zero):
    """Sums in another scale, rounded to the dtype of the zero point."""
    floats(scale)
    return _rounded(F.round(F.add(F.mul(y, Cast(_DOUBLE)(scale)), Cast(_DOUBLE)(F.reshape(zero, ())))), zero.dtype)


def _rounded(y, dtype):
    bounds = np.iinfo(dtype)
    return Cast(dtype)(F.clip(y, float(bounds.min), float(bounds.max)))


def _spread(value, x, axis):
    """One number, or one for each place along an axis of x."""
    if value.size == 1:
        return F.reshape(value, ())
    axis = axis_of(axis, x.ndim)
    if tuple(value.shape) != (x.shape[axis],):
        raise UnsupportedError("scales of several axes")
    return F.reshape(value, [x.shape[axis] if a == axis else 1 for a in range(x.ndim)])
