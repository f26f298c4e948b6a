"""Losses by name: each takes (output, target) and gives the mean over the batch, recorded if the output is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import pyconv.functional as F


def _binary(output: Any, target: np.ndarray, reduction: str = "mean") -> Any:
    return F.binary_cross_entropy_with_logits(output, _like(output, target), reduction=reduction)


def _mse(output: Any, target: np.ndarray, reduction: str = "mean") -> Any:
    return F.mse_loss(output, _like(output, target), reduction=reduction)


def _l1(output: Any, target: np.ndarray, reduction: str = "mean") -> Any:
    return F.l1_loss(output, _like(output, target), reduction=reduction)


LOSSES: dict[str, Callable[..., Any]] = {
    "cross_entropy": F.cross_entropy,
    "binary_cross_entropy": _binary,
    "mse": _mse,
    "l1": _l1,
    "hinge": F.hinge_loss,
}


def as_loss(loss: str | Callable[..., Any], label_smoothing: float = 0.0) -> Callable[..., Any]:
    """A loss from its name or a function of (output, target)."""
    if label_smoothing:
        if loss != "cross_entropy":
            raise ValueError(f"label_smoothing is defined for the loss 'cross_entropy', not for {loss!r}")
        return partial(F.cross_entropy, label_smoothing=label_smoothing)
    if callable(loss):
        return loss
    if loss not in LOSSES:
        raise ValueError(f"loss must be a function of (output, target) or one of {', '.join(LOSSES)}, not {loss!r}")
    return LOSSES[loss]


def weighted(loss: Callable[..., Any], output: Any, target: np.ndarray, weights: np.ndarray) -> Any:
    """The mean of a named loss in which each sample counts as its weight says."""
    each = loss(output, target, reduction="none")
    if each.ndim > 1:
        each = F.mean(F.reshape(each, (each.shape[0], -1)), 1)
    return F.sum(F.mul(each, weights.astype(each.dtype))) / max(float(weights.sum()), 1e-12)


def _like(output: Any, target: np.ndarray) -> np.ndarray:
    """Targets in the shape and dtype of the output: labels (N,) fit an output (N, 1)."""
    return np.asarray(target, output.dtype).reshape(output.shape)
