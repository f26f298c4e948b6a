"""RMSprop: gradients divided by the root of a running mean of their squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pyconv.functional as F
from pyconv.optim.optimizer import Optimizer, check, scalar


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """s ← alpha · s + (1 - alpha) · g²; p ← p - lr · g / (√s + eps). As `torch.optim.RMSprop`.

    Parameters
    ----------
    lr, weight_decay, clip_value, clip_norm : float
        See `Optimizer`.
    alpha : float
        How much of the running mean stays, in [0, 1).
    eps : float
        Keeps the division finite.
    momentum : float
        Momentum on the scaled gradient.
    centered : bool
        Whether to divide by the deviation instead: s less the square of a running mean of g.

    References
    ----------
    Tieleman and Hinton, Neural networks for machine learning, lecture 6e, 2012; centred: Graves, Generating sequences
    with recurrent neural networks, 2013.
    """

    lr: float = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    centered: bool = False
    slots: ClassVar[tuple[str, ...]] = ("square", "momentum", "mean")

    def __post_init__(self):
        super().__post_init__()
        check("alpha", self.alpha, 0, 1)
        check("eps", self.eps, 0)
        check("momentum", self.momentum, 0, 1)

    def active_slots(self):
        return ("square", *["momentum"] * bool(self.momentum), *["mean"] * self.centered)

    def rule(self, p, g, step, lr, *slots):
        g = self._decayed(p, g)
        held = dict(zip(self.active_slots(), slots, strict=True))
        held["square"] = spread = held["square"] * self.alpha + g * g * (1 - self.alpha)
        if self.centered:
            held["mean"] = held["mean"] * self.alpha + g * (1 - self.alpha)
            spread = spread - held["mean"] * held["mean"]
        direction = g / (F.sqrt(spread) + self.eps)
        if self.momentum:
            held["momentum"] = direction = held["momentum"] * self.momentum + direction
        return p - direction * scalar(lr, p), *held.values()


RMSProp = RMSprop
