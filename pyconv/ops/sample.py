"""Images sampled where other values say: by a grid, by a convolution's offsets, in regions of interest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pyconv.ops.node import Op


@dataclass(frozen=True, slots=True)
class GridSample(Op):
    """x (N, C, *I) at the places that grid (N, *O, axes) names, -1 and 1 being the borders. ONNX `GridSample`.

    `mode` is linear, nearest or cubic; `padding` zeros, border or reflection; the grid names x's last axis first.
    """

    mode: str
    padding: str
    align_corners: bool
    kernel: ClassVar[str] = "grid_sample"

    def infer(self, x, grid):
        return (*x.shape[:2], *grid.shape[1:-1]), x.dtype


@dataclass(frozen=True, slots=True)
class DeformedTaps(Op):
    """What the taps of a deformable convolution read: x (N, C, H, W) -> (N, C, OH·R, OW·S).

    A convolution of the result with kernel and stride (R, S) is the deformable one. Offsets are (N, G·R·S·2, OH, OW),
    masks (N, G·R·S, OH, OW) or None, for G groups of channels. Dai et al., Deformable convolutional networks, 2017.
    """

    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, int]
    groups: int
    kernel: ClassVar[str] = "deformed_taps"

    def infer(self, x, offset, mask=None):
        (r, s), (oh, ow) = self.kernel_size, offset.shape[2:]
        return (*x.shape[:2], oh * r, ow * s), x.dtype


@dataclass(frozen=True, slots=True)
class RoiAlign(Op):
    """Regions of x (N, C, H, W), each averaged into `size` bins: (R, C, *size). ONNX `RoiAlign`.

    rois (R, 4) are x1, y1, x2, y2; images (R,) say which image of the batch. `ratio` samples an axis in each bin, 0 for
    as many as there are pixels; `half_pixel` puts pixels' centres at .5. He et al., Mask R-CNN, 2017.
    """

    size: tuple[int, int]
    mode: str
    ratio: int
    scale: float
    half_pixel: bool
    kernel: ClassVar[str] = "roi_align"

    def infer(self, x, rois, images):
        return (rois.shape[0], x.shape[1], *self.size), x.dtype
