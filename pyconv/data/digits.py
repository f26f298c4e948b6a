"""The bundled data set: UCI optical recognition of handwritten digits (see digits.md for origin and licence)."""

from __future__ import annotations

from importlib.resources import files
from os import PathLike

import numpy as np

from pyconv.data.dataset import ArrayDataset, Split


def load(data_dir: str | PathLike[str] | None = None) -> Split:
    """1,797 grey images of 8×8 pixels in 10 classes; of each class every fifth image is kept for testing.

    `data_dir` is not used: the images come with the package. Pixels are float32 from 0 to 1.
    """
    with (files("pyconv.data") / "digits.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        images, labels = arrays["images"], arrays["labels"]  # uint8 (1797, 8, 8) from 0 to 16; (1797,)
    data = ArrayDataset((images[:, None] / 16).astype(np.float32), labels, tuple("0123456789"))
    test = np.zeros(len(data), bool)
    for label in range(10):
        test[np.flatnonzero(data.y == label)[4::5]] = True
    return Split(data.subset(~test), data.subset(test))
