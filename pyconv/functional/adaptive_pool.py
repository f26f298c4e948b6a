"""Pooling to a given size: adaptive in one, two and three dimensions, and global, with their gradients.

Shapes: x (N, C, *I), or (C, *I), y (N, C, *output_size). x may have any memory order, which the result shares.
"""

from __future__ import annotations

from pyconv.functional.arguments import as_input, batched, batched_pair, check_shape, unbatched, with_input_size
from pyconv.functional.descriptors import adaptive_pool
from pyconv.functional.pool import maxima
from pyconv.ops.pool import AvgPool, AvgPoolBackward, MaxPoolBackward

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
    "global_avg_pool",
    "global_avg_pool_backward",
    "global_max_pool",
    "global_max_pool_backward",
]


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


def global_avg_pool(x):
    """Mean of each plane, as ONNX `GlobalAveragePool`: (N, C, *I) -> (N, C, 1, …), for one to three spatial axes.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.global_avg_pool(np.ones((8, 512, 7, 7))).shape
    (8, 512, 1, 1)
    """
    x = as_input(x, "x")
    return _adaptive_avg_pool(_global_axes(x, "x"), x, 1)


def global_avg_pool_backward(dy, input_size):
    """Gradient of `global_avg_pool`: dy (N, C, 1, …) spread evenly; `input_size` is (N, C, *I), or I alone."""
    dy = as_input(dy, "dy")
    return _adaptive_avg_pool_backward(_global_axes(dy, "dy"), dy, input_size)


def global_max_pool(x):
    """Maximum of each plane, as ONNX `GlobalMaxPool`: (N, C, *I) -> (N, C, 1, …), for one to three spatial axes."""
    x = as_input(x, "x")
    return _adaptive_max_pool(_global_axes(x, "x"), x, 1, False)


def global_max_pool_backward(dy, x):
    """Gradient of `global_max_pool` for x (N, C, *I): each dy (N, C, 1, …) goes to the first of the maxima."""
    x = as_input(x, "x")
    return _adaptive_max_pool_backward(_global_axes(x, "x"), dy, x)


def _adaptive_max_pool(n, x, output_size, return_indices):
    x, single = batched(as_input(x, "x"), "x", n)
    return maxima(adaptive_pool(n, x.shape, "x", output_size), x, single, return_indices)


def _adaptive_max_pool_backward(n, dy, x):
    dy, x, single = batched_pair(n, dy, x)
    spec = adaptive_pool(n, x.shape, "x", dy.shape[2:])
    check_shape(dy, "dy", (*x.shape[:2], *spec.size), "the pooling's result")
    dx = MaxPoolBackward(spec)(dy, x)
    return unbatched(dx) if single else dx


def _adaptive_avg_pool(n, x, output_size):
    x, single = batched(as_input(x, "x"), "x", n)
    y = AvgPool(adaptive_pool(n, x.shape, "x", output_size))(x)
    return unbatched(y) if single else y


def _adaptive_avg_pool_backward(n, dy, input_size):
    dy, single, x_shape = with_input_size(n, dy, input_size)
    dx = AvgPoolBackward(adaptive_pool(n, x_shape, "input_size", dy.shape[2:]), x_shape[2:])(dy)
    return unbatched(dx) if single else dx


def _global_axes(x, name):
    if x.ndim not in (3, 4, 5):
        raise ValueError(f"{name} must have 3, 4 or 5 axes, not {x.ndim} (its shape is {x.shape})")
    return x.ndim - 2
