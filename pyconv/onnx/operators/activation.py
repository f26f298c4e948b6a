"""Activations, and the softmax family."""

from __future__ import annotations

import math

import numpy as np

import pyconv.functional as F
from pyconv.onnx.registry import UnsupportedError, axis_of, floats, is_known, number, operator


def _register(name, function, since=1):
    @operator(name, since=since)
    def entry(x):
        floats(x)
        return function(x)


for _name, _function in {
    "Relu": F.relu,
    "Sigmoid": F.sigmoid,
    "Tanh": F.tanh,
    "Mish": F.mish,
    "HardSwish": F.hardswish,
    "Softplus": F.softplus,
}.items():
    _register(_name, _function)


@operator("LeakyRelu")
def leaky_relu(x, *, alpha=0.01):
    floats(x)
    return F.leaky_relu(x, alpha)


@operator("PRelu", since=7)
def prelu(x, slope):
    floats(x, slope)
    if slope.size == 1:
        slope = F.reshape(slope, (1,))
    elif x.ndim > 1 and slope.size == x.shape[1] and slope.shape == (slope.size, *[1] * (x.ndim - 2)):
        slope = F.reshape(slope, (slope.size,))  # a number for each channel
    else:
        return F.where(x < 0, F.mul(x, slope), x)
    return F.prelu(x, slope)


@operator("Elu")
def elu(x, *, alpha=1.0):
    floats(x)
    return F.elu(x, alpha)


@operator("Celu", since=12)
def celu(x, *, alpha=1.0):
    floats(x)
    return F.mul(F.elu(F.div(x, alpha)), alpha)


@operator("Selu", since=6)
def selu(x, *, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875):
    floats(x)
    return F.mul(F.elu(x, alpha), gamma)


@operator("ThresholdedRelu", since=10)
def thresholded_relu(x, *, alpha=1.0):
    floats(x)
    return F.where(x > alpha, x, 0.0)


@operator("HardSigmoid", since=6)
def hard_sigmoid(x, *, alpha=0.2, beta=0.5):
    floats(x)
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
        return F.hardsigmoid(x)
    return F.clip(F.add(F.mul(x, alpha), beta), 0.0, 1.0)


@operator("Softsign")
def softsign(x):
    floats(x)
    return F.div(x, F.add(F.abs(x), 1.0))


@operator("Gelu", since=20)
def gelu(x, *, approximate="none"):
    floats(x)
    return F.gelu(x, approximate)


@operator("Swish", since=24)
def swish(x, *, alpha=1.0):
    floats(x)
    return F.silu(x) if alpha == 1 else F.mul(x, F.sigmoid(F.mul(x, alpha)))


@operator("Clip", since=6, until=10)
def clip_between_attributes(x, *, min=None, max=None):
    floats(x)
    return x if min is None and max is None else F.clip(x, min, max)


@operator("Clip", since=11)
def clip(x, low=None, high=None):
    floats(x)
    if not is_known(low, high) or (low is not None and high is not None and number(low) > number(high)):
        y = x if low is None else F.maximum(x, low)
        return y if high is None else F.minimum(y, high)
    low, high = (None if bound is None else number(bound) for bound in (low, high))
    return x if low is None and high is None else F.clip(x, low, high)


def _softmax(name, function):
    @operator(name, since=13)
    def along_an_axis(x, *, axis=-1):
        floats(x)
        return function(x, axis)

    @operator(name, until=12)
    def over_all_axes_from_one_on(x, *, axis=1):
        floats(x)
        axis = axis_of(axis, x.ndim)
        flat = F.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))
        return F.reshape(function(flat, 1), x.shape)


_softmax("Softmax", F.softmax)
_softmax("LogSoftmax", F.log_softmax)


@operator("Dropout", since=7, until=9)
def dropout_with_numeric_mask(x, *, ratio=0.5):
    return x, np.broadcast_to(np.ones((), x.dtype), x.shape)


@operator("Dropout", since=10, until=11)
def dropout_with_mask(x, *, ratio=0.5):
    return x, np.broadcast_to(np.True_, x.shape)


@operator("Dropout", since=12)
def dropout(x, ratio=None, training_mode=None, *, seed=0):
    if training_mode is not None and number(training_mode):
        raise UnsupportedError("training")
    return x, np.broadcast_to(np.True_, x.shape)
