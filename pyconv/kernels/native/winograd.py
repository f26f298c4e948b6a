"""Winograd F(4×4, 3×3): the passes that it can do, and where it is quicker than the direct algorithm.

Its products are a fourth of the direct ones; what it pays for that is the transforms of input, output and weights.
"""

from __future__ import annotations

import math

import numpy as np

from pyconv.kernels.native import conv as direct
from pyconv.kernels.native.library import lib
from pyconv.kernels.precision import ROUNDS_MORE, get_precision

_TILE, _POINTS, _TAPS = 16, 36, 9  # outputs of a tile; numbers it is transformed to; products of one output, directly

# In multiply-adds of the direct algorithm, measured (docs/decisions/0005): what it costs to transform one number of the
# input or output, and of the weights, with reading and writing it; the latter where so many output channels a tile keep
# them in L2 (csrc/conv_winograd.c); and what the products lose by being less even.
_TRANSFORM, _TRANSFORM_WEIGHT, _TRANSFORM_WEIGHT_IN_CACHE, _MANY_CHANNELS, _UNEVEN = 12, 20, 9, 4, 1.15
_LOOPS = 8e6  # what a gradient of weights pays for its parallel loops, which wait for each other


def conv(y, x, w, b, spec):
    """y = x ∗ w + b."""
    direct.conv(y, x, w, b, spec, direct.WINOGRAD)


def conv_backward_data(dx, dy, w, b, spec):
    """dx = wᵀ ∗ dy + b."""
    direct.conv_backward_data(dx, dy, w, b, spec, direct.WINOGRAD)


def conv_backward_weights(dw, dy, x, spec):
    """dw = the correlation of x with dy."""
    direct.conv_backward_weights(dw, dy, x, spec, direct.WINOGRAD)


def pack_conv(y, x, w, b, spec):
    """How `conv` wants w packed."""
    return direct.pack_conv(y, x, w, b, spec, direct.WINOGRAD)


def pack_backward_data(dx, dy, w, b, spec):
    """How `conv_backward_data` wants w packed."""
    return direct.pack_backward_data(dx, dy, w, b, spec, direct.WINOGRAD)


def refuse(y, x, w, b, spec):
    """Why it cannot compute y."""
    return _refuse(direct.FORWARD, spec, x, w, y)


def refuse_backward_data(dx, dy, w, b, spec):
    """Why it cannot compute dx."""
    return _refuse(direct.BACKWARD_DATA, spec, dx, w, dy)


def refuse_backward_weights(dw, dy, x, spec):
    """Why it cannot compute dw."""
    return _refuse(direct.BACKWARD_WEIGHTS, spec, x, dw, dy)


def decline(y, x, w, b, spec):
    """Why it should not, although it can."""
    return _decline(x.dtype, y, w, spec)


def decline_backward_data(dx, dy, w, b, spec):
    """Why it should not, although it can."""
    return _decline(dx.dtype, dx, w, spec)


def decline_backward_weights(dw, dy, x, spec):
    """Why it should not, although it can."""
    return _decline(dw.dtype, dy, dw, spec, of_weights=True)


def _refuse(pass_, spec, x, w, y):
    if (
        w.shape[-2:] == (3, 3)
        and spec.padding_mode == "zeros"
        and lib.pyconv_conv_has_winograd(direct.describe(spec, x, w, y), pass_)
    ):
        return None
    return "it is for 3×3 kernels of stride and dilation 1, zero padding and some channels a group"


def _decline(dtype, out, w, spec, of_weights=False):
    if dtype != np.float32 or get_precision() == "strict":
        return ROUNDS_MORE
    images, (height, width) = math.prod((out.shape[0], *out.shape[2:-2])), out.shape[-2:]
    tiles = images * -(-height // 4) * -(-width // 4)
    k, c = w.shape[0] // spec.groups, w.shape[1]
    products = _TAPS * k * c * images * height * width
    in_cache = not of_weights and tiles * _MANY_CHANNELS <= out.shape[1] // spec.groups
    transform_weights = (_TRANSFORM_WEIGHT_IN_CACHE if in_cache else _TRANSFORM_WEIGHT) * k * c
    winograd = _POINTS * (tiles * (_UNEVEN * k * c + _TRANSFORM * (k + c)) + transform_weights) + _LOOPS * of_weights
    return None if winograd < products else "its transforms cost more than they save"
