"""The features mode: every network without its head, and the maps that it passes through."""

import numpy as np
import pytest

from pyconv import models, nn
from pyconv.ops.node import Node
from pyconv.serialization import load, save

# channels and size of the maps, from fine to coarse
OF_224 = {
    "alexnet": [(64, 55), (192, 27), (256, 13), (256, 6)],
    "convnext_tiny": [(96, 56), (192, 28), (384, 14), (768, 7)],
    "densenet121": [(64, 112), (256, 56), (512, 28), (1024, 14), (1024, 7)],
    "efficientnet_b0": [(16, 112), (24, 56), (40, 28), (112, 14), (1280, 7)],
    "googlenet": [(64, 112), (192, 56), (480, 28), (832, 14), (1024, 7)],
    "mobilenet_v2": [(16, 112), (24, 56), (32, 28), (96, 14), (1280, 7)],
    "mobilenet_v3_large": [(16, 112), (24, 56), (40, 28), (112, 14), (960, 7)],
    "mobilenet_v3_small": [(16, 112), (16, 56), (24, 28), (48, 14), (576, 7)],
    **{f"resnet{depth}": [(64, 112), (64, 56), (128, 28), (256, 14), (512, 7)] for depth in (18, 34)},
    **{f"resnet{depth}": [(64, 112), (256, 56), (512, 28), (1024, 14), (2048, 7)] for depth in (50, 101)},
    "shufflenet_v2_x0_5": [(24, 112), (24, 56), (48, 28), (96, 14), (1024, 7)],
    "shufflenet_v2_x1_0": [(24, 112), (24, 56), (116, 28), (232, 14), (1024, 7)],
    "squeezenet1_0": [(96, 109), (256, 54), (512, 27), (512, 13)],
    "squeezenet1_1": [(64, 111), (128, 55), (256, 27), (512, 13)],
    "unet": [(64, 224), (128, 112), (256, 56), (512, 28), (1024, 14)],
    **{
        f"vgg{depth}{norm}": [(64, 224), (128, 112), (256, 56), (512, 28), (512, 14), (512, 7)]
        for depth in (11, 13, 16, 19)
        for norm in ("", "_bn")
    },
}
OF_32 = {
    "airbench94": [(24, 31), (64, 15), (256, 7), (256, 3)],
    "catnet": [(16, 32), (32, 16), (64, 8), (128, 4)],
    "cifarnet": [(32, 32), (64, 16), (128, 8), (256, 4)],
    "digitsnet": [(32, 32), (64, 16), (64, 8)],
    "lenet5": [(6, 32), (16, 12), (16, 6)],
    "mnistnet": [(16, 32), (32, 16), (64, 8), (64, 4)],
    "resnet18_cifar": [(64, 32), (128, 16), (256, 8), (512, 4)],
    **{f"resnet{depth}": [(16, 32), (32, 16), (64, 8)] for depth in (20, 32, 44, 56)},
}


@pytest.mark.parametrize("name", models.names())
@pytest.mark.usefixtures("undrawn")
def test_maps_of_every_network_recorded_symbolically(name):
    size, expected = (224, OF_224[name]) if name in OF_224 else (32, OF_32[name])
    model = models.create(name, in_channels=3, features=True)
    maps, _ = symbolic_call(model, (2, 3, size, size))
    assert [y.shape for y in maps] == [(2, c, s, s) for c, s in expected]


@pytest.mark.parametrize("name", models.names())
@pytest.mark.usefixtures("undrawn")
def test_every_network_is_recorded_whole(name):
    """In training and after it nothing but shapes is asked of the inputs, as a plan needs."""
    size = 224 if name in OF_224 else {"lenet5": 28, "digitsnet": 8, "mnistnet": 28}.get(name, 32)
    model = models.create(name, num_classes=7, in_channels=2)
    for mode in (True, False):
        y, updates = symbolic_call(model.train(mode), (2, 2, size, size))
        assert y.shape == ((2, 7, size, size) if name == "unet" else (2, 7))
        assert bool(updates) == (mode and any(True for _ in model.buffers()))


def symbolic_call(model, shape):
    """A call on symbolic nodes in place of the input and all state, and the results, which must be symbolic too."""
    held = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    state = {name: Node.placeholder(array.shape, array.dtype, name) for name, array in held.items()}
    result, updates = nn.functional_call(model, state, Node.placeholder(shape, np.float32))
    for y in (*(result if isinstance(result, list) else [result]), *updates.values()):
        assert type(y) is Node
        assert y.value is None
    return result, updates


@pytest.mark.parametrize("name", ["densenet121", "resnet20", "squeezenet1_1"])
def test_maps_are_those_of_the_whole_network(name):
    whole, backbone = models.create(name, num_classes=4).eval(), models.create(name, features=True).eval()
    models.load_torch_weights(backbone, whole.state_dict())
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 32), np.float32)
    np.testing.assert_array_equal(whole.head(backbone(x)[-1]), whole(x))
    assert backbone.num_parameters() < whole.num_parameters()


def test_maps_of_a_chain_are_those_of_its_layers():
    whole, backbone = models.create("lenet5"), models.create("lenet5", features=True)
    backbone.load_state_dict(whole.state_dict(), strict=False)
    x = np.random.default_rng(0).standard_normal((1, 3, 28, 28), np.float32)
    for y, layers in zip(backbone(x), (2, 5, 6), strict=True):
        np.testing.assert_array_equal(y, whole[:layers](x))


def test_a_backbone_is_saved_and_loaded(tmp_path):
    backbone = models.create("resnet20", in_channels=1, features=True).eval()
    save(backbone, tmp_path / "backbone.npz")
    again = load(tmp_path / "backbone.npz")
    x = np.random.default_rng(0).standard_normal((1, 1, 16, 16), np.float32)
    for one, other in zip(backbone(x), again(x), strict=True):
        np.testing.assert_array_equal(one, other)
