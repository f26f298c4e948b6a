"""Dense layers, and the layers that only give an array another shape."""

from __future__ import annotations

from typing import Any

import numpy as np

import pyconv.functional as F
from pyconv.functional.arguments import check_least, integer
from pyconv.nn import init
from pyconv.nn.layer import Layer
from pyconv.nn.module import float_dtype


class Linear(Layer):
    """y = x · weightᵀ + bias: (…, in_features) -> (…, out_features), as `torch.nn.Linear` and ONNX `Gemm`.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    dtype : float32 or float64
    generator : numpy.random.Generator, optional
        Draws the weights; see `pyconv.nn.init`.

    Attributes
    ----------
    weight : ndarray (out_features, in_features)
    bias : ndarray (out_features,) or None
        Both drawn uniformly within ± 1/√in_features.

    Examples
    --------
    >>> import numpy as np
    >>> from pyconv import nn
    >>> nn.Linear(84, 10)(np.zeros((5, 84), np.float32)).shape
    (5, 10)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
        generator: np.random.Generator | None = None,
    ):
        self.in_features, self.out_features = integer(in_features, "in_features"), integer(out_features, "out_features")
        for name in ("in_features", "out_features"):
            check_least((getattr(self, name),), name, 1)
        dtype = float_dtype(dtype)
        self.register_parameter("weight", np.empty((self.out_features, self.in_features), dtype))
        self.register_parameter("bias", np.empty(self.out_features, dtype) if bias else None)
        init.layer_default_(self.weight, self.bias, generator)

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)


class Flatten(Layer):
    """The axes from `start_dim` to `end_dim` as one: (N, C, H, W) -> (N, C · H · W) by default."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x):
        return F.flatten(x, self.start_dim, self.end_dim)


class Identity(Layer):
    """Gives back what it is called on."""

    def forward(self, x):
        return x
