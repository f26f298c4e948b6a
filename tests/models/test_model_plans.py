"""Every network as a plan, in inference and as a whole step of training, computes what it does op by op."""

import warnings

import numpy as np
import pytest
from families import NETWORKS, smooth_

import pyconv as pc
import pyconv.functional as F
from pyconv import kernels, nn, optim
from pyconv.graph.tree import leaves
from pyconv.train.step import Inputs, TrainingStep
from pyconv.train.stepper import Compiled, Eager

BACKENDS = ("native", "numba", "im2col")
# Of the largest number among the arrays that are compared: some hold nothing but rounding errors, such as the gradient
# of a bias before a normalization. Passes reorder sums, dozens of which follow each other.
TOLERANCE = {"float64": 1e-12, "float32": 1e-4}


def use(backend):
    """A context in which the backend is used."""
    if (reason := kernels.available(backend)) is not None:
        pytest.skip(reason)
    return pc.backend(backend)


def made(name, dtype):
    make, size = NETWORKS[name]
    nn.init.manual_seed(0)
    model = make().astype(dtype)
    for module in model.modules():
        if hasattr(module, "rng_state"):
            module.rng_state = np.array([7, 0], np.uint64)
    x = np.random.default_rng(0).standard_normal((2, 2, size, size)).astype(dtype)
    return model, x


def assert_close(ours, expected, tolerance, what):
    pairs = list(zip(leaves(ours), leaves(expected), strict=True))
    bound = tolerance * max((np.abs(b).max(initial=0) for _, b in pairs), default=0)
    for a, b in pairs:
        assert np.abs(np.subtract(a, b, dtype=np.float64)).max(initial=0) <= bound, what


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NETWORKS)
def test_inference(name, backend, dtype):
    model, x = made(name, dtype)
    model.eval()
    with use(backend), pc.compile(model, x) as plan:
        assert_close(plan(x), model(x), TOLERANCE[dtype], dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NETWORKS)
def test_step_of_training(name, backend, dtype):
    """Loss, parameters, buffers and gradients (which the momentum is at first) after one step."""
    after = []
    for engine in (Eager(), Compiled()):
        model, x = made(name, dtype)
        if dtype == "float32":
            smooth_(model)
        step = TrainingStep(model.train(), cost, optim.SGD(lr=1e-3, momentum=0.9))
        with warnings.catch_warnings(), use(backend):
            warnings.simplefilter("error")  # a step that cannot be compiled warns and runs op by op
            loss, _, state = engine.run(step, step.state(), Inputs(x, np.array([0, 2])))
        after.append((loss, state["params"], state["buffers"], state["optimizer"]["momentum"]))
    for what, expected, ours in zip(("loss", "parameters", "buffers", "gradients"), *after, strict=True):
        assert_close(ours, expected, TOLERANCE[dtype], what)


def cost(output, target):
    """Squares of all outputs of networks that have several, or one for each pixel; the cross-entropy of the others."""
    outputs = output if isinstance(output, tuple) else (output,)
    if len(outputs) == 1 and output.ndim == 2:
        return F.cross_entropy(output, target)
    return sum(F.mean(F.mul(y, y)) for y in outputs)
