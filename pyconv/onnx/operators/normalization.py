"""Normalization: batch (with fixed statistics), instance, layer, group, root mean square, local response, p-norm."""

from __future__ import annotations

import math

import pyconv.functional as F
from pyconv.onnx.registry import UnsupportedError, axis_of, floats, operator


@operator("BatchNormalization", since=7)
def batch_normalization(x, scale, b, mean, var, *, epsilon=1e-5, momentum=0.9, spatial=1, training_mode=0):
    floats(x, scale, b, mean, var)
    if training_mode or not spatial:
        raise UnsupportedError("statistics of the batch, or of each element")
    if x.dtype != mean.dtype or x.dtype != scale.dtype:
        raise UnsupportedError("statistics of another precision")
    return F.batch_norm(x, mean, var, scale, b, eps=epsilon)


@operator("InstanceNormalization", since=6)
def instance_normalization(x, scale, b, *, epsilon=1e-5):
    floats(x, scale, b)
    return F.instance_norm(x, weight=scale, bias=b, eps=epsilon)


@operator("LayerNormalization", since=17)
def layer_normalization(x, scale, b=None, *, axis=-1, epsilon=1e-5, stash_type=1):
    floats(x, scale, b)
    shape = tuple(x.shape[axis_of(axis, x.ndim) :])
    if scale.shape != shape or (b is not None and b.shape != shape):
        raise UnsupportedError("a scale that is broadcast")
    return F.layer_norm(x, shape, scale, b, epsilon)


@operator("GroupNormalization", since=21)
def group_normalization(x, scale, b, *, num_groups, epsilon=1e-5, stash_type=1):
    floats(x, scale, b)
    return F.group_norm(x, num_groups, scale, b, epsilon)


@operator("RMSNormalization", since=23)
def rms_normalization(x, scale, *, axis=-1, epsilon=1e-5, stash_type=1):
    floats(x, scale)
    axes = tuple(range(axis_of(axis, x.ndim), x.ndim))
    square = F.mean(F.mul(x, x), axes, keepdim=True)
    return F.mul(F.div(x, F.sqrt(F.add(square, epsilon))), scale)


@operator("LRN")
def lrn(x, *, size, alpha=1e-4, beta=0.75, bias=1.0):
    floats(x)
    if size % 2 == 0:
        raise UnsupportedError("an even number of channels")
    return F.local_response_norm(x, size, alpha, beta, bias)


@operator("LpNormalization")
def lp_normalization(x, *, axis=-1, p=2):
    floats(x)
    axis = axis_of(axis, x.ndim)
    norm = F.sum(F.abs(x), axis, keepdim=True) if p == 1 else F.sqrt(F.sum(F.mul(x, x), axis, keepdim=True))
    return F.where(norm == 0, 0.0, F.div(x, norm))


@operator("MeanVarianceNormalization", since=9)
def mean_variance_normalization(x, *, axes=(0, 2, 3)):
    floats(x)
    axes = tuple(axis_of(a, x.ndim) for a in axes)
    centered = F.sub(x, F.mean(x, axes, keepdim=True))
    variance = F.div(F.sum(F.mul(centered, centered), axes, keepdim=True), math.prod(x.shape[a] for a in axes))
    return F.div(centered, F.add(F.sqrt(variance), 1e-9))
