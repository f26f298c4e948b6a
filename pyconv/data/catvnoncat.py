"""The cat / non-cat set of the deep-learning course, 209 + 50 photographs of 64×64 pixels, from its HDF5 files."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np

from pyconv._extras import require
from pyconv.data.dataset import ArrayDataset, Split
from pyconv.data.files import find, need_folder


def load(data_dir: str | PathLike[str] | None = None) -> Split:
    """209 training and 50 test images, uint8 (N, 3, 64, 64), in the classes ``non-cat`` and ``cat``.

    `data_dir` holds ``train_catvnoncat.h5`` and ``test_catvnoncat.h5``, itself or in a sub-folder ``catvnoncat``.
    """
    folder = need_folder(data_dir, "catvnoncat", "the folder of train_catvnoncat.h5 and test_catvnoncat.h5")
    parts = (find(folder, "catvnoncat", f"{part}_catvnoncat.h5") for part in ("train", "test"))
    return Split(*(_read(path, part) for path, part in zip(parts, ("train", "test"), strict=True)))


def _read(path: Path, part: str) -> ArrayDataset:
    h5py = require("h5py", "train")
    try:
        with h5py.File(path, "r") as file:
            x, y, classes = (np.asarray(file[k]) for k in (f"{part}_set_x", f"{part}_set_y", "list_classes"))
    except (OSError, KeyError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged, or not a file of this data set: {error}") from error
    if x.ndim != 4 or x.shape[3] != 3 or x.dtype != np.uint8:
        raise ValueError(f"{path} must hold uint8 images (N, H, W, 3), not {x.dtype} {x.shape}")
    images = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    return ArrayDataset(images, y.reshape(-1).astype(np.int64), [c.decode() for c in classes])
