"""Schedules against torch.optim.lr_scheduler, and their ends."""

import pickle

import numpy as np
import pytest

from pyconv.optim import schedules


def rates(make, steps):
    """PyTorch's learning rate at each step."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    result = []
    for _ in range(steps):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return result


@pytest.mark.parametrize(
    ("ours", "theirs", "steps"),
    [
        (schedules.StepDecay(0.5, every=3, gamma=0.2), lambda s, o: s.StepLR(o, 3, 0.2), 12),
        (schedules.Cosine(0.5, 10, end=0.1), lambda s, o: s.CosineAnnealingLR(o, 10, 0.1), 11),
        (schedules.OneCycle(0.5, 20), lambda s, o: s.OneCycleLR(o, 0.5, 20), 20),
        (
            schedules.OneCycle(0.5, 13, rise=0.5, div_factor=5, final_div_factor=10),
            lambda s, o: s.OneCycleLR(o, 0.5, 13, pct_start=0.5, div_factor=5, final_div_factor=10),
            13,
        ),
    ],
    ids=["step", "cosine", "one_cycle", "one_cycle_options"],
)
def test_rates_agree_with_pytorch(ours, theirs, steps):
    expected = rates(theirs, steps)[:steps]
    np.testing.assert_allclose([ours(step) for step in range(steps)], expected, rtol=1e-12)


@pytest.mark.parametrize("options", [{}, {"mode": "max", "cooldown": 2}, {"patience": 0, "min_lr": 0.05}])
def test_plateaus_agree_with_pytorch(options):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    options = {"patience": 2, "factor": 0.5, **options}
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
    ours = schedules.ReduceOnPlateau(0.5, **options)
    state = ours.init()
    for metric in np.random.default_rng(0).random(60).round(2):
        scheduler.step(metric)
        before = pickle.dumps(state)
        state = ours.update(metric, pickle.loads(before))
        np.testing.assert_allclose(state["lr"], optimizer.param_groups[0]["lr"], rtol=1e-12)
    assert all(isinstance(value, np.ndarray) for value in state.values())


def test_warm_up_rises_to_the_schedule():
    schedule = schedules.WarmUp(schedules.StepDecay(1.0, every=2), 4)
    np.testing.assert_allclose([schedule(step) for step in range(7)], [0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 0.1])


@pytest.mark.parametrize("name", schedules.names())
@pytest.mark.parametrize("steps", [1, 2, 3, 100])
def test_every_schedule_stays_within_its_rate(name, steps):
    schedule = schedules.create(name, 0.5, steps)
    found = [schedule(step) for step in range(steps + 50)]
    assert all(np.isfinite(found))
    assert min(found) >= 0
    assert max(found) <= 0.5 * (1 + 1e-12)
    assert pickle.loads(pickle.dumps(schedule)) == schedule


def test_create_counts_warm_up_among_the_steps():
    schedule = schedules.create("cosine", 1.0, 10, warm_up=4, end=0.5)
    assert schedule(3) < schedule(4) == 1.0
    assert schedule(10) == 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.create("linear", 1.0, 10), "schedule must be one of constant, step, cosine, one_cycle"),
        (lambda: schedules.create("cosine", 1.0, 10, warm_up=10), "warm_up must be at least 0 and less than 10"),
        (lambda: schedules.Cosine(1.0, 0), "steps must be at least 1"),
        (lambda: schedules.StepDecay(1.0, every=0), "every must be at least 1"),
        (lambda: schedules.OneCycle(1.0, 10, rise=1.0), "rise must be at least 0 and less than 1"),
        (lambda: schedules.ReduceOnPlateau(1.0, mode="up"), "mode must be min or max, not 'up'"),
        (lambda: schedules.Constant(-1.0), "lr must be at least 0"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_triangle_goes_straight_up_and_down():
    schedule = schedules.create("triangle", 2.0, 100, rise=0.25, start=0.1, end=0.05)
    expected = np.interp(range(120), [0, 25, 100, 120], [0.2, 2.0, 0.1, 0.1])
    np.testing.assert_allclose([schedule(step) for step in range(120)], expected, rtol=1e-12)
    with pytest.raises(ValueError, match="rise must be at least 0 and less than 1"):
        schedules.Triangle(1.0, 10, rise=1.0)
