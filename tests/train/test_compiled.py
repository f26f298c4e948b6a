"""A compiled step of training does what the eager one does: loss, output, parameters, statistics, optimizer's state."""

import copy

import numpy as np
import pytest

import pyconv as pc
import pyconv.functional as F
from pyconv import nn, optim
from pyconv.graph.tree import leaves
from pyconv.train.compiled import compile_training_step


class Residual(nn.Module):
    def __init__(self):
        self.stem, self.norm = nn.Conv2d(2, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.conv, self.second = nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6, momentum=None)
        self.drop, self.head = nn.Dropout(0.3), nn.Linear(6 * 3 * 3, 5)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm(self.stem(x))), 2)
        x = F.gelu(x + F.tanh(self.second(self.conv(x))))
        return self.head(self.drop(F.flatten(x, 1)))


def make_model(dtype=np.float64):
    nn.init.manual_seed(3)
    model = Residual()
    model.drop.rng_state = np.array([11, 0], np.uint64)
    state = {k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in model.state_dict().items()}
    model.load_state_dict(state, assign=True)
    return model


def eager_step(model, loss, optimizer, state, x, y):
    params, buffers = dict(model.named_parameters()), dict(model.named_buffers())

    def cost(params):
        output, updates = nn.functional_call(model, params, x)
        return loss(output, y), (output, updates)

    (value, (output, updates)), grads = pc.value_and_grad(cost, has_aux=True)(params)
    params_after, state = optimizer.update(params, grads, state)
    for arrays, new in ((params, params_after), (buffers, updates)):
        for name, array in new.items():
            np.copyto(arrays[name], array)
    return value, output, state


def batch(n, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 2, 6, 6)).astype(dtype), rng.integers(0, 5, n)


OPTIMIZERS = {
    "sgd": optim.SGD(lr=0.1),
    "nesterov": optim.SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-2, clip_value=0.05),
    "adam": optim.Adam(lr=1e-2, clip_norm=0.5),
    "adamw": optim.AdamW(lr=1e-2),
    "rmsprop": optim.RMSprop(lr=1e-3),
    "adagrad": optim.Adagrad(lr=1e-2),
    "lion": optim.Lion(lr=1e-3),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_compiled_step_is_the_eager_step(name):
    check(OPTIMIZERS[name], np.float64, 1e-12)


def test_in_every_backend(backend):
    with pc.backend(backend):
        check(OPTIMIZERS["adam"], np.float64, 1e-12)
        check(OPTIMIZERS["nesterov"], np.float32, 1e-5)


def check(optimizer, dtype, tolerance):
    model = make_model(dtype)
    other = copy.deepcopy(model)
    state, kept = (optimizer.init(dict(m.named_parameters())) for m in (model, other))
    plan = compile_training_step(other, F.cross_entropy, optimizer, *batch(4, dtype=dtype), optimizer_state=kept)
    for seed, n in enumerate((4, 4, 3, 4)):  # a batch of another size works on the same state
        x, y = batch(n, seed, dtype)
        value, output, state = eager_step(model, F.cross_entropy, optimizer, state, x, y)
        got = plan(x, y)
        pairs = [(got[0], value), (got[1], output), *zip(leaves(kept), leaves(state), strict=True)]
        pairs += zip(other.parameters(), model.parameters(), strict=True)
        pairs += zip(other.buffers(), model.buffers(), strict=True)
        for actual, expected in pairs:
            np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)
            assert actual.dtype == expected.dtype


def test_the_rate_can_be_changed_between_steps():
    model, optimizer = make_model(), optim.SGD(lr=0.1)
    state = optimizer.init(dict(model.named_parameters()))
    x, y = batch(4)
    plan = compile_training_step(model, F.cross_entropy, optimizer, x, y, optimizer_state=state)
    state["lr"][...] = 0
    before = [p.copy() for p in model.parameters()]
    plan(x, y)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert state["step"] == 1


def test_activations_are_overwritten_as_soon_as_they_may_be():
    """Of a convolution, its normalization and a ReLU the backward pass keeps two arrays, not three."""
    blocks = [[nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()] for _ in range(6)]
    model = nn.Sequential(*(layer for block in blocks for layer in block), nn.GlobalAvgPool(), nn.Flatten())
    x = np.zeros((8, 8, 16, 16), np.float32)
    plan = compile_training_step(model, F.cross_entropy, optim.SGD(), x, np.zeros(8, np.int64))
    placement = plan._latest.code.placement
    assert placement.live_bytes <= (2 * 6 + 2.1) * x.nbytes
    assert placement.arena_bytes <= 1.15 * placement.live_bytes
