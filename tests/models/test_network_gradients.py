"""The gradient of every family by all of its parameters, in training, against finite differences in float64."""

import numpy as np
import pytest
from families import FAMILIES

import pyconv.functional as F
from pyconv import nn
from pyconv.graph.transforms import value_and_grad


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
