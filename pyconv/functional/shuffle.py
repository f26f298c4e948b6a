"""Elements moved between channels, or between channels and positions; nothing is computed."""

from __future__ import annotations

from typing import Any

from pyconv.functional.arguments import as_input, at_least_1
from pyconv.ops.reduce import Reshape
from pyconv.ops.shape import Transpose

__all__ = ["channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]


def channel_shuffle(x, groups):
    """The channels dealt out among the groups: the first of each group, then the second of each, and so on.

    As `torch.nn.functional.channel_shuffle`; it lets the groups of a grouped convolution see each other.

    Parameters
    ----------
    x : array (N, C, *I)
        float32 or float64.
    groups : int
        Divides C.

    Raises
    ------
    ValueError
        If groups does not divide C.

    Notes
    -----
    Zhang et al., ShuffleNet, 2018.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.channel_shuffle(np.arange(6.0).reshape(1, 6, 1), 2).ravel().tolist()
    [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
    """
    x, groups = as_input(x, "x"), at_least_1(groups, "groups")
    if x.ndim < 2 or x.shape[1] % groups:
        raise ValueError(f"x must be (N, C, …) with C a multiple of groups = {groups}, its shape is {tuple(x.shape)}")
    n, channels, *size = x.shape
    grouped = Reshape((n, groups, channels // groups, *size))(x)
    dealt = Transpose((0, 2, 1, *range(3, grouped.ndim)))(grouped)
    return Reshape(tuple(x.shape))(dealt)


def pixel_shuffle(x, upscale_factor):
    """Channels turned into positions: (…, C·r², H, W) -> (…, C, H·r, W·r).

    ONNX `DepthToSpace` (mode CRD), `torch.nn.functional.pixel_shuffle`.

    Parameters
    ----------
    x : array (…, C·r², H, W)
        float32 or float64.
    upscale_factor : int
        r.

    Raises
    ------
    ValueError
        If x has fewer than three axes or its channels are no multiple of r².

    Notes
    -----
    Shi et al., Real-time single image and video super-resolution using an efficient sub-pixel CNN, 2016.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.pixel_shuffle(np.arange(4.0).reshape(1, 4, 1, 1), 2).tolist()
    [[[[0.0, 1.0], [2.0, 3.0]]]]
    """
    x, r = _planes(x), at_least_1(upscale_factor, "upscale_factor")
    *batch, channels, height, width = x.shape
    if channels % r**2:
        raise ValueError(f"x must have a multiple of upscale_factor² = {r**2} channels, its shape is {tuple(x.shape)}")
    n = len(batch)
    split = Reshape((*batch, channels // r**2, r, r, height, width))(x)
    # (…, C, r, r, H, W) -> (…, C, H, r, W, r)
    ordered = Transpose((*range(n + 1), n + 3, n + 1, n + 4, n + 2))(split)
    return Reshape((*batch, channels // r**2, height * r, width * r))(ordered)


def pixel_unshuffle(x, downscale_factor):
    """Positions turned into channels, the inverse of `pixel_shuffle`: (…, C, H·r, W·r) -> (…, C·r², H, W).

    As `torch.nn.functional.pixel_unshuffle`.

    Parameters
    ----------
    x : array (…, C, H·r, W·r)
        float32 or float64.
    downscale_factor : int
        r.

    Raises
    ------
    ValueError
        If x has fewer than three axes or its size is no multiple of r.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.pixel_unshuffle(np.arange(4.0).reshape(1, 1, 2, 2), 2).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    x, r = _planes(x), at_least_1(downscale_factor, "downscale_factor")
    *batch, channels, height, width = x.shape
    if height % r or width % r:
        raise ValueError(
            f"x must have a height and width that are multiples of downscale_factor = {r}, its shape is "
            f"{tuple(x.shape)}"
        )
    n = len(batch)
    split = Reshape((*batch, channels, height // r, r, width // r, r))(x)
    # (…, C, H, r, W, r) -> (…, C, r, r, H, W)
    ordered = Transpose((*range(n + 1), n + 2, n + 4, n + 1, n + 3))(split)
    return Reshape((*batch, channels * r**2, height // r, width // r))(ordered)


def _planes(x: Any) -> Any:
    x = as_input(x, "x")
    if x.ndim < 3:
        raise ValueError(f"x must have at least 3 axes (…, C, H, W), its shape is {tuple(x.shape)}")
    return x
