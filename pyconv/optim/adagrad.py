"""Adagrad: each element's rate falls with the gradients it has seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pyconv.functional as F
from pyconv.optim.optimizer import Optimizer, check, scalar


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """s ← s + g²; p ← p - lr / (1 + (t - 1) · lr_decay) · g / (√s + eps). As `torch.optim.Adagrad`.

    Parameters
    ----------
    lr, weight_decay, clip_value, clip_norm : float
        See `Optimizer`.
    lr_decay : float
        How fast the rate falls with the steps t.
    initial_accumulator_value : float
        What s starts from.
    eps : float
        Keeps the division finite.

    References
    ----------
    Duchi, Hazan and Singer, Adaptive subgradient methods for online learning and stochastic optimization, 2011.
    """

    lr: float = 1e-2
    lr_decay: float = 0.0
    initial_accumulator_value: float = 0.0
    eps: float = 1e-10
    slots: ClassVar[tuple[str, ...]] = ("square",)

    def __post_init__(self):
        super().__post_init__()
        for name in ("lr_decay", "initial_accumulator_value", "eps"):
            check(name, getattr(self, name), 0)

    def init(self, params):
        state = super().init(params)
        for array in state["square"].values():
            array.fill(self.initial_accumulator_value)
        return state

    def rule(self, p, g, step, lr, *slots):
        g = self._decayed(p, g)
        square = slots[0] + g * g
        rate = lr / (1 + (step - 1) * self.lr_decay)
        return p - g * scalar(rate, p) / (F.sqrt(square) + self.eps), square
