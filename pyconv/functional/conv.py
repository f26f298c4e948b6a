"""Convolution in one, two and three dimensions, its two gradients, and transposed convolution.

The public functions take their arrays in, describe the call as one op (`descriptors.py`) and run or record it.

Shapes: x (N, C, *I), weight (K, C/groups, *R), bias (K,), y (N, K, *O) with
O = (I + begin + end - dilation·(R - 1) - 1) // stride + 1 along each spatial axis.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from pyconv import kernels
from pyconv.functional.arguments import (
    as_input,
    at_least_1,
    batched,
    check_same_dtype,
    compute_into,
    padding_pairs,
    shape_or_tail,
    sizes,
    unbatched,
)
from pyconv.functional.descriptors import backward_data_op, backward_weights_op, conv_op, transpose_op
from pyconv.kernels.measure import measure as measured

__all__ = [
    "algorithms",
    "conv1d",
    "conv1d_backward_data",
    "conv1d_backward_weights",
    "conv2d",
    "conv2d_backward_data",
    "conv2d_backward_weights",
    "conv3d",
    "conv3d_backward_data",
    "conv3d_backward_weights",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
]


def conv2d(
    x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, *, padding_mode="zeros", algorithm="auto", out=None
):
    """Two-dimensional convolution (cross-correlation), as ONNX `Conv` and `torch.nn.functional.conv2d`.

    Parameters
    ----------
    x : array (N, C, H, W), or (C, H, W)
        float32 or float64, in any memory order.
    weight : array (K, C/groups, R, S)
    bias : array (K,), optional
    stride, dilation : int or one int a dimension
        At least 1.
    padding : int, one int a dimension, one (begin, end) pair a dimension, "same" or "valid"
        "same" keeps the spatial size, needs stride 1, and puts an odd pixel at the end.
    groups : int
        Input and output channels are split into this many independent convolutions; C gives a depthwise one.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        What the padding holds. "reflect" leaves the border pixel itself out.
    algorithm : str
        "auto", or one of the names that `algorithms` lists.
    out : ndarray (N, K, OH, OW), optional
        Overwritten with the result and returned.

    Returns
    -------
    ndarray (N, K, OH, OW)
        In x's memory order; (K, OH, OW) where x has no batch.

    Raises
    ------
    ValueError
        Shapes that do not fit together, sizes out of range, an empty result, an unknown mode or algorithm.
    TypeError
        What is not an array or an int, another dtype than float32 and float64, or a mix of the two.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> x = np.ones((1, 3, 32, 32), np.float32)
    >>> F.conv2d(x, np.ones((6, 3, 5, 5), np.float32)).shape
    (1, 6, 28, 28)
    >>> float(F.conv2d(x, np.ones((6, 3, 5, 5), np.float32), padding="same")[0, 0, 0, 0])  # a 3×3 corner of 3 channels
    27.0
    """
    return _conv(2, x, weight, bias, stride, padding, dilation, groups, padding_mode, algorithm, out)


def conv1d(
    x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, *, padding_mode="zeros", algorithm="auto", out=None
):
    """`conv2d` with one spatial axis: x (N, C, L), weight (K, C/groups, R) -> (N, K, OL)."""
    return _conv(1, x, weight, bias, stride, padding, dilation, groups, padding_mode, algorithm, out)


def conv3d(
    x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, *, padding_mode="zeros", algorithm="auto", out=None
):
    """`conv2d` with three spatial axes: x (N, C, D, H, W), weight (K, C/groups, Q, R, S) -> (N, K, OD, OH, OW)."""
    return _conv(3, x, weight, bias, stride, padding, dilation, groups, padding_mode, algorithm, out)


def conv2d_backward_data(dy, weight, input_size, stride=1, padding=0, dilation=1, groups=1, *, padding_mode="zeros"):
    """Gradient of `conv2d` with respect to its input.

    Parameters
    ----------
    dy : array (N, K, OH, OW)
        Gradient of the result.
    weight : array (K, C/groups, R, S)
    input_size : sequence of ints
        Shape of the convolution's input: (N, C, H, W), or (H, W) alone.
    stride, padding, dilation, groups, padding_mode
        Those of the convolution.

    Returns
    -------
    ndarray (N, C, H, W)
        In dy's memory order.

    Raises
    ------
    ValueError, TypeError
        As `conv2d`; also where dy's shape is not what the convolution gives for `input_size`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> dy, weight = np.ones((1, 6, 14, 14)), np.ones((6, 3, 5, 5))
    >>> F.conv2d_backward_data(dy, weight, (32, 32), stride=2).shape
    (1, 3, 32, 32)
    """
    return _backward_data(2, dy, weight, input_size, stride, padding, dilation, groups, padding_mode)


def conv1d_backward_data(dy, weight, input_size, stride=1, padding=0, dilation=1, groups=1, *, padding_mode="zeros"):
    """`conv2d_backward_data` with one spatial axis: dy (N, K, OL) -> (N, C, L)."""
    return _backward_data(1, dy, weight, input_size, stride, padding, dilation, groups, padding_mode)


def conv3d_backward_data(dy, weight, input_size, stride=1, padding=0, dilation=1, groups=1, *, padding_mode="zeros"):
    """`conv2d_backward_data` with three spatial axes: dy (N, K, OD, OH, OW) -> (N, C, D, H, W)."""
    return _backward_data(3, dy, weight, input_size, stride, padding, dilation, groups, padding_mode)


def conv2d_backward_weights(dy, x, weight_size, stride=1, padding=0, dilation=1, groups=1, *, padding_mode="zeros"):
    """Gradient of `conv2d` with respect to its weight.

    Parameters
    ----------
    dy : array (N, K, OH, OW)
        Gradient of the result.
    x : array (N, C, H, W)
        The convolution's input.
    weight_size : sequence of ints
        Shape of the weight: (K, C/groups, R, S), or (R, S) alone.
    stride, padding, dilation, groups, padding_mode
        Those of the convolution.

    Returns
    -------
    ndarray (K, C/groups, R, S)
        C-contiguous.

    Raises
    ------
    ValueError, TypeError
        As `conv2d`; also where dy's shape is not what the convolution gives for x.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> dy, x = np.ones((8, 6, 28, 28)), np.ones((8, 3, 32, 32))
    >>> F.conv2d_backward_weights(dy, x, (5, 5)).shape
    (6, 3, 5, 5)
    """
    return _backward_weights(2, dy, x, weight_size, stride, padding, dilation, groups, padding_mode)


def conv1d_backward_weights(dy, x, weight_size, stride=1, padding=0, dilation=1, groups=1, *, padding_mode="zeros"):
    """`conv2d_backward_weights` with one spatial axis: dy (N, K, OL), x (N, C, L) -> (K, C/groups, R)."""
    return _backward_weights(1, dy, x, weight_size, stride, padding, dilation, groups, padding_mode)


def conv3d_backward_weights(dy, x, weight_size, stride=1, padding=0, dilation=1, groups=1, *, padding_mode="zeros"):
    """`conv2d_backward_weights` with three spatial axes: dy (N, K, OD, OH, OW), x -> (K, C/groups, Q, R, S)."""
    return _backward_weights(3, dy, x, weight_size, stride, padding, dilation, groups, padding_mode)


def conv_transpose2d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """Transposed convolution, as ONNX `ConvTranspose` and `torch.nn.functional.conv_transpose2d`.

    It is the data gradient of the `conv2d` with the same stride, padding, dilation and groups: it takes a map of
    that convolution's output size to one of its input size,
    O = (I - 1)·stride - begin - end + dilation·(R - 1) + output_padding + 1.

    Parameters
    ----------
    x : array (N, C, H, W), or (C, H, W)
    weight : array (C, K/groups, R, S)
        Note the order: input channels first.
    bias : array (K,), optional
    stride, dilation : int or one int a dimension
        At least 1.
    padding : int, one int a dimension, or one (begin, end) pair a dimension
        Cut off the result.
    output_padding : int or one int a dimension
        Added to the size at the end, to tell apart the inputs that a strided convolution takes to one size; less than
        the stride or less than the dilation.
    groups : int

    Returns
    -------
    ndarray (N, K, OH, OW)
        In x's memory order.

    Raises
    ------
    ValueError, TypeError
        As `conv2d`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.conv_transpose2d(np.ones((1, 8, 14, 14)), np.ones((8, 4, 3, 3)), stride=2, padding=1, output_padding=1).shape
    (1, 4, 28, 28)
    """
    return _transpose(2, x, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose1d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """`conv_transpose2d` with one spatial axis: x (N, C, L), weight (C, K/groups, R) -> (N, K, OL)."""
    return _transpose(1, x, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """`conv_transpose2d` with three spatial axes: x (N, C, D, H, W), weight (C, K/groups, Q, R, S)."""
    return _transpose(3, x, weight, bias, stride, padding, output_padding, groups, dilation)


class Algorithm(str):
    """The name of an algorithm, and how long one convolution takes by it, in seconds.

    Attributes
    ----------
    predicted : float or None
        By the cost model that `algorithm="auto"` chooses by; None where a backend has none.
    measured : float or None
        On this machine, with the threads set now; None where that was not asked for.
    """

    __slots__ = ("measured", "predicted")
    predicted: float | None
    measured: float | None

    def __new__(cls, name: str, predicted: float | None = None, measured: float | None = None):
        algorithm = super().__new__(cls, name)
        algorithm.predicted = predicted
        algorithm.measured = measured
        return algorithm


def algorithms(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, *, padding_mode="zeros", measure=False):
    """Names of the algorithms that can run this convolution in the current backend, best first, and their times.

    Takes what `conv1d`, `conv2d` and `conv3d` take; the number of axes of `weight` says which is meant. `measure` runs
    all of them, in turns, for about 20 ms each.

    Returns
    -------
    list of str
        Each may be given to the convolution as `algorithm`. Their attributes `predicted` and `measured` are seconds, or
        None: by the cost model (native backend) and, with `measure`, on this machine.

    Examples
    --------
    >>> import numpy as np, pyconv as pc, pyconv.functional as F
    >>> with pc.backend("im2col"):
    ...     F.algorithms(np.ones((1, 3, 8, 8)), np.ones((4, 3, 3, 3)), padding="same")
    ['im2col']
    """
    weight = as_input(weight, "weight")
    if weight.ndim not in (3, 4, 5):
        raise ValueError(f"weight must have 3, 4 or 5 axes, not {weight.ndim} (its shape is {weight.shape})")
    n = weight.ndim - 2
    x, _ = batched(as_input(x, "x"), "x", n)
    bias = _bias(bias)
    _check_dtypes(x, "x", weight, "weight", bias)
    options = _options(n, stride, padding, dilation, groups, padding_mode)
    op = conv_op(n, x.shape, weight.shape, None if bias is None else bias.shape, *options, "auto")
    y = np.empty_like(x, shape=op.infer(x, weight)[0])
    call = (y, x, weight, bias, op.spec)
    fit = kernels.fitting(op.kernel, *call)
    times = measured({row.algorithm: partial(row.function, *call) for row in fit}) if measure else {}
    return [
        Algorithm(row.algorithm, row.predict(*call) if row.predict else None, times.get(row.algorithm)) for row in fit
    ]


def _conv(n, x, weight, bias, stride, padding, dilation, groups, padding_mode, algorithm, out):
    if not isinstance(algorithm, str):
        raise TypeError(f"algorithm must be a string, not {algorithm!r}")
    x, weight, bias = as_input(x, "x"), as_input(weight, "weight", n + 2), _bias(bias)
    if x.ndim != n + 2:
        single, _ = batched(x, "x", n)
        out = out[None] if isinstance(out, np.ndarray) else out
        y = _conv(n, single, weight, bias, stride, padding, dilation, groups, padding_mode, algorithm, out)
        return unbatched(y)
    _check_dtypes(x, "x", weight, "weight", bias)
    op = conv_op(
        n,
        x.shape,
        weight.shape,
        None if bias is None else bias.shape,
        *_options(n, stride, padding, dilation, groups, padding_mode),
        algorithm,
    )
    return op(x, weight, bias) if out is None else compute_into(out, op, x, weight, bias)


def _backward_data(n, dy, weight, input_size, stride, padding, dilation, groups, padding_mode):
    dy, weight = as_input(dy, "dy", n + 2), as_input(weight, "weight", n + 2)
    _check_dtypes(dy, "dy", weight, "weight")
    op = backward_data_op(
        n,
        dy.shape,
        weight.shape,
        shape_or_tail(input_size, "input_size", n),
        *_options(n, stride, padding, dilation, groups, padding_mode),
    )
    return op(dy, weight, None)


def _backward_weights(n, dy, x, weight_size, stride, padding, dilation, groups, padding_mode):
    dy, x = as_input(dy, "dy", n + 2), as_input(x, "x", n + 2)
    _check_dtypes(dy, "dy", x, "x")
    op = backward_weights_op(
        n,
        dy.shape,
        x.shape,
        shape_or_tail(weight_size, "weight_size", n),
        *_options(n, stride, padding, dilation, groups, padding_mode),
    )
    return op(dy, x)


def _transpose(n, x, weight, bias, stride, padding, output_padding, groups, dilation):
    x, weight, bias = as_input(x, "x"), as_input(weight, "weight", n + 2), _bias(bias)
    if x.ndim != n + 2:
        single, _ = batched(x, "x", n)
        return unbatched(_transpose(n, single, weight, bias, stride, padding, output_padding, groups, dilation))
    _check_dtypes(x, "x", weight, "weight", bias)
    op = transpose_op(
        n,
        x.shape,
        weight.shape,
        None if bias is None else bias.shape,
        sizes(stride, "stride", n),
        padding_pairs(padding, "padding", n),
        sizes(output_padding, "output_padding", n),
        at_least_1(groups, "groups"),
        sizes(dilation, "dilation", n),
    )
    return op(x, weight, bias)


def _options(n, stride, padding, dilation, groups, padding_mode):
    """The options in the normal form that the cached functions take: tuples, pairs (or a name), ints and strings."""
    if not isinstance(padding_mode, str):
        raise TypeError(f"padding_mode must be a string, not {padding_mode!r}")
    if type(stride) is type(padding) is type(dilation) is type(groups) is int and groups >= 1:
        return (stride,) * n, ((padding, padding),) * n, (dilation,) * n, groups, padding_mode
    return (
        sizes(stride, "stride", n),
        padding if type(padding) is str else padding_pairs(padding, "padding", n),
        sizes(dilation, "dilation", n),
        at_least_1(groups, "groups"),
        padding_mode,
    )


def _bias(bias):
    return None if bias is None else as_input(bias, "bias", 1)


def _check_dtypes(x, x_name, weight, weight_name, bias=None):
    check_same_dtype(x, x_name, weight, weight_name)
    if bias is not None:
        check_same_dtype(x, x_name, bias, "bias")
