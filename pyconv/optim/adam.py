"""Adam and AdamW: momentum over the root of a running mean of squared gradients, both corrected for their start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pyconv.functional as F
from pyconv.optim.optimizer import Optimizer, check, check_betas, scalar


@dataclass(frozen=True)
class Adam(Optimizer):
    """m ← β₁ m + (1 - β₁) g; v ← β₂ v + (1 - β₂) g²; p ← p - lr · m̂ / (√v̂ + eps). As `torch.optim.Adam`.

    m̂ = m / (1 - β₁ᵗ) and v̂ = v / (1 - β₂ᵗ) at step t.

    Parameters
    ----------
    lr, weight_decay, clip_value, clip_norm : float
        See `Optimizer`.
    betas : tuple of float
        β₁ and β₂, in [0, 1).
    eps : float
        Keeps the division finite.

    References
    ----------
    Kingma and Ba, Adam: a method for stochastic optimization, 2015.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    slots: ClassVar[tuple[str, ...]] = ("m", "v")

    def __post_init__(self):
        super().__post_init__()
        check_betas(self.betas)
        check("eps", self.eps, 0)

    def rule(self, p, g, step, lr, *slots):
        return self._adapted(p, self._decayed(p, g), step, lr, *slots)

    def _adapted(self, p, g, step, lr, m, v):
        direction, m, v = self._direction(g, step, m, v)
        return p - direction * scalar(lr, p), m, v

    def _direction(self, g, step, m, v):
        """m̂ / (√v̂ + eps), and the new means."""
        first, second = self.betas
        m = m * first + g * (1 - first)
        v = v * second + g * g * (1 - second)
        size, correction = 1 / (1 - first**step), (1 - second**step) ** 0.5
        return m * scalar(size, g) / (F.sqrt(v) / scalar(correction, g) + self.eps), m, v


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam whose weight decay shrinks the parameters beside the step, not through the gradient. As `torch.optim.AdamW`.

    Parameters are `Adam`'s; p ← p · (1 - lr · weight_decay) before each step.

    References
    ----------
    Loshchilov and Hutter, Decoupled weight decay regularization, 2019.
    """

    weight_decay: float = 1e-2

    def rule(self, p, g, step, lr, *slots):
        return self._adapted(p * scalar(1 - lr * self.weight_decay, p), g, step, lr, *slots)
