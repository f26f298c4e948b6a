"""Conv and ConvTranspose."""

from __future__ import annotations

import pyconv.functional as F
from pyconv.onnx.operators.windows import each, halves, padding, pairs, spatial_axes
from pyconv.onnx.registry import floats, operator

_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@operator("Conv")
def conv(x, w, b=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, pads=None, strides=None):
    floats(x, w, b)
    n = spatial_axes(x)
    strides, dilations = each(strides, n), each(dilations, n)
    pads = padding(auto_pad, pads, x.shape[2:], w.shape[2:], strides, dilations)
    return _CONV[n](x, w, b, strides, pads, dilations, group)


@operator("ConvTranspose")
def conv_transpose(
    x,
    w,
    b=None,
    *,
    auto_pad="NOTSET",
    dilations=None,
    group=1,
    kernel_shape=None,
    output_padding=None,
    output_shape=None,
    pads=None,
    strides=None,
):
    floats(x, w, b)
    n = spatial_axes(x)
    strides, dilations = each(strides, n), each(dilations, n)
    extra = tuple(output_padding) if output_padding else (0,) * n
    if output_shape is None and auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        output_shape = [i * s for i, s in zip(x.shape[2:], strides, strict=True)]
    if output_shape:
        axes = zip(x.shape[2:], w.shape[2:], strides, dilations, extra, output_shape, strict=True)
        totals = [s * (i - 1) + e + d * (k - 1) + 1 - o for i, k, s, d, e, o in axes]
        found = tuple(halves(total, "SAME_UPPER" if auto_pad == "SAME_UPPER" else "SAME_LOWER") for total in totals)
    else:
        found = pairs(None if auto_pad == "VALID" else pads, n)
    return _CONV_TRANSPOSE[n](x, w, b, strides, found, extra, group, dilations)
