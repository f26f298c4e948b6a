"""Losses by name: each takes (output, target) and gives the mean over the batch, recorded if the output is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pyconv.functional as F
from pyconv.ops.elementwise import Cast


def _binary(output: Any, target: Any, reduction: str = "mean") -> Any:
    return F.binary_cross_entropy_with_logits(output, _like(output, target), reduction=reduction)


def _mse(output: Any, target: Any, reduction: str = "mean") -> Any:
    return F.mse_loss(output, _like(output, target), reduction=reduction)


def _l1(output: Any, target: Any, reduction: str = "mean") -> Any:
    return F.l1_loss(output, _like(output, target), reduction=reduction)


def _hinge(output: Any, target: Any, reduction: str = "mean") -> Any:
    of_classes = target.dtype.kind in "iu" and (output.ndim, target.ndim) == (2, 1)
    return F.hinge_loss(output, target if of_classes else Cast(output.dtype)(target), reduction=reduction)


LOSSES: dict[str, Callable[..., Any]] = {
    "cross_entropy": F.cross_entropy,
    "binary_cross_entropy": _binary,
    "mse": _mse,
    "l1": _l1,
    "hinge": _hinge,
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


def mean_loss(loss: Callable[..., Any], output: Any, target: Any, weights: Any = None) -> Any:
    """The mean over a batch; with weights, of a named loss in which each sample counts as its weight says."""
    if weights is None:
        return loss(output, target)
    each = loss(output, target, reduction="none")
    if each.ndim > 1:
        each = F.mean(F.reshape(each, (each.shape[0], -1)), 1)
    weights = Cast(each.dtype)(weights)
    return F.sum(F.mul(each, weights)) / F.maximum(F.sum(weights), 1e-12)


def _like(output: Any, target: Any) -> Any:
    """Targets in the shape and dtype of the output: labels (N,) fit an output (N, 1)."""
    return F.reshape(Cast(output.dtype)(target), tuple(output.shape))
