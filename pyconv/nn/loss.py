"""Losses as modules: called on (output, target) they give the mean over the batch, or what `reduction` says."""

from __future__ import annotations

from typing import Any

import pyconv.functional as F
from pyconv.functional.arguments import check_choice
from pyconv.nn.module import Module


class _Loss(Module):
    def __init__(self, *, reduction: str = "mean"):
        check_choice(reduction, "reduction", ("mean", "sum", "none"))
        self.reduction = reduction

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"


class CrossEntropyLoss(_Loss):
    """Softmax and cross-entropy of logits (N, C, …) and labels (N, …); see `F.cross_entropy`.

    Parameters
    ----------
    weight : array_like (C,), optional
        What each class counts.
    ignore_index : int
        A label that does not count.
    reduction : {"mean", "sum", "none"}
    label_smoothing : float
        Share of the target that is spread over all classes.

    Examples
    --------
    >>> import numpy as np
    >>> from pyconv import nn
    >>> round(float(nn.CrossEntropyLoss()(np.zeros((2, 10)), np.array([3, 7]))), 4)
    2.3026
    """

    def __init__(
        self, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
    ):
        super().__init__(reduction=reduction)
        self.register_buffer("weight", weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, x, target):
        return F.cross_entropy(
            x,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_Loss):
    """Negative log-likelihood of log-probabilities (N, C, …) and labels (N, …); see `F.nll_loss`."""

    def __init__(self, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean"):
        super().__init__(reduction=reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, x, target):
        return F.nll_loss(x, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """Sigmoid and binary cross-entropy; see `F.binary_cross_entropy_with_logits`.

    Parameters
    ----------
    weight : array_like, optional
        What each element counts; broadcasts.
    reduction : {"mean", "sum", "none"}
    pos_weight : array_like, optional
        What the positive examples of each class count.
    """

    def __init__(self, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None):
        super().__init__(reduction=reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, x, target):
        return F.binary_cross_entropy_with_logits(
            x, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class MSELoss(_Loss):
    """Squared error; see `F.mse_loss`."""

    def forward(self, x, target):
        return F.mse_loss(x, target, reduction=self.reduction)


class L1Loss(_Loss):
    """Absolute error; see `F.l1_loss`."""

    def forward(self, x, target):
        return F.l1_loss(x, target, reduction=self.reduction)


class HingeLoss(_Loss):
    """What each output lacks to its margin on the right side; see `F.hinge_loss`."""

    def __init__(self, *, margin: float = 1.0, reduction: str = "mean"):
        super().__init__(reduction=reduction)
        self.margin = margin

    def forward(self, x, target):
        return F.hinge_loss(x, target, margin=self.margin, reduction=self.reduction)
