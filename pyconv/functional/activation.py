"""Activations.

Each takes x, a float32 or float64 array of any shape (or a graph node), and gives y of x's shape, dtype and memory
order; NaN stays NaN. Anything else raises `TypeError`, a parameter out of range `ValueError`.
"""

from __future__ import annotations

import math
from typing import Any

from pyconv.functional.arguments import as_input, check_choice, check_same_dtype, integer
from pyconv.ops.elementwise import Unary, mul, where
from pyconv.ops.reduce import Reshape
from pyconv.ops.softmax import LogSoftmax, Softmax

__all__ = [
    "clip",
    "elu",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "leaky_relu",
    "log_softmax",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]


def relu(x):
    """max(x, 0); the gradient at 0 is 0. ONNX `Relu`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.relu(np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return Unary("relu")(as_input(x, "x"))


def relu6(x):
    """min(max(x, 0), 6) (Krizhevsky, Convolutional deep belief networks on CIFAR-10, 2010).

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.relu6(np.array([-1.0, 2.0, 9.0])).tolist()
    [0.0, 2.0, 6.0]
    """
    return Unary("hardtanh", (0.0, 6.0))(as_input(x, "x"))


def leaky_relu(x, negative_slope=0.01):
    """x where x > 0, else negative_slope · x. ONNX `LeakyRelu`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.leaky_relu(np.array([-1.0, 2.0]), 0.25).tolist()
    [-0.25, 2.0]
    """
    return Unary("leaky_relu", (_number(negative_slope, "negative_slope"),))(as_input(x, "x"))


def prelu(x, weight):
    """x where x > 0, else weight · x, with a learned weight: one for all, or one a channel. ONNX `PRelu`.

    Parameters
    ----------
    x : array (N, C, …)
    weight : array (1,) or (C,)
        In x's dtype.

    Raises
    ------
    ValueError
        If weight has neither one element nor one a channel.

    Notes
    -----
    He et al., Delving deep into rectifiers, 2015.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.prelu(np.array([[-1.0, -1.0]]), np.array([0.5, 0.25])).tolist()
    [[-0.5, -0.25]]
    """
    x, weight = as_input(x, "x"), as_input(weight, "weight", 1)
    check_same_dtype(x, "x", weight, "weight")
    if weight.shape[0] != 1:
        if x.ndim < 2 or weight.shape[0] != x.shape[1]:
            raise ValueError(f"weight must have one element, or one a channel of x {tuple(x.shape)}, not {len(weight)}")
        weight = Reshape((weight.shape[0], *[1] * (x.ndim - 2)))(weight)
    return where(x > 0, x, mul(x, weight))


def elu(x, alpha=1.0):
    """x where x > 0, else alpha · (eˣ - 1) (Clevert et al., Exponential linear units, 2016). ONNX `Elu`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.elu(np.array([-1.0, 2.0])).round(3).tolist()
    [-0.632, 2.0]
    """
    return Unary("elu", (_number(alpha, "alpha"),))(as_input(x, "x"))


def selu(x):
    """1.0507 · elu(x, 1.6733), which keeps mean 0 and variance 1 (Klambauer et al., 2017). ONNX `Selu`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.selu(np.array([-1.0, 2.0])).round(3).tolist()
    [-1.111, 2.101]
    """
    return mul(elu(x, 1.6732632423543772), 1.0507009873554805)


def gelu(x, approximate="none"):
    """x · Φ(x) with the normal distribution Φ (Hendrycks and Gimpel, Gaussian error linear units, 2016). ONNX `Gelu`.

    Parameters
    ----------
    x : array, any shape
    approximate : {"none", "tanh"}
        "tanh" takes ½ (1 + tanh(√(2/π) (x + 0.044715 x³))) for Φ.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.gelu(np.array([-1.0, 2.0])).round(4).tolist()
    [-0.1587, 1.9545]
    """
    check_choice(approximate, "approximate", ("none", "tanh"))
    return Unary("gelu" if approximate == "none" else "gelu_tanh")(as_input(x, "x"))


def silu(x):
    """x · σ(x), also called swish (Elfwing et al., 2018).

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.silu(np.array([-1.0, 2.0])).round(4).tolist()
    [-0.2689, 1.7616]
    """
    return Unary("silu")(as_input(x, "x"))


def mish(x):
    """x · tanh(softplus(x)) (Misra, 2019). ONNX `Mish`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.mish(np.array([-1.0, 2.0])).round(4).tolist()
    [-0.3034, 1.944]
    """
    return Unary("mish")(as_input(x, "x"))


def hardswish(x):
    """x · min(max(x + 3, 0), 6) / 6 (Howard et al., Searching for MobileNetV3, 2019). ONNX `HardSwish`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.hardswish(np.array([-1.5, 0.0, 3.0])).tolist()
    [-0.375, 0.0, 3.0]
    """
    return Unary("hardswish")(as_input(x, "x"))


def hardsigmoid(x):
    """min(max(x + 3, 0), 6) / 6. ONNX `HardSigmoid` with alpha 1/6.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.hardsigmoid(np.array([-3.0, 0.0, 3.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    return Unary("hardsigmoid")(as_input(x, "x"))


def sigmoid(x):
    """σ(x) = 1 / (1 + e⁻ˣ), without overflow. ONNX `Sigmoid`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.sigmoid(np.array([-1000.0, 0.0])).tolist()
    [0.0, 0.5]
    """
    return Unary("sigmoid")(as_input(x, "x"))


def tanh(x):
    """The hyperbolic tangent. ONNX `Tanh`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.tanh(np.array([0.0, 100.0])).tolist()
    [0.0, 1.0]
    """
    return Unary("tanh")(as_input(x, "x"))


def softplus(x, beta=1.0, threshold=20.0):
    """log(1 + exp(beta · x)) / beta, and x itself where beta · x > threshold. ONNX `Softplus`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.softplus(np.array([0.0, 50.0])).round(4).tolist()
    [0.6931, 50.0]
    """
    beta = _number(beta, "beta")
    if beta == 0:
        raise ValueError("beta must not be 0")
    return Unary("softplus", (beta, _number(threshold, "threshold")))(as_input(x, "x"))


def clip(x, min=None, max=None):
    """x held between two bounds, either of which may be left out; NaN stays NaN. ONNX `Clip`, `torch.clamp`.

    Parameters
    ----------
    x : array, any shape
    min, max : float, optional
        Where min > max the result is max everywhere. The gradient passes where min ≤ x ≤ max.

    Raises
    ------
    ValueError
        If neither bound is given.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.clip(np.array([-2.0, 0.5, 2.0]), -1, 1).tolist()
    [-1.0, 0.5, 1.0]
    """
    if min is None and max is None:
        raise ValueError("clip needs min, max or both")
    low = -math.inf if min is None else _number(min, "min")
    high = math.inf if max is None else _number(max, "max")
    return Unary("clip", (low, high))(as_input(x, "x"))


def softmax(x, dim=-1):
    """exp(x) / Σ exp(x) along one axis; the largest x is subtracted first, so nothing overflows. ONNX `Softmax`.

    Parameters
    ----------
    x : array, any shape
    dim : int
        The axis whose elements sum to 1.

    Raises
    ------
    ValueError
        If x has no such axis.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.softmax(np.array([[1000.0, 1000.0]]), 1).tolist()
    [[0.5, 0.5]]
    """
    x = as_input(x, "x")
    return Softmax(_axis(dim, x))(x)


def log_softmax(x, dim=-1):
    """x - log Σ exp(x) along one axis: the logarithm of `softmax`, exact where that is close to 0. ONNX `LogSoftmax`.

    Parameters
    ----------
    x : array, any shape
    dim : int
        The axis that is summed over.

    Raises
    ------
    ValueError
        If x has no such axis.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.log_softmax(np.array([0.0, 1000.0]), 0).tolist()
    [-1000.0, 0.0]
    """
    x = as_input(x, "x")
    return LogSoftmax(_axis(dim, x))(x)


def _axis(dim: Any, x: Any) -> int:
    dim = integer(dim, "dim")
    if not -x.ndim <= dim < x.ndim:
        raise ValueError(f"dim must lie in {-x.ndim} … {x.ndim - 1} for x of shape {tuple(x.shape)}, not {dim}")
    return dim % x.ndim


def _number(value: Any, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, not {value!r}") from None
