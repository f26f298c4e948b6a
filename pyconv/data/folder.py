"""A user's own photographs: one sub-folder a class."""

from __future__ import annotations

import warnings
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from pyconv._extras import require
from pyconv.data.dataset import ArrayDataset, Split, stratified_split
from pyconv.data.files import existing_folder, need_folder

SUFFIXES = (".png", ".jpg", ".jpeg")
TEST_NAMES = ("test", "val", "valid", "validation")


def load(data_dir: str | PathLike[str] | None = None, image_size: int = 64, test_fraction: float = 0.2) -> Split:
    """Read images of several sizes as uint8 (N, 3, image_size, image_size).

    Parameters
    ----------
    data_dir : path
        Holds one sub-folder a class, or ``train`` and ``test`` (or ``val``) with those inside. Without ``test`` the
        share `test_fraction` of each class is set aside.
    image_size : int
        Height and width that each image is brought to: shrunk or enlarged to cover the square, then cut at the centre.

    Warns
    -----
    UserWarning
        Names the files that could not be read; they are left out.

    Raises
    ------
    ValueError
        If there are fewer than two classes with images.
    """
    root = existing_folder(need_folder(data_dir, "folder", "the folder with one sub-folder of images a class"))
    if image_size < 1:
        raise ValueError(f"image_size must be at least 1, not {image_size}")
    test_root = next((root / name for name in TEST_NAMES if (root / name).is_dir()), None)
    if test_root is None or not (root / "train").is_dir():
        return stratified_split(_read(root, _classes(root), image_size), test_fraction)
    classes = _classes(root / "train")
    return Split(_read(root / "train", classes, image_size), _read(test_root, classes, image_size))


def read_image(path: str | PathLike[str], size: tuple[int, int] | None = None, channels: int = 3) -> np.ndarray:
    """An image file as uint8 (C, H, W).

    It is turned as its EXIF data say; alpha is laid over white; grey, palette, 16-bit and CMYK images become RGB (or
    grey, with ``channels=1``). With `size` it is scaled to cover (height, width) and cut at the centre.

    Raises
    ------
    ValueError
        If the file is not a whole image.
    """
    image_module, ops = require("PIL.Image", "train"), require("PIL.ImageOps", "train")
    try:
        with image_module.open(path) as image:
            image.load()
            picture = _flatten(image_module, ops.exif_transpose(image), "L" if channels == 1 else "RGB")
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as error:
        raise ValueError(f"{path} is not a readable image: {error}") from error
    if size is not None:
        picture = ops.fit(picture, (size[1], size[0]), image_module.Resampling.BICUBIC)
    pixels = np.asarray(picture, np.uint8)
    return np.ascontiguousarray(pixels[None] if channels == 1 else pixels.transpose(2, 0, 1))


def _flatten(image_module: Any, image: Any, mode: str) -> Any:
    """The picture in `mode`, without transparency."""
    if image.mode.startswith("I") or image.mode == "F":  # 16 and 32 bits a pixel: brought to 0 … 255
        values = np.asarray(image, np.float32)
        image = image_module.fromarray((values * (255 / max(65535 if values.max() > 255 else 255, 1))).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = image_module.new("RGBA", image.size, (255, 255, 255, 255))
        image = image_module.alpha_composite(white, image)
    return image.convert(mode)


def _classes(root: Path) -> list[str]:
    classes = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(classes) < 2:
        raise ValueError(f"{root} must hold at least two sub-folders, one a class; it holds {len(classes)}")
    return classes


def _read(root: Path, classes: list[str], image_size: int) -> ArrayDataset:
    images, labels, broken = [], [], []
    for label, name in enumerate(classes):
        for path in sorted(p for p in (root / name).rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()):
            try:
                images.append(read_image(path, (image_size, image_size)))
                labels.append(label)
            except ValueError as error:
                broken.append(str(error))
    if broken:
        warnings.warn(f"{len(broken)} files were left out:\n  " + "\n  ".join(broken), stacklevel=4)
    found = np.bincount(np.asarray(labels, np.int64), minlength=len(classes))
    if (found > 0).sum() < 2:
        raise ValueError(
            f"{root} must hold readable images (.png, .jpg) of at least two classes; found {len(images)} images"
        )
    return ArrayDataset(np.stack(images), np.asarray(labels, np.int64), classes)
