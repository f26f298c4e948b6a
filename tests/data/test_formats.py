"""The readers of file formats, on files made here: right ones, cut ones, foreign ones, malicious ones."""

import gzip
import os
import pickle
import struct
import sys
import types

import numpy as np
import pytest

from pyconv.data import load
from pyconv.data.cifar10 import PIXELS, read_binary, read_python
from pyconv.data.mnist import read_idx

RNG = np.random.default_rng(0)


def idx_bytes(array, code):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def mnist_folder(tmp_path):
    for part, count in (("train", 20), ("t10k", 10)):
        images = RNG.integers(0, 256, (count, 28, 28), np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images, 8)))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(labels, 8))
    return tmp_path


# --- IDX


def test_mnist_reads_gzipped_and_raw_files(mnist_folder):
    train, test = load("mnist", mnist_folder)
    assert train.x.shape == (20, 1, 28, 28)
    assert train.x.dtype == np.uint8
    assert test.y.tolist() == list(range(10))


def test_mnist_is_found_in_a_subfolder(mnist_folder, tmp_path_factory):
    parent = tmp_path_factory.mktemp("parent")
    (parent / "mnist").symlink_to(mnist_folder)
    assert len(load("mnist", parent).train) == 20


@pytest.mark.parametrize(
    ("code", "dtype"), [(8, ">u1"), (9, ">i1"), (0xB, ">i2"), (0xC, ">i4"), (0xD, ">f4"), (0xE, ">f8")]
)
def test_idx_types(tmp_path, code, dtype):
    values = np.arange(6).reshape(2, 3).astype(dtype)
    (tmp_path / "file").write_bytes(idx_bytes(values, code))
    read = read_idx(tmp_path / "file")
    assert read.dtype == values.dtype.newbyteorder("=")
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize("keep", [0, 3, 10, 100, -1])
def test_idx_cut_short_is_refused(tmp_path, mnist_folder, keep):
    whole = gzip.decompress((mnist_folder / "train-images-idx3-ubyte.gz").read_bytes())
    for content in (whole[:keep], gzip.compress(whole)[:keep]):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(ValueError, match=r"file is (damaged|not an IDX file)"):
            read_idx(tmp_path / "file")


def test_idx_longer_than_declared_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(idx_bytes(np.zeros(3, np.uint8), 8) + b"x")
    with pytest.raises(ValueError, match="needs 3 bytes, it holds 4"):
        read_idx(tmp_path / "file")


def test_missing_file_is_named(mnist_folder):
    (mnist_folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="t10k-labels-idx1-ubyte"):
        load("mnist", mnist_folder)


def test_labels_and_images_of_different_number_are_refused(mnist_folder):
    (mnist_folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(19, np.uint8), 8))
    with pytest.raises(ValueError, match="same length, not 20 and 19"):
        load("mnist", mnist_folder)


# --- CIFAR-10


def batches(count=4):
    return RNG.integers(0, 256, (count, PIXELS), np.uint8), list(range(count))


@pytest.mark.filterwarnings("ignore:nothing to train deer")
def test_cifar10_layouts_agree(tmp_path):
    binary, python = tmp_path / "a", tmp_path / "b" / "cifar-10-batches-py"
    binary.mkdir()
    python.mkdir(parents=True)
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"):
        x, y = batches()
        np.c_[np.array(y, np.uint8), x].tofile(binary / f"{name}.bin")
        (python / name).write_bytes(pickle.dumps({b"data": x, b"labels": y}, protocol=2))
    one, two = load("cifar10", binary), load("cifar10", python.parent)
    assert one.train.x.shape == (20, 3, 32, 32)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.x, b.x)
        np.testing.assert_array_equal(a.y, b.y)
    assert one.train.classes[3] == "cat"


def test_cifar10_python_2_pickle_under_old_module_names(tmp_path):
    """The official files were pickled by Python 2 and NumPy 1: str for bytes, numpy.core for numpy._core."""
    x, y = batches(2)
    text = (
        b"\x80\x02}q\x00("
        + b"U\x06labels" + b"](" + b"".join(b"K" + bytes([k]) for k in y) + b"e"
        + b"U\x04data" + b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
        + b"(K\x01(K\x02M" + struct.pack("<H", PIXELS) + b"tcnumpy\ndtype\n(U\x02u1K\x00K\x01tR"
        + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + b"T" + struct.pack("<I", x.size) + x.tobytes() + b"tb"
        + b"u."
    )  # fmt: skip
    (tmp_path / "batch").write_bytes(text)
    images, labels = read_python(tmp_path / "batch")
    np.testing.assert_array_equal(images.reshape(2, -1), x)
    assert labels.tolist() == y


class Evil:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "call",
    [
        (os.system, ("touch {}",)),
        (eval, ("open('{}', 'w')",)),
        (np.save, ("{}", 1)),
        (np.lib.format.open_memmap, ("{}", "w+", "u1", (1,))),
    ],
)
def test_cifar10_pickle_cannot_run_code(tmp_path, call):
    function, arguments = call
    mark = tmp_path / "mark"
    arguments = tuple(a.format(mark) if isinstance(a, str) else a for a in arguments)
    (tmp_path / "batch").write_bytes(pickle.dumps({b"data": Evil(function, arguments), b"labels": []}))
    with pytest.raises(ValueError, match="it asks for"):
        read_python(tmp_path / "batch")
    assert not list(tmp_path.glob("mark*"))


def test_cifar10_pickle_cannot_import(tmp_path, monkeypatch):
    module = types.ModuleType("numpy_evil")
    module.ndarray = pytest.fail
    monkeypatch.setitem(sys.modules, "numpy_evil", module)
    (tmp_path / "batch").write_bytes(b"\x80\x02cnumpy_evil\nndarray\n(X\x01\x00\x00\x00atR.")
    with pytest.raises(ValueError, match=r"it asks for numpy_evil\.ndarray"):
        read_python(tmp_path / "batch")


@pytest.mark.parametrize("keep", [0, 1, 50, 3000, -1])
def test_cifar10_cut_short_is_refused(tmp_path, keep):
    x, y = batches(2)
    np.c_[np.array(y, np.uint8), x].tofile(tmp_path / "binary")
    (tmp_path / "binary").write_bytes((tmp_path / "binary").read_bytes()[:keep])
    with pytest.raises(ValueError, match="not whole records"):
        read_binary(tmp_path / "binary")
    (tmp_path / "python").write_bytes(pickle.dumps({b"data": x, b"labels": y}, protocol=2)[:keep])
    with pytest.raises(ValueError, match="not a Python batch"):
        read_python(tmp_path / "python")


def test_cifar10_label_out_of_range_is_refused(tmp_path):
    x, _ = batches(4)
    for name in (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"):
        np.c_[np.array([0, 1, 10, 2], np.uint8), x].tofile(tmp_path / name)
    with pytest.raises(ValueError, match="label 10 of sample 2 is out of range"):
        load("cifar10", tmp_path)


def test_cifar10_absent(tmp_path):
    with pytest.raises(FileNotFoundError, match="data_batch_1"):
        load("cifar10", tmp_path)


# --- HDF5


@pytest.fixture
def cats(tmp_path):
    h5py = pytest.importorskip("h5py")
    for part, count in (("train", 6), ("test", 4)):
        with h5py.File(tmp_path / f"{part}_catvnoncat.h5", "w") as file:
            file[f"{part}_set_x"] = RNG.integers(0, 256, (count, 8, 8, 3), np.uint8)
            file[f"{part}_set_y"] = np.arange(count) % 2
            file["list_classes"] = np.array([b"non-cat", b"cat"])
    return tmp_path


def test_catvnoncat(cats):
    train, test = load("catvnoncat", cats)
    assert train.x.shape == (6, 3, 8, 8)
    assert train.classes == ("non-cat", "cat")
    assert len(test) == 4


def test_catvnoncat_cut_short_is_refused(cats):
    path = cats / "train_catvnoncat.h5"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="damaged"):
        load("catvnoncat", cats)


# --- npz


def test_npz_with_and_without_a_test_part(tmp_path):
    x, y = RNG.random((20, 1, 4, 4)), np.arange(20) % 2
    np.savez(tmp_path / "own.npz", x=x, y=y, classes=np.array(["no", "yes"]))
    train, test = load("npz", tmp_path)
    assert (len(train), len(test)) == (16, 4)
    assert train.classes == ("no", "yes")
    np.savez(tmp_path / "own.npz", x=x, y=y, x_test=x[:2], y_test=y[:2])
    assert [len(part) for part in load("npz", tmp_path / "own.npz")] == [20, 2]


def test_npz_is_never_unpickled(tmp_path):
    np.savez(tmp_path / "own.npz", x=np.array([Evil(os.system, ("exit",))], object), y=[0])
    with pytest.raises(ValueError, match="plain arrays"):
        load("npz", tmp_path)


@pytest.mark.parametrize("keep", [0, 10, 200, -5])
def test_npz_cut_short_is_refused(tmp_path, keep):
    np.savez(tmp_path / "own.npz", x=np.zeros((4, 1, 8, 8)), y=np.zeros(4, int))
    (tmp_path / "own.npz").write_bytes((tmp_path / "own.npz").read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"not a complete \.npz"):
        load("npz", tmp_path)


def test_npz_without_labels_is_refused(tmp_path):
    np.savez(tmp_path / "own.npz", x=np.zeros((4, 1, 8, 8)))
    with pytest.raises(ValueError, match="no array 'y'"):
        load("npz", tmp_path)
