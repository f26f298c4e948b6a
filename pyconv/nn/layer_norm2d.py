"""Layer normalization over the channels of an image."""

from __future__ import annotations

from typing import Any

import numpy as np

import pyconv.functional as F
from pyconv.nn.normalization import LayerNorm


class LayerNorm2d(LayerNorm):
    """Normalization of (N, C, H, W) over the channels of each position, as ConvNeXt has it.

    Parameters
    ----------
    num_channels : int
        C.
    eps : float
    dtype : float32 or float64

    Attributes
    ----------
    weight, bias : ndarray (C,)

    References
    ----------
    Ba, Kiros and Hinton, Layer normalization, 2016; Liu et al., A ConvNet for the 2020s, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from pyconv import nn
    >>> x = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    >>> nn.LayerNorm2d(2)(x)[0, :, 0, 0].round(3).tolist()
    [-1.0, 1.0]
    """

    def __init__(self, num_channels: int, eps: float = 1e-6, *, dtype: Any = np.float32):
        super().__init__(num_channels, eps, dtype=dtype)
        self.num_channels = self.normalized_shape[0]

    def forward(self, x):
        last = F.permute(x, (0, 2, 3, 1))  # (N, H, W, C)
        return F.permute(super().forward(last), (0, 3, 1, 2))
