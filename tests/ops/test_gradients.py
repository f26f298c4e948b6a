"""Every op's gradient rule, and the rule of its backward op, by finite differences in float64."""

import numpy as np
import pytest

from pyconv.graph.transforms import check_gradients, grad
from pyconv.kernels.plain.unary import FUNCTIONS
from pyconv.kernels.resample import ResampleSpec
from pyconv.ops import elementwise as e
from pyconv.ops import linear, loss, norm, shape, softmax, statistics
from pyconv.ops.reduce import Broadcast, Reshape, Sum

PARAMETERS = {
    "power": (2.5,),
    "leaky_relu": (0.1,),
    "clip": (-0.5, 0.5),
    "hardtanh": (-0.5, 0.5),
    "elu": (1.3,),
    "softplus": (1.5, 20.0),
}
POSITIVE = ("log", "log1p", "sqrt", "power")


def normal(*size, seed=0):
    return np.random.default_rng(seed).standard_normal(size)


def positive(*size, seed=0):
    return np.abs(normal(*size, seed=seed)) + 0.2


def apart(*size, seed=0):
    """Numbers at least 0.01 apart, so that no maximum changes under a finite difference."""
    return np.random.default_rng(seed).permutation(np.arange(np.prod(size)) * 0.1 - 1.23).reshape(size)


def check_twice(function, *inputs):
    """The gradient of function, and for each input that of its gradient."""
    check_gradients(function, *inputs)
    for i in range(len(inputs)):
        first = grad(lambda *a: statistics.sum(e.power(function(*a), 3)), argnums=i)
        check_gradients(first, *inputs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_unary(name):
    x = positive(20) if name in POSITIVE else normal(20)
    check_twice(e.Unary(name, PARAMETERS.get(name, ())), x)


@pytest.mark.parametrize("op", [e.add, e.sub, e.mul, e.maximum, e.minimum, lambda a, b: e.where(a > b, a, b)])
@pytest.mark.parametrize("sizes", [((3, 4), (3, 4)), ((3, 4), (4,)), ((1, 4), (3, 1)), ((), (2, 2))])
def test_binary(op, sizes):
    check_twice(op, normal(*sizes[0]), normal(*sizes[1], seed=1))


@pytest.mark.parametrize("op", [e.div, e.power])
def test_division_and_power(op):
    check_twice(op, positive(3, 4), positive(4, seed=1))
    check_twice(op, positive(3, 1), positive(3, 4, seed=1))


def test_power_at_zero():
    base, exponent = np.array([0.0, 0.0, 2.0]), np.array([0.0, 3.0, 0.0])
    by_base, by_exponent = grad(lambda a, b: statistics.sum(e.power(a, b)), argnums=(0, 1))(base, exponent)
    assert by_base.tolist() == [0.0, 0.0, 0.0]
    np.testing.assert_allclose(by_exponent, [0.0, 0.0, np.log(2)])


def test_equals_share_the_gradient():
    a = np.array([1.0, 2.0])
    for op in (e.maximum, e.minimum):
        by_a, by_b = grad(lambda a, b, op=op: statistics.sum(op(a, b)), argnums=(0, 1))(a, a.copy())
        assert by_a.tolist() == by_b.tolist() == [0.5, 0.5]
    assert grad(lambda x: statistics.max(x))(np.array([1.0, 3.0, 3.0])).tolist() == [0.0, 0.5, 0.5]


def test_mixed_precision_gives_each_operand_its_own():
    by_a, by_b = grad(lambda a, b: statistics.sum(e.mul(a, b)), argnums=(0, 1))(np.ones(3, np.float32), np.full(3, 2.0))
    assert (by_a.dtype, by_b.dtype) == (np.float32, np.float64)
    assert by_a.tolist() == [2.0] * 3


@pytest.mark.parametrize(
    "function",
    [
        Sum((0, 2)),
        Sum((1,), keepdims=True),
        Reshape((6, 4)),
        Broadcast((5, 2, 3, 4)),
        lambda x: statistics.mean(x, (0, 2)),
        lambda x: statistics.mean(x, -1, True),
        lambda x: statistics.max(x, 1),
        lambda x: statistics.min(x, (0, 2), True),
        lambda x: shape.transpose(x, (2, 0, 1)),
        lambda x: shape.getitem(x, (slice(None, None, -1), ..., None, slice(3, 0, -2))),
        lambda x: shape.getitem(x, (1, slice(0, 0))),
        lambda x: shape.Concat(1)(x, x * x),
        shape.Pad(((1, 2), (0, 0), (-1, 1)), "constant", 3.0),
        shape.Pad(((1, 1), (1, 2), (-1, 3)), "reflect"),
        shape.Pad(((3, 1), (1, 0), (0, -2)), "replicate"),
        shape.Pad(((2, 1), (0, 3), (-1, 2)), "circular"),
    ],
)
def test_moving_and_reducing(function):
    check_twice(function, apart(2, 3, 4))


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "linear", "cubic"])
@pytest.mark.parametrize("align_corners", [False, True])
def test_interpolate(mode, align_corners):
    check_twice(shape.Interpolate(ResampleSpec((5, 2), mode, align_corners)), normal(2, 2, 3, 4))


@pytest.mark.parametrize(
    ("a", "b"), [((3, 4), (4, 2)), ((4,), (4, 2)), ((3, 4), (4,)), ((5, 3, 4), (4, 2)), ((3,), (3,))]
)
def test_matmul(a, b):
    check_twice(linear.matmul, normal(*a), normal(*b, seed=1))


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_transposed_matmul(transpose_a, transpose_b):
    a, b = normal(3, 4), normal(4, 2, seed=1)
    check_twice(linear.MatMul(transpose_a, transpose_b), a.T if transpose_a else a, b.T if transpose_b else b)


def test_linear():
    check_twice(linear.Linear(), normal(3, 4), normal(2, 4, seed=1), normal(2, seed=2))
    check_twice(lambda x, w: linear.Linear()(x, w, None), normal(3, 4), normal(2, 4, seed=1))


@pytest.mark.parametrize("size", [(4, 2), (3, 2, 4), (2, 2, 3, 2)])
def test_batch_norm(size):
    def batch_norm(x, *affine):
        return norm.BatchNorm(1e-2)(x, norm.Moments()(x), *(affine or (None, None)))

    check_twice(batch_norm, normal(*size), normal(2, seed=1), normal(2, seed=2))
    check_twice(batch_norm, normal(*size))


def test_normalize_with_given_moments():
    def normalize(x, moments, *affine):
        return norm.Normalize(1e-2)(x, moments, *(affine or (None, None)))

    check_twice(normalize, normal(3, 2, 4), positive(2, 2), normal(2, seed=1), normal(2, seed=2))
    check_gradients(normalize, normal(3, 2, 4), positive(2, 2))
    check_twice(norm.Moments(), normal(3, 2, 4))


@pytest.mark.parametrize("op", [softmax.Softmax, softmax.LogSoftmax])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_softmax(op, axis):
    check_twice(op(axis), normal(2, 3, 4))


LABELS = np.array([[0, 1, -100], [1, 3, 0]])


@pytest.mark.parametrize("weight", [None, positive(4, seed=3)], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(weight, smoothing):
    check_twice(lambda x: loss.CrossEntropy(smoothing)(x, LABELS, weight), normal(2, 4, 3))
    target = positive(2, 4, 3, seed=1)
    check_gradients(lambda x, t: loss.SoftCrossEntropy(smoothing)(x, t, weight), normal(2, 4, 3), target)
    check_twice(lambda x: loss.SoftCrossEntropy(smoothing)(x, target, weight), normal(2, 4, 3))


@pytest.mark.parametrize("weight", [None, positive(4, seed=3)], ids=["unweighted", "weighted"])
def test_other_losses(weight):
    check_twice(lambda x: loss.NLL()(x, LABELS, weight), normal(2, 4, 3))
    positives = None if weight is None else weight[:, None]
    check_gradients(lambda x, t: loss.BCEWithLogits()(x, t, positives), normal(2, 4, 3), positive(2, 4, 3))
    check_twice(lambda x: loss.BCEWithLogits()(x, positive(2, 4, 3), positives), normal(2, 4, 3))
