"""Weights that stay in their file: read when a kernel wants them packed, and not in memory otherwise.

The file may be renamed, replaced or deleted meanwhile: it is open for as long as somebody may read it. If it is written
to, that is noticed. It is not mapped into memory, where a file that becomes shorter would end the process.
"""

from __future__ import annotations

import os
from weakref import finalize

import numpy as np

from pyconv.graph.shared import Folded
from pyconv.onnx.errors import ModelError

CAN_STAY = hasattr(os, "preadv")  # elsewhere, on Windows say, an open file could not be deleted either


class WeightFile:
    """An open file, as long as it is what it was."""

    def __init__(self, descriptor: int):
        self._descriptor = os.dup(descriptor)
        finalize(self, os.close, self._descriptor)
        self._state = self._now()

    def weight(self, begin: int, shape: tuple[int, ...], dtype: np.dtype) -> Folded:
        """The elements from a byte on, in C order."""
        return Folded(shape, dtype, lambda array: self._read(begin, array), (self, begin), ())

    def _now(self) -> tuple[int, int]:
        found = os.fstat(self._descriptor)
        return found.st_size, found.st_mtime_ns

    def _read(self, begin: int, array: np.ndarray) -> None:
        memory = array.reshape(-1).view(np.uint8).data
        done = 0
        while done < len(memory):
            count = os.preadv(self._descriptor, [memory[done:]], begin + done)
            if count == 0:
                break
            done += count
        if done < len(memory) or self._now() != self._state:
            raise ModelError(
                "the model file was written to after it was loaded, and weights are still to be read: load it anew"
            )
