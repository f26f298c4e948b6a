"""Initialisers: functions that fill an array in place and give it back, under PyTorch's names.

They draw from the generator they are given, else from one generator of the process, which `manual_seed` sets. Layers
call them when they are made, so `manual_seed` before a model is built makes its weights reproducible.

References
----------
Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010 (xavier); He et al.,
Delving deep into rectifiers, 2015 (kaiming); Saxe et al., Exact solutions to the nonlinear dynamics of learning in
deep linear neural networks, 2013 (orthogonal).
"""

from __future__ import annotations

import math

import numpy as np

_generator: np.random.Generator | None = None  # made when first asked for: numpy.random takes its time to load
_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}


def manual_seed(seed: int | None = None) -> np.random.Generator:
    """Seed the generator that initialisers draw from when they are given none, and give it back.

    Without a number it is seeded from the operating system, as it is to begin with.

    Examples
    --------
    >>> from pyconv import nn
    >>> _ = nn.init.manual_seed(0)
    >>> first = nn.Linear(2, 2).weight
    >>> _ = nn.init.manual_seed(0)
    >>> bool((nn.Linear(2, 2).weight == first).all())
    True
    """
    global _generator
    _generator = np.random.default_rng(seed)
    return _generator


def default_generator() -> np.random.Generator:
    """The generator that serves where none is given."""
    return manual_seed() if _generator is None else _generator


def uniform_(array: np.ndarray, low: float = 0.0, high: float = 1.0, generator=None) -> np.ndarray:
    """Fill with draws from [low, high)."""
    draws = (generator or default_generator()).random(array.shape, _drawn(array))
    array[...] = draws * (high - low) + low
    return array


def normal_(array: np.ndarray, mean: float = 0.0, std: float = 1.0, generator=None) -> np.ndarray:
    """Fill with normal draws."""
    draws = (generator or default_generator()).standard_normal(array.shape, _drawn(array))
    array[...] = draws * std + mean
    return array


def constant_(array: np.ndarray, value: float) -> np.ndarray:
    """Fill with one value."""
    array[...] = value
    return array


def zeros_(array: np.ndarray) -> np.ndarray:
    """Fill with 0."""
    return constant_(array, 0)


def ones_(array: np.ndarray) -> np.ndarray:
    """Fill with 1."""
    return constant_(array, 1)


def xavier_uniform_(array: np.ndarray, gain: float = 1.0, generator=None) -> np.ndarray:
    """Glorot's uniform: within ± gain · √(6 / (fan_in + fan_out))."""
    bound = gain * math.sqrt(6 / sum(fans(array)))
    return uniform_(array, -bound, bound, generator)


def xavier_normal_(array: np.ndarray, gain: float = 1.0, generator=None) -> np.ndarray:
    """Glorot's normal: standard deviation gain · √(2 / (fan_in + fan_out))."""
    return normal_(array, 0, gain * math.sqrt(2 / sum(fans(array))), generator)


def kaiming_uniform_(
    array: np.ndarray, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator=None
) -> np.ndarray:
    """He's uniform: within ± gain · √(3 / fan).

    Parameters
    ----------
    array : ndarray (out, in, ...)
    a : float
        Slope of the leaky ReLU that follows.
    mode : {"fan_in", "fan_out"}
        Whether the variance is kept in the forward or in the backward pass.
    nonlinearity : str
        What follows; see `calculate_gain`.
    """
    bound = math.sqrt(3) * _kaiming_std(array, a, mode, nonlinearity)
    return uniform_(array, -bound, bound, generator)


def kaiming_normal_(
    array: np.ndarray, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator=None
) -> np.ndarray:
    """He's normal: standard deviation gain / √fan; arguments as in `kaiming_uniform_`."""
    return normal_(array, 0, _kaiming_std(array, a, mode, nonlinearity), generator)


def orthogonal_(array: np.ndarray, gain: float = 1.0, generator=None) -> np.ndarray:
    """Fill with a (semi-)orthogonal matrix, uniformly drawn; axes after the first count as one."""
    if array.ndim < 2:
        raise ValueError(f"array must have at least 2 axes to be orthogonal, not {array.ndim}")
    rows, columns = array.shape[0], math.prod(array.shape[1:])
    draws = (generator or default_generator()).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(draws)
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)  # without it the draw is not uniform
    array[...] = gain * (q if rows >= columns else q.T).reshape(array.shape)
    return array


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through a nonlinearity.

    Parameters
    ----------
    nonlinearity : {"linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"}
    param : float, optional
        Slope of the leaky ReLU (0.01 by default).
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"nonlinearity must be one of leaky_relu, {', '.join(_GAINS)}, not {nonlinearity!r}")
    return _GAINS[nonlinearity]


def fans(array: np.ndarray) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in, *kernel_size): inputs to an output and outputs of an input."""
    if array.ndim < 2:
        raise ValueError(f"array must have at least 2 axes (out, in, ...) to have fans, its shape is {array.shape}")
    receptive = math.prod(array.shape[2:])
    return array.shape[1] * receptive, array.shape[0] * receptive


def layer_default_(weight: np.ndarray, bias: np.ndarray | None, generator=None) -> None:
    """What convolutions and dense layers start from: both uniform within ± 1 / √fan_in, as in PyTorch."""
    fan_in = fans(weight)[0]
    bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
    uniform_(weight, -bound, bound, generator)
    if bias is not None:
        uniform_(bias, -bound, bound, generator)


def _kaiming_std(array, a, mode, nonlinearity):
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be fan_in or fan_out, not {mode!r}")
    return calculate_gain(nonlinearity, a) / math.sqrt(fans(array)[mode == "fan_out"])


def _drawn(array: np.ndarray):
    """The precision to draw in: the array's own where the generator can."""
    return np.float32 if array.dtype == np.float32 else np.float64
