"""Callbacks, history, progress and pictures."""

import io
import sys
import time

import numpy as np
import pytest
from training_helpers import make_trainer

import pyconv as pc
from pyconv import optim
from pyconv.train import BestModel, Callback, CSVLogger, EarlyStopping, History, TensorBoard, confusion_matrix
from pyconv.train.progress import Progress


def row(loss):
    return {"epoch": 1, "loss": loss, "accuracy": 1 - loss}


class FakeTrainer:
    stop_training = False


@pytest.mark.parametrize(
    ("options", "losses", "stops_after"),
    [
        ({"patience": 2}, [3, 2, 2, 2, 1], 4),
        ({"patience": 1}, [3, 2, 1], None),
        ({"patience": 1, "min_delta": 0.5}, [3, 2, 1.6], 3),
        ({"patience": 2, "monitor": "accuracy"}, [0.5, 0.6, 0.7], 3),
        ({"patience": 1, "monitor": "accuracy", "mode": "min"}, [0.5, 0.4], 2),
        ({"patience": 2}, [float("nan"), 1, float("nan"), float("nan")], 4),
    ],
)
def test_early_stopping(options, losses, stops_after):
    callback, trainer = EarlyStopping(**options), FakeTrainer()
    seen = 0
    while seen < len(losses) and not trainer.stop_training:
        callback.on_epoch_end(trainer, row(losses[seen]))
        seen += 1
    assert (seen if trainer.stop_training else None) == stops_after


def test_monitors_check_their_arguments():
    with pytest.raises(ValueError, match="mode must be"):
        EarlyStopping(mode="up")
    with pytest.raises(ValueError, match="monitor 'f1' is not in the history: it has epoch, loss, accuracy"):
        EarlyStopping("f1").on_epoch_end(FakeTrainer(), row(1))


def test_best_model_is_the_best_and_loads(tmp_path, data):
    trainer = make_trainer(
        ema=None, callbacks=[BestModel(tmp_path / "best.npz", monitor="loss")], optimizer=optim.SGD(lr=0.05)
    )
    trainer.fit(data, 1, 16)
    best = {n: a.copy() for n, a in trainer.model.state_dict().items()}
    trainer.optimizer_state["lr"] = np.asarray(10.0)  # it can only get worse
    trainer.fit(data, 1, 16)
    assert trainer.history["loss"][1] > trainer.history["loss"][0]
    loaded = pc.load(tmp_path / "best.npz").state_dict()
    assert all(np.array_equal(loaded[n], a) for n, a in best.items())


def test_callbacks_are_called_in_order(data):
    calls = []

    class Log(Callback):
        def __getattribute__(self, name):
            if name.startswith("on_") and name != "on_batch_end":
                calls.append(name)
            return super().__getattribute__(name)

    make_trainer(callbacks=[Log()]).fit(data, 2, 20)
    assert calls == ["on_fit_begin", *["on_epoch_begin", "on_epoch_end"] * 2, "on_fit_end"]


def test_csv_is_written_each_epoch_and_reads_back_exactly(tmp_path, data):
    trainer = make_trainer(callbacks=[CSVLogger(tmp_path / "history.csv")])
    trainer.fit(data, 1, 16)
    trainer.fit(data, 1, 16, validation=data)
    read = History.from_csv(tmp_path / "history.csv")
    assert read.to_dict() == trainer.history.to_dict()
    assert read["val_loss"][0] is None
    assert read.epochs == 2


def test_tensorboard_writes_events(tmp_path, data):
    pytest.importorskip("tensorboardX")
    make_trainer(callbacks=[TensorBoard(tmp_path)]).fit(data, 2, 16)
    (events,) = tmp_path.glob("events*")
    assert b"accuracy" in events.read_bytes()


class Terminal(io.StringIO):
    def __init__(self, tty):
        super().__init__()
        self.tty = tty

    def isatty(self):
        return self.tty


class Slow(Callback):
    order = -200  # before the bar is drawn

    def on_batch_end(self, trainer, loss):
        time.sleep(0.12)  # a bar is drawn again after 0.1 s


@pytest.mark.parametrize("tty", [False, True])
def test_a_bar_on_a_terminal_alone(data, tty):
    out = Terminal(tty)
    make_trainer(callbacks=[Progress(out), Slow()]).fit(data, 2, 16, validation=data)
    text = out.getvalue()
    assert "epoch 2/2  loss" in text
    assert "val_accuracy" in text
    if tty:
        pytest.importorskip("tqdm")
        assert "samples/s" in text
        assert "accuracy=" in text
    else:
        assert "\r" not in text
        assert len(text.splitlines()) == 2


def test_without_tqdm_a_terminal_gets_lines(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    out = Terminal(True)
    make_trainer(callbacks=[Progress(out)]).fit(data, 1, 16)
    assert len(out.getvalue().splitlines()) == 1


def test_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    from pyconv.viz import plot_confusion

    history = History()
    for k in range(3):
        history.append({**row(1 / (k + 1)), "epoch": k, "val_loss": 0.5 if k else None, "lr": 1, "seconds": 1})
    figure = history.plot(tmp_path / "curves.png")
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy"]
    plot_confusion(confusion_matrix([0, 1, 1], [0, 1, 0]), ["no", "yes"], tmp_path / "confusion.png")
    for name in ("curves.png", "confusion.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"shape \(3, 3\) for 3 classes"):
        plot_confusion([[1]], "abc")


def test_missing_extra_is_named(monkeypatch):
    from pyconv._extras import require

    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r'tensorboardX is needed.*pip install "pyconv-engine\[train\]"'):
        require("tensorboardX", "train")
