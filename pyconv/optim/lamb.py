"""LAMB: Adam's direction, taken in steps whose length follows the size of each weight."""

from __future__ import annotations

from dataclasses import dataclass

import pyconv.functional as F
from pyconv.optim.adam import Adam
from pyconv.optim.optimizer import scalar


@dataclass(frozen=True)
class LAMB(Adam):
    """r ← m̂ / (√v̂ + eps) + weight_decay · p; p ← p - lr · (‖p‖ / ‖r‖) · r, with m̂ and v̂ as in `Adam`.

    The norms are those of a whole parameter. Parameters of one axis (biases, the gains of normalisation) are neither
    decayed nor scaled by them, as in the authors' code; nor is one whose ‖p‖ or ‖r‖ is 0.

    Parameters
    ----------
    lr, weight_decay, clip_value, clip_norm : float
        See `Optimizer`; the rate is a share of ‖p‖, so it is larger than Adam's.
    betas : tuple of float
        β₁ and β₂, in [0, 1).
    eps : float
        Keeps the division finite.

    References
    ----------
    You et al., Large batch optimization for deep learning: training BERT in 76 minutes, 2020.
    """

    lr: float = 1e-2
    eps: float = 1e-6

    def rule(self, p, g, step, lr, *slots):
        direction, m, v = self._direction(g, step, *slots)
        if len(p.shape) < 2:
            return p - direction * scalar(lr, p), m, v
        direction = direction + p * self.weight_decay
        own, other = (F.sqrt(F.sum(a * a)) for a in (p, direction))
        ratio = F.where(F.sign(own * other), own / F.where(F.sign(other), other, 1.0), 1.0)
        return p - direction * (ratio * scalar(lr, p)), m, v
