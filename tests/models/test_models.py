"""Networks by name: shapes, sizes, gradients, and what the names promise."""

import numpy as np
import pytest

import pyconv.functional as F
from pyconv import models, nn, optim
from pyconv.graph.transforms import value_and_grad

SIZES = {"lenet5": 28, "digitsnet": 8, "mnistnet": 28, "catnet": 64, "cifarnet": 32, "resnet20": 32, "airbench94": 32}


@pytest.mark.parametrize("name", SIZES)
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


def test_unet_wants_sizes_that_it_can_halve():
    model = models.create("unet", num_classes=3, in_channels=1, width=4, batch_norm=True)
    assert model(np.zeros((1, 1, 32, 48), np.float32)).shape == (1, 3, 32, 48)
    with pytest.raises(ValueError, match=r"multiples of 16, not \(32, 40\)"):
        model(np.zeros((1, 1, 32, 40), np.float32))


def test_airbench94_whitens():
    """Patches of images like those it has seen come out uncorrelated, with variance 1."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((300, 3, 8, 8)).cumsum(2).cumsum(3)
    images -= images.mean()
    model = models.create("airbench94").astype(np.float64)
    model.whiten(images, eps=0)
    y = model.whitening(images).transpose(1, 0, 2, 3).reshape(24, -1)
    np.testing.assert_allclose(y[:12], -y[12:], rtol=1e-12)
    np.testing.assert_allclose(y[:12] @ y[:12].T / y.shape[1], np.eye(12), atol=1e-9)
    with pytest.raises(ValueError, match=r"images must be \(N, 3, H, W\)"):
        model.whiten(images[:, :2])
    assert "whitening.weight" not in dict(model.named_parameters())
    assert "whitening.weight" in dict(models.create("airbench94", frozen=False).named_parameters())


def test_airbench94_starts_near_the_identity():
    group = models.create("airbench94").groups[0]
    x = np.random.default_rng(0).standard_normal((1, 24, 6, 6), np.float32)
    np.testing.assert_allclose(group.conv1(x)[:, :24], x, rtol=1e-5, atol=1e-5)  # Winograd rounds
    assert group.norm1.weight is None


@pytest.mark.usefixtures("undrawn")
def test_stochastic_depth_grows_with_depth():
    for name, last in (("efficientnet_b0", 0.2 * 15 / 16), ("convnext_tiny", 0.1)):
        layers = [m for m in models.create(name, features=True).modules() if isinstance(m, nn.StochasticDepth)]
        rates = [layer.p for layer in layers]
        assert rates[0] == 0
        assert rates[-1] == pytest.approx(last)
        assert np.ptp(np.diff(rates)) < 1e-12


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
        (("resnet0",), ValueError, "model must be one of airbench94, alexnet, .*, vgg19_bn, not 'resnet0'"),
        (("lenet5", 0), ValueError, "num_classes must be at least 1, not 0"),
        (("lenet5", 10, 0), ValueError, "in_channels must be at least 1, not 0"),
        (("lenet5", 2.5), TypeError, "num_classes must be an int"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        models.create(*arguments)
