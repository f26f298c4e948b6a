"""What convolutions and poolings share: ONNX's paddings as (begin, end) pairs an axis."""

from __future__ import annotations

from collections.abc import Sequence

from pyconv.onnx.registry import UnsupportedError


def spatial_axes(x) -> int:
    """How many there are; 1 to 3 are served."""
    n = x.ndim - 2
    if not 1 <= n <= 3:
        raise UnsupportedError(f"{n} spatial axes")
    return n


def each(values: Sequence[int] | None, n: int) -> tuple[int, ...]:
    """One int an axis, 1 where nothing is said."""
    return tuple(values) if values else (1,) * n


def pairs(pads: Sequence[int] | None, n: int) -> tuple[tuple[int, int], ...]:
    """All begins, then all ends, as pairs."""
    if not pads:
        return ((0, 0),) * n
    if len(pads) != 2 * n:
        raise ValueError(f"pads must hold {2 * n} numbers, not {len(pads)}")
    return tuple(zip(pads[:n], pads[n:], strict=True))


def padding(auto_pad, pads, size, kernel, strides, dilations) -> tuple[tuple[int, int], ...]:
    """(begin, end) an axis; SAME_… gives as many results as there are strides in the input."""
    if auto_pad in ("NOTSET", ""):
        return pairs(pads, len(size))
    if auto_pad == "VALID":
        return ((0, 0),) * len(size)
    found = []
    for i, k, s, d in zip(size, kernel, strides, dilations, strict=True):
        total = max((-(-i // s) - 1) * s + d * (k - 1) + 1 - i, 0)
        found.append(halves(total, auto_pad))
    return tuple(found)


def halves(total: int, auto_pad: str) -> tuple[int, int]:
    """A padding in two: the larger half comes last for SAME_UPPER, first for SAME_LOWER."""
    small, large = total // 2, total - total // 2
    return (large, small) if auto_pad == "SAME_LOWER" else (small, large)
