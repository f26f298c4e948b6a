"""The gradient of every network by all of its parameters, in training and float64: finite differences and PyTorch."""

import numpy as np
import pytest
from families import NETWORKS, smooth_

import pyconv.functional as F
from pyconv import nn
from pyconv.bench.twins import torch_twin
from pyconv.graph.trace import trace
from pyconv.graph.transforms import value_and_grad

# Of the largest gradient; before a normalization they are small differences of larger numbers. PyTorch's hardsigmoid
# multiplies float64 gradients by the sixth that float32 knows, which is 3e-8 of it off.
TOLERANCE = {"mobilenet_v3_small": 1e-7}


def made(name, batch=4):
    """The network in training, away from where its parameters start, and a batch of images."""
    make, size = NETWORKS[name]
    nn.init.manual_seed(0)
    model = make().astype(np.float64)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, 2, size, size))
    for array in model.parameters():  # biases start at 0, where ReLU has its kink
        array += 0.01 * rng.standard_normal(array.shape)
    return model, x


def weighted(model, x, draw):
    """A function of the parameters: the sum of all outputs, each times a number of its own."""
    weights = None

    def cost(params):
        nonlocal weights
        outputs = nn.functional_call(model, params, x)[0]
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        if weights is None:
            weights = [draw(y.shape) for y in outputs]
        return sum(F.sum(F.mul(y, w)) for y, w in zip(outputs, weights, strict=True))

    return cost


def assert_slope(cost, params, grads, direction, step):
    """The central difference along a direction; steps are so small that they cross no kink."""
    ahead, behind = (cost({name: a + h * direction[name] for name, a in params.items()}) for h in (step, -step))
    terms = [float((grads[name] * direction[name]).sum()) for name in params]
    assert (ahead - behind) / (2 * step) == pytest.approx(sum(terms), rel=1e-6, abs=1e-6 * np.linalg.norm(terms))


@pytest.mark.parametrize("name", NETWORKS)
def test_finite_difference_along_the_ascent(name):
    """Every parameter moves so as to raise the cost: the terms add up, none can hide behind another."""
    model, x = made(name)
    params = dict(model.named_parameters())
    cost = weighted(model, x, np.random.default_rng(1).standard_normal)
    _, grads = value_and_grad(cost)(params)
    assert all(np.isfinite(g).all() for g in grads.values())
    direction = {name: np.sign(g) * np.abs(params[name]).mean() for name, g in grads.items()}
    assert_slope(cost, params, grads, direction, 1e-9)  # the cost is exact to about 1e-15 of a slope of thousands


@pytest.mark.parametrize("name", NETWORKS)
def test_finite_differences_along_drawn_directions(name):
    model, x = made(name, batch=2)
    smooth_(model)
    params = dict(model.named_parameters())
    rng = np.random.default_rng(1)
    cost = weighted(model, x, rng.standard_normal)
    _, grads = value_and_grad(cost)(params)
    for _ in range(2):
        direction = {name: rng.standard_normal(a.shape) * np.abs(a).mean() for name, a in params.items()}
        assert_slope(cost, params, grads, direction, 1e-7)


def by_twin(model, x):
    """A function of PyTorch, and its parameters by name."""
    graph, _ = trace(model.eval(), [x])
    names = {id(array): name for name, array in model.named_parameters()}
    function, tensors = torch_twin(graph, model.parameters())
    order = [names[id(node.value)] for node in graph.constants() if id(node.value) in names]
    return function, dict(zip(order, tensors, strict=True))


def by_hand(model, x):
    """The same for ConvNeXt, whose normalizations are no op of PyTorch's that a twin could name."""
    import torch
    import torch_networks

    state = {name: torch.tensor(array, requires_grad=True) for name, array in model.named_parameters()}
    return lambda x: torch_networks.convnext_tiny(state, x), state


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.usefixtures("one_torch_thread")
def test_pytorch(name):
    torch = pytest.importorskip("torch")
    model, x = made(name, batch=2)
    smooth_(model)
    for module in model.modules():
        if isinstance(module, nn.Dropout | nn.StochasticDepth):
            module.p = 0  # PyTorch draws other numbers
    function, tensors = (by_hand if name == "convnext" else by_twin)(model, x)
    output = function(torch.from_numpy(x))
    weights = np.random.default_rng(1).standard_normal(output.shape)
    (output * torch.from_numpy(weights)).sum().backward()

    def cost(params):
        y = nn.functional_call(model.train(), params, x)[0]
        return F.sum(F.mul(y[0] if isinstance(y, tuple) else y, weights))  # PyTorch's has no auxiliary outputs

    value, grads = value_and_grad(cost)(dict(model.named_parameters()))
    assert value == pytest.approx(float((output.detach().numpy() * weights).sum()), rel=1e-10)
    largest = max(np.abs(g).max() for g in grads.values())
    assert largest > 0
    for key, g in grads.items():
        expected = tensors[key].grad.numpy() if key in tensors else np.zeros_like(g)
        assert key in tensors or key.startswith("aux")
        np.testing.assert_allclose(g, expected, rtol=0, atol=TOLERANCE.get(name, 1e-10) * largest, err_msg=key)
