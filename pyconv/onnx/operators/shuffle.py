"""Elements moved between channels and pixels."""

from __future__ import annotations

from pyconv.onnx.registry import operator
from pyconv.ops.reduce import Reshape
from pyconv.ops.shape import Transpose


@operator("DepthToSpace")
def depth_to_space(x, *, blocksize, mode="DCR"):
    n, c, h, w = x.shape
    b = blocksize
    if b < 1 or c % (b * b):
        raise ValueError(f"blocksize must be such that its square divides {c} channels, not {b}")
    if mode == "CRD":
        apart, axes = Reshape((n, c // (b * b), b, b, h, w))(x), (0, 1, 4, 2, 5, 3)
    else:
        apart, axes = Reshape((n, b, b, c // (b * b), h, w))(x), (0, 3, 4, 1, 5, 2)
    return Reshape((n, c // (b * b), h * b, w * b))(Transpose(axes)(apart))


@operator("SpaceToDepth")
def space_to_depth(x, *, blocksize, mode="DCR"):
    n, c, h, w = x.shape
    b = blocksize
    if b < 1 or h % b or w % b:
        raise ValueError(f"blocksize must divide the size {h} × {w}, not be {b}")
    apart = Reshape((n, c, h // b, b, w // b, b))(x)
    axes = (0, 1, 3, 5, 2, 4) if mode == "CRD" else (0, 3, 5, 1, 2, 4)
    return Reshape((n, c * b * b, h // b, w // b))(Transpose(axes)(apart))
