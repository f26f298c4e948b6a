"""Pooling with fixed windows in one, two and three dimensions: maximum, average and Lp, with their gradients.

Shapes: x (N, C, *I), or (C, *I), y (N, C, *O) with O = (I + begin + end - dilation·(k - 1) - 1) // stride + 1 along
each spatial axis; with `ceil_mode` the quotient is rounded up, but no window starts past the input and its left
padding. x may have any memory order, which the result shares.
"""

from __future__ import annotations

import math

import numpy as np

from pyconv.functional.arguments import as_input, batched, batched_pair, check_shape, unbatched, with_input_size
from pyconv.functional.descriptors import fixed_pool
from pyconv.ops.elementwise import Unary, absolute, equal, mul, power, where
from pyconv.ops.pool import AvgPool, AvgPoolBackward, MaxPool, MaxPoolBackward, MaxPoolIndices

__all__ = [
    "avg_pool1d",
    "avg_pool1d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "avg_pool3d",
    "avg_pool3d_backward",
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

    Each dy goes to the first of the maxima of its window. The other arguments are those of the pooling; errors are
    those of `max_pool2d`, and ValueError where dy has not the shape of its result.
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

    `input_size` is x's shape, (N, C, H, W), or (H, W) alone; the other arguments are those of the pooling. Errors are
    those of `avg_pool2d`, and ValueError where dy has not the shape of its result.
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

    The other arguments are those of the pooling; errors are those of `lp_pool2d`, and ValueError where dy has not the
    shape of its result.
    """
    return _lp_pool_backward(2, dy, x, norm_type, kernel_size, stride, ceil_mode)


def lp_pool1d_backward(dy, x, norm_type, kernel_size, stride=None, ceil_mode=False):
    """`lp_pool2d_backward` with one spatial axis."""
    return _lp_pool_backward(1, dy, x, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d_backward(dy, x, norm_type, kernel_size, stride=None, ceil_mode=False):
    """`lp_pool2d_backward` with three spatial axes."""
    return _lp_pool_backward(3, dy, x, norm_type, kernel_size, stride, ceil_mode)


def _max_pool(n, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
    x, single = batched(as_input(x, "x"), "x", n)
    spec, _ = fixed_pool(n, x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    return maxima(spec, x, single, return_indices)


def maxima(spec, x, single, return_indices):
    results = (MaxPool(spec)(x), MaxPoolIndices(spec)(x)) if return_indices else (MaxPool(spec)(x),)
    if single:
        results = tuple(unbatched(r) for r in results)
    return results if return_indices else results[0]


def _max_pool_backward(n, dy, x, kernel_size, stride, padding, dilation, ceil_mode):
    dy, x, single = batched_pair(n, dy, x)
    spec, y_shape = fixed_pool(n, x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    check_shape(dy, "dy", y_shape, "the pooling's result")
    dx = MaxPoolBackward(spec)(dy, x)
    return unbatched(dx) if single else dx


def _avg_pool(n, x, kernel_size, stride, padding, ceil_mode, count_include_pad):
    x, single = batched(as_input(x, "x"), "x", n)
    spec, _ = fixed_pool(n, x.shape, kernel_size, stride, padding, 1, ceil_mode, count_include_pad)
    y = AvgPool(spec)(x)
    return unbatched(y) if single else y


def _avg_pool_backward(n, dy, input_size, kernel_size, stride, padding, ceil_mode, count_include_pad):
    dy, single, x_shape = with_input_size(n, dy, input_size)
    spec, y_shape = fixed_pool(n, x_shape, kernel_size, stride, padding, 1, ceil_mode, count_include_pad)
    check_shape(dy, "dy", y_shape, "the pooling's result")
    dx = AvgPoolBackward(spec, x_shape[2:])(dy)
    return unbatched(dx) if single else dx


def _lp_pool(n, x, norm_type, kernel_size, stride, ceil_mode):
    x, single = batched(as_input(x, "x"), "x", n)
    p = _norm_type(norm_type)
    spec, _ = fixed_pool(n, x.shape, kernel_size, stride, 0, 1, ceil_mode)
    y = _power(_power_sums(spec, x, p), 1 / p)
    return unbatched(y) if single else y


def _lp_pool_backward(n, dy, x, norm_type, kernel_size, stride, ceil_mode):
    dy, x, single = batched_pair(n, dy, x)
    p = _norm_type(norm_type)
    spec, y_shape = fixed_pool(n, x.shape, kernel_size, stride, 0, 1, ceil_mode)
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
