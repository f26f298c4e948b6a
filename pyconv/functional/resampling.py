"""Resampling of the spatial axes to another size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pyconv.functional.arguments import as_input, check_least, sizes
from pyconv.kernels.resample import ResampleSpec
from pyconv.kernels.spec import AdaptivePoolSpec
from pyconv.ops.pool import AvgPool
from pyconv.ops.shape import Interpolate

__all__ = ["interpolate"]


def interpolate(x, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None):
    """Resampling of the spatial axes to another size. ONNX `Resize`, `torch.nn.functional.interpolate`.

    Parameters
    ----------
    x : array (N, C, *I)
        With one to three spatial axes, float32 or float64.
    size : int or one int an axis, optional
        The spatial size of the result; this or `scale_factor`.
    scale_factor : float or one float an axis, optional
        Result over input size; the size is rounded down.
    mode : {"nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area"}
        The linear ones for one, two and three spatial axes; bicubic for two. "nearest" takes floor(o · I / O),
        "nearest-exact" the input whose centre is nearest, "area" the mean that `adaptive_avg_pool` takes.
    align_corners : bool, optional
        For the linear modes and bicubic: whether the centres of the corner elements coincide, or else (the default) the
        corners themselves.
    recompute_scale_factor : bool, optional
        Whether coordinates follow from the rounded size, not from `scale_factor` itself.

    Returns
    -------
    array (N, C, *O)

    Raises
    ------
    ValueError
        If both or neither of size and scale_factor are given, the mode does not go with x's axes, or a size is not
        positive.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.interpolate(np.array([[[1.0, 2.0]]]), scale_factor=2).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    """
    x = as_input(x, "x")
    n = x.ndim - 2
    if not 1 <= n <= 3:
        raise ValueError(f"x must have 1 to 3 spatial axes after N and C, its shape is {tuple(x.shape)}")
    linear = {1: "linear", 2: "bilinear", 3: "trilinear"}[n]
    choices = ("nearest", "nearest-exact", "area", linear, *(("bicubic",) if n == 2 else ()))
    if mode not in choices:
        raise ValueError(f"mode must be one of {', '.join(choices)} for x with {n} spatial axes, not {mode!r}")
    if align_corners is not None and mode not in (linear, "bicubic"):
        raise ValueError(f"align_corners goes with the linear modes and bicubic, not with {mode!r}: leave it out")
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate needs either size or scale_factor")
    scales = None
    if size is not None:
        if recompute_scale_factor:
            raise ValueError("recompute_scale_factor goes with scale_factor, not with size")
        size = sizes(size, "size", n)
    else:
        scales = _scales(scale_factor, n)
        size = tuple(math.floor(i * s) for i, s in zip(x.shape[2:], scales, strict=True))
    check_least(size, "size" if scales is None else "the size that scale_factor gives", 1)
    if 0 in x.shape[1:]:
        raise ValueError(f"x must not be empty along any axis but the batch, its shape is {tuple(x.shape)}")
    if mode == "area":
        return AvgPool(AdaptivePoolSpec(size))(x)
    kind = {linear: "linear", "bicubic": "cubic"}.get(mode, mode)
    return Interpolate(ResampleSpec(size, kind, bool(align_corners), None if recompute_scale_factor else scales))(x)


def _scales(value: Any, n: int) -> tuple[float, ...]:
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * n
    if len(values) != n:
        raise ValueError(f"scale_factor must be a number or {n} numbers, not {len(values)}: {value!r}")
    for v in values:
        if not isinstance(v, (int, float, np.number)) or isinstance(v, bool):
            raise TypeError(f"scale_factor must be a number or {n} numbers, not {value!r}")
        if not (v > 0 and math.isfinite(v)):
            raise ValueError(f"scale_factor must be positive and finite, not {value!r}")
    return tuple(float(v) for v in values)
