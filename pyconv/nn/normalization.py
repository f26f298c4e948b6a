"""Normalization layers: batch, layer, group and instance norm, and local response normalization."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

import pyconv.functional as F
from pyconv.functional.arguments import check_least, integer
from pyconv.nn.layer import Layer
from pyconv.nn.module import float_dtype
from pyconv.ops.elementwise import Cast


class _Normalization(Layer):
    ranks: ClassVar[tuple[int, ...]]  # numbers of axes that x may have

    def _scale(self, shape: tuple[int, ...], weight: bool, bias: bool, dtype: Any) -> None:
        """The parameters: a weight of 1 and a bias of 0, or None."""
        dtype = float_dtype(dtype)
        self.register_parameter("weight", np.ones(shape, dtype) if weight else None)
        self.register_parameter("bias", np.zeros(shape, dtype) if bias else None)

    def _check_rank(self, x: Any) -> None:
        if np.ndim(x) not in self.ranks:
            wanted = " or ".join(str(rank) for rank in self.ranks)
            raise ValueError(f"x must have {wanted} axes for {type(self).__name__}, its shape is {tuple(x.shape)}")


class _BatchNorm(_Normalization):
    running_mean: Any
    running_var: Any
    num_batches_tracked: Any

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: Any = np.float32,
    ):
        self.num_features, self.eps, self.momentum = _count(num_features, "num_features"), eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self._scale((self.num_features,), affine, affine, dtype)
        self.register_buffer("running_mean", np.zeros(self.num_features, dtype) if track_running_stats else None)
        self.register_buffer("running_var", np.ones(self.num_features, dtype) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", np.asarray(0) if track_running_stats else None)

    def forward(self, x):
        self._check_rank(x)
        mean, var = self.running_mean, self.running_var
        if not self.training and mean is not None:
            return F.batch_norm(x, mean, var, self.weight, self.bias, eps=self.eps)
        momentum = self.momentum
        if mean is not None:
            self.num_batches_tracked = tracked = F.add(self.num_batches_tracked, 1)
            if momentum is None:
                momentum = Cast(mean.dtype)(F.div(1.0, tracked))
        y, mean, var = F.batch_norm_train(x, mean, var, self.weight, self.bias, momentum, self.eps)
        if mean is not None:
            self.running_mean, self.running_var = mean, var
        return y


class BatchNorm1d(_BatchNorm):
    """Batch normalization of (N, C) or (N, C, L); see `BatchNorm2d`."""

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalization of (N, C, H, W), a channel at a time, as `torch.nn.BatchNorm2d`.

    In training it normalizes with the batch's mean and variance and moves the running ones towards them; in evaluation
    it normalizes with the running ones.

    Parameters
    ----------
    num_features : int
        C.
    eps : float
        Added to the variance.
    momentum : float or None
        Share of the new batch in the running statistics; None: all batches so far count alike.
    affine : bool
        Whether there are a weight and a bias.
    track_running_stats : bool
        Without running statistics, evaluation too uses the batch's own.
    dtype : float32 or float64

    Attributes
    ----------
    weight, bias : ndarray (C,) or None
    running_mean, running_var : ndarray (C,) or None
    num_batches_tracked : ndarray () of int64, or None

    References
    ----------
    Ioffe and Szegedy, Batch normalization, 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from pyconv import nn
    >>> norm = nn.BatchNorm2d(3)
    >>> norm(np.zeros((4, 3, 8, 8), np.float32)).shape, int(norm.num_batches_tracked)
    ((4, 3, 8, 8), 1)
    """

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalization of (N, C, D, H, W); see `BatchNorm2d`."""

    ranks = (5,)


class LayerNorm(_Normalization):
    """Normalization over the last axes of each sample, as `torch.nn.LayerNorm`; see `F.layer_norm`.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Sizes of those axes.
    eps : float
    elementwise_affine, bias : bool
        Whether there are a weight and (with it) a bias, of `normalized_shape`.
    dtype : float32 or float64
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
    ):
        sizes = normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
        self.normalized_shape = tuple(_count(n, "normalized_shape") for n in sizes)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self._scale(self.normalized_shape, elementwise_affine, elementwise_affine and bias, dtype)

    def forward(self, x):
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)


class GroupNorm(_Normalization):
    """Normalization of each sample over groups of channels, as `torch.nn.GroupNorm`; see `F.group_norm`.

    Parameters
    ----------
    num_groups, num_channels : int
        The first divides the second.
    eps : float
    affine : bool
        Whether there are a weight and a bias, a number a channel.
    dtype : float32 or float64
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, *, dtype: Any = np.float32
    ):
        self.num_groups, self.num_channels = _count(num_groups, "num_groups"), _count(num_channels, "num_channels")
        if self.num_channels % self.num_groups:
            raise ValueError(f"num_groups must divide num_channels = {num_channels}, not be {num_groups}")
        self.eps, self.affine = eps, affine
        self._scale((self.num_channels,), affine, affine, dtype)

    def forward(self, x):
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class _InstanceNorm(_Normalization):
    def __init__(self, num_features: int, eps: float = 1e-5, affine: bool = False, *, dtype: Any = np.float32):
        self.num_features, self.eps, self.affine = _count(num_features, "num_features"), eps, affine
        self._scale((self.num_features,), affine, affine, dtype)

    def forward(self, x):
        self._check_rank(x)
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)


class InstanceNorm1d(_InstanceNorm):
    """Normalization of each channel of each sample of (N, C, L); see `InstanceNorm2d`."""

    ranks = (3,)


class InstanceNorm2d(_InstanceNorm):
    """Normalization of each channel of each sample of (N, C, H, W), as `torch.nn.InstanceNorm2d`.

    It keeps no running statistics (neither does PyTorch's by default).

    Parameters
    ----------
    num_features : int
        C.
    eps : float
    affine : bool
        Whether there are a weight and a bias, a number a channel.
    dtype : float32 or float64
    """

    ranks = (4,)


class InstanceNorm3d(_InstanceNorm):
    """Normalization of each channel of each sample of (N, C, D, H, W); see `InstanceNorm2d`."""

    ranks = (5,)


class LocalResponseNorm(Layer):
    """Division by a power of neighbouring channels' squares; see `F.local_response_norm`."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        self.size, self.alpha, self.beta, self.k = _count(size, "size"), alpha, beta, k

    def forward(self, x):
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)


def _count(value: Any, name: str) -> int:
    value = integer(value, name)
    check_least((value,), name, 1)
    return value
