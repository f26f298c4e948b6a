"""Recomputation: the same results in less memory."""

import copy

import numpy as np
import pytest
from graph_networks import normal

import pyconv.functional as F
from pyconv import models, nn, optim
from pyconv.graph.passes import recompute, saved, unused
from pyconv.graph.trace import trace
from pyconv.graph.transforms import value_and_grad
from pyconv.ops.conv import Conv
from pyconv.ops.norm import BatchNorm
from pyconv.train.compiled import compile_training_step


def chain(blocks, activation, norm=True):
    layers = []
    for _ in range(blocks):
        layers += [nn.Conv2d(8, 8, 3, padding=1, bias=not norm), *([nn.BatchNorm2d(8)] if norm else []), activation()]
    return nn.Sequential(*layers, nn.GlobalAvgPool(), nn.Flatten())


def gradient_graph(model, x):
    params = dict(model.named_parameters())
    names = list(params)

    def function(x, *values):
        def loss(values):
            output, _ = nn.functional_call(model, dict(zip(names, values, strict=True)), x)
            return F.sum(output * output)

        return value_and_grad(loss)(list(values))

    arrays = [x, *params.values()]
    graph, _ = trace(function, arrays)
    return unused.run(saved.run(graph)), arrays


@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU])
def test_the_graph_computes_the_same_with_less_at_one_time(activation):
    model = chain(6, activation).astype(np.float64).train()
    graph, arrays = gradient_graph(model, normal(2, 8, 10, 10))
    after = recompute.run(graph)
    for got, expected in zip(after.evaluate(*arrays), graph.evaluate(*arrays), strict=True):
        np.testing.assert_array_equal(got, expected)
    before_bytes, bytes_ = (recompute.Lives(g).most for g in (graph, after))
    assert bytes_ < 0.7 * before_bytes
    count = [sum(isinstance(n.op, BatchNorm) for n in g.nodes) for g in (graph, after)]
    assert count[0] < count[1] <= 2.5 * count[0]
    assert sum(isinstance(n.op, Conv) for n in after.nodes) == 6  # what is dear runs once


def test_what_follows_from_nothing_that_is_kept_stays():
    """Of a convolution and a ReLU the backward pass keeps one array alone."""
    graph, _ = gradient_graph(chain(4, nn.ReLU, norm=False).astype(np.float64), normal(2, 8, 10, 10))
    assert recompute.run(graph) is graph


@pytest.mark.parametrize("parts", [1, 2])
def test_a_residual_network_trains_the_same_in_less_memory(parts):
    nn.init.manual_seed(0)
    model = models.create("resnet20", num_classes=10).astype(np.float64)
    twin = copy.deepcopy(model)
    x, y = normal(8, 3, 32, 32), np.arange(8)
    plans = [
        compile_training_step(m, "cross_entropy", optim.SGD(lr=0.1), x, y, accumulate=parts, recompute=again)
        for m, again in ((model, False), (twin, True))
    ]
    for _ in range(2):
        losses = [plan(x, y)[0] for plan in plans]
        np.testing.assert_allclose(*losses, rtol=1e-12)
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    assert plans[1].memory < 0.75 * plans[0].memory


def test_resnet18_for_cifar_needs_less():
    model = models.create("resnet18_cifar", num_classes=10)
    x, y = np.zeros((32, 3, 32, 32), np.float32), np.zeros(32, np.int64)
    kept, recomputed = (
        compile_training_step(model, "cross_entropy", optim.SGD(lr=0.1), x, y, recompute=again)
        for again in (False, True)
    )
    assert recomputed._latest.code.placement.live_bytes < 0.85 * kept._latest.code.placement.live_bytes


def test_random_masks_are_drawn_again_alike():
    nn.init.manual_seed(0)
    model = nn.Sequential(*(layer for _ in range(6) for layer in (nn.Linear(64, 64), nn.GELU(), nn.Dropout(0.3))))
    model = model.astype(np.float64)
    twin = copy.deepcopy(model)
    x, y = normal(256, 64), np.zeros(256, np.int64)
    plans = [
        compile_training_step(m, "cross_entropy", optim.Adam(), x, y, precision="float64", recompute=again)
        for m, again in ((model, False), (twin, True))
    ]
    for _ in range(3):
        for plan in plans:
            plan(x, y)
    for (name, a), b in zip(model.named_parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=name)
    for a, b in zip(model.buffers(), twin.buffers(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert plans[1].memory < 0.8 * plans[0].memory


def test_parameters_are_updated_as_soon_as_their_gradient_is_known():
    """So of six gradients of one size no more than two are needed at one time."""
    model = nn.Sequential(*(nn.Linear(200, 200, bias=False) for _ in range(6))).astype(np.float64)
    twin = copy.deepcopy(model)
    x, y = normal(4, 200), np.arange(4)
    optimizer = optim.SGD(lr=0.1, momentum=0.9)
    plan = compile_training_step(model, "cross_entropy", optimizer, x, y)
    assert plan.memory < 3.5 * model[0].weight.nbytes
    params, state = dict(twin.named_parameters()), optimizer.init(dict(twin.named_parameters()))
    for _ in range(3):
        plan(x, y)
        loss = value_and_grad(lambda p: F.cross_entropy(nn.functional_call(twin, p, x)[0], y))
        params, state = optimizer.update(params, loss(params)[1], state)
    for name, array in model.named_parameters():
        np.testing.assert_allclose(array, params[name], rtol=1e-10, atol=1e-13)
