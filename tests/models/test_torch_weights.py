"""Reading of state_dict files: formats, what is left aside, and what is said when they do not fit."""

import numpy as np
import pytest

from pyconv import models, nn


@pytest.fixture
def source():
    return models.create("resnet20", num_classes=4)


def same(model, source, but=()):
    state = source.state_dict()
    for name, array in model.state_dict().items():
        assert (array == state[name]).all() == (name not in but), name


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_files_of_pytorch(source, suffix, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / f"weights{suffix}"
    tensors = {name: torch.tensor(array) for name, array in source.state_dict().items()}
    if suffix == ".safetensors":
        pytest.importorskip("safetensors.torch").save_file(tensors, path)
    else:
        torch.save(tensors, path)
    same(models.load_torch_weights(models.create("resnet20", num_classes=4), path), source)
    same(models.load_torch_weights(models.create("resnet20", num_classes=4), str(path)), source)


def test_tensors_of_any_kind(source):
    torch = pytest.importorskip("torch")
    state = source.state_dict()
    tensors = {name: torch.tensor(array) for name, array in state.items()}
    tensors["fc.weight"] = torch.nn.Parameter(tensors["fc.weight"])
    same(models.load_torch_weights(models.create("resnet20", num_classes=4), tensors), source)
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        tensor = torch.tensor(source.fc.bias).to(dtype)
        model = models.load_torch_weights(models.create("resnet20", num_classes=4), {**state, "fc.bias": tensor})
        np.testing.assert_array_equal(model.fc.bias, tensor.float().numpy())


def test_counts_of_batches_are_ignored(source):
    given = {name: array for name, array in source.state_dict().items() if not name.endswith("num_batches_tracked")}
    model = models.create("resnet20", num_classes=4)
    model.bn1.num_batches_tracked = 3
    same(models.load_torch_weights(model, given), source, but=["bn1.num_batches_tracked"])
    given["bn1.num_batches_tracked"] = np.array(100)
    assert models.load_torch_weights(model, given).bn1.num_batches_tracked == 3


def test_another_number_of_classes_keeps_its_head(source):
    model = models.create("resnet20", num_classes=9)
    bias = model.fc.bias.copy()
    models.load_torch_weights(model, source.state_dict(), head=False)
    np.testing.assert_array_equal(model.layer3[2].conv2.weight, source.layer3[2].conv2.weight)
    np.testing.assert_array_equal(model.fc.bias, bias)


@pytest.mark.usefixtures("undrawn")
def test_auxiliary_classifiers_of_the_file_are_left_aside():
    source = models.create("googlenet", auxiliary=True)
    assert any(name.startswith("aux1.") for name in source.state_dict())
    model = models.create("googlenet")
    models.load_torch_weights(model, {name: np.ones_like(a) for name, a in source.state_dict().items()})
    assert (model.fc.weight == 1).all()


@pytest.mark.usefixtures("undrawn")
def test_the_published_densenet_has_older_names():
    model = models.create("densenet121")
    old = {}
    for name, array in model.state_dict().items():
        for part in ("norm1", "norm2", "conv1", "conv2"):
            if "denselayer" in name:
                name = name.replace(part, f"{part[:4]}.{part[4]}")
        old[name] = np.ones_like(array)
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    models.load_torch_weights(model, old)
    assert (model.features[4].denselayer1.conv2.weight == 1).all()


def test_what_does_not_fit_is_listed(source):
    given = source.state_dict()
    given["extra.weight"] = given.pop("layer1.0.conv1.weight")
    given["fc.weight"] = given["fc.weight"][:2]
    model = models.create("resnet20", num_classes=4)
    before = model.conv1.weight.copy()
    with pytest.raises(ValueError) as caught:
        models.load_torch_weights(model, given)
    for part in (
        "fc.weight has shape (2, 64) where the model has (4, 64)",
        "missing: layer1.0.conv1.weight",
        "unexpected: extra.weight",
    ):
        assert part in str(caught.value)
    np.testing.assert_array_equal(model.conv1.weight, before)


def test_any_module_is_taken():
    layer = nn.Linear(2, 3)
    weight = np.arange(6.0).reshape(3, 2)
    models.load_torch_weights(layer, {"weight": weight, "bias": np.zeros(3)})
    np.testing.assert_array_equal(layer.weight, weight)


def test_files_that_cannot_be_read(tmp_path, source):
    torch = pytest.importorskip("torch")
    model = models.create("resnet20", num_classes=4)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        models.load_torch_weights(model, tmp_path / "none.pth")
    (tmp_path / "broken.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match=r"broken\.pth is damaged, or holds more than tensors"):
        models.load_torch_weights(model, tmp_path / "broken.pth")
    torch.save(model.trunk, tmp_path / "code.pth")  # a pickle of code, which is not run
    with pytest.raises(ValueError, match="damaged, or holds more than tensors"):
        models.load_torch_weights(model, tmp_path / "code.pth")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="holds a list, not a state_dict"):
        models.load_torch_weights(model, tmp_path / "list.pth")
    torch.save({"epoch": 3, "model": {}}, tmp_path / "checkpoint.pth")
    with pytest.raises(ValueError, match="'model' is a dict"):
        models.load_torch_weights(model, tmp_path / "checkpoint.pth")
    with pytest.raises(ValueError, match="path must end in"):
        models.load_torch_weights(model, tmp_path / "weights.h5")
