"""Random masks. What is drawn depends on the op's input state alone, so a recorded step replays exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pyconv.ops.node import Op


@dataclass(frozen=True, slots=True)
class DropoutMask(Op):
    """0 with probability p, else 1 / (1 - p), from a uint64 state (key, counter)."""

    shape: tuple[int, ...]
    dtype: np.dtype
    p: float
    kernel: ClassVar[str] = "dropout_mask"

    def infer(self, state):
        return self.shape, self.dtype

    def attributes(self, state):
        return (self.p,)

    def allocate(self, state):
        return np.empty(self.shape, self.dtype)

    def vjp(self, dy, y, state):
        return (None,)
