"""Every family against the same network in PyTorch, with weights handed over by `load_torch_weights`."""

import numpy as np
import pytest

from pyconv import models

torch = pytest.importorskip("torch")
import torch_networks  # noqa: E402  (it imports torch)

# name: (its function in torch_networks, size of the images, options that make it small)
NETWORKS = {
    "alexnet": ("alexnet", 75, {"hidden": 24}),
    "convnext_tiny": ("convnext_tiny", 64, {}),
    "densenet121": ("densenet121", 64, {}),
    "efficientnet_b0": ("efficientnet_b0", 64, {}),
    "googlenet": ("googlenet", 70, {}),
    "mobilenet_v2": ("mobilenet_v2", 64, {}),
    "mobilenet_v3_small": ("mobilenet_v3_small", 64, {}),
    "resnet18": ("resnet", 64, {}),
    "resnet50": ("resnet", 64, {}),
    "shufflenet_v2_x0_5": ("shufflenet_v2", 64, {}),
    "squeezenet1_1": ("squeezenet1_1", 70, {}),
    "vgg11_bn": ("vgg11_bn", 40, {"hidden": 24}),
}


def torch_state(name, shapes, rng):
    """A state_dict of tensors that keep the activations near 1, every entry drawn."""
    state = {}
    for key, array in shapes.items():
        if key.endswith("num_batches_tracked"):
            value = np.array(7)
        elif key.endswith("running_var") or (array.ndim == 1 and key.endswith("weight")):
            value = rng.uniform(0.6, 1.4, array.shape)
        elif array.ndim == 1:
            value = 0.2 * rng.standard_normal(array.shape)
        elif key.endswith("layer_scale"):
            value = rng.uniform(0.2, 0.5, array.shape)
        else:
            value = rng.standard_normal(array.shape, np.float32) * np.sqrt(2 / np.prod(array.shape[1:]))
        state[key] = torch.tensor(value, dtype=torch.int64 if value.dtype.kind == "i" else torch.float32)
    return state


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.usefixtures("undrawn")
def test_outputs_agree_with_pytorch(name):
    function, size, options = NETWORKS[name]
    rng = np.random.default_rng(0)
    model = models.create(name, num_classes=5, in_channels=3, **options).eval()
    state = torch_state(name, model.state_dict(), rng)
    assert models.load_torch_weights(model, state) is model
    x = rng.standard_normal((2, 3, size, size - 3), np.float32)
    with torch.no_grad():
        expected = getattr(torch_networks, function)(state, torch.tensor(x)).numpy()
    y = model(x)
    assert y.shape == expected.shape == (2, 5)
    assert np.ptp(expected) > 1e-3
    assert np.abs(y - expected).max() <= 1e-4 * np.abs(expected).max()
