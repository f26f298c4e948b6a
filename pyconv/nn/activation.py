"""Activation layers: `pyconv.functional`'s activations as modules."""

from __future__ import annotations

from typing import Any

import numpy as np

import pyconv.functional as F
from pyconv.functional.arguments import check_choice, check_least, integer
from pyconv.nn.layer import Layer
from pyconv.nn.module import float_dtype


class ReLU(Layer):
    """max(x, 0); see `F.relu`."""

    def forward(self, x):
        return F.relu(x)


class ReLU6(Layer):
    """min(max(x, 0), 6); see `F.relu6`."""

    def forward(self, x):
        return F.relu6(x)


class LeakyReLU(Layer):
    """x where x > 0, else negative_slope · x; see `F.leaky_relu`."""

    def __init__(self, negative_slope: float = 0.01):
        self.negative_slope = negative_slope

    def forward(self, x):
        return F.leaky_relu(x, self.negative_slope)


class PReLU(Layer):
    """A leaky ReLU that learns its slope, one for all channels or one a channel; see `F.prelu`.

    Parameters
    ----------
    num_parameters : int
        1, or the number of channels.
    init : float
        What the slopes start from.
    dtype : float32 or float64

    References
    ----------
    He et al., Delving deep into rectifiers, 2015.
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, *, dtype: Any = np.float32):
        self.init = init
        count = integer(num_parameters, "num_parameters")
        check_least((count,), "num_parameters", 1)
        self.register_parameter("weight", np.full(count, init, float_dtype(dtype)))

    def forward(self, x):
        return F.prelu(x, self.weight)

    def _argument(self, name):
        return self._parameters["weight"].size if name == "num_parameters" else super()._argument(name)


class ELU(Layer):
    """x where x > 0, else alpha · (exp(x) - 1); see `F.elu`."""

    def __init__(self, alpha: float = 1.0):
        self.alpha = alpha

    def forward(self, x):
        return F.elu(x, self.alpha)


class SELU(Layer):
    """The self-normalising ELU; see `F.selu`."""

    def forward(self, x):
        return F.selu(x)


class GELU(Layer):
    """x · Φ(x), exact or by tanh; see `F.gelu`."""

    def __init__(self, approximate: str = "none"):
        check_choice(approximate, "approximate", ("none", "tanh"))
        self.approximate = approximate

    def forward(self, x):
        return F.gelu(x, self.approximate)


class SiLU(Layer):
    """x · sigmoid(x); see `F.silu`."""

    def forward(self, x):
        return F.silu(x)


class Mish(Layer):
    """x · tanh(softplus(x)); see `F.mish`."""

    def forward(self, x):
        return F.mish(x)


class Hardswish(Layer):
    """x · min(max(x + 3, 0), 6) / 6; see `F.hardswish`."""

    def forward(self, x):
        return F.hardswish(x)


class Hardsigmoid(Layer):
    """min(max(x + 3, 0), 6) / 6; see `F.hardsigmoid`."""

    def forward(self, x):
        return F.hardsigmoid(x)


class Hardtanh(Layer):
    """x cut to [min_val, max_val]; see `F.clip`."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0):
        if not min_val < max_val:
            raise ValueError(f"min_val must be less than max_val = {max_val}, not {min_val}")
        self.min_val, self.max_val = min_val, max_val

    def forward(self, x):
        return F.clip(x, self.min_val, self.max_val)


class Sigmoid(Layer):
    """1 / (1 + exp(-x)); see `F.sigmoid`."""

    def forward(self, x):
        return F.sigmoid(x)


class Tanh(Layer):
    """The hyperbolic tangent; see `F.tanh`."""

    def forward(self, x):
        return F.tanh(x)


class Softplus(Layer):
    """log(1 + exp(beta · x)) / beta, and x where beta · x > threshold; see `F.softplus`."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        self.beta, self.threshold = beta, threshold

    def forward(self, x):
        return F.softplus(x, self.beta, self.threshold)


class Softmax(Layer):
    """exp(x) over its sum along `dim`; see `F.softmax`."""

    def __init__(self, dim: int = -1):
        self.dim = dim

    def forward(self, x):
        return F.softmax(x, self.dim)


class LogSoftmax(Layer):
    """The logarithm of `Softmax`; see `F.log_softmax`."""

    def __init__(self, dim: int = -1):
        self.dim = dim

    def forward(self, x):
        return F.log_softmax(x, self.dim)
