"""Arithmetic, comparison's choice and elementary functions, element by element.

Functions of two arrays broadcast as NumPy does, and take Python numbers, which adopt the other operand's precision.
Arrays are float32 or float64 (integers and booleans too, as NumPy promotes them, where there are two). Shapes that do
not broadcast raise `ValueError`, anything that is no array `TypeError`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pyconv.functional.arguments import as_array, as_input
from pyconv.ops import elementwise as ops
from pyconv.ops.node import Node

__all__ = [
    "abs",
    "add",
    "ceil",
    "cos",
    "div",
    "erf",
    "exp",
    "floor",
    "log",
    "log1p",
    "maximum",
    "minimum",
    "mul",
    "neg",
    "pow",
    "round",
    "sign",
    "sin",
    "sqrt",
    "sub",
    "where",
]


def add(a, b):
    """a + b. ONNX `Add`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.add(np.ones((2, 1)), np.array([1.0, 2.0])).tolist()
    [[2.0, 3.0], [2.0, 3.0]]
    """
    return ops.add(*_operands(a=a, b=b))


def sub(a, b):
    """a - b. ONNX `Sub`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.sub(1, np.array([1.0, 2.0])).tolist()
    [0.0, -1.0]
    """
    return ops.sub(*_operands(a=a, b=b))


def mul(a, b):
    """a · b. ONNX `Mul`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.mul(np.array([1.0, 2.0]), 3).tolist()
    [3.0, 6.0]
    """
    return ops.mul(*_operands(a=a, b=b))


def div(a, b):
    """a / b, the true quotient for integers too; x / 0 is ±inf, 0 / 0 NaN, without a warning. ONNX `Div`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.div(np.array([1.0, 2.0]), 4).tolist()
    [0.25, 0.5]
    """
    return ops.div(*_operands(a=a, b=b))


def pow(a, b):
    """a to the power b; NaN for a negative a and a fractional b. ONNX `Pow`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.pow(np.array([2.0, 3.0]), 2).tolist()
    [4.0, 9.0]
    """
    return ops.power(*_operands(a=a, b=b))


def maximum(a, b):
    """The larger of a and b, NaN where either is; where they are equal each gets half the gradient. ONNX `Max`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.maximum(np.array([1.0, 5.0]), 3).tolist()
    [3.0, 5.0]
    """
    return ops.maximum(*_operands(a=a, b=b))


def minimum(a, b):
    """The smaller of a and b, NaN where either is; where they are equal each gets half the gradient. ONNX `Min`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.minimum(np.array([1.0, 5.0]), 3).tolist()
    [1.0, 3.0]
    """
    return ops.minimum(*_operands(a=a, b=b))


def where(condition, a, b):
    """a where the condition holds, else b; the three broadcast. ONNX `Where`.

    Parameters
    ----------
    condition : array of booleans
        A comparison, say; of numbers, all but 0 hold.
    a, b : array or number

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> x = np.array([-1.0, 2.0])
    >>> F.where(x > 0, x, 0).tolist()
    [0.0, 2.0]
    """
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        a = np.asarray(a, np.result_type(type(a), type(b)))
    condition, a, b = _operands(condition=condition, a=a, b=b)
    return ops.where(condition, a, b)


def neg(x):
    """-x. ONNX `Neg`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.neg(np.array([1.0, -2.0])).tolist()
    [-1.0, 2.0]
    """
    return ops.neg(as_input(x, "x"))


def abs(x):
    """|x|; the gradient at 0 is 0. ONNX `Abs`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.abs(np.array([1.0, -2.0])).tolist()
    [1.0, 2.0]
    """
    return ops.absolute(as_input(x, "x"))


def sign(x):
    """-1, 0 or 1. ONNX `Sign`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.sign(np.array([3.0, 0.0, -2.0])).tolist()
    [1.0, 0.0, -1.0]
    """
    return ops.sign(as_input(x, "x"))


def exp(x):
    """eˣ. ONNX `Exp`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.exp(np.array([0.0])).tolist()
    [1.0]
    """
    return ops.exp(as_input(x, "x"))


def log(x):
    """The natural logarithm: -inf at 0 and NaN below, without a warning. ONNX `Log`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.log(np.array([1.0, 0.0])).tolist()
    [0.0, -inf]
    """
    return ops.log(as_input(x, "x"))


def log1p(x):
    """log(1 + x), exact for small x.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.log1p(np.array([1e-20])).tolist()
    [1e-20]
    """
    return ops.Unary("log1p")(as_input(x, "x"))


def sqrt(x):
    """√x, NaN below 0, without a warning. ONNX `Sqrt`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.sqrt(np.array([9.0])).tolist()
    [3.0]
    """
    return ops.sqrt(as_input(x, "x"))


def sin(x):
    """The sine of x radians. ONNX `Sin`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.sin(np.array([0.0])).tolist()
    [0.0]
    """
    return ops.Unary("sin")(as_input(x, "x"))


def cos(x):
    """The cosine of x radians. ONNX `Cos`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.cos(np.array([0.0])).tolist()
    [1.0]
    """
    return ops.Unary("cos")(as_input(x, "x"))


def erf(x):
    """The error function. ONNX `Erf`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.erf(np.array([0.5])).round(10).tolist()
    [0.5204998778]
    """
    return ops.Unary("erf")(as_input(x, "x"))


def floor(x):
    """The largest integer ≤ x; its gradient is 0. ONNX `Floor`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.floor(np.array([-0.5, 1.5])).tolist()
    [-1.0, 1.0]
    """
    return ops.Unary("floor")(as_input(x, "x"))


def ceil(x):
    """The smallest integer ≥ x; its gradient is 0. ONNX `Ceil`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.ceil(np.array([0.5, 1.5])).tolist()
    [1.0, 2.0]
    """
    return ops.Unary("ceil")(as_input(x, "x"))


def round(x):
    """The nearest integer, halves to the even one; its gradient is 0. ONNX `Round`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.round(np.array([0.5, 1.6])).tolist()
    [0.0, 2.0]
    """
    return ops.Unary("round")(as_input(x, "x"))


def _operands(**operands: Any) -> list[Any]:
    """Nodes, numeric arrays and Python numbers whose shapes broadcast; at least one is not a number."""
    checked = [_operand(value, name) for name, value in operands.items()]
    shapes = [value.shape for value in checked if hasattr(value, "shape")]
    if not shapes:
        raise TypeError(f"{' or '.join(operands)} must be an array, not both a number")
    if any(shape != shapes[0] for shape in shapes):
        try:
            np.broadcast_shapes(*shapes)
        except ValueError:
            listed = " and ".join(str(tuple(shape)) for shape in shapes)
            raise ValueError(f"{' and '.join(operands)} must broadcast together, their shapes are {listed}") from None
    return checked


def _operand(value: Any, name: str) -> Any:
    if type(value) in (Node, float, int, bool):
        return value
    array = value if type(value) is np.ndarray else as_array(value, name)
    return array if array.dtype.kind in "biu" else as_input(array, name)
