"""Softmax along an axis: the largest element is subtracted first, so nothing overflows."""

import numpy as np


def softmax(y, x, axis):
    """y = exp(x) / Σ exp(x); overwrites y."""
    if x.size:
        np.subtract(x, x.max(axis, keepdims=True), out=y)
        np.exp(y, out=y)
        y /= y.sum(axis, keepdims=True)


def softmax_backward(dx, dy, y, axis):
    """dx = y · (dy - Σ dy · y); overwrites dx."""
    np.subtract(dy, (dy * y).sum(axis, keepdims=True), out=dx)
    dx *= y


def log_softmax(y, x, axis):
    """y = x - log Σ exp(x); overwrites y."""
    if x.size:
        np.subtract(x, x.max(axis, keepdims=True), out=y)
        y -= np.log(np.exp(y).sum(axis, keepdims=True))


def log_softmax_backward(dx, dy, y, axis):
    """dx = dy - exp(y) · Σ dy; overwrites dx."""
    np.exp(y, out=dx)
    dx *= -dy.sum(axis, keepdims=True)
    dx += dy
