"""MNIST in its official IDX files, gzipped or not (LeCun, Cortes, Burges, The MNIST database of handwritten digits)."""

from __future__ import annotations

import gzip
import zlib
from os import PathLike
from pathlib import Path

import numpy as np

from pyconv.data.dataset import ArrayDataset, Split
from pyconv.data.files import download, find

URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"  # mirror of the four official files
FILES = {  # part: (file name, md5 of the gzipped file)
    "train images": ("train-images-idx3-ubyte", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    "train labels": ("train-labels-idx1-ubyte", "d53e105ee54ea40749a09fcbcd1e9432"),
    "test images": ("t10k-images-idx3-ubyte", "9fb629c4189551a2d022fa330f9573f3"),
    "test labels": ("t10k-labels-idx1-ubyte", "ec29112dd5afa0611ce80d1b7f02629c"),
}
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def load(data_dir: str | PathLike[str] | None = None) -> Split:
    """60,000 training and 10,000 test images, uint8 (N, 1, 28, 28), in 10 classes.

    `data_dir` holds the four IDX files, with or without ``.gz`` (itself or in a sub-folder ``mnist``); without it they
    are downloaded into the user's cache.
    """
    parts = {}
    for part, (name, md5) in FILES.items():
        if data_dir is None:
            path = download(f"{URL}{name}.gz", f"md5:{md5}", "mnist")
        else:
            path = find(data_dir, "mnist", f"{name}.gz", name, name.replace("-idx", ".idx"))
        parts[part] = read_idx(path)
    classes = tuple("0123456789")
    return Split(
        ArrayDataset(parts["train images"][:, None], parts["train labels"], classes),
        ArrayDataset(parts["test images"][:, None], parts["test labels"], classes),
    )


def read_idx(path: str | PathLike[str]) -> np.ndarray:
    """Read an IDX file, gzipped or raw.

    Returns
    -------
    array
        In native byte order, of the shape and type that the file declares.

    Raises
    ------
    ValueError
        If it is not an IDX file, or is cut short.
    """
    path = Path(path)
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is damaged or cut short: {error}") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES or len(content) < 4 + 4 * content[3]:
        raise ValueError(f"{path} is not an IDX file: it must begin with two zero bytes, a type and a rank")
    shape = tuple(np.frombuffer(content, ">u4", content[3], 4).tolist())
    dtype = np.dtype(IDX_TYPES[content[2]])
    body = content[4 + 4 * content[3] :]
    expected = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if len(body) != expected:
        raise ValueError(f"{path} is damaged or cut short: {shape} needs {expected} bytes, it holds {len(body)}")
    return np.frombuffer(body, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)
