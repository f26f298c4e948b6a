"""Parameters and multiplications of every network against the published ones, and its names against torchvision's."""

import numpy as np
import pytest

from pyconv import models, nn
from pyconv.ops.node import Node

pytestmark = pytest.mark.usefixtures("undrawn")

# num_params, and _ops in 10⁹ (multiplications with additions, 224×224), of torchvision 0.20's `…_Weights.meta`
TORCHVISION = {
    "alexnet": (61_100_840, 0.714),
    "convnext_tiny": (28_589_128, 4.456),
    "densenet121": (7_978_856, 2.834),
    "efficientnet_b0": (5_288_548, 0.386),
    "googlenet": (6_624_904, 1.498),
    "mobilenet_v2": (3_504_872, 0.301),
    "mobilenet_v3_large": (5_483_032, 0.217),
    "mobilenet_v3_small": (2_542_856, 0.057),
    "resnet18": (11_689_512, 1.814),
    "resnet34": (21_797_672, 3.664),
    "resnet50": (25_557_032, 4.089),
    "resnet101": (44_549_160, 7.801),
    "shufflenet_v2_x0_5": (1_366_792, 0.04),
    "shufflenet_v2_x1_0": (2_278_604, 0.145),
    "squeezenet1_0": (1_248_424, 0.819),
    "squeezenet1_1": (1_235_496, 0.349),
    "vgg11": (132_863_336, 7.609),
    "vgg11_bn": (132_868_840, 7.609),
    "vgg13": (133_047_848, 11.308),
    "vgg13_bn": (133_053_736, 11.308),
    "vgg16": (138_357_544, 15.47),
    "vgg16_bn": (138_365_992, 15.47),
    "vgg19": (143_667_240, 19.632),
    "vgg19_bn": (143_678_248, 19.632),
}

# the ResNet paper's table 6 has 0.27, 0.46, 0.66 and 0.85 million; to the last digit they are those of its section 4.2
# as akamaster/pytorch_resnet_cifar10 has it, ResNet-18 for CIFAR as kuangliu/pytorch-cifar
CIFAR = {
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet18_cifar": 11_173_962,
}

# entries that torchvision's state_dict has, and how many there are in all
NAMES = {
    "alexnet": (16, "features.0.weight features.10.bias classifier.1.weight classifier.6.bias"),
    "convnext_tiny": (
        182,
        "features.0.0.weight features.0.1.bias features.1.0.layer_scale features.1.0.block.0.weight "
        "features.1.2.block.2.bias features.2.0.weight features.2.1.weight features.5.8.block.3.weight "
        "features.7.2.block.5.bias classifier.0.weight classifier.2.weight",
    ),
    "densenet121": (
        727,
        "features.conv0.weight features.norm0.running_mean features.denseblock1.denselayer1.norm1.weight "
        "features.denseblock3.denselayer24.conv2.weight features.transition1.norm.bias "
        "features.transition3.conv.weight features.norm5.running_var classifier.bias",
    ),
    "efficientnet_b0": (
        360,
        "features.0.0.weight features.0.1.num_batches_tracked features.1.0.block.0.0.weight "
        "features.1.0.block.1.fc1.weight features.1.0.block.2.1.bias features.2.0.block.2.fc2.bias "
        "features.6.3.block.3.0.weight features.8.0.weight classifier.1.weight",
    ),
    "googlenet": (
        344,
        "conv1.conv.weight conv3.bn.running_var inception3a.branch1.conv.weight inception3a.branch2.1.bn.bias "
        "inception4e.branch3.0.conv.weight inception5b.branch4.1.conv.weight fc.bias",
    ),
    "mobilenet_v2": (
        314,
        "features.0.0.weight features.1.conv.0.0.weight features.1.conv.1.weight features.1.conv.2.running_mean "
        "features.2.conv.0.1.weight features.17.conv.2.weight features.17.conv.3.bias features.18.0.weight "
        "features.18.1.num_batches_tracked classifier.1.weight",
    ),
    "mobilenet_v3_large": (
        312,
        "features.0.0.weight features.1.block.0.0.weight features.1.block.1.0.weight features.4.block.2.fc1.weight "
        "features.4.block.3.1.bias features.15.block.2.fc2.bias features.16.0.weight classifier.0.weight "
        "classifier.3.bias",
    ),
    "mobilenet_v3_small": (
        244,
        "features.1.block.1.fc1.weight features.1.block.2.0.weight features.11.block.3.0.weight features.12.1.weight "
        "classifier.0.bias classifier.3.weight",
    ),
    "resnet18": (
        122,
        "conv1.weight bn1.running_var layer1.0.conv1.weight layer2.0.downsample.0.weight layer2.0.downsample.1.bias "
        "layer4.1.bn2.num_batches_tracked fc.weight",
    ),
    "resnet50": (320, "layer1.0.downsample.0.weight layer1.0.conv3.weight layer3.5.bn3.weight fc.bias"),
    "shufflenet_v2_x1_0": (
        338,
        "conv1.0.weight conv1.1.bias stage2.0.branch1.0.weight stage2.0.branch1.2.weight "
        "stage2.0.branch1.3.running_var stage2.0.branch2.0.weight stage2.1.branch2.3.weight stage3.7.branch2.6.bias "
        "stage4.3.branch2.5.weight conv5.0.weight conv5.1.weight fc.weight",
    ),
    "squeezenet1_0": (
        52,
        "features.0.weight features.3.squeeze.weight features.12.expand3x3.bias classifier.1.weight",
    ),
    "squeezenet1_1": (52, "features.3.squeeze.weight features.6.expand1x1.weight features.12.expand3x3.bias"),
    "vgg11_bn": (
        62,
        "features.0.bias features.1.running_mean features.25.weight classifier.0.weight classifier.6.bias",
    ),
    "vgg16": (32, "features.0.weight features.28.bias classifier.0.weight classifier.3.weight classifier.6.bias"),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_parameters_and_multiplications_are_torchvisions(name):
    parameters, billions = TORCHVISION[name]
    summary = models.create(name, num_classes=1000).summary((3, 224, 224))
    assert summary.parameters == parameters
    assert round(summary.macs / 1e9, 3) == billions


@pytest.mark.parametrize("name", CIFAR)
def test_parameters_of_cifar_resnets(name):
    assert models.create(name).num_parameters() == CIFAR[name]


def test_parameters_of_the_unet():
    """Of the paper's figure 1, layer by layer: convolutions, transposed ones, the last 1×1."""
    widths = [64, 128, 256, 512, 1024]
    convs = [(1, 64), (64, 64), *((a, b) for c in widths[1:] for a, b in ((c // 2, c), (c, c)))]
    convs += [(a, b) for c in widths[1:] for a, b in ((c, c // 2), (c // 2, c // 2))]
    total = sum(9 * a * b + b for a, b in convs) + sum(4 * c * (c // 2) + c // 2 for c in widths[1:]) + 64 * 2 + 2
    assert models.create("unet", num_classes=2, in_channels=1).num_parameters() == total == 31_030_658


def test_parameters_of_airbench94():
    """The paper has 1.97 million; the whitening weights, 288 of them, are not trained unless asked for."""
    whitening, dense = 24 * 12 + 24, 2560
    convs = sum(9 * a * b for a, b in [(24, 64), (64, 64), (64, 256), (256, 256), (256, 256), (256, 256)])
    shifts = 2 * (64 + 256 + 256)
    total = whitening + convs + shifts + dense
    assert models.create("airbench94", frozen=False).num_parameters() == total == 1_971_640
    assert models.create("airbench94").num_parameters() == total - 288


def test_auxiliary_classifiers_of_googlenet():
    """torchvision's googlenet(aux_logits=True, init_weights=False) has 13,004,888 parameters."""
    model = models.create("googlenet", num_classes=1000, auxiliary=True)
    assert model.num_parameters() == 13_004_888
    assert {"aux1.conv.conv.weight", "aux1.fc1.weight", "aux2.fc2.bias"} <= set(model.state_dict())
    x = Node.placeholder((2, 3, 64, 64), np.float32)
    assert [y.shape for y in nn.functional_call(model, {}, x)[0]] == [(2, 1000)] * 3
    assert nn.functional_call(model.eval(), {}, x)[0].shape == (2, 1000)


@pytest.mark.parametrize("name", NAMES)
def test_names_are_torchvisions(name):
    count, spots = NAMES[name]
    state = models.create(name, num_classes=1000).state_dict()
    assert not set(spots.split()) - set(state)
    assert len(state) == count
