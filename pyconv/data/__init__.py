"""Data sets: the loaders of known formats, one in-memory representation, augmentation and batches.

`load` gives the training and the test part of a data set by name. Adding a data set takes one module with a function
``load(data_dir, **options) -> Split`` and one line in `DATASETS`.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from os import PathLike
from typing import Any

from pyconv.data.augment import Augment, views
from pyconv.data.dataset import ArrayDataset, Split
from pyconv.data.loader import Batch, Loader

__all__ = ["DATASETS", "ArrayDataset", "Augment", "Batch", "Loader", "Split", "load", "names", "views"]

DATASETS = {  # name -> what it is; the module of the same name loads it
    "digits": "UCI optical digits, 1,797 grey images of 8×8 pixels, 10 classes (bundled)",
    "mnist": "MNIST handwritten digits, 70,000 grey images of 28×28 pixels, 10 classes (IDX files)",
    "cifar10": "CIFAR-10, 60,000 colour images of 32×32 pixels, 10 classes (binary or Python batches)",
    "catvnoncat": "cat / non-cat, 259 colour images of 64×64 pixels, 2 classes (HDF5 files)",
    "folder": "your own images, one sub-folder a class (PNG, JPEG; resized)",
    "npz": "your own arrays in an .npz file: x, y and optionally x_test, y_test, classes",
}


def names() -> tuple[str, ...]:
    """The names that `load` knows."""
    return tuple(DATASETS)


def load(name: str, data_dir: str | PathLike[str] | None = None, **options: Any) -> Split:
    """Load a data set.

    Parameters
    ----------
    name : str
        One of `names()`.
    data_dir : path, optional
        The folder that holds the files (or, for ``npz``, the file). Without it, ``digits`` is read from the package,
        ``mnist`` and ``cifar10`` are downloaded once into the user's cache; the others need it.
    **options
        Passed to the loader: ``image_size`` and ``test_fraction`` of ``folder``, ``test_fraction`` of ``npz``.

    Returns
    -------
    Split
        Two `ArrayDataset`: ``train`` and ``test``.

    Raises
    ------
    ValueError
        For an unknown name, a folder that is needed and not given, or a file that is not what it should be.
    FileNotFoundError
        If a file is missing.

    Warns
    -----
    UserWarning
        Names the classes without a sample to train on.

    Examples
    --------
    >>> train, test = load("digits")
    >>> train.x.shape, test.x.shape
    ((1442, 1, 8, 8), (355, 1, 8, 8))
    """
    if name not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}, not {name!r}")
    split = import_module(f"{__name__}.{name}").load(data_dir, **options)
    if len(split.train) == 0 or len(split.test) == 0:
        raise ValueError(f"{name} holds no sample to {'train on' if len(split.train) == 0 else 'test with'}")
    counts = split.train.counts() if split.train.classes else []
    missing = [name for name, count in zip(split.train.classes, counts, strict=True) if count == 0]
    if missing:
        warnings.warn(
            f"nothing to train {', '.join(missing)} on: a model cannot learn what it never sees", stacklevel=2
        )
    return split
