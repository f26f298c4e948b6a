"""Normalization by mean and variance, over the batch, over a sample's features, groups or channels; and LRN.

y = (x - mean) / √(variance + eps) · weight + bias, the variance biased (divided by the number of elements).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pyconv.functional.arguments import as_input, at_least_1, check_extent, check_same_dtype, integer
from pyconv.kernels.spec import PoolSpec
from pyconv.ops.elementwise import add, div, mul, power, sub
from pyconv.ops.node import Node
from pyconv.ops.norm import BatchNorm, Moments, Normalize
from pyconv.ops.pool import AvgPool
from pyconv.ops.reduce import Reshape
from pyconv.ops.shape import Concat, Transpose, take
from pyconv.ops.statistics import mean as mean_over

__all__ = ["batch_norm", "batch_norm_train", "group_norm", "instance_norm", "layer_norm", "local_response_norm"]


def batch_norm(x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    """Batch normalization, a channel at a time. ONNX `BatchNormalization`, `torch.nn.functional.batch_norm`.

    Parameters
    ----------
    x : array (N, C, *I)
        float32 or float64, with any number of spatial axes, none included.
    running_mean, running_var : array (C,), or None when training
        What to normalize with when not training. When training, ndarrays given here are updated in place:
        running ← (1 - momentum) · running + momentum · that of the batch, whose variance is the unbiased one.
    weight, bias : array (C,), optional
    training : bool
        Whether to normalize with the batch's own mean and variance.
    momentum, eps : float

    Returns
    -------
    array (N, C, *I)
        In x's memory order.

    Raises
    ------
    ValueError
        If shapes do not fit, running statistics are missing where they are needed, or a batch to train on has fewer
        than two elements a channel.
    TypeError
        If dtypes differ, or graph nodes are given to be updated in place (`batch_norm_train` returns them instead).

    Notes
    -----
    Ioffe and Szegedy, Batch normalization, 2015.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> x = np.array([[1.0, 10.0], [3.0, 30.0]])
    >>> F.batch_norm(x, None, None, training=True).round(3).tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    """
    x = _input(x, 2)
    mean, var = _channel_array(running_mean, "running_mean", x), _channel_array(running_var, "running_var", x)
    if not training:
        if mean is None or var is None:
            raise ValueError("running_mean and running_var must be given when training is False")
        weight, bias = _channel_array(weight, "weight", x), _channel_array(bias, "bias", x)
        return Normalize(_eps(eps))(x, _paired(mean, var), weight, bias)
    for name, running in {"running_mean": running_mean, "running_var": running_var}.items():
        _check_writeable(running, name)
    y, new_mean, new_var = batch_norm_train(x, mean, var, weight, bias, momentum, eps)
    _write(running_mean, new_mean)
    _write(running_var, new_var)
    return y


def batch_norm_train(x, running_mean=None, running_var=None, weight=None, bias=None, momentum=0.1, eps=1e-5):
    """`batch_norm` with the batch's own statistics, as a pure function: it returns the new running statistics.

    Parameters
    ----------
    x, weight, bias, eps
        As for `batch_norm`.
    running_mean, running_var : array (C,), optional
        Not written to; None gives None back.
    momentum : float or array ()
        Share of the batch in the new running statistics.

    Returns
    -------
    y : array (N, C, *I)
    running_mean, running_var : array (C,) or None

    Raises
    ------
    ValueError, TypeError
        As `batch_norm`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> x = np.array([[1.0], [3.0]])
    >>> y, mean, var = F.batch_norm_train(x, np.zeros(1), np.ones(1), momentum=0.5)
    >>> mean.tolist(), var.tolist()
    ([1.0], [1.5])
    """
    x = _input(x, 2)
    weight, bias = _channel_array(weight, "weight", x), _channel_array(bias, "bias", x)
    mean, var = _channel_array(running_mean, "running_mean", x), _channel_array(running_var, "running_var", x)
    count = x.size // x.shape[1]
    if count < 2:
        raise ValueError(f"x must have at least 2 elements a channel in training, its shape is {tuple(x.shape)}")
    moments = Moments()(x)
    y = BatchNorm(_eps(eps))(x, moments, weight, bias)
    batch_mean, batch_var = _rows(moments)
    return (
        y,
        None if mean is None else _moved(mean, batch_mean, momentum),
        None if var is None else _moved(var, mul(batch_var, count / (count - 1)), momentum),
    )


def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Normalization over the last axes of each sample. ONNX `LayerNormalization`, `torch.nn.functional.layer_norm`.

    Parameters
    ----------
    x : array (…, *normalized_shape)
        float32 or float64.
    normalized_shape : int or sequence of ints
        The sizes of the axes to normalize over.
    weight, bias : array of shape normalized_shape, optional
    eps : float

    Raises
    ------
    ValueError
        If x does not end in normalized_shape, or weight or bias has another shape.

    Notes
    -----
    Ba, Kiros and Hinton, Layer normalization, 2016.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.layer_norm(np.array([[1.0, 3.0], [10.0, 30.0]]), 2).round(3).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """
    x = as_input(x, "x")
    given = normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
    sizes = tuple(integer(n, "normalized_shape") for n in given)
    if not sizes or tuple(x.shape[-len(sizes) :]) != sizes or 0 in sizes:
        raise ValueError(f"x must end in normalized_shape {sizes}, of no size 0; its shape is {tuple(x.shape)}")
    samples = math.prod(x.shape[: x.ndim - len(sizes)])
    y = _normalized(x, (1, samples, math.prod(sizes)), eps)
    for name, parameter, combine in (("weight", weight, mul), ("bias", bias, add)):
        if parameter is not None:
            parameter = as_input(parameter, name)
            check_same_dtype(x, "x", parameter, name)
            if tuple(parameter.shape) != sizes:
                raise ValueError(f"{name} must have shape {sizes}, not {tuple(parameter.shape)}")
            y = combine(y, parameter)
    return y


def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5):
    """Normalization of each sample over groups of channels.

    ONNX `GroupNormalization`, `torch.nn.functional.group_norm`.

    Parameters
    ----------
    x : array (N, C, *I)
        float32 or float64.
    num_groups : int
        Divides C.
    weight, bias : array (C,), optional
    eps : float

    Raises
    ------
    ValueError
        If num_groups does not divide C, or shapes do not fit.

    Notes
    -----
    Wu and He, Group normalization, 2018.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.group_norm(np.array([[1.0, 3.0, 10.0, 30.0]]), 2).round(3).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """
    x, groups = _input(x, 2), at_least_1(num_groups, "num_groups")
    if x.shape[1] % groups:
        raise ValueError(f"num_groups must divide the {x.shape[1]} channels of x, not be {groups}")
    elements = math.prod(x.shape[1:]) // groups
    return _affine(_normalized(x, (1, x.shape[0] * groups, elements), eps), weight, bias)


def instance_norm(
    x, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5
):
    """Normalization of each channel of each sample. ONNX `InstanceNormalization`, `torch.nn.functional.instance_norm`.

    Parameters
    ----------
    x : array (N, C, *I)
        float32 or float64, with at least one spatial axis.
    running_mean, running_var : array (C,), optional
        Updated in place with the mean over samples where `use_input_stats`, else what to normalize with.
    weight, bias : array (C,), optional
    use_input_stats : bool
        Whether to normalize with each sample's own statistics.
    momentum, eps : float

    Raises
    ------
    ValueError
        If shapes do not fit, or there is but one element to normalize over.

    Notes
    -----
    Ulyanov, Vedaldi and Lempitsky, Instance normalization, 2016.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.instance_norm(np.array([[[1.0, 3.0], [10.0, 30.0]]])).round(3).tolist()
    [[[-1.0, 1.0], [-1.0, 1.0]]]
    """
    x = _input(x, 3)
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, eps=eps)
    mean, var = _channel_array(running_mean, "running_mean", x), _channel_array(running_var, "running_var", x)
    samples, channels = x.shape[:2]
    count = math.prod(x.shape[2:])
    if count < 2:
        raise ValueError(f"x must have at least 2 elements a channel, its shape is {tuple(x.shape)}")
    if mean is not None or var is not None:
        _check_writeable(running_mean, "running_mean")
        _check_writeable(running_var, "running_var")
        rows = _rows(Moments()(Reshape((1, samples * channels, count))(x)))
        batch_mean, batch_var = (mean_over(Reshape((samples, channels))(row), 0) for row in rows)
        _write(running_mean, _moved(mean, batch_mean, momentum))
        _write(running_var, _moved(var, mul(batch_var, count / (count - 1)), momentum))
    return _affine(_normalized(x, (1, samples * channels, count), eps), weight, bias)


def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    """x / (k + alpha · mean of x² over `size` neighbouring channels)^beta. ONNX `LRN`.

    Parameters
    ----------
    x : array (N, C, *I)
        float32 or float64.
    size : int
        How many channels; ⌊size / 2⌋ of them before, channels outside count as 0.
    alpha, beta, k : float

    Notes
    -----
    Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks, 2012.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.local_response_norm(np.array([[[1.0], [2.0]]]), 1, alpha=1.0, beta=1.0).tolist()
    [[[0.5], [0.4]]]
    """
    x, size = _input(x, 2), at_least_1(size, "size")
    batch, channels, pixels = x.shape[0], x.shape[1], math.prod(x.shape[2:])
    rows = Transpose((0, 2, 1))(Reshape((batch, channels, pixels))(mul(x, x)))  # channels-last these are rows in memory
    window = PoolSpec((1, size), (1, 1), ((0, 0), (size // 2, (size - 1) // 2)), (1, 1))
    means = AvgPool(window)(Reshape((batch, 1, pixels, channels))(rows))
    means = Reshape(tuple(x.shape))(Transpose((0, 2, 1))(Reshape((batch, pixels, channels))(means)))
    return div(x, power(add(mul(means, float(alpha)), float(k)), float(beta)))


def _normalized(x: Any, shape: tuple[int, int, int], eps: Any) -> Any:
    """x normalized over the last axis of `shape`, without weight and bias."""
    rows = Reshape(shape)(x)
    return Reshape(tuple(x.shape))(BatchNorm(_eps(eps))(rows, Moments()(rows), None, None))


def _affine(y: Any, weight: Any, bias: Any) -> Any:
    """y · weight + bias, a channel at a time."""
    for name, parameter, combine in (("weight", weight, mul), ("bias", bias, add)):
        if parameter is not None:
            parameter = _channel_array(parameter, name, y)
            y = combine(y, Reshape((y.shape[1], *[1] * (y.ndim - 2)))(parameter))
    return y


def _input(x: Any, least: int) -> Any:
    x = as_input(x, "x")
    if x.ndim < least:
        raise ValueError(f"x must have at least {least} axes (N, C, …), its shape is {tuple(x.shape)}")
    check_extent(tuple(x.shape), "x")
    return x


def _channel_array(array: Any, name: str, x: Any) -> Any:
    """An array (C,) in x's dtype, or None."""
    if array is None:
        return None
    array = as_input(array, name, 1)
    check_same_dtype(x, "x", array, name)
    if array.shape[0] != x.shape[1]:
        raise ValueError(f"{name} must have shape ({x.shape[1]},), one for each channel of x, not {tuple(array.shape)}")
    return array


def _eps(eps: Any) -> float:
    eps = float(eps)
    if not eps >= 0:
        raise ValueError(f"eps must not be negative, not {eps}")
    return eps


def _paired(mean: Any, var: Any) -> Any:
    """(C,) and (C,) -> (2, C)."""
    return Concat(0)(Reshape((1, mean.shape[0]))(mean), Reshape((1, var.shape[0]))(var))


def _rows(moments: Any) -> tuple[Any, Any]:
    """(2, C) -> (C,) and (C,)."""
    channels = moments.shape[1]
    return Reshape((channels,))(take(moments, 0, 0, 1)), Reshape((channels,))(take(moments, 0, 1, 1))


def _moved(running: Any, batch: Any, momentum: Any) -> Any:
    return add(running, mul(sub(batch, running), momentum))


def _check_writeable(running: Any, name: str) -> None:
    if running is None:
        return
    if not isinstance(running, np.ndarray):
        raise TypeError(f"{name} must be an ndarray, to be updated in place; batch_norm_train returns new ones")
    if not running.flags.writeable:
        raise ValueError(f"{name} must be writeable, since it is updated in place")


def _write(running: Any, value: Any) -> None:
    if running is None:
        return
    if type(value) is Node:
        if value.value is None:
            raise TypeError("a recorded graph cannot update running statistics in place: use batch_norm_train")
        value = value.value
    np.copyto(running, value)
