"""value_and_grad, grad and check_gradients."""

import doctest
from collections import namedtuple

import numpy as np
import pytest

import pyconv as pc
import pyconv.functional as F
from pyconv.graph import transforms
from pyconv.graph.transforms import check_gradients, grad, value_and_grad
from pyconv.ops.node import Node


def cube(x):
    return F.sum(x**3)


def test_examples():
    assert doctest.testmod(transforms).failed == 0


def test_it_is_public():
    assert pc.value_and_grad is value_and_grad
    assert pc.grad is grad


def test_value_and_gradient_are_arrays():
    value, gradient = value_and_grad(cube)(np.array([1.0, 2.0], np.float32))
    assert (type(value), value.shape, value.dtype, value) == (np.ndarray, (), np.float32, 9)
    assert (type(gradient), gradient.dtype, gradient.tolist()) == (np.ndarray, np.float32, [3.0, 12.0])


def test_structures():
    Pair = namedtuple("Pair", "left right")
    params = {"b": [np.array(2.0), (np.array([1.0]), None)], "a": Pair(np.ones(2), {})}

    def loss(p):
        return p["b"][0] * F.sum(p["b"][1][0]) + F.sum(p["a"].left) * 3

    _, grads = value_and_grad(loss)(params)
    assert list(grads) == ["b", "a"]
    assert grads["b"][0] == 1
    assert grads["b"][1][0].tolist() == [2.0]
    assert grads["b"][1][1] is None
    assert type(grads["a"]) is Pair
    assert grads["a"].left.tolist() == [3.0, 3.0]
    assert grads["a"].right == {}


def test_argnums_and_keywords():
    def loss(a, b, *, scale):
        return F.sum(a * b) * scale

    a, b = np.array([1.0]), np.array([5.0])
    assert grad(loss, argnums=1)(a, b, scale=2).tolist() == [2.0]
    assert [g.tolist() for g in grad(loss, argnums=(1, 0))(a, b, scale=2)] == [[2.0], [10.0]]
    assert grad(loss, argnums=-1)(a, b, scale=2).tolist() == [2.0]
    assert grad(lambda x: x * x)(3.0) == 6


def test_aux():
    def loss(x):
        y = x * 2
        return F.sum(y), {"y": y, "n": 3, "nothing": None, "names": ("a", "b")}

    (value, aux), gradient = value_and_grad(loss, has_aux=True)(np.ones(2))
    assert value == 4
    assert type(aux["y"]) is np.ndarray
    assert (aux["n"], aux["nothing"], aux["names"]) == (3, None, ("a", "b"))
    assert gradient.tolist() == [2.0, 2.0]
    gradient, aux = grad(loss, has_aux=True)(np.ones(2))
    assert aux["n"] == 3


def test_gradients_may_be_written_into():
    def loss(a, b):
        return F.sum(a + b) + F.sum(F.reshape(a, 4))

    a, b = np.ones((2, 2)), np.ones((2, 2))
    da, db = grad(loss, argnums=(0, 1))(a, b)
    da += 1
    db *= 5
    assert da.tolist() == [[3.0, 3.0]] * 2
    assert db.tolist() == [[5.0, 5.0]] * 2
    da, db = grad(lambda a, b: F.sum(a) + F.sum(b) * 0, argnums=(0, 1))(a, b)
    da += 1
    assert db.tolist() == [[0.0, 0.0]] * 2


def test_what_does_not_depend_on_the_argument():
    value, gradient = value_and_grad(lambda x: np.float64(7))(np.ones(3))
    assert value == 7
    assert gradient.tolist() == [0.0] * 3


def test_second_and_third_derivatives():
    x = np.array(2.0)
    assert grad(grad(lambda x: x**4))(x) == 48
    assert grad(grad(grad(lambda x: x**4)))(x) == 48
    assert grad(lambda x: x * grad(lambda y: x * y * y)(x))(x) == 6 * 2**2  # d/dx of x · 2x·x


def test_inner_gradients_by_an_outer_value_alone():
    outer = np.array([2.0, 3.0])
    # the inner function is differentiated by y, the outer by what it merely closes over
    result = grad(lambda x: F.sum(grad(lambda y: F.sum(x * x * y))(np.ones(2))))(outer)
    assert result.tolist() == [4.0, 6.0]


def test_gradient_penalty():
    w, x = np.random.default_rng(0).standard_normal((2, 4, 3))

    def penalty(w):
        slope = grad(lambda x: F.sum(F.tanh(F.linear(x, w))))(x)
        return F.mean((F.sum(slope * slope, 1) - 1) ** 2)

    check_gradients(penalty, w)


def test_symbolic_arguments_give_symbolic_results():
    value, gradient = value_and_grad(cube)(Node.placeholder((2,), np.float32))
    assert isinstance(value, Node)
    assert gradient.shape == (2,)
    assert gradient.value is None


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: grad(cube)(np.arange(3)), TypeError, "int64 array"),
        (lambda: grad(cube)({"a": "text"}), TypeError, "str"),
        (lambda: grad(cube)(np.ones(2, np.float16)), TypeError, "float16"),
        (lambda: grad(lambda x: x * 2)(np.ones(2)), ValueError, r"scalar.*\(2,\)"),
        (lambda: grad(lambda x: None)(np.ones(2)), TypeError, "NoneType"),
        (lambda: grad(cube, argnums=1)(np.ones(2)), ValueError, "argument 1"),
        (lambda: grad(cube, has_aux=True)(np.ones(2)), TypeError, "pair"),
    ],
)
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_an_error_inside_leaves_no_trace():
    with pytest.raises(ZeroDivisionError):
        grad(lambda x: 1 / 0)(np.ones(2))
    assert type(grad(cube)(np.ones(2))) is np.ndarray


def test_check_gradients_finds_a_wrong_rule(monkeypatch):
    from pyconv.ops.elementwise import UnaryBackward

    check_gradients(F.tanh, np.linspace(-1, 1, 7, dtype=np.float32))
    check_gradients(lambda p, labels: F.cross_entropy(p["x"], labels), {"x": np.ones((2, 3))}, np.array([0, 1]))
    monkeypatch.setattr(UnaryBackward, "compute", lambda self, dy, x, y: dy * 0.9)
    with pytest.raises(AssertionError, match=r"array 0 of the arguments, element \(0,\): the gradient is"):
        check_gradients(F.tanh, np.linspace(-1, 1, 7))


def test_check_gradients_refuses_what_is_not_finite():
    with pytest.raises(AssertionError, match="not finite"):
        check_gradients(F.log, np.array([-1.0]))
