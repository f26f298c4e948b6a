"""Reverse mode over recorded nodes."""

import numpy as np
import pytest

from pyconv.graph.differentiate import gradients, topological_order
from pyconv.ops.node import Node


def test_inputs_come_before_what_is_made_of_them():
    a, b = Node.leaf(np.ones(2)), Node.leaf(np.ones(2))
    c = a * b
    d = c + a
    order = topological_order(d)
    place = {id(node): i for i, node in enumerate(order)}
    assert place[id(a)] < place[id(c)] < place[id(d)]
    assert place[id(b)] < place[id(c)]
    assert len(order) == 4


def test_a_chain_longer_than_the_recursion_limit():
    x = Node.leaf(np.ones(1))
    y = x
    for _ in range(3000):
        y = y + 1
    assert gradients(y, [x])[0].tolist() == [1.0]


def test_cotangents_add_up_where_a_value_is_used_twice():
    x = Node.leaf(np.array([3.0]))
    y = x * x + x * 2
    assert gradients(y, [x])[0].tolist() == [8.0]


def test_zeros_where_nothing_reaches_and_a_given_cotangent():
    x, unused = Node.leaf(np.array([3.0, 4.0])), Node.leaf(np.ones((2, 2), np.float32))
    dx, none = gradients(x * 2, [x, unused], dy=np.array([1.0, 10.0]))
    assert dx.tolist() == [2.0, 20.0]
    assert none.shape == (2, 2)
    assert none.dtype == np.float32
    assert not none.any()


def test_gradients_of_inner_values():
    x = Node.leaf(np.array([3.0]))
    y = x * x
    z = y * y
    dx, dy, dz = gradients(z, [x, y, z])
    assert (dx.tolist(), dy.tolist(), dz.tolist()) == ([108.0], [18.0], [1.0])


def test_no_gradient_flows_through_a_comparison():
    x = Node.leaf(np.array([1.0, -1.0]))
    assert gradients((x > 0) * x, [x])[0].tolist() == [1.0, 0.0]


def test_symbolic_gradients_are_nodes():
    x = Node.placeholder((2,), np.float64)
    (dx,) = gradients(x * x, [x])
    assert isinstance(dx, Node)
    assert dx.value is None


def test_an_op_without_a_gradient_says_so():
    from pyconv.kernels.spec import PoolSpec
    from pyconv.ops.pool import MaxPoolIndices

    x = Node.leaf(np.ones((1, 1, 4)))
    y = MaxPoolIndices(PoolSpec((2,), (2,), ((0, 0),), (1,)))(x)
    with pytest.raises(TypeError, match="MaxPoolIndices has no gradient"):
        gradients(y, [x])
