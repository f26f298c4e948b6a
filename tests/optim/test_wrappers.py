"""Optimizers around another: slow weights beside its own, and gradients that it sees scaled."""

import numpy as np
import pytest

from pyconv import optim
from pyconv.graph.compile import compile_step


def start():
    rng = np.random.default_rng(0)
    return {"a.weight": rng.standard_normal((3, 2)), "norm.bias": rng.standard_normal(3)}


def gradients(step):
    rng = np.random.default_rng(100 + step)
    return {"a.weight": rng.standard_normal((3, 2)), "norm.bias": rng.standard_normal(3)}


@pytest.mark.parametrize("steps", [None, 12])
def test_lookahead_follows_its_formula(steps):
    inner = optim.Momentum(lr=0.1, nesterov=True)
    ours = optim.Lookahead(inner, every=3, decay=0.8, steps=steps)
    params = fast = slow = start()
    state, inner_state = ours.init(params), inner.init(fast)
    for step in range(1, 11):
        params, state = ours.update(params, gradients(step), state)
        fast, inner_state = inner.update(fast, gradients(step), inner_state)
        if step % 3 == 0:
            decay = 0.8 if steps is None else 0.8 * (step / steps) ** 3
            slow = {name: decay * slow[name] + (1 - decay) * fast[name] for name in fast}
            fast = slow
        for name, p in fast.items():
            np.testing.assert_allclose(params[name], p, rtol=1e-12)
    assert state["step"] == 10
    assert state["since"] == 1


def test_scaled_gradients_are_a_rate_of_their_own_for_sgd():
    """And weight decay is what it was: PyTorch's groups with lr · 8 and weight_decay / 8."""
    ours = optim.Scaled(optim.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.2), "*norm.bias", 8.0)
    plain = optim.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.2)
    fast = optim.SGD(0.8, momentum=0.9, nesterov=True, weight_decay=0.2 / 8)
    params = start()
    expected = [{"a.weight": params["a.weight"]}, {"norm.bias": params["norm.bias"]}]
    state, states = ours.init(params), [plain.init(expected[0]), fast.init(expected[1])]
    for step in range(6):
        grads = gradients(step)
        params, state = ours.update(params, grads, state)
        for k, rule in enumerate((plain, fast)):
            own = {name: grads[name] for name in expected[k]}
            expected[k], states[k] = rule.update(expected[k], own, states[k])
            for name, p in expected[k].items():
                np.testing.assert_allclose(params[name], p, rtol=1e-12)


def test_wrapped_rules_can_be_recorded():
    optimizer = optim.Lookahead(optim.Scaled(optim.Momentum(lr=0.1), "*.bias", 4.0), every=2, decay=0.5, steps=4)
    params, state = start(), optimizer.init(start())
    recorded = {"params": start(), "optimizer": optimizer.init(start())}

    def step(state, *grads):
        named = dict(zip(state["params"], grads, strict=True))
        params, new = optimizer.update(state["params"], named, state["optimizer"])
        return new["step"], {"params": params, "optimizer": new}

    with compile_step(step, recorded, *gradients(0).values()) as plan:
        for number in range(5):
            grads = gradients(number)
            params, state = optimizer.update(params, grads, state)
            plan(*grads.values())
            for name, p in params.items():
                np.testing.assert_allclose(recorded["params"][name], p, rtol=1e-12)
                np.testing.assert_allclose(recorded["optimizer"]["slow"][name], state["slow"][name], rtol=1e-12)
            assert recorded["optimizer"]["since"] == state["since"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.Lookahead(optim.SGD(), every=0), "every must be at least 1"),
        (lambda: optim.Lookahead(optim.SGD(), decay=1.0), "decay must be at least 0 and less than 1"),
        (lambda: optim.Lookahead(optim.SGD(), steps=0), "steps must be at least 1"),
        (lambda: optim.Scaled(optim.SGD(), "*", -1.0), "factor must be at least 0"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
