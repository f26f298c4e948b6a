"""Stochastic depth: dropout of whole samples, for the residual branches of deep networks."""

from __future__ import annotations

from pyconv.functional.arguments import as_input
from pyconv.functional.random import dropped

__all__ = ["stochastic_depth"]


def stochastic_depth(x, p=0.5, training=True, *, rng_state=None):
    """`dropout` of whole samples: each of x's N is 0 with probability p, else x / (1 - p).

    As `torchvision.ops.stochastic_depth` in mode "row", also called drop path.

    Parameters
    ----------
    x : array (N, …), float32 or float64
    p, training, rng_state
        As for `dropout`.

    Raises
    ------
    ValueError, TypeError
        As `dropout`, and if x has no axes.

    Notes
    -----
    Huang et al., Deep networks with stochastic depth, 2016.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> y = F.stochastic_depth(np.ones((8, 4, 4)))
    >>> bool((y.min((1, 2)) == y.max((1, 2))).all())
    True
    """
    x = as_input(x, "x")
    if x.ndim == 0:
        raise ValueError("x must have at least one axis, the batch's")
    return dropped(x, (x.shape[0], *[1] * (x.ndim - 1)), p, training, rng_state)
