"""Winograd F(4×4, 3×3): the passes that it can do; cost.py says where it is quicker than the direct algorithm."""

from __future__ import annotations

import numpy as np

from pyconv.kernels.native import conv as direct
from pyconv.kernels.native import cost
from pyconv.kernels.native.library import lib
from pyconv.kernels.precision import ROUNDS_MORE, get_precision


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
    return _decline(direct.FORWARD, spec, x, w, y)


def decline_backward_data(dx, dy, w, b, spec):
    """Why it should not, although it can."""
    return _decline(direct.BACKWARD_DATA, spec, dx, w, dy)


def decline_backward_weights(dw, dy, x, spec):
    """Why it should not, although it can."""
    return _decline(direct.BACKWARD_WEIGHTS, spec, x, dw, dy)


def predict(y, x, w, b, spec, packed=False):
    """Seconds that it should take."""
    return cost.seconds(direct.describe(spec, x, w, y), direct.FORWARD, True, packed)


def predict_backward_data(dx, dy, w, b, spec, packed=False):
    """Seconds that it should take."""
    return cost.seconds(direct.describe(spec, dx, w, dy), direct.BACKWARD_DATA, True, packed)


def predict_backward_weights(dw, dy, x, spec, packed=False):
    """Seconds that it should take."""
    return cost.seconds(direct.describe(spec, x, dw, dy), direct.BACKWARD_WEIGHTS, True)


def _refuse(pass_, spec, x, w, y):
    if (
        spec.padding_mode == "zeros"
        and lib.pyconv_conv_has_winograd(direct.describe(spec, x, w, y), pass_)
    ):
        return None
    return "it is for 3×3 kernels of stride and dilation 1, zero padding and some channels a group"


def _decline(pass_, spec, x, w, y):
    if x.dtype != np.float32 or get_precision() == "strict":
        return ROUNDS_MORE
    pays = cost.winograd_pays(direct.describe(spec, x, w, y), pass_)
    return None if pays else "its transforms cost more than they save"
