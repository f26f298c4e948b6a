"""Weights packed once, for many calls of one convolution or linear layer, as a plan has them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pyconv.kernels.native.library import aligned, ffi, lib, pointer, workspace
from pyconv.kernels.native.loops import unsupported
from pyconv.kernels.threads import get_num_threads

_ALIGNMENT = 64  # bytes: a cache line


@dataclass(frozen=True, slots=True, eq=False)
class PackedWeights:
    """Stands for an array of weights in calls like the one that it was packed for, under the same instruction set."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]  # of the array
    dtype: np.dtype
    address: Any  # of the packed weights, which it keeps alive
    nbytes: int

    @property
    def T(self) -> PackedWeights:
        """The same, standing for the array's transpose."""
        return replace(self, shape=self.shape[::-1], strides=self.strides[::-1])


@dataclass(frozen=True, slots=True, eq=False)
class Packing:
    """How a pass of a problem wants its weights."""

    problem: Any
    pass_: int
    nbytes: int
    key: Hashable  # equal for those that make the same of the same weights

    def pack(self, w: np.ndarray) -> PackedWeights:
        """Weights of the shape and strides that the problem was described for, packed."""
        buffer = np.empty(self.nbytes + _ALIGNMENT, np.uint8)
        begin = -buffer.__array_interface__["data"][0] % _ALIGNMENT
        memory = ffi.from_buffer("char[1]", buffer[begin:])
        threads = get_num_threads()
        scratch = workspace(lib.pyconv_conv_workspace(self.problem, self.pass_, threads))
        lib.pyconv_conv_pack(self.problem, self.pass_, pointer(aligned(w)), memory, scratch, threads)
        return PackedWeights(w.shape, w.strides, w.dtype, memory, self.nbytes)


def packing(problem: Any, pass_: int) -> Packing | None:
    """How a pass of a problem described for packed weights wants them; None if it wants them as they lie."""
    size = lib.pyconv_conv_packed_size(problem, pass_)
    if size == 0:
        return None
    p = problem[0]
    weights = p.k, p.c, p.groups, *p.kernel, *p.w_strides, p.real_bits
    window = *p.stride, *p.dilation, *p.pad, p.padding_mode
    engine = pass_, p.algorithm, lib.pyconv_conv_engine(problem, pass_), int(ffi.cast("intptr_t", lib.pyconv_isa()))
    return Packing(problem, pass_, size, (weights, window, engine, size))


def unsupported_layer(w: np.ndarray | PackedWeights, *arrays: np.ndarray) -> str | None:
    """Why C cannot take these weights and arrays, or None."""
    return unsupported(*arrays) if isinstance(w, PackedWeights) else unsupported(*arrays, w)


def weights_pointer(w: np.ndarray | PackedWeights) -> Any:
    """The address of weights, packed or not."""
    return w.address if isinstance(w, PackedWeights) else pointer(w)
