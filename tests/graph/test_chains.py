"""The pass that makes one step of an optimizer's elementwise ops: same bits, fewer steps, no more memory."""

import numpy as np
import pytest

import pyconv as pc
import pyconv.functional as F
from pyconv import kernels, nn, optim
from pyconv.graph import passes
from pyconv.ops.chain import Chain, ChainStep
from pyconv.train.average import averaged
from pyconv.train.compiled import compile_training_step

OPTIMIZERS = {
    "momentum": optim.SGD(lr=0.1, momentum=0.9),
    "nesterov": optim.SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3, clip_value=0.1),
    "adam": optim.Adam(lr=0.01, weight_decay=1e-3, clip_norm=1.0),
    "adamw": optim.AdamW(lr=0.01),
    "rmsprop": optim.RMSprop(lr=0.01),
    "lamb": optim.LAMB(lr=0.01),
}


def trained(optimizer, ema, backend):
    """The plan, and the bytes of all it changes, after steps one of which has a loss that is not finite."""
    rng = np.random.default_rng(0)
    with pc.backend(backend):
        model = nn.Sequential(nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 16, 3))
        for _, parameter in model.named_parameters():
            parameter[...] = rng.standard_normal(parameter.shape) * 0.1
        params = dict(model.named_parameters())
        state = optimizer.init(params)
        average = ema.init(averaged(params, dict(model.named_buffers()))) if ema else None
        x, y = rng.standard_normal((8, 2, 6, 6), np.float32), rng.integers(0, 3, 8)
        plan = compile_training_step(
            model.train(), "cross_entropy", optimizer, x, y, optimizer_state=state, ema=ema, average=average
        )
        for batch in (x, np.full_like(x, np.nan), -x):
            plan(batch, y)
    trees = [params, *(v for v in (*state.values(), *(average or {}).values()) if isinstance(v, dict))]
    return plan, [array.tobytes() for tree in trees for array in tree.values()]


@pytest.mark.parametrize("backend", [b for b in ("native", "im2col") if kernels.available(b) is None])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_same_bits_in_fewer_steps(name, backend, monkeypatch):
    for ema in (None, optim.EMA(decay=0.9)):
        plan, values = trained(OPTIMIZERS[name], ema, backend)
        with monkeypatch.context() as patch:
            patch.setitem(passes.PASSES, "chains", lambda graph: graph)
            before, expected = trained(OPTIMIZERS[name], ema, backend)
        assert values == expected
        assert plan.steps < before.steps
        assert plan.arena_bytes <= before.arena_bytes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("backend", [b for b in ("native", "im2col", "numba") if kernels.available(b) is None])
def test_the_kernel(backend, dtype):
    """Arrays in several memory orders, y one of the inputs, and the choice of an input."""
    rng = np.random.default_rng(1)
    steps = (
        ChainStep("mul", (1, 3)),
        ChainStep("abs", (2,)),
        ChainStep("sqrt", (7,)),
        ChainStep("add", (6, 8)),
        ChainStep("clip", (9,), (-0.5, 0.5)),
        ChainStep("sub", (10, 4)),
        ChainStep("div", (11, 5)),
        ChainStep("where", (0, 12, 1)),
    )
    op = Chain(steps, 4, (0.25, 3.0))
    for shape in ((3, 1000), (4, 5, 6, 7), (70000,), (2, 0), (1, 3)):
        x, scale = rng.standard_normal(shape).astype(dtype), np.asarray(0.7, dtype)
        for other in (rng.standard_normal(shape), rng.standard_normal(shape[::-1]).T):
            z = other.astype(dtype)
            with np.errstate(all="ignore"):
                expected = (np.clip(x * scale + np.sqrt(np.abs(z)), -0.5, 0.5) - dtype(0.25)) / dtype(3)
            for condition in (True, False):
                y = x.copy()
                with pc.backend(backend):
                    kernels.run(op.kernel, y, np.asarray(condition), y, z, scale, *op.attributes())
                    np.testing.assert_array_equal(op(np.asarray(condition), x, z, scale), y)
                np.testing.assert_array_equal(y, expected if condition else x)


def test_what_others_read_stays():
    """An intermediate result that is an output too, and one that feeds another kind of op, are not swallowed."""
    state = {"a": np.ones((3, 4)), "b": np.ones((3, 4))}

    def step(state, x):
        moved = state["a"] * 0.5 + x
        return moved, {"a": moved - x * 2.0, "b": state["b"] + F.softmax(moved * 3.0, 1) * 2.0}

    x = np.arange(12.0).reshape(3, 4)
    expected, new = step({k: v.copy() for k, v in state.items()}, x)
    plan = pc.compile_step(step, state, x)
    np.testing.assert_array_equal(plan(x), expected)
    np.testing.assert_array_equal(state["a"], new["a"])
    np.testing.assert_allclose(state["b"], new["b"], rtol=1e-14)
    assert "Chain(mul, sub)" in plan.explain()
