"""Steps that change a state in place: whatever reads an old value gets the old value."""

import numpy as np
import pytest
from graph_networks import normal

import pyconv as pc
import pyconv.functional as F
from pyconv.graph.compile import compile_step
from pyconv.graph.transforms import value_and_grad
from pyconv.graph.tree import leaves, map_leaves

STATE = {"a": normal(3, 3, seed=1), "b": normal(3, 3, seed=2), "n": np.asarray(3)}


def late(state, x):
    """What is read of the old state, is read after the new one is known."""
    new = state["a"] + x
    return F.matmul(new, state["a"]), {**state, "a": new}


def twice(state, x):
    """One new value for two arrays, which are then read."""
    new = F.exp(state["a"])
    return new * x, {**state, "a": new, "b": new}


def joined(state, x):
    """A new value in parts, the first of which is known before the old one is read for the last time."""
    first, second = (F.conv2d(image(state["a"])[:, :, :1], image(x)[:, :, :1, :1] * 0 + 1) for _ in range(2))
    rest = F.conv2d(image(state["a"])[:, :, 1:] + second, np.ones((1, 1, 1, 1)))
    return first, {**state, "a": F.reshape(F.concat([first, rest], 2), (3, 3))}


def image(matrix):
    return F.reshape(matrix, (1, 1, 3, 3))


STEPS = {
    "joined": joined,
    "nothing": lambda s, x: (x * 2, s),
    "in place": lambda s, x: (F.sum(s["a"]), {**s, "a": s["a"] - x * 0.5, "n": s["n"] + 1}),
    "swap": lambda s, x: ((), {**s, "a": s["b"], "b": s["a"]}),
    "turn": lambda s, x: (s["a"], {**s, "a": F.transpose(s["a"], 0, 1), "b": s["a"][::-1]}),
    "product": lambda s, x: (x, {**s, "a": F.matmul(s["a"], s["b"]), "b": F.matmul(s["b"], s["a"])}),
    "view of itself": lambda s, x: (x, {**s, "a": s["a"] + F.transpose(s["a"], 0, 1)}),
    "constant": lambda s, x: ({"old": s["a"]}, {**s, "a": np.zeros((3, 3)), "b": x}),
    "late": late,
    "twice": twice,
    "old and new": lambda s, x: ((s["a"], s["a"] + 1), {**s, "a": s["a"] + 1}),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_changes_its_state_as_the_function_says(name, backend):
    with pc.backend(backend):
        state, expected = map_leaves(np.copy, STATE), STATE
        plan = compile_step(STEPS[name], state, np.zeros((3, 3)))
        for seed in range(3):
            x = normal(3, 3, seed=seed)
            result, expected = STEPS[name](expected, x)
            for y, want in zip(leaves(plan(x)), leaves(result), strict=True):
                np.testing.assert_allclose(y, want, rtol=1e-13, atol=1e-13)
            for held, want in zip(leaves(state), leaves(expected), strict=True):
                np.testing.assert_allclose(held, want, rtol=1e-13, atol=1e-13)


def test_elementwise_updates_need_no_memory_of_their_own():
    state = {"w": normal(100, 50), "v": np.zeros((100, 50))}

    def step(state, x):
        loss, g = value_and_grad(lambda w: F.sum(F.matmul(x, w)))(state["w"])
        v = state["v"] * 0.9 + g
        return loss, {"w": state["w"] - v * 0.1, "v": v}

    plan = compile_step(step, state, np.zeros((4, 100)))
    code = plan._latest.code
    assert not any(c.step.kernel == "copy" for c in code.choices)
    assert code.placement.arena_bytes < 2.2 * state["w"].nbytes  # the gradient, and one product at a time


@pytest.mark.parametrize(
    ("state", "step", "error", "message"),
    [
        ({"a": 1.0}, lambda s, x: (x, s), TypeError, "the state must hold arrays, and a is a float"),
        ({"a": np.broadcast_to(0.0, 3)}, lambda s, x: (x, s), ValueError, "writeable and aligned, and a is not"),
        ([STATE["a"], STATE["a"][0]], lambda s, x: (x, s), ValueError, "must not share memory"),
        (STATE, lambda s, x: x, TypeError, "must return a pair"),
        (STATE, lambda s, x: (x, {"a": s["a"]}), TypeError, "the structure of the old one"),
        (STATE, lambda s, x: (x, {**s, "n": s["n"] * 0.5}), TypeError, "a step must leave n as"),
    ],
)
def test_states_that_cannot_be_kept_are_refused(state, step, error, message):
    with pytest.raises(error, match=message):
        compile_step(step, state, (3, 3))
