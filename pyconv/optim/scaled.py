"""Gradients of some parameters scaled, which for SGD is a learning rate of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from pyconv.optim.optimizer import State, check


@dataclass(frozen=True)
class Scaled:
    """An optimizer that sees the gradients of some parameters times a factor.

    With `SGD` these parameters learn at a rate that is so many times larger, while weight decay pulls them as it pulls
    all others. Optimizers that divide by the gradients' size (Adam, say) do not see the factor.

    Parameters
    ----------
    optimizer : optimizer of `pyconv.optim`
    pattern : str
        Which parameters, as file names are matched: ``"*norm*.bias"``.
    factor : float

    Examples
    --------
    >>> import numpy as np
    >>> from pyconv import optim
    >>> optimizer = optim.Scaled(optim.SGD(lr=0.1), "*.bias", 64.0)
    >>> params = {"fc.weight": np.zeros(1), "fc.bias": np.zeros(1)}
    >>> params, _ = optimizer.update(params, {name: np.ones(1) for name in params}, optimizer.init(params))
    >>> params["fc.weight"], params["fc.bias"]
    (array([-0.1]), array([-6.4]))
    """

    optimizer: Any
    pattern: str
    factor: float

    def __post_init__(self):
        check("factor", self.factor, 0)

    @property
    def lr(self) -> float:
        """The optimizer's learning rate."""
        return self.optimizer.lr

    def init(self, params: Mapping[str, Any]) -> State:
        """The optimizer's state."""
        return self.optimizer.init(params)

    def update(self, params: Mapping[str, Any], grads: Mapping[str, Any], state: State) -> tuple[dict[str, Any], State]:
        """One step; see `Optimizer.update`."""
        scaled = {name: g * self.factor if fnmatchcase(name, self.pattern) else g for name, g in grads.items()}
        return self.optimizer.update(params, scaled, state)
