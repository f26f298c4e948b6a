"""Stochastic depth as a layer."""

from __future__ import annotations

import pyconv.functional as F
from pyconv.nn.dropout import _Dropout


class StochasticDepth(_Dropout):
    """`Dropout` of whole samples of (N, …), for the residual branch of a block; as `torchvision.ops.StochasticDepth`.

    Parameters, attributes and errors are those of `Dropout`; see `F.stochastic_depth`.

    References
    ----------
    Huang et al., Deep networks with stochastic depth, 2016.
    """

    function = staticmethod(F.stochastic_depth)
