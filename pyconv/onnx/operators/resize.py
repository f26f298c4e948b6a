"""Resize and Upsample of the spatial axes, in the modes that networks use."""

from __future__ import annotations

import math

from pyconv.kernels.resample import ResampleSpec
from pyconv.onnx.operators.windows import spatial_axes
from pyconv.onnx.registry import UnsupportedError, check_size, floats, integers, operator, static
from pyconv.ops.shape import Interpolate


@operator("Upsample", since=7, until=8)
def upsample_by_attribute(x, *, scales, mode="nearest"):
    return _resized(x, None, tuple(scales), mode, "asymmetric", "floor", -0.75)


@operator("Upsample", since=9, until=9)
def upsample(x, scales, *, mode="nearest"):
    return _resized(x, None, _floats(scales), mode, "asymmetric", "floor", -0.75)


@operator("Resize", since=10, until=10)
def resize_asymmetric(x, scales, *, mode="nearest"):
    return _resized(x, None, _floats(scales), mode, "asymmetric", "floor", -0.75)


@operator("Resize", since=11)
def resize(
    x,
    roi=None,
    scales=None,
    sizes=None,
    *,
    antialias=0,
    axes=None,
    coordinate_transformation_mode="half_pixel",
    cubic_coeff_a=-0.75,
    exclude_outside=0,
    extrapolation_value=0.0,
    keep_aspect_ratio_policy="stretch",
    mode="nearest",
    nearest_mode="round_prefer_floor",
):
    if antialias or exclude_outside or axes is not None or keep_aspect_ratio_policy != "stretch":
        raise UnsupportedError("antialias, exclude_outside, axes or an aspect ratio to keep")
    sizes = None if sizes is None or sizes.size == 0 else integers(sizes)
    scales = None if scales is None or scales.size == 0 else _floats(scales)
    return _resized(x, sizes, scales, mode, coordinate_transformation_mode, nearest_mode, cubic_coeff_a)


def _floats(value):
    return tuple(static(value).reshape(-1).tolist())


def _resized(x, sizes, scales, mode, coordinates, rounding, a):
    floats(x)
    n = spatial_axes(x)
    if sizes is None:
        if scales is None or len(scales) != x.ndim:
            raise ValueError("Resize needs sizes or scales, one an axis")
        sizes = tuple(math.floor(i * s) for i, s in zip(x.shape, scales, strict=True))
    if tuple(sizes[:2]) != tuple(x.shape[:2]):
        raise UnsupportedError("a change of the batch or the channels")
    if tuple(sizes) == tuple(x.shape) and (scales is None or set(scales) == {1.0}):
        return x
    check_size(sizes, x)
    if 0 in x.shape[2:]:
        raise UnsupportedError("an image without pixels")
    kind, corners = _kind(x.shape[2:], sizes[2:], scales, mode, coordinates, rounding, a)
    if min(sizes[2:]) < 1:
        raise UnsupportedError("nothing left")
    return Interpolate(ResampleSpec(tuple(sizes[2:]), kind, corners, None if scales is None else scales[2 : 2 + n]))(x)


def _kind(size, out, scales, mode, coordinates, rounding, a):
    """Our name of a mode, and whether corners are aligned."""
    if mode == "nearest":
        whole = all(o % i == 0 for i, o in zip(size, out, strict=True)) and (
            scales is None or all(s == o // i for i, o, s in zip(size, out, scales[2:], strict=True))
        )
        if coordinates == "asymmetric" and (
            rounding == "floor"
            or (whole and rounding == "round_prefer_floor" and all(o <= 2 * i for i, o in zip(size, out, strict=True)))
        ):
            return "nearest", False
        if coordinates in ("half_pixel", "pytorch_half_pixel") and whole and rounding.startswith("round"):
            return "nearest", False  # y[o] = x[o // scale] whichever way halves go: there are none
        raise UnsupportedError(f"nearest with {coordinates} coordinates, rounded by {rounding}")
    if mode == "cubic" and not math.isclose(a, -0.75):
        raise UnsupportedError(f"cubic_coeff_a {a}")
    exact = scales is None or all(i * s == o for i, s, o in zip(size, scales[2:], out, strict=True))
    if coordinates == "align_corners" and min(out) > 1 and exact:
        return mode, True
    if coordinates == "half_pixel" or (coordinates == "pytorch_half_pixel" and min(out) > 1):
        return mode, False
    raise UnsupportedError(f"{mode} with {coordinates} coordinates")
