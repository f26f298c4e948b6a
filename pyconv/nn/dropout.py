"""Dropout layers. Each has a random state, which every call in training advances, so that runs can be repeated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

import pyconv.functional as F
from pyconv.nn import init
from pyconv.nn.layer import Layer

_NEXT = np.array([0, 1], np.uint64)  # the same key, the next counter


class _Dropout(Layer):
    function: ClassVar[Callable[..., Any]]
    rng_state: Any

    def __init__(self, p: float = 0.5, *, generator: np.random.Generator | None = None):
        if not 0 <= p <= 1:
            raise ValueError(f"p must be a probability, at least 0 and at most 1, not {p}")
        self.p = p
        key = (generator or init.default_generator()).integers(2**64, dtype=np.uint64)
        self.register_buffer("rng_state", np.array([key, 0], np.uint64), persistent=False)

    def forward(self, x):
        if not self.training:
            return x
        y = self.function(x, self.p, rng_state=self.rng_state)
        self.rng_state = F.add(self.rng_state, _NEXT)
        return y


class Dropout(_Dropout):
    """In training each element is 0 with probability p, else x / (1 - p); in evaluation x. As `torch.nn.Dropout`.

    Parameters
    ----------
    p : float
        Between 0 and 1.
    generator : numpy.random.Generator, optional
        Draws the key of the random state.

    Attributes
    ----------
    rng_state : ndarray (2,) of uint64
        Key and counter, which decide what the next call drops; a buffer that `state_dict` leaves out.

    References
    ----------
    Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from pyconv import nn
    >>> layer = nn.Dropout(0.5)
    >>> sorted(set(layer(np.ones(1000)).tolist())), layer.eval()(np.ones(2)).tolist()
    ([0.0, 2.0], [1.0, 1.0])
    """

    function = staticmethod(F.dropout)


class Dropout1d(_Dropout):
    """`Dropout` of whole channels of (N, C, L)."""

    function = staticmethod(F.dropout1d)


class Dropout2d(_Dropout):
    """`Dropout` of whole channels of (N, C, H, W), as `torch.nn.Dropout2d`.

    References
    ----------
    Tompson et al., Efficient object localization using convolutional networks, 2015.
    """

    function = staticmethod(F.dropout2d)


class Dropout3d(_Dropout):
    """`Dropout` of whole channels of (N, C, D, H, W)."""

    function = staticmethod(F.dropout3d)
