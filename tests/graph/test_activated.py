"""Normalization with its epilogue: fused where nothing else reads what is in between, with the same gradients."""

import numpy as np
import pytest
from graph_networks import float64, normal

import pyconv as pc
import pyconv.functional as F
from pyconv import nn
from pyconv.graph.passes import activated, common, identities, optimize, saved, unused
from pyconv.graph.passes.epilogue import ACTIVATIONS
from pyconv.graph.trace import trace
from pyconv.graph.transforms import value_and_grad
from pyconv.ops.elementwise import Unary

PARAMETERS = {"leaky_relu": (0.1,), "clip": (-0.5, 1.0), "hardtanh": (0.0, 1.0), "elu": (1.5,)}
SHAPE = (3, 4, 5, 6)


def activation(name):
    return Unary(name, PARAMETERS.get(name, ()))


def gradients(function, *arrays):
    """The graph of the gradients of a function of x in x and in batch norm's parameters, before the pass."""

    def value(values):
        return F.sum(F.mul(function(*values), F.reshape(np.linspace(-1, 1, 4), (4, 1, 1))))

    graph, _ = trace(lambda *values: value_and_grad(value)(list(values)), arrays)
    return unused.run(saved.run(common.run(identities.run(graph))))


def ops(graph):
    return sorted(type(node.op).__name__ for node in graph.nodes if "Norm" in type(node.op).__name__) + sorted(
        type(node.op).__name__ for node in graph.nodes if "Unary" in type(node.op).__name__
    )


def normalized(x, w, b):
    return F.batch_norm(x, None, None, w, b, training=True)


def assert_same(before, after, *arrays):
    for a, b in zip(before.evaluate(*arrays), after.evaluate(*arrays), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-12)


ARRAYS = normal(*SHAPE), normal(4, seed=1), normal(4, seed=2)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_joins_batch_norm_forward_and_backward(name, backend):
    before = gradients(lambda x, w, b: activation(name)(normalized(x, w, b)), *ARRAYS)
    after = unused.run(activated.run(before))
    backward = ["FusedBatchNormBackward", "FusedNormalize", "FusedNormalizeSums"]
    if name in ("sigmoid", "tanh"):  # derivatives from the result
        backward = ["BatchNormBackward", "FusedNormalize", "NormalizeSums", "UnaryBackward"]
    elif name not in activated.QUICK:
        backward = ["BatchNorm", "BatchNormBackward", "NormalizeSums", "Unary", "UnaryBackward"]
    assert ops(after) == backward
    with pc.backend(backend):
        assert_same(before, after, *ARRAYS)


@pytest.mark.parametrize("given", [(True, False), (False, True), (False, False)])
def test_without_gain_or_bias(given):
    x, *affine = ARRAYS
    w, b = (a if there else None for a, there in zip(affine, given, strict=True))
    before = gradients(lambda x: F.hardswish(normalized(x, w, b)), x)
    after = unused.run(activated.run(before))
    assert not any("Unary" in name for name in ops(after))
    assert_same(before, after, x)


def test_a_residual_joins_batch_norm():
    residual = normal(*SHAPE, seed=3)
    before = gradients(lambda x, w, b, r: F.relu(r + normalized(x, w, b)), *ARRAYS, residual)
    after = unused.run(activated.run(before))
    assert ops(after) == ["BatchNormBackward", "FusedNormalize", "NormalizeSums", "UnaryBackward"]
    (fused,) = (node for node in after.nodes if type(node.op).__name__ == "FusedNormalize")
    assert fused.inputs[4] is after.inputs[3]
    assert fused.op.activation == "relu"
    assert_same(before, after, *ARRAYS, residual)


def test_two_normalizations_that_meet():
    before = gradients(lambda x, w, b: F.relu(normalized(x, w, b) + normalized(F.sigmoid(x), w, b)), *ARRAYS)
    after = unused.run(activated.run(before))
    assert ops(after).count("FusedNormalize") == 1
    assert_same(before, after, *ARRAYS)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w, b: F.relu(y := normalized(x, w, b)) * y,
        lambda x, w, b: (y := normalized(x, w, b)) + y,
        lambda x, w, b: normalized(x, w, b) + F.reshape(b, (4, 1, 1)),
        lambda x, w, b: F.exp(normalized(x, w, b)),
    ],
)
def test_what_something_else_reads_stays(function):
    before = gradients(function, *ARRAYS)
    after = unused.run(activated.run(before))
    assert "BatchNorm" in ops(after)
    assert_same(before, after, *ARRAYS)


def test_fixed_statistics_take_an_activation_too():
    model, x = float64(nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3))), ARRAYS[0]
    graph, _ = trace(model, [x])
    after = optimize(graph)
    assert [type(node.op).__name__ for node in after.nodes] == ["FusedNormalize", "Conv"]
    assert_same(graph, after, x)


def test_a_plan_keeps_no_array_between(backend):
    """Of three arrays a layer (x, the normalized x and the result) two are kept for the backward pass."""
    x = normal(4, 4, 32, 32)

    def step(x):
        y = x
        for _ in range(4):
            y = F.hardswish(normalized(F.avg_pool2d(y, 3, 1, 1), *ARRAYS[1:]))
        return F.sum(y * y)

    with pc.backend(backend):
        plan = pc.compile(lambda x: value_and_grad(step)(x), x)
        _, gradient = plan(x)
    expected = value_and_grad(step)(x)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-10, atol=1e-10)
    assert plan.live_bytes < 9 * x.nbytes
