"""Padding in every mode, and its adjoint: what an axis shows of its elements once it is padded.

One table an axis says which element each padded position repeats; every backend without borders of its own reads it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

Pads = tuple[tuple[int, int], ...]  # (begin, end) an axis; negative numbers cut off


@lru_cache(maxsize=512)
def source_positions(size: int, begin: int, end: int, mode: str) -> np.ndarray:
    """int64 (begin + size + end,): which element each position of a padded axis repeats, -1 for a zero."""
    position = np.arange(-begin, size + end)
    if mode == "zeros":
        source = np.where((position >= 0) & (position < size), position, -1)
    elif mode == "reflect":
        period = max(2 * (size - 1), 1)
        source = position % period
        source = np.minimum(source, period - source)
    elif mode == "replicate":
        source = np.clip(position, 0, size - 1)
    elif mode == "circular":
        source = position % size
    else:
        raise ValueError(f"padding mode must be zeros, reflect, replicate or circular, not {mode!r}")
    source.flags.writeable = False  # shared by every caller
    return source


def pad(x: np.ndarray, pads: Pads, mode: str = "zeros") -> np.ndarray:
    """x with its last `len(pads)` axes padded, in x's memory order; x itself where there is nothing to pad."""
    if not any(begin or end for begin, end in pads):
        return x
    if mode == "zeros":
        y = np.empty_like(x, shape=padded_shape(x.shape, pads), subok=False)
        pad_constant(y, x, pads, 0)
        return y
    for axis, (begin, end) in enumerate(pads, start=x.ndim - len(pads)):
        if begin or end:
            source = source_positions(x.shape[axis], begin, end, mode)
            y = np.empty_like(x, shape=(*x.shape[:axis], len(source), *x.shape[axis + 1 :]), subok=False)
            np.take(x, source, axis, out=y, mode="clip")  # without "clip" NumPy would go through a buffer
            x = y
    return x


def pad_constant(y: np.ndarray, x: np.ndarray, pads: Pads, value: float) -> None:
    """y = x padded with one value; overwrites y, each element once."""
    inside, kept = _overlap(x.shape, pads)
    y[inside] = x[kept]
    for axis in range(x.ndim - len(pads), x.ndim):  # the slabs around the inside, outermost axis first
        for outside in (slice(None, inside[axis].start), slice(inside[axis].stop, None)):
            slab = (*inside[:axis], outside)
            y[slab] = value


def fold(dx: np.ndarray, dy: np.ndarray, pads: Pads, mode: str = "zeros") -> None:
    """dx = the adjoint of `pad`: each element the sum of dy over the places it was repeated to; overwrites dx."""
    if mode == "zeros":
        fold_constant(dx, dy, pads)
        return
    for axis, (begin, end) in enumerate(pads, start=dx.ndim - len(pads)):
        if begin or end:
            dy = _fold_axis(dy, axis, dx.shape[axis], begin, end, mode)
    dx[...] = dy


def fold_constant(dx: np.ndarray, dy: np.ndarray, pads: Pads) -> None:
    """dx = what lies inside the padding of dy, 0 where x was cut off; overwrites dx."""
    inside, kept = _overlap(dx.shape, pads)
    if any(begin < 0 or end < 0 for begin, end in pads):
        dx[...] = 0
    dx[kept] = dy[inside]


def padded_shape(shape: tuple[int, ...], pads: Pads) -> tuple[int, ...]:
    """The shape of `pad`'s result."""
    lead = len(shape) - len(pads)
    return (*shape[:lead], *(n + begin + end for n, (begin, end) in zip(shape[lead:], pads, strict=True)))


def _overlap(shape, pads):
    """Where x lies in the padded array, and which part of x that is."""
    lead = (slice(None),) * (len(shape) - len(pads))
    inside, kept = [], []
    for n, (begin, end) in zip(shape[len(lead) :], pads, strict=True):
        first, last = max(-begin, 0), n - max(-end, 0)
        inside.append(slice(first + begin, max(last, first) + begin))
        kept.append(slice(first, max(last, first)))
    return (*lead, *inside), (*lead, *kept)


def _fold_axis(dy, axis, size, begin, end, mode):
    dx = np.zeros_like(dy, shape=(*dy.shape[:axis], size, *dy.shape[axis + 1 :]), subok=False)
    rows, sources = np.moveaxis(dx, axis, 0), np.moveaxis(dy, axis, 0)
    source = source_positions(size, begin, end, mode)
    first, last = np.clip((begin, begin + size), 0, len(source))  # between them each element stands in its own place
    rows[source[first:last]] = sources[first:last]
    for position in (*range(first), *range(last, len(source))):
        rows[source[position]] += sources[position]
    return dx
