"""Classification losses, one value a sample.

x (N, C, *I) are logits, labels (N, *I) class indices, weight (C,) or None. A sample whose label is `ignore_index` has
loss and gradient 0. Every other label must lie in 0 … C-1.
"""

import numpy as np

from pyconv.kernels.plain import softmax
from pyconv.kernels.plain.unary import sigmoid


def cross_entropy(loss, x, labels, weight, label_smoothing, ignore_index):
    """loss (N, *I) = -Σ_c q_c log softmax(x)_c, q_c = w_c ((1 - s)·[c = label] + s / C); overwrites loss."""
    logp = np.empty_like(x)
    softmax.log_softmax(logp, x, 1)
    nll(loss, logp, labels, weight, ignore_index)
    if label_smoothing:
        smooth = logp if weight is None else logp * _classes(weight, x)
        share = smooth.sum(1) * (-label_smoothing / x.shape[1])
        loss *= 1 - label_smoothing
        loss += np.where(labels == ignore_index, 0, share)


def cross_entropy_backward(dx, dloss, x, labels, weight, label_smoothing, ignore_index):
    """dx = dloss · (softmax(x) · Σ q - q); overwrites dx."""
    classes = x.shape[1]
    total = np.empty(labels.shape, x.dtype)
    label_weights(total, labels, weight, classes, label_smoothing, ignore_index)
    softmax.softmax(dx, x, 1)
    dx *= total[:, None]
    if label_smoothing:
        dx -= label_smoothing / classes * (1 if weight is None else _classes(weight, x))
    picked = np.empty_like(total)
    label_weights(picked, labels, weight, classes, 0.0, ignore_index)
    _add_at_labels(dx, labels, picked * (label_smoothing - 1), ignore_index)
    dx *= np.where(labels == ignore_index, 0, dloss)[:, None]


def soft_cross_entropy(loss, x, target, weight, label_smoothing):
    """loss (N, *I) = -Σ_c q_c log softmax(x)_c, q_c = w_c ((1 - s)·target_c + s / C); overwrites loss."""
    logp = np.empty_like(x)
    softmax.log_softmax(logp, x, 1)
    loss[...] = -(logp * _soft_target(x, target, weight, label_smoothing)).sum(1)


def soft_cross_entropy_backward(dx, dloss, x, target, weight, label_smoothing):
    """dx = dloss · (softmax(x) · Σ q - q); overwrites dx."""
    q = _soft_target(x, target, weight, label_smoothing)
    softmax.softmax(dx, x, 1)
    dx *= q.sum(1, keepdims=True)
    dx -= q
    dx *= dloss[:, None]


def label_weights(out, labels, weight, classes, label_smoothing, ignore_index):
    """out (N, *I) = Σ_c q_c of `cross_entropy`: the label's weight if there is no smoothing, 0 where ignored."""
    kept = labels != ignore_index
    if weight is None:
        out[...] = kept
    else:
        mixed = (1 - label_smoothing) * weight + label_smoothing * weight.mean()
        np.multiply(mixed[np.where(kept, labels, 0)] if classes else 0, kept, out=out, casting="same_kind")


def nll(loss, x, labels, weight, ignore_index):
    """loss (N, *I) = -w[label] · x[label]; overwrites loss."""
    kept = labels != ignore_index
    index = np.where(kept, labels, 0)
    picked = np.take_along_axis(x, index[:, None], 1)[:, 0]
    loss[...] = np.where(kept, -picked if weight is None else -picked * weight[index], 0)


def nll_backward(dx, dloss, labels, weight, ignore_index):
    """dx = -w[label] · dloss at each label, 0 elsewhere; overwrites dx."""
    dx[...] = 0
    share = -dloss if weight is None else -dloss * weight[np.where(labels != ignore_index, labels, 0)]
    _add_at_labels(dx, labels, share, ignore_index)


def bce_with_logits(y, x, target, pos_weight):
    """y = -(p · t · log σ(x) + (1 - t) · log(1 - σ(x))) for each element; overwrites y."""
    minus_log_sigmoid = np.log1p(np.exp(-np.abs(x))) - np.minimum(x, 0)
    y[...] = (1 - target) * x + _positive_share(target, pos_weight) * minus_log_sigmoid


def bce_with_logits_backward(dx, dy, x, target, pos_weight):
    """dx = dy · ((1 - t) - (1 + (p - 1) t) · σ(-x)); overwrites dx."""
    dx[...] = dy * ((1 - target) - _positive_share(target, pos_weight) * sigmoid(-x))


def _positive_share(target, pos_weight):
    return 1 if pos_weight is None else 1 + (pos_weight - 1) * target


def _soft_target(x, target, weight, label_smoothing):
    q = target * (1 - label_smoothing) + label_smoothing / x.shape[1] if label_smoothing else target
    return q if weight is None else q * _classes(weight, x)


def _add_at_labels(x, labels, values, ignore_index):
    """x[n, label, …] += value for every sample that is not ignored."""
    kept = labels != ignore_index
    sample, *position = np.nonzero(kept)
    place = (sample, labels[kept], *position)
    x[place] += values[kept]


def _classes(weight, x):
    return weight.reshape(-1, *[1] * (x.ndim - 2))
