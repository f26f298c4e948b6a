"""Augmentation: random changes of training images that keep their meaning, a whole batch at a time in NumPy.

Every transform is a function ``(x, rng, amount) -> x`` on float images (N, C, H, W) from 0 to 1 (`alternate` also knows
which images it sees); it leaves its argument alone and draws each image's own change from `rng`. Pixels from outside of
an image repeat its edge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

_ALTERNATE = 3  # a stream of random numbers beside those of the loader and of mixup


def flip(x: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Mirror left and right with the probability `amount`."""
    chosen = rng.random(len(x)) < amount
    y = x.copy()
    y[chosen] = x[chosen, :, :, ::-1]
    return y


def shift(x: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Move by whole pixels, up to the share `amount` of the size in each direction."""
    n, _, height, width = x.shape
    reach = round(amount * height), round(amount * width)
    padded = np.pad(x, ((0, 0), (0, 0), (reach[0],) * 2, (reach[1],) * 2), mode="edge")
    windows = sliding_window_view(padded, (height, width), axis=(2, 3))  # (N, C, 2a+1, 2b+1, H, W)
    return windows[np.arange(n), :, rng.integers(0, 2 * reach[0] + 1, n), rng.integers(0, 2 * reach[1] + 1, n)]


def crop(x: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Cut out a part that is smaller by up to the share `amount`, anywhere, and enlarge it to the old size."""
    n, _, height, width = x.shape
    scale = rng.uniform(1 - amount, 1, (n,))
    first = rng.random((2, n)) * (1 - scale)  # where the part begins, as a share of the size
    rows = _centres(height) * scale[:, None] + first[0, :, None] * height
    columns = _centres(width) * scale[:, None] + first[1, :, None] * width
    return _sample(x, (rows - 0.5)[:, :, None], (columns - 0.5)[:, None, :])


def rotate(x: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Turn about the centre by up to `amount` degrees either way."""
    n, _, height, width = x.shape
    angle = np.deg2rad(rng.uniform(-amount, amount, n))[:, None, None]
    down = (_centres(height) - height / 2)[None, :, None]
    right = (_centres(width) - width / 2)[None, None, :]
    cos, sin = np.cos(angle), np.sin(angle)
    rows = cos * down - sin * right + height / 2 - 0.5
    columns = sin * down + cos * right + width / 2 - 0.5
    return _sample(x, rows, columns)


def colour(x: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Change brightness, contrast and (with three channels) saturation, each by a factor of 1 ± `amount`."""
    brightness, contrast, saturation = rng.uniform(1 - amount, 1 + amount, (3, len(x), 1, 1, 1)).astype(x.dtype)
    y = x * brightness
    mean = y.mean((1, 2, 3), keepdims=True)
    y = (y - mean) * contrast + mean
    if x.shape[1] == 3:
        grey = y.mean(1, keepdims=True)
        y = (y - grey) * saturation + grey
    return np.clip(y, 0, 1, out=y)


def cutout(x: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Paint a square, the share `amount` of the image's side, in the image's mean (DeVries and Taylor, 2017)."""
    n, _, height, width = x.shape
    inside = []
    for size in (height, width):
        centre, half = rng.integers(0, size, (n,)), max(1, round(amount * size)) / 2
        inside.append(np.abs(np.arange(size)[None, :] - centre[:, None]) < half)
    square = (inside[0][:, :, None] & inside[1][:, None, :])[:, None]
    return np.where(square, x.mean((2, 3), keepdims=True), x)


class Occasion(NamedTuple):
    """When which samples are shown: the run's seed, the epoch, and their places in the data set (N,)."""

    seed: int
    epoch: int
    samples: np.ndarray


def alternate(x: np.ndarray, rng: np.random.Generator, amount: float, occasion: Occasion) -> np.ndarray:
    """Mirror the share `amount` of the images in even epochs, and the others in odd ones.

    So two epochs show an image both ways, where `flip` would show it the same way twice, as often as not (Jordan, 94%
    on CIFAR-10 in 3.29 seconds on a single GPU, arXiv 2404.00498, 2024).
    """
    samples = occasion.samples
    draws = np.random.default_rng([occasion.seed, _ALTERNATE]).random(1 + samples.max(initial=0))[samples]
    chosen = (draws < amount) ^ (occasion.epoch % 2 == 1)
    y = x.copy()
    y[chosen] = x[chosen, :, :, ::-1]
    return y


class _Transform(NamedTuple):
    function: Callable[..., np.ndarray]
    default: float  # the amount where none is given
    largest: float


TRANSFORMS = {
    "flip": _Transform(flip, 0.5, 1),
    "alternate": _Transform(alternate, 0.5, 1),
    "shift": _Transform(shift, 0.1, 1),
    "crop": _Transform(crop, 0.2, 0.9),
    "rotate": _Transform(rotate, 15, 180),
    "colour": _Transform(colour, 0.3, 1),
    "cutout": _Transform(cutout, 0.25, 1),
}


class Augment:
    """A chain of random transforms of image batches.

    Parameters
    ----------
    *transforms : str
        Names out of ``flip``, ``alternate``, ``shift``, ``crop``, ``rotate``, ``colour``, ``cutout``, each alone or
        with an amount: ``"shift=0.1"`` (a share of the size), ``"rotate=15"`` (degrees), ``"flip=0.5"`` (a
        probability).

    Raises
    ------
    ValueError
        For an unknown name or an amount out of range.

    Examples
    --------
    >>> augment = Augment("flip", "shift=0.25")
    >>> x = np.zeros((2, 3, 8, 8), np.float32)
    >>> augment(x, np.random.default_rng(0)).shape
    (2, 3, 8, 8)
    """

    def __init__(self, *transforms: str):
        self.transforms = transforms
        self._chain = [_parse(text) for text in transforms]

    def __call__(self, x: np.ndarray, rng: np.random.Generator, occasion: Occasion | None = None) -> np.ndarray:
        """Changed images; the result has the dtype of `x` and is C-contiguous.

        ``alternate`` wants to know the `occasion`; without, it takes these to be all images, in their first epoch.
        """
        if self._chain and x.ndim != 4:
            raise ValueError(f"augmentation takes images (N, C, H, W), not an array of shape {x.shape}")
        y = x
        for function, amount in self._chain:
            if function is alternate:
                y = alternate(y, rng, amount, occasion or Occasion(0, 0, np.arange(len(x))))
            else:
                y = function(y, rng, amount)
        return np.ascontiguousarray(y, dtype=x.dtype)

    def __repr__(self) -> str:
        return f"Augment({', '.join(map(repr, self.transforms))})"


def as_augment(augment: Callable[..., np.ndarray] | Iterable[str] | None) -> Callable[..., np.ndarray] | None:
    """A function (x, rng) -> x from one, or from names of transforms; None for nothing to do."""
    if augment is None or callable(augment):
        return augment
    names = [augment] if isinstance(augment, str) else list(augment)
    return Augment(*names) if names else None


def views(x: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """What to look at in place of images (N, C, H, W) in testing, each with its share in the mean of the outputs.

    The images, and the same moved by one pixel up and left, and down and right, all as they are and mirrored.
    """
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    shown = [(0.25, x), (0.125, padded[:, :, :-2, :-2]), (0.125, padded[:, :, 2:, 2:])]
    return [(share, np.ascontiguousarray(y)) for share, image in shown for y in (image, image[..., ::-1])]


def _parse(text: str) -> tuple[Callable[..., np.ndarray], float]:
    name, _, value = text.partition("=")
    if name not in TRANSFORMS:
        raise ValueError(f"augmentation must be one of {', '.join(TRANSFORMS)}, not {name!r}")
    transform = TRANSFORMS[name]
    try:
        amount = float(value) if value else transform.default
    except ValueError:
        raise ValueError(f"the amount of {name} must be a number, not {value!r}") from None
    if not 0 <= amount <= transform.largest:
        raise ValueError(f"the amount of {name} must lie between 0 and {transform.largest}, not {value}")
    return transform.function, amount


def _centres(size: int) -> np.ndarray:
    return np.arange(size) + 0.5


def _sample(x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Bilinear interpolation of x (N, C, H, W) at positions that broadcast to (N, H, W), in pixels from 0."""
    n, channels, height, width = x.shape
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    top, left = rows.astype(np.intp), columns.astype(np.intp)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down, along = (rows - top).astype(x.dtype)[:, None], (columns - left).astype(x.dtype)[:, None]
    planes = x.reshape(n, channels, height * width)

    def pixels(row, column):
        index = np.broadcast_to(row * width + column, (n, height, width)).reshape(n, 1, height * width)
        return np.take_along_axis(planes, index, axis=2).reshape(x.shape)

    upper = pixels(top, left) * (1 - along) + pixels(top, right) * along
    lower = pixels(bottom, left) * (1 - along) + pixels(bottom, right) * along
    return upper * (1 - down) + lower * down
