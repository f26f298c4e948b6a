"""A trainer that compiles its steps does what one does that runs them op by op, and falls back where it cannot."""

import pickle
import warnings

import numpy as np
import pytest
from training_helpers import everything, make_data, make_model, make_trainer

import pyconv as pc
import pyconv.functional as F
from pyconv import nn, optim
from pyconv.train import Callback, Trainer
from pyconv.train.step import divided

SGD = optim.SGD(lr=0.1, momentum=0.9)  # Adam would make steps of the mere rounding in a bias before batch norm
OPTIONS = {
    "plain": {"augment": None, "mixup": 0, "accumulate": 1, "ema": None},
    "mixup": {"accumulate": 1, "ema": None},
    "parts": {"mixup": 0, "accumulate": 3, "ema": None},
    "average": {"mixup": 0, "accumulate": 1, "ema": 0.9},
    "smooth": {"label_smoothing": 0.1, "mixup": 0, "schedule": optim.schedules.create("one_cycle", 1e-2, 12)},
    "weights": {"class_weights": [1, 2, 4], "optimizer": optim.SGD(lr=0.1, momentum=0.9, clip_norm=1.0)},
    "recomputed": {"recompute": True},
}


def state(trainer):
    arrays = {**dict(trainer.model.named_parameters()), **dict(trainer.model.named_buffers())}
    arrays |= {f"optimizer/{k}": v for k, v in trainer.optimizer_state.get("momentum", {}).items()}
    return arrays | {f"average/{k}": v for k, v in (trainer.ema_state or {"params": {}})["params"].items()}


def agree(a, b, **tolerance):
    a, b = state(a), state(b)
    assert a.keys() == b.keys()
    for name, array in a.items():
        np.testing.assert_allclose(array, b[name], err_msg=name, **tolerance)


@pytest.mark.parametrize("name", OPTIONS)
def test_compiled_and_eager_agree(name, data):
    """In float64 only the order of sums differs."""
    options = OPTIONS[name]
    pair = [
        make_trainer(**{"optimizer": SGD, **options, **more}) for more in ({}, {"compiled": False, "recompute": False})
    ]
    for trainer in pair:
        trainer.model = trainer.model.astype(np.float64)
        trainer.fit(data, 3, 9)
    assert type(pair[0]._stepper).__name__ == "Compiled"
    assert pair[0]._stepper._plan is not None
    agree(*pair, rtol=1e-9, atol=1e-11)
    assert pair[0].history["loss"] == pytest.approx(pair[1].history["loss"], rel=1e-9)
    assert pair[0].step == pair[1].step == 15


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "mse", "l1", "hinge"])
def test_losses_by_name_with_weights(loss):
    data = make_data(20, classes=2)
    outputs = 2 if loss in ("cross_entropy", "hinge") else 1
    pair = []
    for compiled in (True, False):
        nn.init.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(72, outputs)).astype(np.float64)
        pair.append(Trainer(model, loss, optim.SGD(lr=0.1), class_weights=[1, 3], progress=False, compiled=compiled))
        pair[-1].fit(data, 2, 6)
    assert pair[0]._stepper._plan is not None
    agree(*pair, rtol=1e-12, atol=1e-15)


def test_hinge_with_two_signs():
    x, y = np.linspace(-1, 1, 12).reshape(6, 2), np.where(np.arange(6) % 2, 1, -1)[:, None]
    pair = [Trainer(nn.Linear(2, 1), "hinge", "sgd", [], progress=False, compiled=c) for c in (True, False)]
    for trainer in pair:
        for array in trainer.model.parameters():
            array.fill(0.1)
        trainer.train_on_batch(x, y)
    agree(*pair, rtol=1e-6)


@pytest.mark.parametrize("backend_name", ["native", "im2col"])
def test_a_loss_that_is_not_finite_leaves_everything_as_it_was(data, backend_name):
    with pc.backend(backend_name):
        compiled, eager = (make_trainer(mixup=0, augment=None, optimizer=SGD, compiled=c) for c in (True, False))
        x = np.array(data.x[:8])
        for trainer in (compiled, eager):
            trainer.train_on_batch(x, data.y[:8])
            before = everything(trainer)
            assert np.isnan(trainer.train_on_batch(np.where(x > 0.4, np.nan, x), data.y[:8]))
            assert everything(trainer) == before
            assert trainer.step == 1
            trainer.train_on_batch(x, data.y[:8])
            assert everything(trainer) != before
        agree(compiled, eager, rtol=1e-3, atol=1e-4)


def test_a_rate_that_a_callback_sets_counts(data):
    class Halve(Callback):
        def on_batch_end(self, trainer, loss):
            trainer.optimizer_state["lr"] = np.asarray(trainer.lr / 2)

    pair = [make_trainer(callbacks=[Halve()], optimizer=SGD, compiled=c, mixup=0) for c in (True, False)]
    for trainer in pair:
        trainer.model = trainer.model.astype(np.float64)
        trainer.fit(data, 1, 10)
    plan = pair[0]._stepper._plan
    agree(*pair, rtol=1e-9, atol=1e-11)
    pair[0].fit(data, 1, 10)
    assert pair[0]._stepper._plan is plan
    assert pair[0].lr == 0.1 / 2**8


def test_new_arrays_modes_and_backends_get_new_plans(data):
    trainer, other = (make_trainer(mixup=0, augment=None, optimizer=SGD, compiled=c) for c in (True, False))
    x, y = data.x[:8], data.y[:8]

    def both():
        assert trainer.train_on_batch(x, y) == pytest.approx(other.train_on_batch(x, y), rel=1e-3)
        return trainer._stepper._plan

    first = both()
    assert both() is first
    for t in (trainer, other):
        t.model[5].weight = t.model[5].weight * 0.5
    second = both()
    assert second is not first
    for t in (trainer, other):
        t.model[3].eval()
    third = both()
    assert third is not second
    with pc.backend("im2col"):
        assert both() is not third


def test_plans_are_bounded_and_no_part_of_a_copy(data):
    trainer = make_trainer(mixup=0, accumulate=1)
    for n in range(2, 14):
        trainer.train_on_batch(data.x[:n], data.y[:n])
    assert len(trainer._stepper._plan._variants) == 8
    assert pickle.loads(pickle.dumps(trainer))._stepper._plan is None
    assert trainer.clone()._stepper._plan is None


class Branching(nn.Module):
    """What it computes depends on what it has computed."""

    def __init__(self):
        self.linear = nn.Linear(72, 3)

    def forward(self, x):
        y = self.linear(F.flatten(x, 1))
        return y * 2 if np.asarray(F.sum(F.abs(y))) > 1 else y


class Noisy(nn.Module):
    """It draws numbers that nobody can draw again."""

    def __init__(self):
        self.linear, self.rng = nn.Linear(72, 3), np.random.default_rng(0)

    def forward(self, x):
        return self.linear(F.flatten(x, 1)) + self.rng.standard_normal(3).astype(np.float32)


@pytest.mark.parametrize(("model", "reason"), [(Branching, "symbolic"), (Noisy, "something else each time")])
def test_what_cannot_be_recorded_runs_op_by_op_with_one_warning(data, model, reason):
    trainer = Trainer(model(), optimizer=optim.SGD(lr=0.1), progress=False)
    with pytest.warns(UserWarning, match=f"cannot be compiled and runs op by op: .*({reason})") as seen:
        trainer.fit(data, 8, 8)
    assert len(seen) == 1
    assert trainer.history["loss"][-1] < trainer.history["loss"][0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Trainer(model(), progress=False, compiled=False).fit(data, 1, 8)


def test_errors_are_those_of_eager_steps(data):
    for compiled in (True, False):
        trainer = make_trainer(compiled=compiled, mixup=0, accumulate=1)
        before = {n: a.tobytes() for n, a in trainer.model.state_dict().items()}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(ValueError, match=r"must lie in 0 … 2|must hold integers in 0 … 2"):
                trainer.train_on_batch(data.x[:4], np.array([0, 1, 2, 3]))
            with pytest.raises(ValueError, match=r"channels|shape"):
                trainer.train_on_batch(data.x[:4, :1], data.y[:4])
        assert {n: a.tobytes() for n, a in trainer.model.state_dict().items()} == before


def test_only_a_compiled_trainer_recomputes():
    with pytest.raises(ValueError, match="recompute must be False"):
        Trainer(make_model(), compiled=False, recompute=True)


@pytest.mark.parametrize("size", [0, 1, 2, 7, 40])
@pytest.mark.parametrize("parts", [1, 2, 3, 100])
def test_parts_are_nearly_equal(size, parts):
    sizes = np.diff(divided(size, parts))
    assert sizes.sum() == size
    assert len(sizes) == max(1, min(parts, size))
    assert size == 0 or (sizes.min() > 0 and np.ptp(sizes) <= 1)
