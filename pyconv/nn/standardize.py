"""Standardize: inputs brought to mean 0 and deviation 1, as a layer, so that both are saved with the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import pyconv.functional as F
from pyconv.nn.layer import Layer


class Standardize(Layer):
    """(x - mean) / std, a channel at a time; both are buffers, not trained.

    Parameters
    ----------
    mean, std : sequence of float (C,)

    Examples
    --------
    >>> import numpy as np
    >>> from pyconv import nn
    >>> nn.Standardize([0.5], [0.25])(np.ones((1, 1, 2, 2), np.float32)).max()
    np.float32(2.0)
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], *, dtype: Any = np.float32):
        if len(mean) != len(std) or not all(s > 0 for s in std):
            raise ValueError(f"std must give a number above 0 for each of the {len(mean)} channels, not {list(std)}")
        self.register_buffer("mean", np.asarray(mean, dtype))
        self.register_buffer("std", np.asarray(std, dtype))

    def forward(self, x: Any) -> Any:
        shape = (-1, *[1] * (x.ndim - 2))
        return F.div(F.sub(x, F.reshape(self.mean, shape)), F.reshape(self.std, shape))

    def config(self) -> dict[str, Any]:
        return {"mean": self._buffers["mean"].tolist(), "std": self._buffers["std"].tolist()}
