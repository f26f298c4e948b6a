"""How exact the shared NumPy kernels are, against the standard library and float64."""

import math

import numpy as np
import pytest

from pyconv.kernels.plain import normalization, random, reduction, softmax, unary


def test_erf_and_erfc_in_float64():
    x = np.concatenate([np.linspace(-6, 6, 20001), np.logspace(-300, 1.4, 500), [0.46875, 4.0, -4.0, 26.0]])
    np.testing.assert_allclose(unary.erf(x), [math.erf(v) for v in x], rtol=5e-16)
    np.testing.assert_allclose(unary.erfc(x), [math.erfc(v) for v in x], rtol=2e-15, atol=1e-307)


def test_erf_in_float32():
    x = np.linspace(-5, 5, 10001, dtype=np.float32)
    assert unary.erf(x).dtype == np.float32
    np.testing.assert_allclose(unary.erf(x), [math.erf(v) for v in x], rtol=3e-7)
    np.testing.assert_allclose(unary.erfc(x), [math.erfc(v) for v in x], rtol=3e-6)


def test_gelu_keeps_relative_accuracy_in_its_tail():
    x = np.linspace(-30, -5, 100)
    y = np.empty_like(x)
    unary.unary(y, x, "gelu")
    np.testing.assert_allclose(y, [v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in x], rtol=2e-13)


@pytest.mark.parametrize("name", unary.FUNCTIONS)
def test_float32_functions_stay_in_float32(name):
    """No Python number or constant may take the arithmetic to float64, twice as slow."""
    parameters = {"power": (2.5,), "leaky_relu": (0.1,), "clip": (-1.0, 1.0), "hardtanh": (-1.0, 1.0), "elu": (1.0,)}
    parameters["softplus"] = (1.0, 20.0)
    x = np.linspace(0.1, 1, 5, dtype=np.float32)
    forward, derivative = unary.FUNCTIONS[name]
    y = forward(x, *parameters.get(name, ()))
    assert y.dtype == np.float32
    assert derivative(x, y, *parameters.get(name, ())).dtype in (np.float32, bool)


def test_sums_of_many_float32_numbers():
    x = np.full((1000, 4, 1000), 0.1, np.float32)
    for array in (x, x.transpose(0, 2, 1).copy().transpose(0, 2, 1)):
        y = np.empty(4, np.float32)
        reduction.sum(y, array, (0, 2), False)
        np.testing.assert_allclose(y, np.float64(np.float32(0.1)) * 1e6, rtol=1e-7)


@pytest.mark.parametrize("offset", [0, 1e4])
def test_moments_far_from_zero(offset):
    x = (np.random.default_rng(0).standard_normal((64, 3, 500)) + offset).astype(np.float32)
    out = np.empty((2, 3), np.float32)
    normalization.moments(out, x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(out[0], exact.mean((0, 2)), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(out[1], exact.var((0, 2)), rtol=2e-7)


def test_variance_of_a_constant_is_exactly_0():
    out = np.empty((2, 1), np.float32)
    normalization.moments(out, np.full((100, 1, 7), 0.1, np.float32))
    assert out[1, 0] == 0


def test_softmax_of_huge_numbers():
    x = np.array([[1e30, 1e30], [-1e30, 0.0]], np.float32)
    y = np.empty_like(x)
    softmax.softmax(y, x, 1)
    assert y.tolist() == [[0.5, 0.5], [0.0, 1.0]]
    softmax.log_softmax(y, x, 1)
    np.testing.assert_allclose(y, [[-np.log(2), -np.log(2)], [-1e30, 0.0]], rtol=1e-6)


def test_dropout_mask_is_the_documented_stream():
    state = np.array([11, 3], np.uint64)
    mask = np.empty((3, 5))
    random.dropout_mask(mask, state, 0.25)
    words = np.random.Philox(key=11, counter=[0, 3, 0, 0]).random_raw(8)
    halves = [half for word in words.tolist() for half in (word & 0xFFFFFFFF, word >> 32)]
    expected = [0 if half < 0.25 * 2**32 else 1 / 0.75 for half in halves[:15]]
    assert mask.ravel().tolist() == expected
    shorter = np.empty(4, np.float32)
    random.dropout_mask(shorter, state, 0.25)
    np.testing.assert_array_equal(shorter, np.float32(expected[:4]))
