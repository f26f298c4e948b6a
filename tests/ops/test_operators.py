"""Node's operators and methods behave as ndarray's."""

import operator

import numpy as np
import pytest

from pyconv.ops.node import Node

A = np.array([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]], np.float32)
B = np.array([2.0, 0.5, -1.0], np.float32)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "lt", "le", "gt", "ge", "eq", "ne"])
@pytest.mark.parametrize("other", [B, 2, 0.5, np.float64(3)], ids=["array", "int", "float", "float64"])
def test_binary_operators(name, other):
    function = getattr(operator, name)
    for got, want in (
        (function(Node.leaf(A), other), function(A, other)),
        (function(other, Node.leaf(A)), function(other, A)),
        (function(Node.leaf(A), Node.leaf(np.asarray(other))), function(A, np.asarray(other))),
    ):
        np.testing.assert_array_equal(np.asarray(got), want)
        assert (got.dtype, got.shape) == (want.dtype, want.shape)


def test_powers():
    for exponent in (2, 0.5, -1, 0):
        np.testing.assert_array_equal(np.asarray(Node.leaf(np.abs(A)) ** exponent), np.abs(A) ** exponent)
    np.testing.assert_allclose(np.asarray(2 ** Node.leaf(A)), 2**A)
    np.testing.assert_allclose(np.asarray(Node.leaf(np.abs(A)) ** B), np.abs(A) ** B)


@pytest.mark.parametrize(
    "function",
    [
        operator.neg,
        abs,
        len,
        lambda x: x @ B,
        lambda x: B[:2] @ x,
        lambda x: x.T,
        lambda x: x.transpose(1, 0),
        lambda x: x.transpose((-1, 0)),
        lambda x: x.reshape(3, 2),
        lambda x: x.reshape((-1, 2)),
        lambda x: x.reshape(-1),
        lambda x: x.sum(),
        lambda x: x.sum(axis=1, keepdims=True),
        lambda x: x.mean(0),
        lambda x: x.max(-1),
        lambda x: x.min((0, 1)),
        lambda x: x[0],
        lambda x: x[-1, ::-2],
        lambda x: x[..., None, 1:],
        lambda x: x[None, :, 5:],
        lambda x: x[:, ::-1][:, 0],
    ],
)
def test_methods(function):
    np.testing.assert_array_equal(np.asarray(function(Node.leaf(A))), function(A))


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (2, IndexError, "axis 0"),
        ((0, 0, 0), IndexError, "too many"),
        ((..., 0, ...), IndexError, "Ellipsis"),
        (np.array([0, 1]), TypeError, "F.where"),
        (True, TypeError, "bool"),
        ("a", TypeError, "str"),
    ],
)
def test_bad_keys(key, error, message):
    with pytest.raises(error, match=message):
        Node.leaf(A)[key]


def test_bad_shapes():
    with pytest.raises(ValueError, match="6 elements"):
        Node.leaf(A).reshape(4, 2)
    with pytest.raises(ValueError, match="6 elements"):
        Node.leaf(A).reshape(-1, 4)
    with pytest.raises(ValueError, match="2 rows"):
        Node.leaf(A[:, :2]) @ Node.leaf(A.T)


def test_nodes_are_keys_by_identity():
    a, b = Node.leaf(A), Node.leaf(A)
    assert {a: 1, b: 2}[a] == 1
