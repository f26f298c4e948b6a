"""How a resampled axis is made: for each output position, which inputs it is the sum of and with what weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

MODES = ("nearest", "nearest-exact", "linear", "cubic")


class Taps(NamedTuple):
    """Along one axis y[o] = Σ_t weight[o, t] · x[source[o, t]]."""

    source: np.ndarray  # int64 (O, T)
    weight: np.ndarray  # float64 (O, T)


@dataclass(frozen=True, slots=True)
class ResampleSpec:
    """A separable resampling to `size`, with PyTorch's coordinates; `tables` turns it into what kernels take."""

    size: tuple[int, ...]
    mode: str
    align_corners: bool = False
    scale: tuple[float | None, ...] | None = None  # output over input size, where it is not just their ratio

    def tables(self, size: tuple[int, ...]) -> tuple[Taps, ...]:
        """One table a spatial axis, for an input of spatial size `size`."""
        scales = self.scale or (None,) * len(size)
        return tuple(
            _taps(self.mode, i, o, self.align_corners, s) for i, o, s in zip(size, self.size, scales, strict=True)
        )


@lru_cache(maxsize=512)
def _taps(mode: str, size: int, out: int, align_corners: bool, scale: float | None) -> Taps:
    position = np.arange(out)
    step = 1 / scale if scale else size / max(out, 1)
    if mode.startswith("nearest"):  # in float32, whose rounding decides between neighbours in PyTorch and ONNX Runtime
        half = np.float32(0.5 if mode == "nearest-exact" else 0)
        index = np.floor((position.astype(np.float32) + half) * np.float32(step)).astype(np.int64)
        return Taps(np.clip(index, 0, size - 1)[:, None], np.ones((out, 1)))
    if align_corners:
        source = position * ((size - 1) / (out - 1) if out > 1 else 0.0)
    else:
        source = (position + 0.5) * step - 0.5
    if mode == "linear":
        source = np.maximum(source, 0)
        first = np.clip(np.floor(source).astype(np.int64), 0, size - 1)
        t = np.minimum(source - first, 1)
        return Taps(np.stack([first, np.minimum(first + 1, size - 1)], 1), np.stack([1 - t, t], 1))
    first = np.floor(source).astype(np.int64)
    t = source - first
    weight = np.stack([_cubic(t + 1), _cubic(t), _cubic(1 - t), _cubic(2 - t)], 1)
    return Taps(np.clip(first[:, None] + np.arange(-1, 3), 0, size - 1), weight)


def _cubic(distance: np.ndarray, a: float = -0.75) -> np.ndarray:
    """The cubic convolution kernel of Keys, 1981."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return np.where(distance <= 1, near, far)
