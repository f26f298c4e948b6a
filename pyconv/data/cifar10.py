"""CIFAR-10 in its two official layouts, binary and Python batches.

Krizhevsky, Learning multiple layers of features from tiny images, 2009.

A Python batch is a pickle. It is read by an unpickler that knows how to build NumPy arrays and nothing else, so that a
file from anywhere cannot run code.
"""

from __future__ import annotations

import pickle
import tarfile
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import numpy as np

from pyconv.data.dataset import ArrayDataset, Split
from pyconv.data.files import download, existing_folder

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
MD5 = "md5:c32a1d4ab5d03f1284b67883e8d87530"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BINARY = tuple(f"data_batch_{k}.bin" for k in range(1, 6)), ("test_batch.bin",)
PYTHON = tuple(f"data_batch_{k}" for k in range(1, 6)), ("test_batch",)
PIXELS = 3 * 32 * 32


def load(data_dir: str | PathLike[str] | None = None) -> Split:
    """50,000 training and 10,000 test images, uint8 (N, 3, 32, 32), in 10 classes.

    `data_dir` holds the batches of either layout, itself or in the folder that the official archives unpack to
    (``cifar-10-batches-bin`` or ``cifar-10-batches-py``); without it the binary archive is downloaded into the user's
    cache.
    """
    folder = _downloaded() if data_dir is None else existing_folder(data_dir)
    for place in (folder, *(folder / name for name in ("cifar-10-batches-bin", "cifar-10-batches-py", "cifar10"))):
        for names, read in ((BINARY, read_binary), (PYTHON, read_python)):
            if all((place / name).is_file() for part in names for name in part):
                return Split(*(_join([read(place / name) for name in part]) for part in names))
    raise FileNotFoundError(
        f"{folder} holds neither {BINARY[0][0]} … {BINARY[1][0]} nor {PYTHON[0][0]} … {PYTHON[1][0]}"
    )


def read_binary(path: str | PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, 32, 32) and labels (N,) of a binary batch: records of one label byte and 3,072 pixels."""
    content = np.fromfile(path, np.uint8)
    if len(content) == 0 or len(content) % (1 + PIXELS):
        raise ValueError(f"{path} is damaged or cut short: {len(content)} bytes are not whole records of {1 + PIXELS}")
    records = content.reshape(-1, 1 + PIXELS)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)


def read_python(path: str | PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, 32, 32) and labels (N,) of a Python batch.

    Raises
    ------
    ValueError
        If the file is not such a batch, or asks for anything but NumPy arrays.
    """
    with Path(path).open("rb") as file:
        try:
            batch = _ArraysOnly(file, encoding="bytes").load()
        except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
            raise ValueError(f"{path} is not a Python batch of CIFAR-10: {error}") from error
    images = batch.get(b"data") if isinstance(batch, dict) else None
    labels = batch.get(b"labels") if isinstance(batch, dict) else None
    if not (
        isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim == 2 and isinstance(labels, list)
    ):
        raise ValueError(f"{path} is not a Python batch of CIFAR-10: it must hold 'data' (N, {PIXELS}) and 'labels'")
    if images.shape != (len(labels), PIXELS):
        raise ValueError(f"{path} holds images {images.shape} for {len(labels)} labels, not ({len(labels)}, {PIXELS})")
    return images.reshape(-1, 3, 32, 32), np.asarray(labels, np.int64)


class _ArraysOnly(pickle.Unpickler):
    """Refuses every global but the three that rebuild an array (under NumPy's old and new module names)."""

    def find_class(self, module: str, name: str):
        if module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray"):
            if name == "_reconstruct":
                return np.zeros(0).__reduce__()[0]
            if name in ("ndarray", "dtype"):
                return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):  # how protocol 2 writes bytes under Python 3
            return _latin1
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin1")


def _join(batches: list[tuple[np.ndarray, np.ndarray]]) -> ArrayDataset:
    return ArrayDataset(np.concatenate([x for x, _ in batches]), np.concatenate([y for _, y in batches]), CLASSES)


def _downloaded() -> Path:
    archive = download(URL, MD5, "cifar10")
    target = archive.parent / "cifar-10-batches-bin"
    if not all((target / name).is_file() for part in BINARY for name in part):
        target.mkdir(exist_ok=True)
        with tarfile.open(archive) as tar:
            for member in _batches(tar):
                partial = target / f"{Path(member.name).name}.part"
                with tar.extractfile(member) as source, partial.open("wb") as out:  # type: ignore[union-attr]
                    out.write(source.read())
                partial.replace(partial.with_suffix(""))
    return target


def _batches(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    wanted = {name for part in BINARY for name in part}
    return (m for m in tar if m.isfile() and Path(m.name).name in wanted)
