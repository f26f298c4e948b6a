"""Convolution layers: `F.conv1d/2d/3d` and `F.conv_transpose1d/2d/3d` with a weight and a bias of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

import pyconv.functional as F
from pyconv.functional.arguments import check_choice, check_least, integer, padding_pairs, sizes
from pyconv.kernels.spec import PADDING_MODES
from pyconv.nn import init
from pyconv.nn.layer import Layer
from pyconv.nn.module import float_dtype


class _Convolution(Layer):
    """What a convolution and a transposed one share: their checked arguments."""

    axes: ClassVar[int]
    function: ClassVar[Callable[..., Any]]

    def _keep(self, in_channels, out_channels, kernel_size, stride, dilation, groups):
        self.in_channels, self.out_channels = integer(in_channels, "in_channels"), integer(out_channels, "out_channels")
        self.kernel_size = sizes(kernel_size, "kernel_size", self.axes)
        self.stride = sizes(stride, "stride", self.axes)
        self.dilation = sizes(dilation, "dilation", self.axes)
        self.groups = integer(groups, "groups")
        for name in ("in_channels", "out_channels", "groups"):
            check_least((getattr(self, name),), name, 1)
        for name in ("kernel_size", "stride", "dilation"):
            check_least(getattr(self, name), name, 1)
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(f"{name} must be a multiple of groups = {self.groups}, not {getattr(self, name)}")

    def _start(self, shape, bias, dtype, generator):
        dtype = float_dtype(dtype)
        self.register_parameter("weight", np.empty(shape, dtype))
        self.register_parameter("bias", np.empty(self.out_channels, dtype) if bias else None)
        init.layer_default_(self.weight, self.bias, generator)


class _Conv(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | str | tuple = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        dtype: Any = np.float32,
        generator: np.random.Generator | None = None,
    ):
        self._keep(in_channels, out_channels, kernel_size, stride, dilation, groups)
        if isinstance(padding, str):
            check_choice(padding, "padding", ("same", "valid"))
        else:
            pairs = padding_pairs(padding, "padding", self.axes)
            padding = tuple(begin if begin == end else (begin, end) for begin, end in pairs)
            if any(isinstance(p, tuple) for p in padding):
                padding = pairs
        self.padding = padding
        check_choice(padding_mode, "padding_mode", PADDING_MODES)
        self.padding_mode = padding_mode
        self._start((self.out_channels, self.in_channels // self.groups, *self.kernel_size), bias, dtype, generator)

    def forward(self, x):
        return self.function(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            padding_mode=self.padding_mode,
        )


class Conv1d(_Conv):
    """Convolution of (N, C, L) by weight (K, C/groups, R); see `Conv2d`."""

    axes = 1
    function = staticmethod(F.conv1d)


class Conv2d(_Conv):
    """Two-dimensional convolution: x (N, C, H, W) -> (N, K, OH, OW), as `torch.nn.Conv2d` and ONNX `Conv`.

    Parameters
    ----------
    in_channels, out_channels : int
        C and K.
    kernel_size, stride, dilation : int or tuple of int
        One number for all axes or one an axis.
    padding : int, tuple or {"same", "valid"}
        One number, one an axis, or one (begin, end) pair an axis.
    groups : int
        Channels are split into so many independent convolutions; C of them is a depthwise one.
    bias : bool
        Whether a number is added to each output channel.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
    dtype : float32 or float64
    generator : numpy.random.Generator, optional
        Draws the weights; see `pyconv.nn.init`.

    Attributes
    ----------
    weight : ndarray (K, C/groups, R, S)
    bias : ndarray (K,) or None
        Both drawn uniformly within ± 1/√(C/groups · R · S).

    Examples
    --------
    >>> import numpy as np
    >>> from pyconv import nn
    >>> nn.Conv2d(3, 6, 5)(np.zeros((1, 3, 32, 32), np.float32)).shape
    (1, 6, 28, 28)
    """

    axes = 2
    function = staticmethod(F.conv2d)


class Conv3d(_Conv):
    """Convolution of (N, C, D, H, W) by weight (K, C/groups, Q, R, S); see `Conv2d`."""

    axes = 3
    function = staticmethod(F.conv3d)


class _ConvTranspose(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple = 0,
        output_padding: int | tuple[int, ...] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, ...] = 1,
        *,
        dtype: Any = np.float32,
        generator: np.random.Generator | None = None,
    ):
        self._keep(in_channels, out_channels, kernel_size, stride, dilation, groups)
        self.padding = padding_pairs(padding, "padding", self.axes)
        self.output_padding = sizes(output_padding, "output_padding", self.axes)
        self._start((self.in_channels, self.out_channels // self.groups, *self.kernel_size), bias, dtype, generator)

    def forward(self, x):
        return self.function(
            x, self.weight, self.bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation
        )


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution of (N, C, L) by weight (C, K/groups, R); see `ConvTranspose2d`."""

    axes = 1
    function = staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_ConvTranspose):
    """Transposed two-dimensional convolution, as `torch.nn.ConvTranspose2d` and ONNX `ConvTranspose`.

    Parameters are those of `Conv2d` (no padding mode, explicit padding alone), and

    output_padding : int or tuple of int
        Added to one side of the output's size, less than stride or dilation.

    Attributes
    ----------
    weight : ndarray (C, K/groups, R, S)
    bias : ndarray (K,) or None

    Examples
    --------
    >>> import numpy as np
    >>> from pyconv import nn
    >>> nn.ConvTranspose2d(8, 4, 2, stride=2)(np.zeros((1, 8, 7, 7), np.float32)).shape
    (1, 4, 14, 14)
    """

    axes = 2
    function = staticmethod(F.conv_transpose2d)


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution of (N, C, D, H, W) by weight (C, K/groups, Q, R, S); see `ConvTranspose2d`."""

    axes = 3
    function = staticmethod(F.conv_transpose3d)
