"""Batch normalization's passes over memory: two forward, two backward. x (N, C, *I); statistics are per channel.

`moments` and the sums of the backward pass are (2, C) arrays, accumulated in float64 whatever the precision of x.
"""

import numpy as np


def moments(out, x):
    """out (2, C) = mean and biased variance of each channel; overwrites out."""
    axes, count = _reduced(x)
    mean = x.sum(axes, dtype=np.float64) / count
    shift = mean.astype(x.dtype)  # the rest of the mean is taken out below
    variance = np.square(x - _channels(shift, x)).sum(axes, dtype=np.float64) / count
    out[0] = mean
    out[1] = np.maximum(variance - np.square(mean - shift), 0)


def normalize(y, x, moments, w, b, eps):
    """y = (x - mean) / √(variance + eps) · w + b, where w and b (C,) may be None; overwrites y."""
    scale = _inverse_deviation(moments, eps)
    np.subtract(x, _channels(moments[0], x), out=y)
    y *= _channels(scale if w is None else scale * w, x)
    if b is not None:
        y += _channels(b, x)


def normalize_sums(out, dy, x, moments, eps):
    """out (2, C) = per channel the sum of dy and the sum of dy · x̂, where x̂ = (x - mean) / √(variance + eps)."""
    axes, _ = _reduced(x)
    out[0] = dy.sum(axes, dtype=np.float64)
    products = (x - _channels(moments[0], x)) * dy
    out[1] = products.sum(axes, dtype=np.float64) * _inverse_deviation(moments, eps)


def batch_norm_backward(dx, dy, x, moments, sums, w, eps):
    """dx = w / √(variance + eps) · (dy - mean(dy) - x̂ · mean(dy · x̂)), the means from `sums`; overwrites dx."""
    _, count = _reduced(x)
    scale = _inverse_deviation(moments, eps)
    np.subtract(x, _channels(moments[0], x), out=dx)
    dx *= _channels(sums[1] * scale / -count, x)
    dx -= _channels(sums[0] / count, x)
    dx += dy
    dx *= _channels(scale if w is None else scale * w, x)


def _reduced(x):
    """The axes a channel's statistics run over, and how many elements that is."""
    axes = (0, *range(2, x.ndim))
    return axes, int(np.prod([x.shape[a] for a in axes], dtype=np.int64))


def _channels(v, x):
    """v (C,) shaped to broadcast along x (N, C, *I), in x's precision."""
    return v.astype(x.dtype, copy=False).reshape(-1, *[1] * (x.ndim - 2))


def _inverse_deviation(moments, eps):
    return 1 / np.sqrt(moments[1] + moments.dtype.type(eps))
