"""Lion: steps by the sign of a momentum, all of one size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pyconv.functional as F
from pyconv.optim.optimizer import Optimizer, check_betas, scalar


@dataclass(frozen=True)
class Lion(Optimizer):
    """p ← p · (1 - lr · weight_decay) - lr · sign(β₁ m + (1 - β₁) g); m ← β₂ m + (1 - β₂) g.

    Wants a rate 3 to 10 times smaller than Adam's, and a weight decay as many times larger.

    Parameters
    ----------
    lr, clip_value, clip_norm : float
        See `Optimizer`.
    weight_decay : float
        Shrinks the parameters beside the step, as in `AdamW`.
    betas : tuple of float
        β₁ and β₂, in [0, 1).

    References
    ----------
    Chen et al., Symbolic discovery of optimization algorithms, 2023.
    """

    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    slots: ClassVar[tuple[str, ...]] = ("m",)

    def __post_init__(self):
        super().__post_init__()
        check_betas(self.betas)

    def rule(self, p, g, step, lr, *slots):
        first, second = self.betas
        direction = F.sign(slots[0] * first + g * (1 - first))
        p = p * scalar(1 - lr * self.weight_decay, p) - direction * scalar(lr, p)
        return p, slots[0] * second + g * (1 - second)
