"""Shuffles of channels and pixels, and stochastic depth: against PyTorch, exactly, and what they refuse."""

import numpy as np
import pytest

import pyconv.functional as F
from pyconv.graph.transforms import check_gradients, value_and_grad
from pyconv.ops.node import Node

CASES = [
    ("channel_shuffle", (2, 6, 3, 4), 2),
    ("channel_shuffle", (2, 6, 3, 4), 3),
    ("channel_shuffle", (2, 4, 5), 1),
    ("pixel_shuffle", (2, 8, 3, 4), 2),
    ("pixel_shuffle", (18, 1, 2), 3),
    ("pixel_shuffle", (2, 2, 4, 3, 1), 2),
    ("pixel_unshuffle", (2, 2, 6, 4), 2),
    ("pixel_unshuffle", (1, 6, 9), 3),
]


@pytest.mark.parametrize(("name", "shape", "factor"), CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shuffles_agree_with_pytorch(name, shape, factor, dtype):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    tensor = torch.tensor(x, requires_grad=True)
    expected = getattr(torch.nn.functional, name)(tensor, factor)
    weights = np.random.default_rng(1).standard_normal(tuple(expected.shape)).astype(dtype)
    (expected * torch.tensor(weights)).sum().backward()
    function = getattr(F, name)
    y = function(x, factor)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, expected.detach().numpy())
    _, dx = value_and_grad(lambda x: F.sum(F.mul(function(x, factor), weights)))(x)
    np.testing.assert_array_equal(dx, tensor.grad.numpy())


@pytest.mark.parametrize(("name", "shape", "factor"), CASES)
def test_shuffles_record_and_differentiate(name, shape, factor):
    function = getattr(F, name)
    x = np.random.default_rng(0).standard_normal(shape)
    check_gradients(lambda x: function(x, factor), x)
    assert function(Node.placeholder(shape, np.float32), factor).shape == function(x, factor).shape


def test_unshuffle_undoes_shuffle_in_any_memory_order():
    x = np.asfortranarray(np.random.default_rng(0).standard_normal((2, 12, 3, 5)))[:, ::-1]
    np.testing.assert_array_equal(F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2), x)
    np.testing.assert_array_equal(F.channel_shuffle(F.channel_shuffle(x, 3), 4), x)
    assert F.channel_shuffle(x[:0], 3).shape == (0, 12, 3, 5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.channel_shuffle(np.zeros((1, 4, 2)), 3), ValueError, "C a multiple of groups = 3, its shape is"),
        (lambda: F.channel_shuffle(np.zeros(4), 2), ValueError, "x must be"),
        (lambda: F.channel_shuffle(np.zeros((1, 4, 2)), 0), ValueError, "groups must be at least 1, not 0"),
        (lambda: F.pixel_shuffle(np.zeros((1, 6, 2, 2)), 2), ValueError, "upscale_factor² = 4 channels"),
        (lambda: F.pixel_shuffle(np.zeros((4, 2)), 2), ValueError, "x must have at least 3 axes"),
        (lambda: F.pixel_unshuffle(np.zeros((1, 1, 4, 3)), 2), ValueError, "multiples of downscale_factor = 2"),
        (lambda: F.pixel_unshuffle(np.zeros((1, 1, 4, 4)), 1.5), TypeError, "downscale_factor must be an int"),
        (lambda: F.stochastic_depth(np.float64(1)), ValueError, "x must have at least one axis"),
        (lambda: F.stochastic_depth(np.ones(3), 1.5), ValueError, "p must lie in 0 … 1, not 1.5"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_stochastic_depth_drops_whole_samples():
    state = np.array([3, 0], np.uint64)
    x = np.random.default_rng(0).standard_normal((400, 2, 3)).astype(np.float32)
    y = F.stochastic_depth(x, 0.25, rng_state=state)
    dropped = ~y.any((1, 2))
    assert abs(dropped.mean() - 0.25) < 0.1  # more than four standard deviations
    np.testing.assert_array_equal(y[~dropped], x[~dropped] * np.float32(1 / 0.75))
    np.testing.assert_array_equal(F.stochastic_depth(x, 0.25, rng_state=state), y)
    assert F.stochastic_depth(x, 0.25, training=False) is x
    check_gradients(lambda x: F.stochastic_depth(x, 0.25, rng_state=state), x[:6])
