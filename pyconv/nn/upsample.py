"""Resampling as a layer."""

from __future__ import annotations

import pyconv.functional as F
from pyconv.nn.layer import Layer


class Upsample(Layer):
    """Resampling of (N, C, *I) to another size, as `torch.nn.Upsample`; arguments and errors of `F.interpolate`.

    Parameters
    ----------
    size : int or tuple of int, optional
    scale_factor : float or tuple of float, optional
    mode : str
    align_corners, recompute_scale_factor : bool, optional

    Examples
    --------
    >>> import numpy as np
    >>> from pyconv import nn
    >>> nn.Upsample(scale_factor=2)(np.zeros((1, 3, 4, 5), np.float32)).shape
    (1, 3, 8, 10)
    """

    def __init__(
        self,
        size: int | tuple[int, ...] | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ):
        if (size is None) == (scale_factor is None):
            raise ValueError("Upsample needs either size or scale_factor")
        self.size, self.scale_factor, self.mode = size, scale_factor, mode
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor

    def forward(self, x):
        return F.interpolate(
            x, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )
