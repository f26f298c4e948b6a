"""The gradient of every family by all of its parameters, in training, against finite differences in float64."""

import numpy as np
import pytest

import pyconv.functional as F
from pyconv import models, nn
from pyconv.graph.transforms import value_and_grad
from pyconv.models.convnext import ConvNeXt
from pyconv.models.densenet import DenseNet
from pyconv.models.resnet import Bottleneck, ResNet

# name: (how to make a small one, size of the images)
FAMILIES = {
    "airbench94": (lambda: models.create("airbench94", 3, 2, widths=(8, 16, 16)), 24),
    "alexnet": (lambda: models.create("alexnet", 3, 2, hidden=8), 64),
    "bottlenecks": (lambda: ResNet(Bottleneck, (1, 2, 1), 3, 2, widths=(8, 16, 32)), 48),
    "convnext": (lambda: ConvNeXt((1, 1, 2, 1), (8, 12, 16, 20), 3, 2, layer_scale=0.5), 64),
    "densenet": (lambda: DenseNet((2, 2, 3, 2), 3, 2, growth=8, width=16), 64),
    "efficientnet_b0": (lambda: models.create("efficientnet_b0", 3, 2), 64),
    "googlenet": (lambda: models.create("googlenet", 3, 2, auxiliary=True), 64),
    "mobilenet_v2": (lambda: models.create("mobilenet_v2", 3, 2), 64),
    "mobilenet_v3_small": (lambda: models.create("mobilenet_v3_small", 3, 2), 64),
    "resnet20": (lambda: models.create("resnet20", 3, 2), 16),
    "shufflenet_v2_x0_5": (lambda: models.create("shufflenet_v2_x0_5", 3, 2), 64),
    "squeezenet1_1": (lambda: models.create("squeezenet1_1", 3, 2), 48),
    "unet": (lambda: models.create("unet", 3, 2, width=4, batch_norm=True), 32),
    "vgg11_bn": (lambda: models.create("vgg11_bn", 3, 2, hidden=8), 32),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_along_the_ascent_of_every_parameter(family):
    make, size = FAMILIES[family]
    nn.init.manual_seed(0)
    model = make().astype(np.float64)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 2, size, size))
    params = dict(model.named_parameters())
    for array in params.values():  # away from 0, where biases start and ReLU has its kink
        array += 0.01 * rng.standard_normal(array.shape)
    weights = None

    def cost(params):
        nonlocal weights
        outputs = nn.functional_call(model, params, x)[0]
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        if weights is None:
            weights = [rng.standard_normal(y.shape) for y in outputs]
        return sum(F.sum(F.mul(y, w)) for y, w in zip(outputs, weights, strict=True))

    _, grads = value_and_grad(cost)(params)
    assert all(np.isfinite(g).all() for g in grads.values())
    # every parameter moves so as to raise the cost: the terms add up, none can hide behind another
    direction = {name: np.sign(g) * np.abs(params[name]).mean() for name, g in grads.items()}
    eps = 1e-9  # small enough to cross no kink, and the cost is exact to 1e-16 of a slope of thousands
    ahead, behind = (cost({name: a + step * direction[name] for name, a in params.items()}) for step in (eps, -eps))
    slope = sum(float((grads[name] * direction[name]).sum()) for name in params)
    assert slope > 0
    assert (ahead - behind) / (2 * eps) == pytest.approx(slope, rel=1e-6)
