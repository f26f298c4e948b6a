"""Losses, as models that hold a training graph have them."""

from __future__ import annotations

import pyconv.functional as F
from pyconv.onnx.registry import UnsupportedError, floats, operator
from pyconv.ops.node import Node

_NOTHING = -(1 << 31)  # no label is this


@operator("SoftmaxCrossEntropyLoss", since=12)
def softmax_cross_entropy(x, labels, weight=None, *, outputs, ignore_index=None, reduction="mean"):
    _check(x, labels, weight)
    ignored = _NOTHING if ignore_index is None else ignore_index
    loss = F.cross_entropy(x, labels, weight, ignore_index=ignored, reduction=reduction)
    return loss if outputs == 1 else (loss, F.log_softmax(x, 1))


@operator("NegativeLogLikelihoodLoss", since=12)
def negative_log_likelihood(x, labels, weight=None, *, ignore_index=None, reduction="mean"):
    _check(x, labels, weight)
    ignored = _NOTHING if ignore_index is None else ignore_index
    return F.nll_loss(x, labels, weight, ignore_index=ignored, reduction=reduction)


def _check(x, labels, weight):
    floats(x, weight)
    if type(labels) is Node and labels.op is not None:
        raise UnsupportedError("labels that are computed")  # nobody could check them before a plan runs
