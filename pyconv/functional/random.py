"""Dropout. Randomness is an argument: a state of a key and a counter, so that a run can be repeated and recorded."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from pyconv.functional.arguments import as_input
from pyconv.ops.elementwise import mul
from pyconv.ops.node import Node
from pyconv.ops.random import DropoutMask

__all__ = ["dropout", "dropout1d", "dropout2d", "dropout3d"]


def dropout(x, p=0.5, training=True, *, rng_state=None):
    """Each element is 0 with probability p, else x / (1 - p); x itself when not training. ONNX `Dropout`.

    Parameters
    ----------
    x : array, any shape, float32 or float64
    p : float
        In 0 … 1.
    training : bool
    rng_state : uint64 array (2,), optional
        A key and a counter, which alone decide what is dropped, on any number of threads; a caller who wants other
        elements dropped the next time adds 1 to the counter. Without a state it is drawn from the operating system.

    Raises
    ------
    ValueError
        If p is outside 0 … 1, or rng_state is not two numbers.
    TypeError
        If rng_state is not of uint64.

    Notes
    -----
    Srivastava et al., Dropout, 2014. The generator is Philox 4×64-10, as in `numpy.random.Philox`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> state = np.array([7, 0], np.uint64)
    >>> y = F.dropout(np.ones(1000), 0.25, rng_state=state)
    >>> sorted(set(y.round(3).tolist())), bool((y == F.dropout(np.ones(1000), 0.25, rng_state=state)).all())
    ([0.0, 1.333], True)
    """
    x = as_input(x, "x")
    return dropped(x, tuple(x.shape), p, training, rng_state)


def dropout1d(x, p=0.5, training=True, *, rng_state=None):
    """`dropout` of whole channels: x (N, C, L), or (C, L).

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.dropout1d(np.ones((1, 2, 3)), 1.0).tolist()
    [[[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]]
    """
    return _channel_dropout(1, x, p, training, rng_state)


def dropout2d(x, p=0.5, training=True, *, rng_state=None):
    """`dropout` of whole channels: x (N, C, H, W), or (C, H, W).

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> y = F.dropout2d(np.ones((1, 8, 4, 4)))
    >>> bool((y.min((2, 3)) == y.max((2, 3))).all())
    True
    """
    return _channel_dropout(2, x, p, training, rng_state)


def dropout3d(x, p=0.5, training=True, *, rng_state=None):
    """`dropout` of whole channels: x (N, C, D, H, W), or (C, D, H, W).

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.dropout3d(np.ones((2, 8, 4, 4, 4)), training=False).shape
    (2, 8, 4, 4, 4)
    """
    return _channel_dropout(3, x, p, training, rng_state)


def _channel_dropout(n: int, x: Any, p: Any, training: bool, rng_state: Any) -> Any:
    x = as_input(x, "x")
    if x.ndim not in (n + 1, n + 2):
        raise ValueError(f"x must have {n + 2} axes, or {n + 1} without a batch, its shape is {tuple(x.shape)}")
    return dropped(x, (*x.shape[: x.ndim - n], *[1] * n), p, training, rng_state)


def dropped(x: Any, shape: tuple[int, ...], p: Any, training: bool, rng_state: Any) -> Any:
    """x times a mask of this shape, which broadcasts to x: what it has one number for is dropped together."""
    p = float(p)
    if not 0 <= p <= 1:
        raise ValueError(f"p must lie in 0 … 1, not {p}")
    if not training or p == 0:
        return x
    return mul(x, DropoutMask(shape, x.dtype, p)(_state(rng_state)))


def _state(rng_state: Any) -> Any:
    if rng_state is None:
        return np.array([int.from_bytes(os.urandom(8), "little"), 0], np.uint64)
    if not (type(rng_state) is Node or isinstance(rng_state, np.ndarray)) or rng_state.dtype != np.uint64:
        raise TypeError("rng_state must be a uint64 array of a key and a counter")
    if tuple(rng_state.shape) != (2,):
        raise ValueError(f"rng_state must have shape (2,), a key and a counter, not {tuple(rng_state.shape)}")
    return rng_state
