"""Trainer: it learns, counts right, refuses what cannot work, and leaves nothing changed that it should not."""

import copy
import multiprocessing
import pickle
import threading
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from training_helpers import everything, figures, make_data, make_model, make_trainer

import pyconv as pc
import pyconv.functional as F
from pyconv import nn, optim
from pyconv.data import ArrayDataset, Batch
from pyconv.train import Callback, Trainer, find_lr
from pyconv.train.step import Mixup


def plain(**options):
    """A trainer without anything random: every way to divide a batch must give the same gradients."""
    nn.init.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 3)).astype(np.float64)
    return Trainer(model, optimizer=optim.SGD(lr=0.1), progress=False, **options)


def weights(trainer):
    return {name: a.copy() for name, a in trainer.model.named_parameters()}


def test_it_learns_and_records(data):
    trainer = make_trainer(augment=None)
    history = trainer.fit(data, epochs=15, batch_size=8, validation=data)
    assert history is trainer.history
    assert list(history) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds", "waiting"]
    assert history["epoch"] == list(range(1, 16))
    assert history["val_accuracy"][-1] == 1.0
    assert history["loss"][-1] < history["loss"][0] / 3
    assert trainer.evaluate(data)["loss"] == pytest.approx(history["val_loss"][-1])


def test_same_seed_same_run_and_other_seed_other_run(data):
    runs = [make_trainer(seed=s) for s in (3, 3, 4)]
    for run in runs:
        run.fit(data, 2, 16)
    assert everything(runs[0]) == everything(runs[1])
    assert everything(runs[0]) != everything(runs[2])


def test_prefetch_changes_nothing(data):
    runs = [make_trainer(prefetch=p) for p in (0, 3)]
    for run in runs:
        run.fit(data, 2, 16)
    assert everything(runs[0]) == everything(runs[1])


@pytest.mark.parametrize("prefetch", [0, 2])
def test_waiting_is_the_share_of_time_that_data_take(data, prefetch):
    trainer = make_trainer(prefetch=prefetch, augment=lambda x, rng: (time.sleep(0.05), x)[1])
    history = trainer.fit(data, epochs=2, batch_size=10)
    for seconds, waiting in zip(history["seconds"], history["waiting"], strict=True):
        assert 0.05 < seconds * waiting < seconds  # the first batch at least is waited for


def test_fit_twice_continues(data):
    once, twice = make_trainer(), make_trainer()
    once.fit(data, 4, 16, validation=data)
    twice.fit(data, 1, 16, validation=data)
    twice.fit(data, 3, 16, validation=data)
    assert everything(once) == everything(twice)
    assert figures(once) == figures(twice)


def test_one_step_is_gradient_descent(data):
    trainer = plain()
    before = weights(trainer)
    x, y = data.x[:5].astype(np.float64), data.y[:5]
    loss = trainer.train_on_batch(x, y)
    logits = x.reshape(5, -1) @ before["1.weight"].T + before["1.bias"]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert loss == pytest.approx(-np.log(p[np.arange(5), y]).mean(), rel=1e-12)
    p[np.arange(5), y] -= 1
    np.testing.assert_allclose(
        trainer.model[1].weight, before["1.weight"] - 0.1 * p.T @ x.reshape(5, -1) / 5, rtol=1e-10, atol=1e-14
    )


@pytest.mark.parametrize("accumulate", [2, 3, 100])
def test_parts_of_a_batch_give_the_gradient_of_the_whole(data, accumulate):
    whole, parts = plain(), plain(accumulate=accumulate)
    x = data.x.astype(np.float64)
    for trainer in (whole, parts):
        trainer.train_on_batch(x[:7], data.y[:7])
    np.testing.assert_allclose(parts.model[1].weight, whole.model[1].weight, rtol=1e-12, atol=1e-15)


def test_mixup_mixes_inputs_and_losses():
    """With a linear model and the squared error, by hand."""
    x, y = np.eye(4), np.arange(4.0)[:, None]
    own, partners, share = Mixup(0.5, seed=7).mix(Batch(x, y, None, 3), epoch=2, part=0)
    order = partners.y[:, 0].astype(int)
    assert 0 < share < 1
    np.testing.assert_array_equal(own.y, y)
    np.testing.assert_allclose(own.x, share * x + (1 - share) * x[order], rtol=1e-15)
    model = nn.Linear(4, 1, bias=False).astype(np.float64)
    weight = model.weight[0].copy()
    trainer = Trainer(model, "mse", optim.SGD(lr=1.0), metrics=[], mixup=0.5, seed=7, progress=False)
    trainer.epoch, trainer.step = 2, 3
    loss = trainer.train_on_batch(x, y)
    error = own.x @ weight - share * y[:, 0] - (1 - share) * y[order, 0]
    spread = share * (1 - share) * ((y - y[order]) ** 2).mean()  # what no prediction can remove
    assert loss == pytest.approx((error**2).mean() + spread, rel=1e-12)
    np.testing.assert_allclose(model.weight[0], weight - 2 * own.x.T @ error / 4, rtol=1e-12)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_weights_count_as_repetitions(data, accumulate):
    x, y = data.x[:6].astype(np.float64), data.y[:6]
    counts = np.array([1, 2, 1, 3, 1, 1])
    weighted, repeated = plain(accumulate=accumulate), plain()
    weighted.train_on_batch(x, y, counts.astype(np.float32))
    repeated.train_on_batch(np.repeat(x, counts, 0), np.repeat(y, counts))
    np.testing.assert_allclose(weighted.model[1].weight, repeated.model[1].weight, rtol=1e-12, atol=1e-15)


def test_class_weights_are_weights_of_samples(data):
    x, y = data.x[:6].astype(np.float64), data.y[:6]
    by_class, by_sample = plain(class_weights=[1, 2, 4]), plain()
    by_class.train_on_batch(x, y)
    by_sample.train_on_batch(x, y, np.array([1, 2, 4], np.float32)[y])
    np.testing.assert_array_equal(by_class.model[1].weight, by_sample.model[1].weight)


@pytest.mark.parametrize(
    ("loss", "outputs"), [("binary_cross_entropy", 1), ("hinge", 2), ("mse", 1), ("l1", 1), ("cross_entropy", 2)]
)
def test_losses_by_name_learn_two_classes(loss, outputs):
    data = make_data(60, classes=2)
    nn.init.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, outputs))
    trainer = Trainer(model, loss, optim.Adam(lr=1e-2), progress=False)
    history = trainer.fit(data, 30, 20)
    assert history["loss"][-1] < 0.6 * history["loss"][0]
    if loss not in ("mse", "l1"):
        assert history["accuracy"][-1] > 0.95


def test_user_loss_and_regression():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 5))
    y = x @ np.arange(5.0)[:, None]
    model = nn.Linear(5, 1).astype(np.float64)
    trainer = Trainer(model, lambda out, t: F.mean(F.abs(out - t)), optim.Adam(lr=0.1), metrics=[], progress=False)
    history = trainer.fit((x, y), 60, 16)
    assert history["loss"][-1] < 0.3
    assert trainer.predict(x).shape == (64, 1)


def test_last_batch_of_one_does_not_break_batch_norm():
    make_trainer().fit(make_data(33), 1, 16)


def test_modes_come_back(data):
    trainer = make_trainer()
    trainer.model[3].eval()
    modes = [m.training for m in trainer.model.modules()]
    trainer.fit(data, 1, 16, validation=data)
    trainer.predict(data.x)
    assert [m.training for m in trainer.model.modules()] == modes


def test_predict_scales_uint8_as_training_did(data):
    trainer = make_trainer()
    x = np.random.default_rng(0).integers(0, 256, (5, 2, 6, 6), np.uint8)
    np.testing.assert_array_equal(trainer.predict(x), trainer.predict(x.astype(np.float32) * np.float32(1 / 255)))
    np.testing.assert_allclose(trainer.predict(x, batch_size=2), trainer.predict(x), rtol=1e-5, atol=1e-6)
    assert trainer.predict(x[:0]).shape == (0, 3)


def test_views_are_averaged_in_their_shares(data):
    trainer = make_trainer()
    trainer.fit(data, epochs=1, batch_size=10)

    def views(x):
        return [(0.75, x), (0.25, x[..., ::-1])]

    expected = 0.75 * trainer.predict(data.x) + 0.25 * trainer.predict(data.x[..., ::-1])
    np.testing.assert_allclose(trainer.predict(data.x, 7, views=views), expected, rtol=1e-5, atol=1e-6)
    right = (expected.argmax(1) == data.y).mean()
    assert trainer.evaluate(data, views=views)["accuracy"] == pytest.approx(right)


def test_nan_loss_stops_with_advice_and_keeps_the_weights(data):
    trainer = plain()
    trainer.model[1].weight[...] = 1e308
    before = weights(trainer)
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="lower the learning rate"):
        trainer.fit((data.x.astype(np.float64) * 1e10, data.y), 1, 16)
    np.testing.assert_array_equal(trainer.model[1].weight, before["1.weight"])


def test_an_error_in_a_callback_stops_the_thread_and_ends_callbacks(data):
    ended = []

    class Fails(Callback):
        def on_batch_end(self, trainer, loss):
            raise RuntimeError("mine")

        def on_fit_end(self, trainer):
            ended.append(True)

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="mine"):
        make_trainer(callbacks=[Fails()]).fit(data, 2, 8)
    assert ended == [True]
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": lambda d: (d.x[:0], d.y[:0])}, "train holds no samples"),
        ({"train": lambda d: ArrayDataset(d.x, d.y, "abcd")}, "the model gives 3 classes, the data have 4"),
        ({"train": lambda d: (d.x[:, :1], d.y)}, "channels|shape"),
        ({"epochs": -1}, "epochs must be at least 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_changes(data, change, message):
    trainer = make_trainer()
    before = {n: a.tobytes() for n, a in trainer.model.state_dict().items()}
    train = change.pop("train", lambda d: d)(data)
    with pytest.raises(ValueError, match=message):
        trainer.fit(train, **{"epochs": 1, "batch_size": 8, **change})
    assert {n: a.tobytes() for n, a in trainer.model.state_dict().items()} == before
    assert trainer.epoch == 0


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "crossentropy"},
        {"metrics": ["acc"]},
        {"accumulate": 0},
        {"seed": -1},
        {"mixup": -0.1},
        {"loss": "mse", "label_smoothing": 0.1},
    ],
)
def test_bad_arguments_are_refused(options):
    with pytest.raises(ValueError, match=r"must be|is defined for"):
        Trainer(make_model(), **options)


def test_what_is_no_model_optimizer_or_schedule_is_refused():
    with pytest.raises(TypeError, match="model must be a Module, not function"):
        Trainer(lambda x: x)
    with pytest.raises(TypeError, match="schedule must be a function step -> lr"):
        Trainer(make_model(), schedule="cosine")
    with pytest.raises(ValueError, match="optimizer must be one of sgd"):
        Trainer(make_model(), optimizer="adamm")


def test_class_weights_of_another_number_are_refused(data):
    with pytest.raises(ValueError, match=r"for each of the 3 classes, not an array of shape \(2,\)"):
        make_trainer(class_weights=[1, 2]).fit(data)


def test_names_do_for_the_optimizer_and_a_single_metric(data):
    trainer = Trainer(make_model(), optimizer="sgd", metrics="f1", progress=False)
    assert trainer.optimizer == optim.SGD()
    assert "f1" in trainer.fit(data)


def test_inputs_take_on_the_model_s_precision(data):
    half, double = make_trainer(augment=None), make_trainer(augment=None)
    half.fit(data, 1, 16)
    double.fit((data.x.astype(np.float64), data.y), 1, 16)
    assert everything(half) == everything(double)
    assert double.predict(data.x.astype(np.float64)).dtype == np.float32
    assert plain().predict(data.x[:, :, :6, :6]).dtype == np.float64


def test_a_trainer_can_be_copied_and_pickled_and_all_go_on_alike(data):
    trainer = make_trainer(progress=True)
    trainer.fit(data, 1, 16)
    others = [copy.deepcopy(trainer), trainer.clone(), pickle.loads(pickle.dumps(trainer))]
    for t in (trainer, *others):
        t.fit(data, 1, 16)
    assert all(everything(other) == everything(trainer) for other in others)


def test_a_trainer_goes_on_in_another_process(data):
    trainer = make_trainer(progress=True)
    trainer.fit(data, 1, 16)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), pc.set_num_threads, (1,)) as pool:
        away = pool.submit(fitted, trainer, data).result()
    trainer.fit(data, 1, 16)
    assert everything(away) == everything(trainer)
    assert figures(away) == figures(trainer)


def fitted(trainer, data):
    trainer.fit(data, 1, 16)
    return trainer


def test_fit_in_a_thread(data):
    alone, threaded = make_trainer(), make_trainer()
    alone.fit(data, 1, 16)
    thread = threading.Thread(target=threaded.fit, args=(data, 1, 16))
    thread.start()
    thread.join()
    assert everything(alone) == everything(threaded)


def test_evaluation_prediction_and_what_is_saved_use_the_average(tmp_path, data):
    trainer, same = make_trainer(ema=0.9), make_trainer(ema=None)
    for t in (trainer, same):
        t.fit(data, 2, 8, validation=data)
    average = trainer.averaged_model
    for name, array in trainer.model.state_dict().items():
        np.testing.assert_array_equal(array, same.model.state_dict()[name])  # training itself is what it was
    for name in ("0.weight", "1.running_var", "5.weight"):
        assert np.abs(average.state_dict()[name] - trainer.model.state_dict()[name]).max() > 1e-4
    assert same.averaged_model is same.model
    assert trainer.predict(data).tobytes() == average.eval()(data.x).tobytes() != same.predict(data).tobytes()
    assert trainer.evaluate(data)["loss"] == trainer.history["val_loss"][-1] != same.history["val_loss"][-1]
    trainer.save_model(tmp_path / "m.npz")
    loaded = pc.load(tmp_path / "m.npz").state_dict()
    assert all(np.array_equal(loaded[name], array) for name, array in average.state_dict().items())


def test_the_average_is_that_of_the_weights_after_each_step(data):
    weights = []

    class Keep(Callback):
        def on_batch_end(self, trainer, loss):
            weights.append(trainer.model[5].weight.copy())

    trainer = make_trainer(ema=optim.EMA(0.5), callbacks=[Keep()])
    average = trainer.model[5].weight.copy()
    trainer.fit(data, 2, 8)
    for weight in weights:
        average = (average + weight) / 2
    np.testing.assert_allclose(trainer.averaged_model[5].weight, average, rtol=1e-5, atol=1e-6)


def test_lr_finder_suggests_a_rate_and_leaves_the_trainer_alone(data):
    trainer = make_trainer()
    trainer.fit(data, 1, 16)
    before = everything(trainer)
    curve = find_lr(trainer, data, batch_size=16, steps=40)
    assert 1e-6 < curve.suggestion < 10
    assert len(curve.rates) == len(curve.losses)
    assert everything(trainer) == before
