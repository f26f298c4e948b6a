"""Pooling layers: maximum, average, Lp, adaptive, global, and the inverse of a maximum pooling. They hold no arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pyconv.functional as F
from pyconv.nn.layer import Layer

_Size = int | tuple[int, ...]


class _Pool(Layer):
    function: ClassVar[Callable[..., Any]]


class _MaxPool(_Pool):
    def __init__(
        self,
        kernel_size: _Size,
        stride: _Size | None = None,
        padding: _Size = 0,
        dilation: _Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ):
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, x):
        return self.function(
            x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )


class MaxPool1d(_MaxPool):
    """Maximum over windows of (N, C, L); see `MaxPool2d`."""

    function = staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPool):
    """Maximum over windows of (N, C, H, W), as `torch.nn.MaxPool2d`; see `F.max_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or tuple of int
        `stride` is `kernel_size` where it is left out.
    return_indices : bool
        Whether to give (maxima, their int64 positions in each plane) for `MaxUnpool2d`.
    ceil_mode : bool
        Whether a last window that is only partly inside counts.

    Examples
    --------
    >>> import numpy as np
    >>> from pyconv import nn
    >>> nn.MaxPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    """

    function = staticmethod(F.max_pool2d)


class MaxPool3d(_MaxPool):
    """Maximum over windows of (N, C, D, H, W); see `MaxPool2d`."""

    function = staticmethod(F.max_pool3d)


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: _Size,
        stride: _Size | None = None,
        padding: _Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x):
        return self.function(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class AvgPool1d(_AvgPool):
    """Mean over windows of (N, C, L); see `AvgPool2d`."""

    function = staticmethod(F.avg_pool1d)


class AvgPool2d(_AvgPool):
    """Mean over windows of (N, C, H, W), as `torch.nn.AvgPool2d`; see `F.avg_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding : int or tuple of int
        `stride` is `kernel_size` where it is left out.
    ceil_mode : bool
        Whether a last window that is only partly inside counts.
    count_include_pad : bool
        Whether the mean divides by the padding's positions too.
    """

    function = staticmethod(F.avg_pool2d)


class AvgPool3d(_AvgPool):
    """Mean over windows of (N, C, D, H, W); see `AvgPool2d`."""

    function = staticmethod(F.avg_pool3d)


class _LPPool(_Pool):
    def __init__(self, norm_type: float, kernel_size: _Size, stride: _Size | None = None, ceil_mode: bool = False):
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def forward(self, x):
        return self.function(x, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)


class LPPool1d(_LPPool):
    """(Σ xᵖ)^(1/p) over windows of (N, C, L), p = `norm_type`; as `torch.nn.LPPool1d`."""

    function = staticmethod(F.lp_pool1d)


class LPPool2d(_LPPool):
    """(Σ xᵖ)^(1/p) over windows of (N, C, H, W), p = `norm_type`; as `torch.nn.LPPool2d`."""

    function = staticmethod(F.lp_pool2d)


class LPPool3d(_LPPool):
    """(Σ xᵖ)^(1/p) over windows of (N, C, D, H, W), p = `norm_type`; as `torch.nn.LPPool3d`."""

    function = staticmethod(F.lp_pool3d)


class _AdaptiveAvgPool(_Pool):
    def __init__(self, output_size: _Size):
        self.output_size = output_size

    def forward(self, x):
        return self.function(x, self.output_size)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means of (N, C, L) over windows that give `output_size` positions; as `torch.nn.AdaptiveAvgPool1d`."""

    function = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means of (N, C, H, W) over windows that give `output_size` positions; as `torch.nn.AdaptiveAvgPool2d`."""

    function = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Means of (N, C, D, H, W) over windows that give `output_size` positions; as `torch.nn.AdaptiveAvgPool3d`."""

    function = staticmethod(F.adaptive_avg_pool3d)


class _AdaptiveMaxPool(_Pool):
    def __init__(self, output_size: _Size, return_indices: bool = False):
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, x):
        return self.function(x, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maxima of (N, C, L) over windows that give `output_size` positions; as `torch.nn.AdaptiveMaxPool1d`."""

    function = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maxima of (N, C, H, W) over windows that give `output_size` positions; as `torch.nn.AdaptiveMaxPool2d`."""

    function = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Maxima of (N, C, D, H, W) over windows that give `output_size` positions; as `torch.nn.AdaptiveMaxPool3d`."""

    function = staticmethod(F.adaptive_max_pool3d)


class _MaxUnpool(_Pool):
    def __init__(self, kernel_size: _Size, stride: _Size | None = None, padding: _Size = 0):
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x, indices, output_size=None):
        return self.function(x, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool1d(_MaxUnpool):
    """Puts maxima of `MaxPool1d(…, return_indices=True)` back to where they came from, zeros elsewhere."""

    function = staticmethod(F.max_unpool1d)


class MaxUnpool2d(_MaxUnpool):
    """Puts maxima of `MaxPool2d(…, return_indices=True)` back to where they came from, zeros elsewhere.

    Called as `layer(x, indices, output_size=None)`; as `torch.nn.MaxUnpool2d`.
    """

    function = staticmethod(F.max_unpool2d)


class MaxUnpool3d(_MaxUnpool):
    """Puts maxima of `MaxPool3d(…, return_indices=True)` back to where they came from, zeros elsewhere."""

    function = staticmethod(F.max_unpool3d)


class GlobalAvgPool(Layer):
    """Mean over all positions of each channel: (N, C, *I) -> (N, C, 1, …), as ONNX `GlobalAveragePool`."""

    def forward(self, x):
        return F.global_avg_pool(x)


class GlobalMaxPool(Layer):
    """Maximum over all positions of each channel: (N, C, *I) -> (N, C, 1, …), as ONNX `GlobalMaxPool`."""

    def forward(self, x):
        return F.global_max_pool(x)
