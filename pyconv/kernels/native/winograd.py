"""Winograd's algorithms: the passes that they can do; cost.py says where they are quicker than the direct one."""

from __future__ import annotations

import numpy as np

from pyconv.kernels.native import conv as direct
from pyconv.kernels.native import cost
from pyconv.kernels.native.library import lib
from pyconv.kernels.precision import ROUNDS_MORE, get_precision


class Winograd:
    """The functions of one's rows; `kernels` says of which kernels."""

    def __init__(self, algorithm: int, kernels: str):
        self._algorithm, self._kernels = algorithm, kernels

    def conv(self, y, x, w, b, spec):
        """y = x ∗ w + b."""
        direct.conv(y, x, w, b, spec, self._algorithm)

    def conv_backward_data(self, dx, dy, w, b, spec):
        """dx = wᵀ ∗ dy + b."""
        direct.conv_backward_data(dx, dy, w, b, spec, self._algorithm)

    def conv_backward_weights(self, dw, dy, x, spec):
        """dw = the correlation of x with dy."""
        direct.conv_backward_weights(dw, dy, x, spec, self._algorithm)

    def pack_conv(self, y, x, w, b, spec):
        """How `conv` wants w packed."""
        return direct.pack_conv(y, x, w, b, spec, self._algorithm)

    def pack_backward_data(self, dx, dy, w, b, spec):
        """How `conv_backward_data` wants w packed."""
        return direct.pack_backward_data(dx, dy, w, b, spec, self._algorithm)

    def refuse(self, y, x, w, b, spec):
        """Why it cannot compute y."""
        return self._refuse(cost.FORWARD, spec, x, w, y, self._kernels)

    def refuse_backward_data(self, dx, dy, w, b, spec):
        """Why it cannot compute dx."""
        return self._refuse(cost.BACKWARD_DATA, spec, dx, w, dy, self._kernels)

    def refuse_backward_weights(self, dw, dy, x, spec):
        """Why it cannot compute dw."""
        return self._refuse(cost.BACKWARD_WEIGHTS, spec, x, dw, dy, "3×3 kernels")

    def decline(self, y, x, w, b, spec):
        """Why it should not, although it can."""
        return self._decline(cost.FORWARD, spec, x, w, y)

    def decline_backward_data(self, dx, dy, w, b, spec):
        """Why it should not, although it can."""
        return self._decline(cost.BACKWARD_DATA, spec, dx, w, dy)

    def decline_backward_weights(self, dw, dy, x, spec):
        """Why it should not, although it can."""
        return self._decline(cost.BACKWARD_WEIGHTS, spec, x, dw, dy)

    def predict(self, y, x, w, b, spec, packed=False):
        """Seconds that it should take."""
        return cost.seconds(direct.describe(spec, x, w, y), cost.FORWARD, self._algorithm, packed)

    def predict_backward_data(self, dx, dy, w, b, spec, packed=False):
        """Seconds that it should take."""
        return cost.seconds(direct.describe(spec, dx, w, dy), cost.BACKWARD_DATA, self._algorithm, packed)

    def predict_backward_weights(self, dw, dy, x, spec, packed=False):
        """Seconds that it should take."""
        return cost.seconds(direct.describe(spec, x, dw, dy), cost.BACKWARD_WEIGHTS, self._algorithm)

    def _refuse(self, pass_, spec, x, w, y, kernels):
        if lib.pyconv_conv_has_winograd(direct.describe(spec, x, w, y, self._algorithm), pass_):
            return None
        return f"it is for {kernels} of stride and dilation 1, zero padding and some channels a group"

    def _decline(self, pass_, spec, x, w, y):
        if x.dtype != np.float32 or get_precision() == "strict":
            return ROUNDS_MORE
        pays = cost.best(direct.describe(spec, x, w, y), pass_) == self._algorithm
        return None if pays else "its transforms cost more than they save"


LARGE = Winograd(cost.WINOGRAD, "3×3 and 5×5 kernels, 3 or 5 taps along one axis,")
SMALL = Winograd(cost.WINOGRAD_SMALL, "3×3 kernels, 3 taps along one axis,")
