"""Views of every patch of an array, and the tiles in which a batch is worked through."""

from __future__ import annotations

import math
from collections.abc import Iterator

from numpy.lib.stride_tricks import as_strided


def patches(padded, kernel_size, out_size, spec, writeable=False):
    """The view (N, G, C/G, *R, *O) of a padded array (N, C, *I): what each output position sees; elements repeat."""
    n, c = padded.shape[:2]
    channels = c // spec.groups
    batch, channel, *steps = padded.strides
    return as_strided(
        padded,
        (n, spec.groups, channels, *kernel_size, *out_size),
        (
            batch,
            channel * channels,
            channel,
            *(step * d for step, d in zip(steps, spec.dilation, strict=True)),
            *(step * s for step, s in zip(steps, spec.stride, strict=True)),
        ),
        writeable=writeable,
    )


def by_group(a, groups):
    """The view (N, G, C/G, *O) of an array (N, C, *O)."""
    return a.reshape(a.shape[0], groups, a.shape[1] // groups, *a.shape[2:])


def is_channels_last(a) -> bool:
    """Whether neighbours in memory are channels rather than pixels."""
    pixels = [abs(stride) for stride, size in zip(a.strides[2:], a.shape[2:], strict=True) if size > 1]
    return a.shape[1] > 1 and abs(a.strides[1]) < min(pixels, default=math.inf)


def tiles(batch: int, out_size, bytes_per_position: int, limit: int, least: int) -> Iterator[tuple[slice, list[slice]]]:
    """Parts of a batch of results whose buffers stay under `limit` bytes: which images, and which rows in turn.

    Images come one by one, or as many as give `least` positions; those too large come in rows (along the first spatial
    axis), at least one of them.
    """
    rows, bytes_per_image = out_size[0], max(1, math.prod(out_size) * bytes_per_position)
    images = max(1, min(-(-least // math.prod(out_size)), limit // bytes_per_image))
    step = max(1, rows * limit // bytes_per_image)
    parts = [slice(row, min(row + step, rows)) for row in range(0, rows, step)]
    for n in range(0, batch, images):
        yield slice(n, min(n + images, batch)), parts
