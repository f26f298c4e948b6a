"""What kernels trust, plans check: labels and indices, in every call."""

import numpy as np
import pytest
from graph_networks import normal

import pyconv as pc
import pyconv.functional as F
from pyconv.graph.compile import compile_step

X = normal(3, 4)
LABELS = np.array([0, 3, 1])
FUNCTIONS = {
    "cross_entropy": lambda x, y: F.cross_entropy(x, y),
    "smoothed": lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1),
    "nll_loss": lambda x, y: F.nll_loss(x, y),
    "gradient": lambda x, y: pc.value_and_grad(lambda x: F.cross_entropy(x, y))(x)[1],
    "nll gradient": lambda x, y: pc.grad(lambda x: F.nll_loss(x, y))(x),
    "a slice": lambda x, y: F.cross_entropy(x[:2], y[:2]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_labels_are_checked(name, backend):
    with pc.backend(backend):
        plan = pc.compile(FUNCTIONS[name], X, LABELS)
        np.testing.assert_allclose(plan(X, LABELS), FUNCTIONS[name](X, LABELS), rtol=1e-12)
        ignoring = np.array([0, -100, 1])
        np.testing.assert_allclose(plan(X, ignoring), FUNCTIONS[name](X, ignoring), rtol=1e-12)
        for wrong in (4, -1):
            with pytest.raises(ValueError, match=f"input 1 must hold integers in 0 … 3 .* not {wrong}"):
                plan(X, np.array([0, wrong, 1]))
            with pytest.raises(ValueError, match="input 1 must hold integers"):
                plan.profile(X, np.array([0, wrong, 1]))


def test_only_the_part_that_is_read_is_checked():
    plan = pc.compile(FUNCTIONS["a slice"], X, LABELS)
    assert np.isfinite(plan(X, np.array([0, 1, 99])))


def test_indices_are_checked():
    x, i = normal(1, 2, 2, 2), np.arange(8).reshape(1, 2, 2, 2)
    plan = pc.compile(lambda x, i: F.max_unpool2d(x, i, 2), x, i)
    np.testing.assert_array_equal(plan(x, i), F.max_unpool2d(x, i, 2))
    with pytest.raises(ValueError, match="input 1 must hold integers in -1 … 15"):
        plan(x, i + 9)


def test_positions_of_maxima_need_no_check():
    x = normal(1, 2, 4, 4)

    def function(x):
        return F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)

    np.testing.assert_array_equal(pc.compile(function, x)(x), function(x))


def test_computed_labels_are_refused():
    with pytest.raises(TypeError, match="must take its labels or indices from an input"):
        pc.compile(lambda x, y: F.cross_entropy(x, y + 1), X, LABELS)


def test_a_step_refused_changes_nothing():
    state = {"w": np.ones((4, 4))}

    def step(state, x, y):
        loss, g = pc.value_and_grad(lambda w: F.cross_entropy(F.matmul(x, w), y))(state["w"])
        return loss, {"w": state["w"] - g}

    plan = compile_step(step, state, X, LABELS)
    with pytest.raises(ValueError, match="input 1 must hold integers"):
        plan(X, LABELS + 3)
    assert (state["w"] == 1).all()
