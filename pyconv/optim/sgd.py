"""Stochastic gradient descent, plain, with momentum, and with Nesterov's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pyconv.optim.optimizer import Optimizer, check, scalar


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent: p ← p - lr · v with v ← momentum · v + g; Nesterov's looks ahead, g + momentum · v.

    As `torch.optim.SGD`. Without momentum it is the lecture's gradient descent and keeps no state.

    Parameters
    ----------
    lr, weight_decay, clip_value, clip_norm : float
        See `Optimizer`.
    momentum : float
        Share of the last step that goes on, in [0, 1).
    nesterov : bool
        Whether to look ahead; needs momentum.

    References
    ----------
    Robbins and Monro, A stochastic approximation method, 1951; Polyak, Some methods of speeding up the convergence of
    iteration methods, 1964; Nesterov, A method of solving a convex programming problem with convergence rate O(1/k²),
    1983, in the form of Sutskever et al., On the importance of initialization and momentum in deep learning, 2013.
    """

    momentum: float = 0.0
    nesterov: bool = False
    slots: ClassVar[tuple[str, ...]] = ("momentum",)

    def __post_init__(self):
        super().__post_init__()
        check("momentum", self.momentum, 0, 1)
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum greater than 0")

    def active_slots(self):
        return self.slots if self.momentum else ()

    def rule(self, p, g, step, lr, *slots):
        g = self._decayed(p, g)
        if not self.momentum:
            return (p - g * scalar(lr, p),)
        v = slots[0] * self.momentum + g
        direction = g + v * self.momentum if self.nesterov else v
        return p - direction * scalar(lr, p), v


GradientDescent = SGD


@dataclass(frozen=True)
class Momentum(SGD):
    """`SGD` with a momentum of 0.9."""

    momentum: float = 0.9
