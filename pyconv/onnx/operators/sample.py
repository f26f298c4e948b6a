"""Images sampled where other values say: GridSample, DeformConv, RoiAlign, MaxUnpool."""

from __future__ import annotations

import math

import pyconv.functional as F
from pyconv.onnx.operators.windows import each, pairs, spatial_axes
from pyconv.onnx.registry import UnsupportedError, floats, integers, operator
from pyconv.ops.elementwise import Add
from pyconv.ops.node import Node
from pyconv.ops.pool import MaxPoolIndices, Unpool
from pyconv.ops.reduce import Reshape
from pyconv.ops.sample import DeformedTaps, GridSample, RoiAlign
from pyconv.ops.shape import Pad

_MODES = {"bilinear": "linear", "bicubic": "cubic"}  # as operator set 16 calls them


@operator("GridSample", since=16)
def grid_sample(x, grid, *, mode="linear", padding_mode="zeros", align_corners=0):
    floats(x, grid)
    mode = _MODES.get(mode, mode)
    if mode not in ("linear", "nearest", "cubic") or padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(f"GridSample has no mode {mode!r} with padding {padding_mode!r}")
    if grid.ndim != x.ndim or grid.shape[-1] != x.ndim - 2 or grid.shape[0] != x.shape[0]:
        raise ValueError(f"a grid of shape {grid.shape} does not go with x of shape {x.shape}")
    if 0 in x.shape[2:]:
        raise UnsupportedError("nothing to sample")
    return GridSample(mode, padding_mode, bool(align_corners))(x, grid)


@operator("DeformConv", since=19)
def deform_conv(
    x,
    w,
    offset,
    b=None,
    mask=None,
    *,
    dilations=None,
    group=1,
    kernel_shape=None,
    offset_group=1,
    pads=None,
    strides=None,
):
    floats(x, w, offset, b, mask)
    if x.ndim != 4 or 0 in x.shape:
        raise UnsupportedError(f"an image of shape {x.shape}")
    kernel, padding = tuple(w.shape[2:]), pairs(pads, 2)
    strides, dilations = each(strides, 2), each(dilations, 2)
    axes = zip(x.shape[2:], kernel, strides, padding, dilations, strict=True)
    out = tuple((i + sum(pad) - d * (k - 1) - 1) // s + 1 for i, k, s, pad, d in axes)
    taps = offset_group * math.prod(kernel)
    if x.shape[1] % offset_group or tuple(offset.shape) != (x.shape[0], 2 * taps, *out):
        raise ValueError(f"offset must have shape {(x.shape[0], 2 * taps, *out)}, not {offset.shape}")
    if mask is not None and tuple(mask.shape) != (x.shape[0], taps, *out):
        raise ValueError(f"mask must have shape {(x.shape[0], taps, *out)}, not {mask.shape}")
    read = DeformedTaps(kernel, strides, padding, dilations, offset_group)(x, offset, mask)
    return F.conv2d(read, w, b, kernel, groups=group)


@operator("RoiAlign", since=10, until=15)
def roi_align_from_corners(
    x, rois, images, *, mode="avg", output_height=1, output_width=1, sampling_ratio=0, spatial_scale=1.0
):
    return _roi_align(x, rois, images, (output_height, output_width), mode, sampling_ratio, spatial_scale, False)


@operator("RoiAlign", since=16)
def roi_align(
    x,
    rois,
    images,
    *,
    coordinate_transformation_mode="half_pixel",
    mode="avg",
    output_height=1,
    output_width=1,
    sampling_ratio=0,
    spatial_scale=1.0,
):
    half = coordinate_transformation_mode == "half_pixel"
    return _roi_align(x, rois, images, (output_height, output_width), mode, sampling_ratio, spatial_scale, half)


def _roi_align(x, rois, images, size, mode, ratio, scale, half_pixel):
    floats(x, rois)
    if rois.ndim != 2 or rois.shape[1] != 4 or tuple(images.shape) != (rois.shape[0],) or 0 in x.shape:
        raise ValueError(f"rois must be (R, 4) and batch_indices (R,), not {rois.shape} and {images.shape}")
    if min(size) < 1 or mode not in ("avg", "max"):
        raise ValueError(f"RoiAlign has no output size {size} or mode {mode!r}")
    return RoiAlign(size, mode, ratio, scale, half_pixel)(x, rois, images)


@operator("MaxUnpool", since=9)
def max_unpool(x, indices, output_shape=None, *, kernel_shape, pads=None, strides=None):
    floats(x)
    n = spatial_axes(x)
    if tuple(indices.shape) != tuple(x.shape):
        raise ValueError(f"indices must have the shape of x, {x.shape}, not {indices.shape}")
    axes = zip(x.shape[2:], kernel_shape, each(strides, n), pairs(pads, n), strict=True)
    size = tuple((i - 1) * s - sum(pad) + k for i, k, s, pad in axes)
    shape = (*x.shape[:2], *size)
    if min(size) < 1 or x.size == 0:
        raise UnsupportedError("nothing left")
    maxima = _maxima(indices, x)
    if maxima is not None:
        y = Unpool(size)(x, maxima)
    else:  # ONNX counts through the whole array
        whole = Reshape((1, 1, x.size))
        y = Reshape(shape)(Unpool((math.prod(shape),))(whole(x), whole(_checkable(indices))))
    if output_shape is not None and integers(output_shape) != shape:
        more = tuple((0, o - i) for o, i in zip(integers(output_shape), shape, strict=True))
        if min(end for _, end in more) < 0:
            raise UnsupportedError("an output_shape smaller than the pooling's input")
        y = Pad(more)(y)
    return y


def _maxima(indices, x):
    """Places in each plane, if they come straight from a MaxPool of ours."""
    if type(indices) is not Node or not isinstance(indices.op, Add):
        return None
    first = indices.inputs[0]
    found = first is not None and isinstance(first.op, MaxPoolIndices) and first.shape == x.shape
    return first if found else None


def _checkable(labels):
    """Integers that each run looks at before it begins: an input of the plan, or known."""
    source = labels
    while type(source) is Node and isinstance(source.op, Reshape):
        (source,) = source.inputs
    if type(source) is Node and source.op is not None:
        raise UnsupportedError("indices that are computed")
    return labels
