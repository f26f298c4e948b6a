"""A moving average of the weights, which often generalises better than the last ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import pyconv.functional as F
from pyconv.optim.optimizer import State, check, scalar


@dataclass(frozen=True)
class EMA:
    """Exponential moving average: average ← decay · average + (1 - decay) · parameters.

    Parameters
    ----------
    decay : float
        How much of the average stays at each step, in [0, 1).
    warm_up : bool
        Let the decay grow as (1 + t) / (10 + t) up to `decay`, so that the first, untrained weights fade soon.

    References
    ----------
    Polyak and Juditsky, Acceleration of stochastic approximation by averaging, 1992.

    Examples
    --------
    >>> import numpy as np
    >>> from pyconv import optim
    >>> ema = optim.EMA(decay=0.5)
    >>> state = ema.init({"w": np.zeros(1)})
    >>> ema.update({"w": np.ones(1)}, state)["params"]["w"]
    array([0.5])
    """

    decay: float = 0.999
    warm_up: bool = False

    def __post_init__(self):
        check("decay", self.decay, 0, 1)

    def init(self, params: Mapping[str, Any]) -> State:
        """The state before the first step: `step`, and the average `params`, a copy of the given ones."""
        return {"step": np.asarray(0, np.int64), "params": {name: np.array(p) for name, p in params.items()}}

    def update(self, params: Mapping[str, Any], state: State) -> State:
        """The state after a step of training that gave `params`; nothing that was given is changed."""
        step = state["step"] + 1
        decay = F.minimum((1 + step) / (10 + step), self.decay) if self.warm_up else self.decay
        average = {}
        for name, held in state["params"].items():
            share = scalar(1 - decay, held) if self.warm_up else 1 - decay
            # in this form what does not change is averaged to itself, to the bit
            average[name] = held + (params[name] - held) * share
        return {"step": np.asarray(step) if isinstance(step, np.generic) else step, "params": average}
