"""Empty arrays, arrays without axes, mixed types, foreign arrays: what is accepted besides the usual."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import pyconv.functional as F
from pyconv.graph.transforms import grad


@pytest.mark.parametrize(
    "module", [m.name for m in pkgutil.iter_modules(F.__path__) if m.name not in ("arguments", "descriptors")]
)
def test_examples_run_and_every_function_has_one(module):
    module = importlib.import_module(f"pyconv.functional.{module}")
    assert doctest.testmod(module).failed == 0
    assert all(getattr(module, name).__doc__ for name in module.__all__)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_empty_batches(dtype):
    x, images = np.empty((0, 3), dtype), np.empty((0, 4, 5, 6), dtype)
    v = np.ones(4, dtype)
    for y, shape in (
        (F.relu(x), (0, 3)),
        (F.gelu(x), (0, 3)),
        (F.softmax(x, 0), (0, 3)),
        (F.log_softmax(x[:, :0], 1), (0, 0)),
        (F.add(x, 1), (0, 3)),
        (F.where(x > 0, x, 0), (0, 3)),
        (F.sum(x, 0), (3,)),
        (F.max(x, 1), (0,)),
        (F.linear(x, np.ones((2, 3), dtype)), (0, 2)),
        (F.batch_norm(images, v, v, v, v), images.shape),
        (F.layer_norm(images, 6), images.shape),
        (F.group_norm(images, 2), images.shape),
        (F.instance_norm(images), images.shape),
        (F.local_response_norm(images, 3), images.shape),
        (F.dropout(x), (0, 3)),
        (F.pad(images, (1, 1)), (0, 4, 5, 8)),
        (F.pad(images, (1, 1), "circular"), (0, 4, 5, 8)),
        (F.interpolate(images, 3), (0, 4, 3, 3)),
        (F.interpolate(images, 3, mode="bilinear"), (0, 4, 3, 3)),
        (F.concat([x, x], 1), (0, 6)),
        (F.flatten(images, 1), (0, 120)),
        (F.cross_entropy(x, np.empty(0, int), reduction="none"), (0,)),
        (F.cross_entropy(x, np.empty(0, int), reduction="sum"), ()),
    ):
        assert (y.shape, y.dtype) == (shape, dtype)
    assert grad(lambda x: F.sum(F.softmax(F.linear(x, np.ones((2, 3), dtype)))))(x).shape == (0, 3)
    weight = grad(lambda w: F.sum(F.linear(x, w)))(np.ones((2, 3), dtype))
    np.testing.assert_array_equal(weight, np.zeros((2, 3)))


def test_arrays_without_axes():
    x = np.array(-2.0, np.float32)
    for function in (F.relu, F.abs, F.sum, F.mean, F.max, F.sigmoid, F.dropout):
        y = function(x)
        assert (type(y), y.shape, y.dtype) == (np.ndarray, (), np.float32)


def test_numbers_adopt_precision_and_integers_promote():
    x = np.ones(3, np.float32)
    for y in (F.add(x, 1), F.mul(2.5, x), F.div(1, x), F.pow(x, 2), F.maximum(x, 0.5), F.where(x > 0, x, 0.0)):
        assert y.dtype == np.float32
    assert F.mul(x, x > 0).dtype == np.float32
    assert F.div(np.arange(3), 2).tolist() == [0.0, 0.5, 1.0]
    assert F.add(np.arange(3), 0.5).tolist() == [0.5, 1.5, 2.5]
    assert F.where(np.array([True, False]), 1.0, 2).tolist() == [1.0, 2.0]


def test_targets_of_any_integer_type_and_hinge_of_integers():
    x = np.array([[1.0, 2.0], [3.0, 1.0]])
    expected = F.cross_entropy(x, np.array([0, 1]))
    for dtype in (np.uint8, np.int32, np.uint64):
        assert F.cross_entropy(x, np.array([0, 1], dtype)) == expected
    assert F.hinge_loss(x, np.array([[1, -1], [1, 1]])) == 0.75


def test_torch_tensors_come_in():
    torch = pytest.importorskip("torch")
    x = torch.linspace(-1, 1, 6).reshape(2, 3)
    for function in (F.relu, F.softmax, lambda t: F.add(t, t), lambda t: F.reshape(t, 6), lambda t: F.concat([t, t])):
        np.testing.assert_array_equal(function(x), function(x.numpy()))
    np.testing.assert_array_equal(
        F.cross_entropy(x, torch.tensor([0, 2])), F.cross_entropy(x.numpy(), np.array([0, 2]))
    )


def test_views_share_memory():
    x = np.zeros((2, 3))
    for y in (F.reshape(x, 6), F.transpose(x, 0, 1), F.getitem(x, 1), *F.split(x, 1), F.broadcast_to(x, (2, 2, 3))):
        assert np.shares_memory(x, y)


def test_no_warnings_where_numpy_has_them(recwarn):
    x = np.array([0.0, -1.0, np.inf, np.nan])
    for function in (F.log, F.sqrt, F.exp, F.softmax, F.sum, lambda v: F.div(v, 0), lambda v: F.pow(v, 0.5)):
        function(x)
        grad(lambda v, f=function: F.sum(f(v)))(x)
    assert not recwarn.list


def test_dropout_depends_on_its_state_alone():
    x = np.ones((3, 7), np.float32)
    state = np.array([3, 0], np.uint64)
    first = F.dropout(x, 0.4, rng_state=state)
    np.testing.assert_array_equal(first, F.dropout(x, 0.4, rng_state=state))
    np.testing.assert_array_equal(first, F.dropout(x.T.copy().T, 0.4, rng_state=state))
    assert (first != F.dropout(x, 0.4, rng_state=state + np.array([0, 1], np.uint64))).any()
    assert (first != F.dropout(x, 0.4, rng_state=state + np.array([1, 0], np.uint64))).any()
    assert (F.dropout(np.ones(64)) != F.dropout(np.ones(64))).any()
    assert F.dropout(x, 0.0) is x
    assert F.dropout(x, training=False) is x
    assert not F.dropout(x, 1.0).any()


def test_dropout_drops_the_share_it_is_told():
    state = np.array([2**63 + 5, 2**64 - 1], np.uint64)
    for p in (0.1, 0.5, 0.9):
        y = F.dropout(np.ones(200_000), p, rng_state=state)
        assert abs((y == 0).mean() - p) < 4 * (p * (1 - p) / y.size) ** 0.5  # four standard deviations
        np.testing.assert_allclose(y[y != 0], 1 / (1 - p))
    planes = F.dropout2d(np.ones((50, 20, 2, 3)), 0.5, rng_state=state)
    assert (planes == planes[:, :, :1, :1]).all()
    assert 400 < (planes[:, :, 0, 0] == 0).sum() < 600
    assert F.dropout1d(np.ones((4, 3)), 0.5, rng_state=state).shape == (4, 3)
