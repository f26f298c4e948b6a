"""Every network as a plan, in inference and as a whole step of training, computes what it does op by op."""

import warnings

import numpy as np
import pytest
from families import FAMILIES

import pyconv as pc
import pyconv.functional as F
from pyconv import kernels, models, nn, optim
from pyconv.graph.tree import leaves
from pyconv.train.step import Inputs, TrainingStep
from pyconv.train.stepper import Compiled, Eager

CHAINS = {"lenet5": 28, "digitsnet": 8, "mnistnet": 28, "catnet": 32, "cifarnet": 16}
SMALL = ("lenet5", "digitsnet", "mnistnet", "resnet20", "airbench94", "alexnet", "vgg11_bn", "squeezenet1_1")
NETWORKS = {**FAMILIES, **{name: (lambda name=name: models.create(name, 3, 2), size) for name, size in CHAINS.items()}}
# The graph is the same in all backends: where they run it op by op, a network of each kind of block shows it.
STEPS = [("native", name) for name in NETWORKS]
STEPS += [(backend, name) for backend in ("numba", "im2col") for name in ("lenet5", "resnet20", "unet")]
# Of the largest number among the arrays that are compared: some hold nothing but rounding errors, such as the gradient
# of a bias before a normalization. Normalizations over the four values of a channel that are left of small images
# enlarge what float32 rounds, and dozens of them follow each other in a backward pass.
TOLERANCE = {"float64": 1e-12, "float32": 1e-4}
GRADIENTS = {"float64": 1e-10, "float32": 1e-2}


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
    x = np.random.default_rng(0).standard_normal((4, 2, size, size)).astype(dtype)
    return model, x


def assert_close(ours, expected, tolerance, what):
    pairs = list(zip(leaves(ours), leaves(expected), strict=True))
    bound = tolerance * max((np.abs(b).max(initial=0) for _, b in pairs), default=0)
    for a, b in pairs:
        assert np.abs(np.subtract(a, b, dtype=np.float64)).max(initial=0) <= bound, what


@pytest.mark.parametrize("backend", ["native", "numba", "im2col"])
@pytest.mark.parametrize("name", NETWORKS)
def test_inference(name, backend):
    for dtype in TOLERANCE if backend == "native" else ["float64"]:
        model, x = made(name, dtype)
        model.eval()
        with use(backend), pc.compile(model, x) as plan:
            assert_close(plan(x), model(x), TOLERANCE[dtype], dtype)


@pytest.mark.parametrize(("backend", "name"), STEPS)
def test_step_of_training(backend, name):
    for dtype in TOLERANCE if name in SMALL else ["float64"]:
        after = []
        for engine in (Eager(), Compiled()):
            model, x = made(name, dtype)
            step = TrainingStep(model.train(), cost, optim.SGD(lr=1e-3, momentum=0.9))
            with warnings.catch_warnings(), use(backend):
                warnings.simplefilter("error")  # a step that cannot be compiled warns and runs op by op
                loss, _, state = engine.run(step, step.state(), Inputs(x, np.array([0, 2, 1, 0])))
            after.append((loss, state["params"], state["buffers"], state["optimizer"]["momentum"]))
        for part, bound in enumerate((*[TOLERANCE[dtype]] * 3, GRADIENTS[dtype])):
            assert_close(after[1][part], after[0][part], bound, (part, dtype))


def cost(output, target):
    """Squares of all outputs of networks that have several, or one for each pixel; the cross-entropy of the others."""
    outputs = output if isinstance(output, tuple) else (output,)
    if len(outputs) == 1 and output.ndim == 2:
        return F.cross_entropy(output, target)
    return sum(F.mean(F.mul(y, y)) for y in outputs)
