"""Clipping of gradients, by value and by norm; optimizers do it when told to, and a training loop may call it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add
from typing import Any

import pyconv.functional as F


def clip_by_value(grads: Mapping[str, Any], limit: float) -> dict[str, Any]:
    """Gradients with every element cut to [-limit, limit], as `torch.nn.utils.clip_grad_value_`."""
    return {name: F.clip(g, -limit, limit) for name, g in grads.items()}


def clip_by_norm(grads: Mapping[str, Any], max_norm: float) -> tuple[dict[str, Any], Any]:
    """Gradients scaled down together so that their norm is at most `max_norm`, and the norm that they had.

    As `torch.nn.utils.clip_grad_norm_` (Pascanu et al., On the difficulty of training recurrent neural networks, 2013).
    """
    norm = global_norm(grads)
    scale = F.minimum(max_norm / (norm + 1e-6), 1.0)
    return {name: g * scale for name, g in grads.items()}, norm


def global_norm(grads: Mapping[str, Any]) -> Any:
    """√ of the sum of squares of all elements (0-d)."""
    if not grads:
        raise ValueError("grads must hold at least one gradient")
    return F.sqrt(reduce(add, (F.sum(g * g) for g in grads.values())))
