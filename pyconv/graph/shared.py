"""What the variants of a plan have in common: constants that passes make of others, and packed weights.

Neither depends on the shapes of inputs, so a variant for other shapes takes over what is there. What no variant uses
any more is released.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from hashlib import blake2b
from math import prod
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from pyconv.graph.layout import contiguous

_SMALL = 16 << 10  # bytes up to which constants are known by what they hold, not by where they lie
_WORDS = 64  # that are summed up to one


class Folded:
    """A constant made of others. Its elements are computed where they are asked for, each time anew.

    Most are weights, of which kernels want a packed copy: nothing else need stay in memory then.

    Parameters
    ----------
    shape, dtype
        Of the array, which is in C order.
    fill : callable
        Computes the elements into an array that it is given.
    how : hashable
        What is done to the sources: constants with the same sources and an equal `how` are equal.
    sources : sequence of ndarray or Folded
    """

    __slots__ = ("dtype", "fill", "key", "shape", "sources")

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype,
        fill: Callable[[np.ndarray], None],
        how: Hashable,
        sources: Sequence[Any],
    ):
        self.shape = shape
        self.dtype = dtype
        self.fill = fill
        self.sources = sources
        self.key = how, shape, dtype, *map(key_of, sources)

    @property
    def strides(self) -> tuple[int, ...]:
        return contiguous(self.shape, self.dtype.itemsize)

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    def computed(self, memory: np.ndarray) -> np.ndarray:
        """The array, at the beginning of some memory."""
        array = memory[: self.nbytes].view(self.dtype).reshape(self.shape)
        self.fill(array)
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.computed(np.empty(self.nbytes, np.uint8))
        return array if dtype is None else array.astype(dtype, copy=False)


def key_of(constant: Any) -> Hashable:
    """Equal for constants that hold the same, as long as they live; large arrays must be the same memory for that."""
    if isinstance(constant, Folded):
        return constant.key
    if constant.nbytes <= _SMALL:
        return constant.shape, constant.dtype, constant.strides, _digest(constant)
    address = constant.__array_interface__["data"][0]
    changes = may_change(constant)
    return constant.shape, constant.dtype, constant.strides, address, _sums(constant) if changes else None


def may_change(array: np.ndarray) -> bool:
    """Whether somebody could write into an array's memory."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return True
        base = base.base
    return False


def _digest(array: np.ndarray) -> bytes:
    return blake2b(array.tobytes(), digest_size=16).digest()


def _sums(array: np.ndarray) -> bytes:
    """A digest of what a large array holds, by sums of a few words each."""
    words = np.ravel(array, "K").view(np.uint8)
    whole = len(words) // (8 * _WORDS) * 8 * _WORDS
    sums = words[:whole].view(np.uint64).reshape(-1, _WORDS).sum(1)
    return _digest(sums) + _digest(words[whole:])


class Held:
    """Something that is shared for as long as somebody has hold of it, and the arrays that its key is about."""

    __slots__ = ("__weakref__", "sources", "value")

    def __init__(self, value: Any, sources: Any):
        self.value = value
        self.sources = sources


class Shared:
    """What is there to share. Several threads may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: WeakValueDictionary[Hashable, Held] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._held)

    def found(self, constant: Folded) -> Held | None:
        """A folded constant's array, if it is there."""
        return self._held.get(constant.key)

    def filled(self, constant: Folded, room: np.ndarray) -> Held:
        """`room`, filled with a folded constant."""
        with self._lock:
            held = self._held.get(constant.key)
            if held is not None:  # another thread was quicker
                np.copyto(room, held.value)
                return Held(room, constant.sources)
            constant.fill(room)
            held = self._held[constant.key] = Held(room, constant.sources)
            return held

    def packed(self, constant: Any, packing: Any, memory: np.ndarray) -> Held:
        """A constant as a kernel's row wants it packed; one that is folded is computed in some memory on the way."""
        key = key_of(constant), packing.key
        with self._lock:
            held = self._held.get(key)
            if held is None:
                array = constant.computed(memory) if isinstance(constant, Folded) else constant
                held = self._held[key] = Held(packing.pack(array), constant)
            return held
