"""Each pass leaves what a graph computes as it was, and does its work."""

import numpy as np
import pytest
from graph_networks import NETWORKS, float64, network, normal

import pyconv as pc
import pyconv.functional as F
from pyconv import nn
from pyconv.graph.passes import (
    PASSES,
    common,
    constants,
    epilogue,
    flatten,
    identities,
    maxima,
    optimize,
    pooled,
    saved,
    unused,
)
from pyconv.graph.passes import batch_norm as folding
from pyconv.graph.trace import trace
from pyconv.graph.transforms import value_and_grad
from pyconv.kernels.spec import PoolSpec
from pyconv.ops.conv import Conv, ConvBackwardData
from pyconv.ops.elementwise import UnaryBackward
from pyconv.ops.linear import Linear
from pyconv.ops.pool import MaxPool, MaxPoolBackward


def traced(function, *arrays):
    return trace(function, arrays)[0]


def ops(graph):
    return [type(node.op).__name__ for node in graph.nodes]


def assert_same(before, after, *arrays):
    for a, b in zip(before.evaluate(*arrays), after.evaluate(*arrays), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-12)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("single", PASSES)
def test_a_pass_keeps_what_is_computed(name, single):
    model, arrays = network(name)
    before = traced(model, *arrays)
    assert_same(before, PASSES[single](before), *arrays)


@pytest.mark.parametrize("name", NETWORKS)
def test_all_passes_keep_what_is_computed(name):
    model, arrays = network(name)
    before = traced(model, *arrays)
    seen = []
    after = optimize(before, lambda name, graph: seen.append(name))
    assert seen == ["traced", *PASSES]
    assert_same(before, after, *arrays)
    assert_same(after, optimize(after), *arrays)


@pytest.mark.parametrize("name", ["resnet", "dense_head", "branches"])
def test_all_passes_keep_gradients(name):
    model, arrays = network(name)

    def gradients(x):
        return value_and_grad(lambda x: F.sum(F.mul(model(x), 0.5)))(x)

    before = traced(gradients, *arrays)
    assert_same(before, optimize(before), *arrays)


def test_unused_nodes_go():
    x = normal(2, 3)
    graph = traced(lambda x: (F.exp(x), F.relu(x))[1], x)
    whole = traced(lambda x: (F.exp(x), F.relu(x)), x)
    whole = type(whole)(whole.inputs, whole.outputs[1:], whole.nodes, whole.targets[1:])
    assert ops(graph) == ["Unary"]  # what is not returned is not even traced
    assert ops(unused.run(whole)) == ["Unary"]
    assert_same(whole, unused.run(whole), x)


def test_constants_are_computed_once():
    x, w = normal(2, 3), normal(3, 3)
    graph = common.run(traced(lambda x: F.matmul(x, F.exp(w) + 1), x))
    assert ops(constants.run(graph)) == ["MatMul"]
    late = traced(lambda x, y: F.mul(x, F.exp(y)), x, x)
    late = late.rewrite(lambda node, inputs: None)
    late.inputs[1].value = np.ones((2, 3))  # an input that turns out to be known
    assert ops(constants.run(late)) == ["Mul"]


def test_equal_computations_run_once():
    x = normal(2, 3)
    graph = traced(lambda x: F.exp(x) * 2 + F.exp(x) * 2 + F.leaky_relu(x, 0.1) + F.leaky_relu(x, 0.2), x)
    after = unused.run(common.run(graph))
    assert sorted(ops(after)) == ["Add", "Add", "Add", "Mul", "Unary", "Unary", "Unary"]
    assert_same(graph, after, x)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.reshape(F.reshape(x, (6, 4)), (2, 3, 4)),
        lambda x: F.transpose(F.transpose(x, 0, 2), 0, 2),
        lambda x: (x * 1.0 + 0.0) / 1.0 - 0.0,
        lambda x: 1.0 * x[:, :, :],
        lambda x: F.broadcast_to(x, (2, 3, 4)),
        lambda x: F.mul(x, np.broadcast_to(1.0, (2, 3, 4))),
    ],
)
def test_identities_go(function):
    graph = traced(function, normal(2, 3, 4))
    after = unused.run(identities.run(graph))
    assert after.nodes == ()
    assert_same(graph, after, normal(2, 3, 4))


def test_what_is_no_identity_stays():
    x = normal(2, 3, 4)
    for function in (
        lambda x: F.transpose(F.transpose(x, 0, 1), 1, 2),
        lambda x: F.mul(x, np.ones((5, 2, 3, 4))),  # broadcasts
        lambda x: 0.0 - x,
        lambda x: 1.0 / x,
        lambda x: F.mul(x, np.array([1.0, 1.0, 1.0, 2.0])),
    ):
        graph = traced(function, x)
        after = unused.run(identities.run(graph))
        assert after.nodes
        assert_same(graph, after, x)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6)), (2, 4, 5, 5)),
        (lambda: nn.Sequential(nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6, affine=False)), (2, 4, 5, 5)),
        (lambda: nn.Sequential(nn.ConvTranspose2d(4, 6, 3, 2, groups=2), nn.BatchNorm2d(6)), (2, 4, 5, 5)),
        (lambda: nn.Sequential(nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6)), (2, 4, 5)),
        (lambda: nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)), (3, 4)),
    ],
)
def test_batch_norm_goes_into_what_comes_before(layer, shape):
    model, x = float64(layer()), normal(*shape)
    graph = traced(model, x)
    after = unused.run(folding.run(graph))
    assert [type(node.op) for node in after.nodes] in ([Conv], [ConvBackwardData], [Linear])
    assert_same(graph, after, x)


def test_batch_norm_stays_where_its_input_has_another_reader():
    conv, norm = float64(nn.Conv2d(2, 3, 3)), float64(nn.BatchNorm2d(3))
    x = normal(1, 2, 5, 5)

    def both(x):
        y = conv(x)
        return norm(y), y

    graph = traced(both, x)
    assert ops(folding.run(graph)) == ["Conv", "Normalize"]


def test_derivatives_are_taken_from_the_result():
    x = normal(3, 4)
    graph = traced(lambda x: value_and_grad(lambda x: F.sum(F.relu(F.mul(x, 2.0))))(x), x)
    after = saved.run(graph)
    (backward,) = (node for node in after.nodes if isinstance(node.op, UnaryBackward))
    assert backward.inputs[1] is backward.inputs[2]
    assert_same(graph, after, x)


def test_flatten_becomes_a_view_of_channels_last():
    model = float64(nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(27, 4)))
    x = normal(2, 2, 5, 5)
    graph = traced(model, x)
    after = unused.run(flatten.run(graph))
    assert ops(after) == ["Conv", "Transpose", "Reshape", "Linear"]
    assert_same(graph, after, x)
    plain = traced(float64(nn.Sequential(nn.Flatten(), nn.Linear(50, 4))), x)  # the user's order stays
    assert ops(unused.run(flatten.run(plain))) == ["Reshape", "Linear"]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x, w: F.relu(F.conv2d(x, w, padding=1)), ["FusedConv"]),
        (lambda x, w: F.gelu(x + F.conv2d(x, w, padding=1)), ["FusedConv"]),
        (lambda x, w: F.conv2d(x, w, padding=1) + F.conv2d(x, w, padding=1), ["Conv", "FusedConv"]),
        (lambda x, w: F.conv2d(x, w, padding=1) + x + x, ["FusedConv", "Add"]),
        (lambda x, w: F.sigmoid(F.relu(F.conv2d(x, w, padding=1))), ["FusedConv", "Unary"]),
        (lambda x, w: F.leaky_relu(F.linear(x[0, 0], w[0, 0]) + x[0, 1], 0.3), ["FusedLinear"]),
        (lambda x, w: F.leaky_relu(F.linear(F.reshape(x, (30, 3)), w[0, 0]) + 1.0, 0.3), ["Linear", "Add", "Unary"]),
        (lambda x, w: F.elu(F.linear(F.reshape(x, (30, 3)), w[0, 0]) + F.reshape(x, (30, 3))), ["FusedLinear"]),
        (lambda x, w: F.exp(F.conv2d(x, w, padding=1)), ["Conv", "Unary"]),
        (lambda x, w: (F.relu(y := F.conv2d(x, w, padding=1)), y), ["Conv", "Unary"]),
        (lambda x, w: F.conv2d(x, w, padding=1) + x[:1], ["Conv", "Add"]),
        (lambda x, w: F.relu(F.conv2d(x, w, padding=1, algorithm="direct")), ["Conv", "Unary"]),
    ],
)
def test_epilogues_join_what_comes_before(function, expected):
    x, w = normal(2, 3, 5, 3), normal(3, 3, 3, 3, seed=1)
    graph = traced(lambda x: function(x, w), x)
    after = unused.run(epilogue.run(graph))
    assert [name for name in ops(after) if name not in ("Slice", "Reshape")] == expected
    if expected[0].startswith("Fused"):
        assert_same(graph, after, x)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x, w: F.max_pool2d(F.relu(F.conv2d(x, w)), 2), ["PooledConv"]),
        (lambda x, w: F.max_pool2d(F.conv2d(x, w, w[:, 0, 0, 0]), 2), ["PooledConv"]),
        (lambda x, w: F.max_pool2d(F.conv2d(x, w[:, :1], groups=2), 2), ["PooledConv"]),
        (lambda x, w: F.max_pool2d(F.conv2d(x, w[:2, :1], groups=2), 2), ["Conv", "MaxPool"]),  # depthwise
        (lambda x, w: F.max_pool2d(F.conv2d(x, F.concat([w, w])), 2), ["Conv", "MaxPool"]),  # many channels
        (lambda x, w: F.max_pool2d(F.gelu(F.conv2d(x, w)), 2), ["FusedConv", "MaxPool"]),
        (lambda x, w: F.max_pool2d(F.relu(F.conv2d(x, w) + 1.0), 2), ["Conv", "Add", "Unary", "MaxPool"]),
        (lambda x, w: F.max_pool2d(F.conv2d(x, w), 2, ceil_mode=True), ["Conv", "MaxPool"]),
        (lambda x, w: F.max_pool2d(F.conv2d(x, w), 3, 2), ["Conv", "MaxPool"]),
        (lambda x, w: (F.max_pool2d(y := F.conv2d(x, w), 2), y), ["Conv", "MaxPool"]),
        (lambda x, w: F.max_pool2d(F.conv2d(x, w, algorithm="direct"), 2), ["Conv", "MaxPool"]),
    ],
)
def test_maxima_join_a_convolution_of_few_channels(function, expected):
    x, w = normal(2, 2, 8, 7), normal(4, 2, 3, 3, seed=1)
    graph = epilogue.run(constants.run(traced(lambda x: function(x, w), x)))
    after = unused.run(maxima.run(graph))
    assert ops(after) == expected
    assert_same(graph, after, x)


def test_fused_kernels_agree_in_every_backend(backend):
    x, w, v = normal(2, 3, 5, 5), normal(3, 3, 3, 3, seed=1), normal(4, 2, seed=2)

    def function(x):
        y = F.silu(F.conv2d(x, w, padding=1) + x)
        y = F.max_pool2d(F.relu(F.conv2d(y, w, padding=1)), 2)
        return F.tanh(F.linear(F.reshape(y, (12, 2)), v))

    graph = optimize(traced(function, x))
    assert {"FusedConv", "PooledConv", "FusedLinear"} <= set(ops(graph))
    expected = function(x)
    with pc.backend(backend):
        (y,) = graph.evaluate(x)
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


def relu_and_pool(pool):
    """Gradients of ReLU and a pooling, with ties, zeros of both signs, and windows in which nothing is positive."""
    x = np.random.default_rng(3).integers(-4, 3, (2, 3, 9, 8)).astype(np.float64)
    x[0, 0, 0] = -0.0
    graph = traced(value_and_grad(lambda x: F.sum(F.mul(pool(F.relu(F.mul(x, 1.5))), 0.5))), x)
    return unused.run(saved.run(graph)), x


@pytest.mark.parametrize("options", [(2,), (3, 2, 1), (2, 2, 0, 1, True), (3, 1, 1, 2)])
def test_relu_moves_behind_maximum_pooling(options):
    before, x = relu_and_pool(lambda x: F.max_pool2d(x, *options))
    after = unused.run(pooled.run(before))
    for a, b in zip(before.evaluate(x), after.evaluate(x), strict=True):
        np.testing.assert_array_equal(a, b)
    (dpool,) = (node for node in after.nodes if isinstance(node.op, MaxPoolBackward))
    (relu,) = (node for node in after.nodes if node.op == pooled.RELU)
    assert relu.size < x.size
    assert dpool.inputs[1].shape == x.shape
    assert len(after.nodes) == len(before.nodes)


def test_relu_stays_where_something_else_reads_it():
    def twice(x):
        y = F.relu(x)
        return F.sum(F.max_pool2d(y, 2)) + F.sum(y)

    x = np.random.default_rng(3).standard_normal((1, 2, 4, 4))
    before = unused.run(saved.run(traced(value_and_grad(twice), x)))
    assert ops(pooled.run(before)) == ops(before)
    inference = traced(lambda x: F.max_pool2d(F.relu(x), 2), x)
    assert ops(pooled.run(inference)) == ops(inference)


def test_relu_stays_where_its_gradient_is_not_that_of_the_pool_alone():
    spec = PoolSpec((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))

    def doubled(x):
        y = pooled.RELU(x)
        pool = MaxPool(spec)(y)
        return pooled.RELU_BACKWARD(2.0 * MaxPoolBackward(spec)(pool, y), y, y)

    before = traced(doubled, np.random.default_rng(4).standard_normal((1, 2, 4, 4)))
    assert ops(pooled.run(before)) == ops(before)
