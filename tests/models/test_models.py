"""Networks by name: shapes, sizes, gradients, and what the names promise."""

import numpy as np
import pytest

import pyconv.functional as F
from pyconv import models, nn, optim
from pyconv.graph.transforms import value_and_grad

SIZES = {"lenet5": 28, "digitsnet": 8, "mnistnet": 28, "catnet": 64, "cifarnet": 32}


def test_every_model_has_a_size_here():
    assert set(models.names()) == set(SIZES)


@pytest.mark.parametrize("name", models.names())
def test_a_step_of_training_lowers_the_cost(name):
    nn.init.manual_seed(0)
    model = models.create(name, num_classes=3, in_channels=2)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 2, SIZES[name], SIZES[name])).astype(np.float32)
    y = np.arange(6) % 3
    assert model.eval()(x).shape == (6, 3)
    params = dict(model.named_parameters())

    def cost(params):
        return F.cross_entropy(nn.functional_call(model, params, x)[0], y)

    before, grads = value_and_grad(cost)(params)
    assert all(np.isfinite(g).all() and g.any() for g in grads.values())
    optimizer = optim.SGD(lr=1e-3)
    after = cost(optimizer.update(params, grads, optimizer.init(params))[0])
    assert after < before


@pytest.mark.parametrize("name", ["catnet", "cifarnet"])
def test_globally_pooled_networks_take_any_size(name):
    model = models.create(name, num_classes=2).eval()
    assert model(np.zeros((1, 3, 40, 24), np.float32)).shape == (1, 2)


def test_lenet5_has_the_papers_sizes():
    rows = models.create("lenet5", in_channels=1).summary((1, 28, 28)).rows
    shapes = [row.output_shape for row in rows if row.parameters]
    assert shapes == [(6, 28, 28), (16, 10, 10), (120,), (84,), (10,)]
    assert rows[0].parameters == 156  # the paper's C1


def test_seeds_repeat_and_options_pass():
    nn.init.manual_seed(5)
    first = models.create("cifarnet", width=8)
    nn.init.manual_seed(5)
    second = models.create("cifarnet", width=8)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert first.num_parameters() < models.create("cifarnet").num_parameters()
    assert first.recipe == {"name": "cifarnet", "num_classes": 10, "in_channels": 3, "width": 8}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("resnet0",), ValueError, "model must be one of catnet, cifarnet, digitsnet, lenet5, mnistnet, not 'resnet0'"),
        (("lenet5", 0), ValueError, "num_classes must be at least 1, not 0"),
        (("lenet5", 10, 0), ValueError, "in_channels must be at least 1, not 0"),
        (("lenet5", 2.5), TypeError, "num_classes must be an int"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        models.create(*arguments)
