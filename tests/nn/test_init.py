"""Initialisers: ranges, moments, orthogonality, seeds."""

import math

import numpy as np
import pytest

from pyconv import nn
from pyconv.nn import init

SHAPE = (64, 32, 3, 3)  # fan_in 288, fan_out 576


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("fill", "bound"),
    [
        (lambda a, g: init.uniform_(a, -2, 2, g), 2),
        (lambda a, g: init.xavier_uniform_(a, generator=g), math.sqrt(6 / (288 + 576))),
        (lambda a, g: init.kaiming_uniform_(a, nonlinearity="relu", generator=g), math.sqrt(6 / 288)),
        (lambda a, g: init.kaiming_uniform_(a, mode="fan_out", a=1, generator=g), math.sqrt(3 / 576)),
    ],
)
def test_uniform_initialisers_fill_their_range(fill, bound, dtype):
    array = np.empty(SHAPE, dtype)
    assert fill(array, np.random.default_rng(0)) is array
    assert np.abs(array).max() <= bound * (1 + 1e-6)
    assert np.abs(array).max() > 0.99 * bound
    assert abs(array.mean()) < 5 * bound / math.sqrt(3 * array.size)  # five standard errors


@pytest.mark.parametrize(
    ("fill", "std"),
    [
        (lambda a, g: init.normal_(a, 0, 3, g), 3),
        (lambda a, g: init.xavier_normal_(a, gain=2, generator=g), 2 * math.sqrt(2 / (288 + 576))),
        (lambda a, g: init.kaiming_normal_(a, nonlinearity="relu", generator=g), math.sqrt(2 / 288)),
        (lambda a, g: init.kaiming_normal_(a, mode="fan_out", nonlinearity="tanh", generator=g), 5 / 3 / 24),
    ],
)
def test_normal_initialisers_have_their_deviation(fill, std):
    array = fill(np.empty(SHAPE, np.float32), np.random.default_rng(0))
    np.testing.assert_allclose(array.std(), std, rtol=5 / math.sqrt(2 * array.size))
    assert abs(array.mean()) < 5 * std / math.sqrt(array.size)


@pytest.mark.parametrize("shape", [(4, 10), (10, 4), (8, 2, 2, 2), (3, 4, 5)])
def test_orthogonal_rows_or_columns(shape):
    matrix = init.orthogonal_(np.empty(shape), gain=2, generator=np.random.default_rng(0)).reshape(shape[0], -1)
    small = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-12)


def test_constants_fill_any_memory_order():
    array = np.empty((4, 3), order="F")[::2]
    init.constant_(array, 3)
    assert (array == 3).all()
    assert (init.ones_(array) == 1).all()
    assert (init.zeros_(array) == 0).all()
    init.uniform_(array)
    assert (array >= 0).all()


def test_layers_start_as_pytorchs_do():
    generator = np.random.default_rng(0)
    layer = nn.Conv2d(8, 64, 3, groups=2, generator=generator)
    bound = 1 / math.sqrt(8 / 2 * 9)
    for array in (layer.weight, layer.bias):
        assert 0.9 * bound < np.abs(array).max() <= bound
    transposed = nn.ConvTranspose2d(8, 64, 3, groups=2, generator=generator)
    bound = 1 / math.sqrt(64 / 2 * 9)  # PyTorch takes the weight's second axis for the inputs here too
    assert 0.9 * bound < np.abs(transposed.weight).max() <= bound


def test_seeds_repeat():
    def weights():
        model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Dropout(), nn.Linear(2, 2))
        return {**dict(model.named_parameters()), **dict(model.named_buffers())}

    assert isinstance(init.manual_seed(3), np.random.Generator)
    first = weights()
    second = weights()
    init.manual_seed(3)
    third = weights()
    for name in first:
        np.testing.assert_array_equal(first[name], third[name])
        assert (first[name] != second[name]).any()
    alone = nn.Linear(2, 2, generator=np.random.default_rng(1)).weight
    np.testing.assert_array_equal(alone, nn.Linear(2, 2, generator=np.random.default_rng(1)).weight)


def test_gains_agree_with_pytorch():
    torch = pytest.importorskip("torch")
    for nonlinearity in ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert init.calculate_gain(nonlinearity) == pytest.approx(torch.nn.init.calculate_gain(nonlinearity), rel=1e-15)
    assert init.calculate_gain("leaky_relu", 0.3) == pytest.approx(torch.nn.init.calculate_gain("leaky_relu", 0.3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: init.calculate_gain("swish"), "nonlinearity must be one of leaky_relu, linear"),
        (lambda: init.kaiming_normal_(np.empty((2, 2)), mode="fan_avg"), "mode must be fan_in or fan_out"),
        (lambda: init.xavier_normal_(np.empty(3)), "at least 2 axes"),
        (lambda: init.orthogonal_(np.empty(3)), "at least 2 axes to be orthogonal"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
