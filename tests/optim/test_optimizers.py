"""Optimizers against torch.optim step by step, against their formulas, and as pure functions."""

import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

import pyconv.functional as F
from pyconv import optim
from pyconv.graph.transforms import value_and_grad

# (ours, PyTorch's name, PyTorch's arguments)
CASES = [
    (optim.SGD(lr=0.1), "SGD", {"lr": 0.1}),
    (optim.SGD(0.1, weight_decay=0.3), "SGD", {"lr": 0.1, "weight_decay": 0.3}),
    (optim.SGD(lr=0.1, momentum=0.8), "SGD", {"lr": 0.1, "momentum": 0.8}),
    (optim.create("nesterov", lr=0.1, weight_decay=0.1), "SGD",
     {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    (optim.Momentum(), "SGD", {"momentum": 0.9}),
    (optim.RMSprop(), "RMSprop", {}),
    (optim.RMSprop(lr=0.05, alpha=0.9, weight_decay=0.1), "RMSprop", {"lr": 0.05, "alpha": 0.9, "weight_decay": 0.1}),
    (optim.RMSprop(momentum=0.5, eps=1e-3), "RMSprop", {"momentum": 0.5, "eps": 1e-3}),
    (optim.RMSprop(centered=True), "RMSprop", {"centered": True}),
    (optim.RMSprop(centered=True, momentum=0.9), "RMSprop", {"centered": True, "momentum": 0.9}),
    (optim.Adam(), "Adam", {}),
    (optim.Adam(lr=0.1, betas=(0.7, 0.95), eps=1e-2, weight_decay=0.2), "Adam",
     {"lr": 0.1, "betas": (0.7, 0.95), "eps": 1e-2, "weight_decay": 0.2}),
    (optim.AdamW(), "AdamW", {}),
    (optim.AdamW(lr=0.1, weight_decay=0.5), "AdamW", {"lr": 0.1, "weight_decay": 0.5}),
    (optim.Adagrad(), "Adagrad", {}),
    (optim.Adagrad(lr=0.5, lr_decay=0.1, initial_accumulator_value=0.2, weight_decay=0.1), "Adagrad",
     {"lr": 0.5, "lr_decay": 0.1, "initial_accumulator_value": 0.2, "weight_decay": 0.1}),
]  # fmt: skip


def start(dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return {"w": rng.standard_normal((3, 2)).astype(dtype), "b": rng.standard_normal(3).astype(dtype)}


def gradients(step, dtype=np.float64):
    rng = np.random.default_rng(100 + step)
    scale = 10.0 ** (step % 3 - 1)
    return {
        "w": (scale * rng.standard_normal((3, 2))).astype(dtype),
        "b": (scale * rng.standard_normal(3)).astype(dtype),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case[0]))
def test_steps_agree_with_pytorch(case, dtype):
    torch = pytest.importorskip("torch")
    ours, name, arguments = case
    params = start(dtype)
    theirs = {key: torch.nn.Parameter(torch.tensor(array)) for key, array in params.items()}
    optimizer = getattr(torch.optim, name)(theirs.values(), **arguments)
    state = ours.init(params)
    for step in range(12):
        grads = gradients(step, dtype)
        for key, parameter in theirs.items():
            parameter.grad = torch.tensor(grads[key])
        optimizer.step()
        params, state = ours.update(params, grads, state)
        for key, parameter in theirs.items():
            assert params[key].dtype == dtype
            roundings = 150 * np.finfo(dtype).eps  # a dozen a step
            np.testing.assert_allclose(params[key], parameter.detach().numpy(), rtol=roundings, atol=roundings)
    assert state["step"] == 12


def test_lion_follows_its_formula():
    ours, params = optim.Lion(lr=0.1, betas=(0.8, 0.9), weight_decay=0.2), start()
    state, m, p = ours.init(params), np.zeros((3, 2)), params["w"]
    for step in range(4):
        grads = gradients(step)
        params, state = ours.update(params, grads, state)
        p = p - 0.1 * (np.sign(0.8 * m + 0.2 * grads["w"]) + 0.2 * p)
        m = 0.9 * m + 0.1 * grads["w"]
        np.testing.assert_allclose(params["w"], p, rtol=1e-12)


def test_lamb_follows_its_formula():
    ours, params = optim.LAMB(lr=0.1, betas=(0.8, 0.9), weight_decay=0.2, eps=1e-3), start()
    state = ours.init(params)
    expected = dict(params)
    m, v = ({name: np.zeros_like(p) for name, p in params.items()} for _ in range(2))
    for step in range(1, 5):
        grads = gradients(step)
        params, state = ours.update(params, grads, state)
        for name, p in expected.items():
            m[name] = 0.8 * m[name] + 0.2 * grads[name]
            v[name] = 0.9 * v[name] + 0.1 * grads[name] ** 2
            r = m[name] / (1 - 0.8**step) / (np.sqrt(v[name] / (1 - 0.9**step)) + 1e-3)
            if p.ndim == 2:
                r += 0.2 * p
                r *= np.linalg.norm(p) / np.linalg.norm(r)
            expected[name] = p - 0.1 * r
            np.testing.assert_allclose(params[name], expected[name], rtol=1e-12)


@pytest.mark.parametrize(("weight", "gradient"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_lamb_without_a_length_to_follow_steps_as_adam(weight, gradient):
    params, grads = {"w": np.full((2, 2), weight)}, {"w": np.full((2, 2), gradient)}
    lamb, adam = optim.LAMB(lr=0.1), optim.Adam(lr=0.1, eps=1e-6)
    (ours, _), (theirs, _) = (o.update(params, grads, o.init(params)) for o in (lamb, adam))
    np.testing.assert_array_equal(ours["w"], theirs["w"])


@pytest.mark.parametrize("name", optim.names())
def test_every_optimizer_is_pure_resumable_and_finds_a_minimum(name):
    optimizer = optim.create(name, lr=0.04)
    assert pickle.loads(pickle.dumps(optimizer)) == optimizer
    target = {"w": np.array([1.0, -2.0, 0.5])}
    params = {"w": np.zeros(3)}
    state = optimizer.init(params)

    def cost(params):
        return F.sum((params["w"] - target["w"]) ** 2)

    first = None
    for step in range(400):
        _, grads = value_and_grad(cost)(params)
        frozen = {**params, **grads}
        for array in frozen.values():
            array.flags.writeable = False  # a write in place would raise
        before = pickle.dumps(state)
        new_params, new_state = optimizer.update(params, grads, state)
        assert pickle.dumps(state) == before
        if step == 5:
            resumed = optimizer.update(params, grads, pickle.loads(before))
            np.testing.assert_array_equal(resumed[0]["w"], new_params["w"])
        params, state = new_params, new_state
        first = cost(params) if first is None else first
    assert cost(params) < first / 3


def test_the_rate_in_the_state_counts():
    optimizer, params = optim.SGD(lr=1.0), {"w": np.zeros(1, np.float32)}
    state = optimizer.init(params)
    state["lr"] = np.asarray(0.25)
    params, state = optimizer.update(params, {"w": np.ones(1, np.float32)}, state)
    assert params["w"] == -0.25
    assert params["w"].dtype == np.float32
    assert state["lr"] == 0.25


def test_states_hold_arrays_alone():
    for name in optim.names():
        optimizer, params = optim.create(name), start(np.float32)
        state = optimizer.init(params)
        for held in (state, optimizer.update(params, gradients(0, np.float32), state)[1]):
            assert isinstance(held["step"], np.ndarray)
            assert isinstance(held["lr"], np.ndarray)
            slots = [held[slot] for slot in optimizer.active_slots()]
            assert set(held) == {"step", "lr", *optimizer.active_slots()}
            assert all(
                slot[key].dtype == np.float32 and slot[key].shape == params[key].shape for slot in slots for key in slot
            )


def test_gradients_are_clipped_by_value_then_by_norm():
    grads = {"a": np.array([3.0, -4.0]), "b": np.array([[0.1]])}
    assert optim.clip_by_value(grads, 2.0)["a"].tolist() == [2.0, -2.0]
    clipped, norm = optim.clip_by_norm(grads, 1.0)
    np.testing.assert_allclose(norm, np.sqrt(25.01), rtol=1e-14)
    np.testing.assert_allclose(optim.global_norm(clipped), 1.0, rtol=1e-6)
    same, _ = optim.clip_by_norm(grads, 100.0)
    np.testing.assert_array_equal(same["a"], grads["a"])
    params = {"a": np.zeros(2), "b": np.zeros((1, 1))}
    optimizer = optim.SGD(lr=1.0, clip_value=2.0, clip_norm=1.0)
    new, _ = optimizer.update(params, grads, optimizer.init(params))
    expected, _ = optim.clip_by_norm(optim.clip_by_value(grads, 2.0), 1.0)
    np.testing.assert_array_equal(new["a"], -expected["a"])


def test_clipping_agrees_with_pytorch():
    torch = pytest.importorskip("torch")
    grads = gradients(0)
    theirs = [torch.nn.Parameter(torch.zeros(a.shape, dtype=torch.float64)) for a in grads.values()]
    for parameter, array in zip(theirs, grads.values(), strict=True):
        parameter.grad = torch.tensor(array)
    expected = torch.nn.utils.clip_grad_norm_(theirs, 0.05)
    clipped, norm = optim.clip_by_norm(grads, 0.05)
    np.testing.assert_allclose(norm, expected.item(), rtol=1e-14)
    for parameter, array in zip(theirs, clipped.values(), strict=True):
        np.testing.assert_allclose(array, parameter.grad.numpy(), rtol=1e-13)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optim.create("adan"), ValueError, "optimizer must be one of sgd, gradient_descent"),
        (lambda: optim.SGD(lr=-1), ValueError, "lr must be at least 0, not -1"),
        (lambda: optim.SGD(lr="big"), TypeError, "lr must be a number, not 'big'"),
        (lambda: optim.SGD(momentum=1.0), ValueError, "momentum must be at least 0 and less than 1, not 1.0"),
        (lambda: optim.SGD(nesterov=True), ValueError, "nesterov needs a momentum"),
        (lambda: optim.Adam(betas=0.9), TypeError, "betas must be two numbers"),
        (lambda: optim.Adam(betas=(0.9, 1.0)), ValueError, r"betas\[1\] must be at least 0 and less than 1"),
        (lambda: optim.Adam(lr=float("nan")), ValueError, "lr must be at least 0, not nan"),
        (lambda: optim.Lion(clip_norm=-1), ValueError, "clip_norm must be at least 0"),
        (lambda: optim.EMA(1.0), ValueError, "decay must be at least 0 and less than 1"),
        (lambda: optim.global_norm({}), ValueError, "at least one gradient"),
    ],
)
def test_bad_arguments_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_names_must_agree():
    optimizer, params = optim.Adam(), start()
    state = optimizer.init(params)
    with pytest.raises(ValueError, match="grads must name the same parameters as params; only one of them has b"):
        optimizer.update(params, {"w": params["w"]}, state)
    with pytest.raises(ValueError, match=r"state\['m'\] must name the same parameters"):
        optimizer.update(params, gradients(0), optim.SGD().init(params))


def test_hyperparameters_cannot_change():
    with pytest.raises(FrozenInstanceError):
        optim.Adam().lr = 1


# --- the average of the weights


def test_ema_agrees_with_pytorch():
    torch = pytest.importorskip("torch")
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    model = torch.nn.Linear(2, 2).double()
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    params = {name: p.detach().numpy() for name, p in model.named_parameters()}  # share memory
    theirs.update_parameters(model)
    ema = optim.EMA(0.9)
    state = ema.init(params)
    for step in range(5):
        for array in params.values():
            array += step
        theirs.update_parameters(model)
        state = ema.update(params, state)
    for name, p in theirs.module.named_parameters():
        np.testing.assert_allclose(state["params"][name], p.detach().numpy(), rtol=1e-13)
    assert state["step"] == 5


def test_ema_warms_up():
    ema = optim.EMA(0.999, warm_up=True)
    state = ema.update({"w": np.ones(1)}, ema.init({"w": np.zeros(1)}))
    np.testing.assert_allclose(state["params"]["w"], 1 - 2 / 11, rtol=1e-15)
