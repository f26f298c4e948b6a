"""A user's own arrays in one .npz file."""

from __future__ import annotations

import zipfile
from os import PathLike
from pathlib import Path

import numpy as np

from pyconv.data.dataset import ArrayDataset, Split, stratified_split
from pyconv.data.files import need_folder


def load(data_dir: str | PathLike[str] | None = None, test_fraction: float = 0.2) -> Split:
    """Read ``x`` (N, C, *spatial) and ``y`` (N,), and if present ``x_test``, ``y_test`` and ``classes``.

    `data_dir` is the file, or a folder with exactly one .npz file. Without ``x_test`` the share `test_fraction` of each
    class is set aside for testing.
    """
    path = need_folder(data_dir, "npz", "the .npz file")
    if path.is_dir():
        files = sorted(path.glob("*.npz"))
        if len(files) != 1:
            raise ValueError(f"{path} holds {len(files)} .npz files: name the one to read")
        path = files[0]
    arrays = _read(path)
    missing = [k for k in ("x", "y") if k not in arrays] + [
        k for k in ("y_test",) if "x_test" in arrays and k not in arrays
    ]
    if missing:
        raise ValueError(f"{path} holds no array {missing[0]!r}: it has {', '.join(arrays) or 'nothing'}")
    classes = [str(c) for c in arrays["classes"]] if "classes" in arrays else None
    train = ArrayDataset(arrays["x"], arrays["y"], classes)
    if "x_test" not in arrays:
        return stratified_split(train, test_fraction)
    test = ArrayDataset(arrays["x_test"], arrays["y_test"], classes or train.classes or None)
    if test.input_shape != train.input_shape:
        raise ValueError(f"{path}: x_test holds inputs {test.input_shape}, x {train.input_shape}")
    return Split(train, test)


def _read(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise FileNotFoundError(f"data_dir must be an existing .npz file or its folder, not {str(path)!r}")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {k: file[k] for k in file.files}
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a complete .npz file of plain arrays: {error}") from error
