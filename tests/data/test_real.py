"""The real files of three data sets, where they are: $PYCONV_DATA, or shared/data beside the repository."""

import hashlib
import io
import os
from pathlib import Path

import numpy as np
import pytest

from pyconv.data import load

FOLDER = Path(os.environ.get("PYCONV_DATA", Path(__file__).parents[3] / "shared" / "data"))


def need(name):
    if not (FOLDER / name).is_dir():
        pytest.skip(f"no real data: {FOLDER / name} does not exist (set PYCONV_DATA)")


def test_mnist_is_read_byte_for_byte():
    need("mnist")
    train, test = load("mnist", FOLDER)
    for part, count, digest in (
        (train, 60_000, "6bbc9ace898e44ae57da46a324031adb"),
        (test, 10_000, "2646ac647ad5339dbf082846283269ea"),
    ):
        assert part.x.shape == (count, 1, 28, 28)
        header = np.array([0x803, count, 28, 28], ">u4").tobytes()
        assert hashlib.md5(header + part.x.tobytes()).hexdigest() == digest
    assert test.counts().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_cats():
    need("catvnoncat")
    pytest.importorskip("h5py")
    train, test = load("catvnoncat", FOLDER)
    assert train.x.shape == (209, 3, 64, 64)
    assert test.x.shape == (50, 3, 64, 64)
    assert train.classes == ("non-cat", "cat")
    assert (train.counts().tolist(), test.counts().tolist()) == ([137, 72], [17, 33])


def test_cifar10_in_its_binary_layout(tmp_path):
    need("cifar10")
    image = pytest.importorskip("PIL.Image")
    with np.load(FOLDER / "cifar10" / "cifar10_jpeg.npz") as pack:
        offsets, labels, classes = pack["test_offsets"], pack["test_labels"], pack["classes"]
        jpeg = pack["test_jpeg"][: offsets[50]].tobytes()
    records = np.empty((50, 3073), np.uint8)
    records[:, 0] = labels[:50]
    for k in range(50):
        pixels = np.asarray(image.open(io.BytesIO(jpeg[offsets[k] : offsets[k + 1]])).convert("RGB"))
        records[k, 1:] = pixels.transpose(2, 0, 1).ravel()
    for name in (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"):
        records.tofile(tmp_path / name)
    _, test = load("cifar10", tmp_path)
    assert test.classes == tuple(str(c) for c in classes)
    np.testing.assert_array_equal(test.y, labels[:50])
    np.testing.assert_array_equal(test.x[-1].transpose(1, 2, 0), pixels)
