"""Matrix products."""

from __future__ import annotations

import math

from pyconv.functional.arguments import as_input, check_same_dtype
from pyconv.ops.linear import Linear
from pyconv.ops.linear import matmul as matmul_op
from pyconv.ops.reduce import Reshape

__all__ = ["linear", "matmul"]


def linear(x, weight, bias=None):
    """The dense layer: y = x · weightᵀ + bias. ONNX `Gemm` with transB, `torch.nn.functional.linear`.

    Parameters
    ----------
    x : array (…, I)
    weight : array (O, I)
    bias : array (O,), optional
        All of one dtype, float32 or float64.

    Returns
    -------
    array (…, O)

    Raises
    ------
    ValueError
        If the shapes do not fit.
    TypeError
        If something is not a floating-point array, or the dtypes differ.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.linear(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]]), np.array([0.5, 0.0])).tolist()
    [[11.5, 17.0]]
    """
    x, weight = as_input(x, "x"), as_input(weight, "weight", 2)
    check_same_dtype(x, "x", weight, "weight")
    if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ValueError(f"x must end in weight's {weight.shape[1]} input features, its shape is {tuple(x.shape)}")
    if bias is not None:
        bias = as_input(bias, "bias", 1)
        check_same_dtype(x, "x", bias, "bias")
        if bias.shape != weight.shape[:1]:
            raise ValueError(f"bias must have shape ({weight.shape[0]},), one for each row of weight, not {bias.shape}")
    if x.ndim == 2:
        return Linear()(x, weight, bias)
    leading = tuple(x.shape[:-1])
    y = Linear()(Reshape((math.prod(leading), x.shape[-1]))(x), weight, bias)
    return Reshape((*leading, weight.shape[0]))(y)


def matmul(a, b):
    """a @ b: matrices in the last two axes, the axes before them broadcast; a vector is a row on the left, a column on
    the right. ONNX `MatMul`.

    Parameters
    ----------
    a : array (…, M, K) or (K,)
    b : array (…, K, P) or (K,)
        Of one dtype, float32 or float64.

    Returns
    -------
    array (…, M, P)
        Without M or P where the operand was a vector.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    TypeError
        If something is not a floating-point array, or the dtypes differ.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.matmul(np.ones((5, 2, 3)), np.ones((3, 4))).shape
    (5, 2, 4)
    """
    a, b = as_input(a, "a"), as_input(b, "b")
    check_same_dtype(a, "a", b, "b")
    return matmul_op(a, b)
