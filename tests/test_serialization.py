"""Model files: what comes back, and that nothing broken, foreign or pickled is believed or executed."""

import io
import json
import os
import pickle
import zipfile

import numpy as np
import pytest

import pyconv as pc
from pyconv import nn, serialization


@pytest.fixture(params=["npz", "safetensors"])
def path(request, tmp_path):
    if request.param == "safetensors":
        pytest.importorskip("safetensors")
    return tmp_path / f"model.{request.param}"


class Own(nn.Module):
    """Not of pyconv.nn: its code cannot be named in a file."""

    def __init__(self):
        self.linear = nn.Linear(2, 2)


def network():
    return nn.Sequential(
        {
            "conv": nn.Conv2d(3, 4, 3, padding=((1, 0), (0, 1)), bias=False),
            "norm": nn.BatchNorm2d(4, momentum=None),
            "inner": nn.Sequential(nn.LeakyReLU(0.3), nn.MaxPool2d((2, 1)), nn.Dropout(0.4)),
            "flat": nn.Flatten(),
            "head": nn.Linear(4 * 2 * 5, 2),
        }
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sequential_comes_back_whole(path, dtype):
    model = network().astype(dtype)
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 6)).astype(dtype)
    model(x)  # moves the running statistics
    pc.save(model, path)
    loaded = pc.load(path)
    assert repr(loaded) == repr(model)
    assert not loaded.training
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(loaded.state_dict()[name], array)
        assert loaded.state_dict()[name].dtype == array.dtype
    np.testing.assert_array_equal(loaded(x), model.eval()(x))


@pytest.mark.parametrize("name", ["catnet", "cifarnet", "digitsnet", "lenet5", "mnistnet"])
def test_chains_by_name_come_back_even_when_changed(path, name):
    model = pc.models.create(name, num_classes=7, in_channels=2)
    model[len(model) - 1] = nn.Linear(model[-1].in_features, 3)
    pc.save(nn.Sequential(nn.Standardize([0.1, 0.2], [1.0, 2.0]), model), path)
    loaded = pc.load(path)
    assert repr(loaded[1]) == repr(model)
    np.testing.assert_array_equal(loaded[1][-1].weight, model[-1].weight)


def test_other_modules_give_their_state(path):
    model = Own()
    pc.save(model, path)
    state = pc.load(path)
    assert isinstance(state, dict)
    model.load_state_dict(state)
    pc.save(nn.Sequential(model), path)
    assert isinstance(pc.load(path), dict)


def test_a_recipe_is_kept_only_while_it_is_true(path):
    model = Own()
    model.recipe = {"name": "lenet5", "num_classes": 10, "in_channels": 1}
    assert serialization.describe(model) is None  # it is not a LeNet-5
    built = serialization.build({"model": model.recipe})
    assert repr(built) == repr(pc.models.create("lenet5", 10, 1))


def test_states_of_any_numbers_come_back(path):
    state = {
        "file": np.arange(6, dtype=np.float32).reshape(2, 3)[:, ::-1],
        "fortran": np.asfortranarray(np.random.default_rng(0).random((3, 4))),
        "scalar": np.asarray(5, np.int64),
        "bits": np.array([True, False]),
        "random": np.array([2**64 - 1, 0], np.uint64),
        "empty": np.zeros((0, 3), np.float32),
        "a/b.c": np.ones(2, np.float16),
    }
    pc.save(state, path)
    loaded = pc.load(path)
    assert sorted(loaded) == sorted(state)
    for name, array in state.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert (loaded[name].dtype, loaded[name].shape) == (array.dtype, array.shape)


def test_a_description_comes_back(path):
    pc.save(nn.ReLU(), path, classes=["cat", "Käse"], size=[3, 8])
    _, description = serialization.read(path)
    assert description["classes"] == ["cat", "Käse"]
    assert description["size"] == [3, 8]
    assert description["kind"] == "model"


def test_files_of_others_give_their_arrays(tmp_path):
    np.savez(tmp_path / "plain.npz", weight=np.ones(3))
    assert pc.load(tmp_path / "plain.npz")["weight"].tolist() == [1, 1, 1]
    np.savez_compressed(tmp_path / "small.npz", weight=np.ones(3))
    assert pc.load(tmp_path / "small.npz")["weight"].tolist() == [1, 1, 1]
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file({"weight": np.ones(3)}, tmp_path / "plain.safetensors")
    assert pc.load(tmp_path / "plain.safetensors")["weight"].tolist() == [1, 1, 1]


# --- what is refused


def test_every_truncation_is_refused(path):
    pc.save(nn.Sequential(nn.Linear(3, 2)), path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="is damaged, cut short"):
            pc.load(path)


def test_flipped_bytes_never_crash(path):
    pc.save(nn.Sequential(nn.Linear(3, 2)), path)
    content = bytearray(path.read_bytes())
    for position in range(len(content)):
        changed = content.copy()
        changed[position] ^= 0xFF
        path.write_bytes(changed)
        try:
            loaded = pc.load(path)
        except ValueError:
            continue
        assert isinstance(loaded, (nn.Module, dict))  # the byte was one of the weights', or said nothing


class Trap:
    """What runs when a file is unpickled."""

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_pickles_are_refused_and_never_executed(path, tmp_path):
    trap = Trap()
    trap.folder = str(tmp_path / "executed")
    member, archive = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array(member, np.array([trap], object), allow_pickle=True)
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("weight.npy", member.getvalue())
    for content in (pickle.dumps(trap), archive.getvalue(), member.getvalue()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is damaged, cut short"):
            pc.load(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"hello", b"PK\3\4" + b"\0" * 50, b"\xff" * 64])
def test_foreign_files_are_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged, cut short"):
        pc.load(path)


@pytest.mark.parametrize(
    "architecture",
    [
        {"class": "os.system", "arguments": {}},
        {"class": "Module", "arguments": {}},
        {"class": "Layer", "arguments": {}},
        {"class": "Linear", "arguments": {"in_features": 3}},
        {"class": "Linear", "arguments": {"in_features": 3, "out_features": 2, "generator": 1}},
        {"class": "Linear", "arguments": {"in_features": 10**9, "out_features": 10**9}},
        {"class": "Linear", "arguments": {"in_features": 3, "out_features": 4}},
        {"class": "Linear", "arguments": [3, 2]},
        {"class": "Sequential", "modules": ["Linear"]},
        {"class": ["Linear"]},
        {"model": {"name": "os"}},
        {"model": {"name": "lenet5", "pretrained": True}},
        {"model": 3},
        {},
        [],
        "Linear",
        3,
    ],
)
def test_descriptions_that_make_no_sense_are_refused(tmp_path, architecture):
    path = tmp_path / "model.npz"
    serialization.write(path, nn.Linear(3, 2).state_dict(), {"architecture": architecture})
    with pytest.raises(ValueError, match="describes a model that cannot be built from it"):
        pc.load(path)


def test_descriptions_that_are_none_are_refused(tmp_path):
    path = tmp_path / "model.npz"
    nested = "[" * 100_000
    for text in (b"{", b"[]", b"{}", b"3", b"\xff", nested.encode()):
        np.savez(path, __pyconv__=np.frombuffer(text, np.uint8))
        with pytest.raises(ValueError, match="damaged"):
            pc.load(path)
    np.savez(path, __pyconv__=np.frombuffer(json.dumps({"format": 99}).encode(), np.uint8))
    with pytest.raises(ValueError, match="has the format 99; this version of pyconv knows 1"):
        pc.load(path)
    np.savez(path, __pyconv__=np.zeros(3))
    with pytest.raises(ValueError, match="damaged"):
        pc.load(path)


def test_paths_and_values_that_cannot_be(tmp_path):
    with pytest.raises(ValueError, match=r"path must end in \.safetensors or \.npz, not in '\.pt'"):
        pc.save(nn.ReLU(), tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"path must end in"):
        pc.load(tmp_path / "model")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        pc.load(tmp_path / "model.npz")
    with pytest.raises(TypeError, match="model must be a Module or a mapping"):
        pc.save([1], tmp_path / "model.npz")
    with pytest.raises(ValueError, match="'w' must be an array of numbers, not of object"):
        pc.save({"w": [None]}, tmp_path / "model.npz")
    with pytest.raises(ValueError, match="the description must be made of what JSON can hold"):
        pc.save(nn.ReLU(), tmp_path / "model.npz", about=object())
    assert not list(tmp_path.iterdir())


def test_the_same_model_gives_the_same_bytes(path):
    model = network()
    pc.save(model, path)
    first = path.read_bytes()
    pc.save(model, path)
    assert path.read_bytes() == first


def test_a_failed_write_leaves_the_old_file(path, monkeypatch):
    pc.save(nn.Linear(2, 2), path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        pc.save(nn.Linear(3, 3), path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
