"""Pooling in one, two and three dimensions: maximum, average, Lp, adaptive, global, and max unpooling, with gradients.

Shapes: x (N, C, *I), or (C, *I), y (N, C, *O). Fixed windows give O = (I + begin + end - dilation·(k - 1) - 1) // stride + 1
along each spatial axis; with `ceil_mode` the quotient is rounded up, but no window starts past the input and its left
padding. `x` may have any memory order, which the result shares.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from pyconv.functional.arguments import (
    as_indices,
    as_input,
    batched,
    check_extent,
    check_least,
    check_same_dtype,
    check_shape,
    padding_pairs,
    shape_or_tail,
    sizes,
    unbatched,
)
from pyconv.kernels.spec import AdaptivePoolSpec, PoolSpec
from pyconv.ops.elementwise import Unary, absolute, equal, mul, power, where
from pyconv.ops.node import Node
from pyconv.ops.pool import AvgPool, AvgPoolBackward, Gather, MaxPool, MaxPoolBackward, MaxPoolIndices, Unpool

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool1d_backward",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool3d",
    "adaptive_avg_pool3d_backward",
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_backward",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_backward",
    "adaptive_max_pool3d",
    "adaptive_max_pool3d_backward",
    "avg_pool1d",
    "avg_pool1d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "avg_pool3d",
    "avg_pool3d_backward",
    "global_avg_pool",
    "global_avg_pool_backward",
    "global_max_pool",
    "global_max_pool_backward",
    "lp_pool1d",
    "lp_pool1d_backward",
    "lp_pool2d",
    "lp_pool2d_backward",
    "lp_pool3d",
    "lp_pool3d_backward",
    "max_pool1d",
    "max_pool1d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "max_pool3d",
    "max_pool3d_backward",
    "max_unpool1d",
    "max_unpool1d_backward",
    "max_unpool2d",
    "max_unpool2d_backward",
    "max_unpool3d",
    "max_unpool3d_backward",
]


def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """Maximum of each window, as ONNX `MaxPool` and `torch.nn.functional.max_pool2d`.

    Parameters
    ----------
    x : array (N, C, H, W), or (C, H, W)
        float32 or float64.
    kernel_size : int or one int a dimension
    stride : int or one int a dimension, optional
        `kernel_size` by default.
    padding : int, one int a dimension, or one (begin, end) pair a dimension
        Never a maximum; at most half of the dilated window.
    dilation : int or one int a dimension
        Distance of a window's elements.
    ceil_mode : bool
        Keep the last, incomplete window.
    return_indices : bool
        Give the places of the maxima too.

    Returns
    -------
    ndarray (N, C, OH, OW), or a pair of it and the int64 indices
        NaN wins over every number. An index counts positions in its (H, W) plane in C order, and names the first of
        equals. A dilated window that meets no element gives -inf and the index -1.

    Raises
    ------
    ValueError
        Another number of axes, sizes out of range, too much padding, an empty result.
    TypeError
        What is not an array or an int, or another dtype than float32 and float64.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    """
    return _max_pool(2, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool1d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """`max_pool2d` with one spatial axis: x (N, C, L)."""
    return _max_pool(1, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """`max_pool2d` with three spatial axes: x (N, C, D, H, W)."""
    return _max_pool(3, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d_backward(dy, x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """Gradient of `max_pool2d` with respect to x, for the gradient dy of its result: an array of x's shape.

    Each dy goes to the first of the maxima of its window. The other arguments are those of the pooling; errors are those
    of `max_pool2d`, and ValueError where dy has not the shape of its result.
    """
    return _max_pool_backward(2, dy, x, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool1d_backward(dy, x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """`max_pool2d_backward` with one spatial axis."""
    return _max_pool_backward(1, dy, x, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool3d_backward(dy, x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """`max_pool2d_backward` with three spatial axes."""
    return _max_pool_backward(3, dy, x, kernel_size, stride, padding, dilation, ceil_mode)


def avg_pool2d(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """Mean of each window, as ONNX `AveragePool` and `torch.nn.functional.avg_pool2d`.

    Parameters
    ----------
    x : array (N, C, H, W), or (C, H, W)
        float32 or float64.
    kernel_size : int or one int a dimension
    stride : int or one int a dimension, optional
        `kernel_size` by default.
    padding : int, one int a dimension, or one (begin, end) pair a dimension
        At most half of the window.
    ceil_mode : bool
        Keep the last, incomplete window; what lies beyond the padding is not counted.
    count_include_pad : bool
        Count padding as zeros; otherwise divide by the number of elements that a window meets.

    Returns
    -------
    ndarray (N, C, OH, OW)

    Raises
    ------
    ValueError, TypeError
        As `max_pool2d`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.avg_pool2d(np.ones((1, 1, 4, 4)), 3, stride=1, padding=1)[0, 0, 0]
    array([0.44444444, 0.66666667, 0.66666667, 0.44444444])
    """
    return _avg_pool(2, x, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool1d(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """`avg_pool2d` with one spatial axis: x (N, C, L)."""
    return _avg_pool(1, x, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool3d(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """`avg_pool2d` with three spatial axes: x (N, C, D, H, W)."""
    return _avg_pool(3, x, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d_backward(dy, input_size, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """Gradient of `avg_pool2d` with respect to x, for the gradient dy of its result.

    `input_size` is x's shape, (N, C, H, W), or (H, W) alone; the other arguments are those of the pooling. Errors are those
    of `avg_pool2d`, and ValueError where dy has not the shape of its result.
    """
    return _avg_pool_backward(2, dy, input_size, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool1d_backward(dy, input_size, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """`avg_pool2d_backward` with one spatial axis."""
    return _avg_pool_backward(1, dy, input_size, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool3d_backward(dy, input_size, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """`avg_pool2d_backward` with three spatial axes."""
    return _avg_pool_backward(3, dy, input_size, kernel_size, stride, padding, ceil_mode, count_include_pad)


def lp_pool2d(x, norm_type, kernel_size, stride=None, ceil_mode=False):
    """The p-norm of each window, (Σ |x|^p)^(1/p), as ONNX `LpPool` and `torch.nn.functional.lp_pool2d`.

    Parameters
    ----------
    x : array (N, C, H, W), or (C, H, W)
        float32 or float64.
    norm_type : number
        p, greater than 0 and finite.
    kernel_size : int or one int a dimension
    stride : int or one int a dimension, optional
        `kernel_size` by default.
    ceil_mode : bool
        Keep the last, incomplete window; as in PyTorch, its sum is scaled up to a whole window's.

    Returns
    -------
    ndarray (N, C, OH, OW)
        Its gradient is 0 where a whole window is 0.

    Raises
    ------
    ValueError, TypeError
        As `max_pool2d`; also where norm_type is not a positive number.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> float(F.lp_pool2d(np.array([[[[3.0, 0.0], [0.0, -4.0]]]]), 2, 2)[0, 0, 0, 0])
    5.0
    """
    return _lp_pool(2, x, norm_type, kernel_size, stride, ceil_mode)


def lp_pool1d(x, norm_type, kernel_size, stride=None, ceil_mode=False):
    """`lp_pool2d` with one spatial axis: x (N, C, L)."""
    return _lp_pool(1, x, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(x, norm_type, kernel_size, stride=None, ceil_mode=False):
    """`lp_pool2d` with three spatial axes: x (N, C, D, H, W)."""
    return _lp_pool(3, x, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d_backward(dy, x, norm_type, kernel_size, stride=None, ceil_mode=False):
    """Gradient of `lp_pool2d` with respect to x, for the gradient dy of its result: an array of x's shape.

    The other arguments are those of the pooling; errors are those of `lp_pool2d`, and ValueError where dy has not the shape
    of its result.
    """
    return _lp_pool_backward(2, dy, x, norm_type, kernel_size, stride, ceil_mode)


def lp_pool1d_backward(dy, x, norm_type, kernel_size, stride=None, ceil_mode=False):
    """`lp_pool2d_backward` with one spatial axis."""
    return _lp_pool_backward(1, dy, x, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d_backward(dy, x, norm_type, kernel_size, stride=None, ceil_mode=False):
    """`lp_pool2d_backward` with three spatial axes."""
    return _lp_pool_backward(3, dy, x, norm_type, kernel_size, stride, ceil_mode)


def adaptive_avg_pool2d(x, output_size):
    """Means of windows chosen so that the result has a given size, as `torch.nn.functional.adaptive_avg_pool2d`.

    Parameters
    ----------
    x : array (N, C, H, W), or (C, H, W)
        float32 or float64.
    output_size : int, or one int or None a dimension
        None keeps x's size. Window o of O covers the elements from floor(o·I/O) up to ceil((o + 1)·I/O).

    Returns
    -------
    ndarray (N, C, *output_size)

    Raises
    ------
    ValueError, TypeError
        As `max_pool2d`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.adaptive_avg_pool2d(np.ones((8, 512, 9, 13)), (7, 7)).shape
    (8, 512, 7, 7)
    """
    return _adaptive_avg_pool(2, x, output_size)


def adaptive_avg_pool1d(x, output_size):
    """`adaptive_avg_pool2d` with one spatial axis: x (N, C, L)."""
    return _adaptive_avg_pool(1, x, output_size)


def adaptive_avg_pool3d(x, output_size):
    """`adaptive_avg_pool2d` with three spatial axes: x (N, C, D, H, W)."""
    return _adaptive_avg_pool(3, x, output_size)


def adaptive_avg_pool2d_backward(dy, input_size):
    """Gradient of `adaptive_avg_pool2d` with respect to x, for the gradient dy of its result.

    `input_size` is x's shape, (N, C, H, W), or (H, W) alone. Errors are those of `adaptive_avg_pool2d`.
    """
    return _adaptive_avg_pool_backward(2, dy, input_size)


def adaptive_avg_pool1d_backward(dy, input_size):
    """`adaptive_avg_pool2d_backward` with one spatial axis."""
    return _adaptive_avg_pool_backward(1, dy, input_size)


def adaptive_avg_pool3d_backward(dy, input_size):
    """`adaptive_avg_pool2d_backward` with three spatial axes."""
    return _adaptive_avg_pool_backward(3, dy, input_size)


def adaptive_max_pool2d(x, output_size, return_indices=False):
    """Maxima of windows chosen so that the result has a given size, as `torch.nn.functional.adaptive_max_pool2d`.

    `output_size` and the windows are those of `adaptive_avg_pool2d`; the result, with `return_indices` a pair, and the
    errors are those of `max_pool2d`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.adaptive_max_pool2d(np.arange(25.0).reshape(1, 1, 5, 5), (1, 2), return_indices=True)
    (array([[[[22., 24.]]]]), array([[[[22, 24]]]]))
    """
    return _adaptive_max_pool(2, x, output_size, return_indices)


def adaptive_max_pool1d(x, output_size, return_indices=False):
    """`adaptive_max_pool2d` with one spatial axis: x (N, C, L)."""
    return _adaptive_max_pool(1, x, output_size, return_indices)


def adaptive_max_pool3d(x, output_size, return_indices=False):
    """`adaptive_max_pool2d` with three spatial axes: x (N, C, D, H, W)."""
    return _adaptive_max_pool(3, x, output_size, return_indices)


def adaptive_max_pool2d_backward(dy, x):
    """Gradient of `adaptive_max_pool2d` with respect to x, for the gradient dy of its result: an array of x's shape.

    dy's shape says what the output size was. Errors are those of `adaptive_max_pool2d`.
    """
    return _adaptive_max_pool_backward(2, dy, x)


def adaptive_max_pool1d_backward(dy, x):
    """`adaptive_max_pool2d_backward` with one spatial axis."""
    return _adaptive_max_pool_backward(1, dy, x)


def adaptive_max_pool3d_backward(dy, x):
    """`adaptive_max_pool2d_backward` with three spatial axes."""
    return _adaptive_max_pool_backward(3, dy, x)


def max_unpool2d(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Put maxima back where `max_pool2d` found them, zeros elsewhere, as `torch.nn.functional.max_unpool2d`.

    Parameters
    ----------
    x : array (N, C, H, W), or (C, H, W)
        float32 or float64.
    indices : int array of x's shape
        As `max_pool2d` returns; -1 drops an element. Where several name one place, the last wins.
    kernel_size, stride, padding
        Those of the pooling. They give the size (I - 1)·stride - begin - end + kernel_size.
    output_size : sequence of ints, optional
        The result's spatial size (or whole shape), less than a stride away from that.

    Returns
    -------
    ndarray (N, C, *output_size)

    Raises
    ------
    ValueError, TypeError
        As `max_pool2d`; also where an index lies outside of the result's planes.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> y, indices = F.max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2, return_indices=True)
    >>> F.max_unpool2d(y, indices, 2)[0, 0]
    array([[ 0.,  0.,  0.,  0.],
           [ 0.,  5.,  0.,  7.],
           [ 0.,  0.,  0.,  0.],
           [ 0., 13.,  0., 15.]])
    """
    return _max_unpool(2, x, indices, kernel_size, stride, padding, output_size)


def max_unpool1d(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    """`max_unpool2d` with one spatial axis: x (N, C, L)."""
    return _max_unpool(1, x, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    """`max_unpool2d` with three spatial axes: x (N, C, D, H, W)."""
    return _max_unpool(3, x, indices, kernel_size, stride, padding, output_size)


def max_unpool2d_backward(dy, indices):
    """Gradient of `max_unpool2d` with respect to x, for the gradient dy of its result: an array of indices' shape.

    It takes from each plane of dy what the indices name, and 0 for -1. Errors are those of `max_unpool2d`.
    """
    return _max_unpool_backward(2, dy, indices)


def max_unpool1d_backward(dy, indices):
    """`max_unpool2d_backward` with one spatial axis."""
    return _max_unpool_backward(1, dy, indices)


def max_unpool3d_backward(dy, indices):
    """`max_unpool2d_backward` with three spatial axes."""
    return _max_unpool_backward(3, dy, indices)


def global_avg_pool(x):
    """Mean of each plane, its axes kept: (N, C, *I) -> (N, C, 1, …), for one to three spatial axes; ONNX `GlobalAveragePool`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.global_avg_pool(np.ones((8, 512, 7, 7))).shape
    (8, 512, 1, 1)
    """
    x = as_input(x, "x")
    return _adaptive_avg_pool(_global_axes(x, "x"), x, 1)


def global_avg_pool_backward(dy, input_size):
    """Gradient of `global_avg_pool`: dy (N, C, 1, …) spread evenly over planes of `input_size`, (N, C, *I) or I alone."""
    dy = as_input(dy, "dy")
    return _adaptive_avg_pool_backward(_global_axes(dy, "dy"), dy, input_size)


def global_max_pool(x):
    """Maximum of each plane, its axes kept: (N, C, *I) -> (N, C, 1, …), for one to three spatial axes; ONNX `GlobalMaxPool`."""
    x = as_input(x, "x")
    return _adaptive_max_pool(_global_axes(x, "x"), x, 1, False)


def global_max_pool_backward(dy, x):
    """Gradient of `global_max_pool` with respect to x (N, C, *I): each dy (N, C, 1, …) goes to the first of the maxima."""
    x = as_input(x, "x")
    return _adaptive_max_pool_backward(_global_axes(x, "x"), dy, x)


def _global_axes(x, name):
    if x.ndim not in (3, 4, 5):
        raise ValueError(f"{name} must have 3, 4 or 5 axes, not {x.ndim} (its shape is {x.shape})")
    return x.ndim - 2


def _max_pool(n, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
    x, single = batched(as_input(x, "x"), "x", n)
    spec, _ = _fixed(n, x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    return _maxima(spec, x, single, return_indices)


def _adaptive_max_pool(n, x, output_size, return_indices):
    x, single = batched(as_input(x, "x"), "x", n)
    return _maxima(_adaptive(n, x.shape, "x", output_size), x, single, return_indices)


def _maxima(spec, x, single, return_indices):
    results = (MaxPool(spec)(x), MaxPoolIndices(spec)(x)) if return_indices else (MaxPool(spec)(x),)
    if single:
        results = tuple(unbatched(r) for r in results)
    return results if return_indices else results[0]


def _max_pool_backward(n, dy, x, kernel_size, stride, padding, dilation, ceil_mode):
    dy, x, single = _pair(n, dy, x)
    spec, y_shape = _fixed(n, x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    check_shape(dy, "dy", y_shape, "the pooling's result")
    dx = MaxPoolBackward(spec)(dy, x)
    return unbatched(dx) if single else dx


def _adaptive_max_pool_backward(n, dy, x):
    dy, x, single = _pair(n, dy, x)
    spec = _adaptive(n, x.shape, "x", dy.shape[2:])
    check_shape(dy, "dy", (*x.shape[:2], *spec.size), "the pooling's result")
    dx = MaxPoolBackward(spec)(dy, x)
    return unbatched(dx) if single else dx


def _avg_pool(n, x, kernel_size, stride, padding, ceil_mode, count_include_pad):
    x, single = batched(as_input(x, "x"), "x", n)
    spec, _ = _fixed(n, x.shape, kernel_size, stride, padding, 1, ceil_mode, count_include_pad)
    y = AvgPool(spec)(x)
    return unbatched(y) if single else y


def _adaptive_avg_pool(n, x, output_size):
    x, single = batched(as_input(x, "x"), "x", n)
    y = AvgPool(_adaptive(n, x.shape, "x", output_size))(x)
    return unbatched(y) if single else y


def _avg_pool_backward(n, dy, input_size, kernel_size, stride, padding, ceil_mode, count_include_pad):
    dy, single, x_shape = _with_input_size(n, dy, input_size)
    spec, y_shape = _fixed(n, x_shape, kernel_size, stride, padding, 1, ceil_mode, count_include_pad)
    check_shape(dy, "dy", y_shape, "the pooling's result")
    dx = AvgPoolBackward(spec, x_shape[2:])(dy)
    return unbatched(dx) if single else dx


def _adaptive_avg_pool_backward(n, dy, input_size):
    dy, single, x_shape = _with_input_size(n, dy, input_size)
    dx = AvgPoolBackward(_adaptive(n, x_shape, "input_size", dy.shape[2:]), x_shape[2:])(dy)
    return unbatched(dx) if single else dx


def _lp_pool(n, x, norm_type, kernel_size, stride, ceil_mode):
    x, single = batched(as_input(x, "x"), "x", n)
    p = _norm_type(norm_type)
    spec, _ = _fixed(n, x.shape, kernel_size, stride, 0, 1, ceil_mode)
    y = _power(_power_sums(spec, x, p), 1 / p)
    return unbatched(y) if single else y


def _lp_pool_backward(n, dy, x, norm_type, kernel_size, stride, ceil_mode):
    dy, x, single = _pair(n, dy, x)
    p = _norm_type(norm_type)
    spec, y_shape = _fixed(n, x.shape, kernel_size, stride, 0, 1, ceil_mode)
    check_shape(dy, "dy", y_shape, "the pooling's result")
    # dy/dx = (Σ |x|^p)^(1/p - 1) · |x|^(p - 1) · sign(x), 0 where x is
    sums = _power_sums(spec, x, p)
    zero = equal(sums, 0)
    shares = mul(mul(dy, math.prod(spec.kernel_size)), power(where(zero, 1.0, sums), 1 / p - 1))
    slope = mul(Unary("sign")(x), power(where(equal(x, 0), 1.0, absolute(x)), p - 1))
    dx = mul(AvgPoolBackward(spec, x.shape[2:])(where(zero, 0.0, shares)), slope)
    return unbatched(dx) if single else dx


def _power_sums(spec, x, p):
    """Σ |x|^p over each window: the mean times the window's size, as PyTorch has it."""
    return mul(AvgPool(spec)(_power(absolute(x), p)), math.prod(spec.kernel_size))


def _power(x, exponent):
    """x ≥ 0 to a positive power; where x is 0 the gradient is 0, even if the slope is infinite there."""
    if exponent >= 1:
        return power(x, exponent)
    zero = equal(x, 0)
    return where(zero, 0.0, power(where(zero, 1.0, x), exponent))


def _norm_type(value):
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"norm_type must be a number, not {value!r}")
    if not 0 < value < math.inf:
        raise ValueError(f"norm_type must be greater than 0 and finite, not {value!r}")
    return float(value)


def _max_unpool(n, x, indices, kernel_size, stride, padding, output_size):
    x, single = batched(as_input(x, "x"), "x", n)
    indices, _ = batched(as_indices(indices, "indices", n + 1 if single else n + 2), "indices", n)
    check_shape(indices, "indices", x.shape, "x")
    check_extent(x.shape, "x")
    size = _unpooled_size(n, x.shape, kernel_size, stride, padding, output_size)
    _check_indices(indices, size)
    y = Unpool(size)(x, indices)
    return unbatched(y) if single else y


def _max_unpool_backward(n, dy, indices):
    dy, single = batched(as_input(dy, "dy"), "dy", n)
    indices, _ = batched(as_indices(indices, "indices", n + 1 if single else n + 2), "indices", n)
    if indices.shape[:2] != dy.shape[:2]:
        raise ValueError(f"indices must have dy's batch and channels {dy.shape[:2]}, not {indices.shape[:2]}")
    _check_indices(indices, dy.shape[2:])
    dx = Gather()(dy, indices)
    return unbatched(dx) if single else dx


def _unpooled_size(n, x_shape, kernel_size, stride, padding, output_size):
    kernel_size = sizes(kernel_size, "kernel_size", n)
    stride = kernel_size if stride is None else sizes(stride, "stride", n)
    pads = padding_pairs(padding, "padding", n)
    check_least(kernel_size, "kernel_size", 1)
    check_least(stride, "stride", 1)
    for pair in pads:
        check_least(pair, "padding", 0)
    size = tuple((i - 1) * s - sum(p) + k for i, s, p, k in zip(x_shape[2:], stride, pads, kernel_size, strict=True))
    if output_size is not None:
        given = shape_or_tail(output_size, "output_size", n)[-n:]
        if any(abs(g - d) >= s for g, d, s in zip(given, size, stride, strict=True)):
            raise ValueError(f"output_size must be less than a stride {stride} away from {size}, not {given}")
        size = given
    if min(size) < 1:
        raise ValueError(f"padding {padding} leaves an empty result of size {size}: x has shape {x_shape}")
    return size


def _check_indices(indices, size):
    """Every index names a place in a plane of `size`, or is -1; what has no value yet is trusted."""
    values = indices.value if type(indices) is Node else indices
    if values is None or values.size == 0:
        return
    lowest, highest = int(values.min()), int(values.max())
    if lowest < -1 or highest >= math.prod(size):
        raise ValueError(
            f"indices must lie from -1 to {math.prod(size) - 1} for planes of size {size}, not from {lowest} to {highest}"
        )


def _pair(n, dy, x):
    dy, single = batched(as_input(dy, "dy"), "dy", n)
    x, _ = batched(as_input(x, "x"), "x", n)
    check_same_dtype(x, "x", dy, "dy")
    return dy, x, single


def _with_input_size(n, dy, input_size):
    """dy, whether it came without a batch, and the shape of the pooling's input."""
    dy, single = batched(as_input(dy, "dy"), "dy", n)
    size = shape_or_tail(input_size, "input_size", n)
    x_shape = (*dy.shape[:2], *size[-n:])
    if len(size) == n + 2 and size != x_shape:
        raise ValueError(f"input_size must be {x_shape} for dy of shape {dy.shape}, not {size}")
    return dy, single, x_shape


def _fixed(n, x_shape, kernel_size, stride, padding, dilation, ceil_mode, count_include_pad=True):
    """The checked descriptor of a pooling with fixed windows, and the shape of its result."""
    kernel_size = sizes(kernel_size, "kernel_size", n)
    return _fixed_spec(
        n,
        x_shape,
        kernel_size,
        kernel_size if stride is None else sizes(stride, "stride", n),
        padding_pairs(padding, "padding", n),
        sizes(dilation, "dilation", n),
        bool(ceil_mode),
        bool(count_include_pad),
    )


@lru_cache(maxsize=1024)
def _fixed_spec(n, x_shape, kernel_size, stride, padding, dilation, ceil_mode, count_include_pad):
    check_extent(x_shape, "x")
    check_least(kernel_size, "kernel_size", 1)
    check_least(stride, "stride", 1)
    check_least(dilation, "dilation", 1)
    for pair, k, d in zip(padding, kernel_size, dilation, strict=True):
        check_least(pair, "padding", 0)
        if 2 * max(pair) > d * (k - 1) + 1:
            raise ValueError(f"padding must be at most half of the window's extent {d * (k - 1) + 1}, not {max(pair)}")
    spec = PoolSpec(kernel_size, stride, padding, dilation, ceil_mode, count_include_pad)
    size = spec.output_size(x_shape[2:])
    if min(size) < 1:
        raise ValueError(
            f"kernel_size {kernel_size} with dilation {dilation} leaves an empty result of size {size}: x has shape "
            f"{x_shape} and padding {padding}"
        )
    return spec, (*x_shape[:2], *size)


def _adaptive(n, x_shape, name, output_size):
    """The checked descriptor of a pooling to a given size."""
    check_extent(x_shape, name)
    if isinstance(output_size, (tuple, list)) and len(output_size) == n:
        output_size = tuple(i if o is None else o for i, o in zip(x_shape[2:], output_size, strict=True))
    elif output_size is None:
        output_size = x_shape[2:]
    size = sizes(output_size, "output_size", n)
    check_least(size, "output_size", 1)
    return AdaptivePoolSpec(size)
