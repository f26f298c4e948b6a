"""Memory orders: which arrays of a graph are kept channels-last, and the strides of all of them.

Convolutions and poolings write N, *spatial, C whatever order they read; all else keeps the order of what it works on.
So a network converts at its borders alone: its first convolution reads the user's order, its last op writes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import numpy as np

from pyconv.graph.graph import Graph
from pyconv.ops.conv import Conv, ConvBackwardData
from pyconv.ops.fused import FusedConv, PooledConv
from pyconv.ops.pool import AvgPool, AvgPoolBackward, Gather, MaxPool, MaxPoolBackward, MaxPoolIndices, Unpool
from pyconv.ops.reduce import Broadcast, Reshape
from pyconv.ops.shape import Concat, Interpolate, InterpolateBackward, Pad, PadBackward, Slice, Transpose

Strides = tuple[int, ...]
VIEWS = (Reshape, Transpose, Slice, Broadcast)  # what they compute is their input's memory, seen otherwise
_IMAGES = (
    *(Conv, FusedConv, ConvBackwardData, MaxPool, MaxPoolIndices, MaxPoolBackward, AvgPool, AvgPoolBackward),
    *(PooledConv, Unpool, Gather, Interpolate, InterpolateBackward),
)
_RESIZED = (Concat, Pad, PadBackward)  # images of images


def channels_last(graph: Graph) -> set[int]:
    """The ids of nodes (N, C, *I) that are kept channels-last."""
    found: set[int] = set()
    for node in graph.nodes:
        images = [i for i in node.inputs if id(i) in found and i is not None]
        if (
            isinstance(node.op, _IMAGES)
            or (isinstance(node.op, _RESIZED) and images)
            or (not isinstance(node.op, VIEWS) and any(i.shape == node.shape for i in images))
        ):
            found.add(id(node))
    return found


def contiguous(shape: Sequence[int], itemsize: int) -> Strides:
    """Strides in bytes of C order."""
    return tuple(itemsize * max(prod(shape[a + 1 :]), 1) for a in range(len(shape)))


def channels_last_strides(shape: Sequence[int], itemsize: int) -> Strides:
    """Strides in bytes of (N, C, *I) kept as N, *I, C."""
    batch, *image, channels = contiguous((shape[0], *shape[2:], shape[1]), itemsize)
    return (batch, channels, *image)


def stand_in(shape: Sequence[int], strides: Strides, dtype: np.dtype) -> np.ndarray:
    """An array without memory of its own, to ask shapes and strides of; its elements must not be touched."""
    return np.lib.stride_tricks.as_strided(np.empty(1, dtype), shape, strides)


def same_order(shape: Sequence[int], a: Strides, b: Strides) -> bool:
    """Whether strides describe the same memory; those of axes of one element do not matter."""
    return all(n == 1 or s == t for n, s, t in zip(shape, a, b, strict=True))


def reshaped(shape: Sequence[int], strides: Strides, new: Sequence[int]) -> Strides | None:
    """The strides that show an array under another shape, its elements in C order, or None if they lie otherwise."""
    if prod(shape) == 0:
        return contiguous(new, 1)
    old = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    sizes = [n for n in new if n != 1]
    found: list[int] = []
    while old:  # the shortest run of axes on either side that has as many elements as one on the other
        run, parts = [old.pop(0)], [sizes.pop(0)]
        while (have := prod(n for n, _ in run)) != (want := prod(parts)):
            if have < want:
                run.append(old.pop(0))
            else:
                parts.append(sizes.pop(0))
        if any(outer != n * inner for (_, outer), (n, inner) in pairwise(run)):
            return None  # the old axes do not follow each other in memory
        found += contiguous(parts, run[-1][1])
    remaining = iter(found)
    return tuple(0 if n == 1 else next(remaining) for n in new)
