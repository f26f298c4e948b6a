"""Callbacks: what else happens during training. The base class is all that one needs to know to write another."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyconv._extras import require
from pyconv._files import remove_leftovers

if TYPE_CHECKING:
    from pyconv.train.trainer import Trainer


class Callback:
    """Base of all callbacks; each method is called at its moment and does nothing here.

    Callbacks run in the order in which they are given, those with a higher `order` later. What a callback must remember
    across a resumed run goes through `state` and `restore`.
    """

    order = 0

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Before the first batch (of a resumed run too)."""

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Before the first batch of an epoch, or the first after a resume."""

    def on_batch_end(self, trainer: Trainer, loss: float) -> None:
        """After each update of the weights."""

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """After validation; `row` is what the history has just recorded. May set ``trainer.stop_training``."""

    def on_interrupt(self, trainer: Trainer) -> None:
        """When Ctrl-C or SIGTERM ends training, at the end of the batch that was running."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch, however training ended."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint must keep of this callback, as JSON can hold it."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self.__dict__.update(state)


def _written(path: Path, write: Callable[[Path], None], otherwise: str) -> None:
    """Write a file; if that fails (a full disk), warn: training is worth more than the file."""
    try:
        write(path)
    except OSError as error:
        warnings.warn(f"{path} could not be written: {error.strerror or error}; {otherwise}", stacklevel=3)


def monitored(row: dict[str, Any], column: str | None) -> tuple[str, float]:
    """The column to watch (``val_loss``, else ``loss``, unless one is named) and its value in this epoch."""
    column = column or ("val_loss" if "val_loss" in row else "loss")
    if column not in row:
        raise ValueError(f"monitor {column!r} is not in the history: it has {', '.join(row)}")
    return column, row[column]


class _Monitor(Callback):
    """Base of what watches a column of the history for its best value."""

    def __init__(self, monitor: str | None = None, mode: str = "auto"):
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode must be auto, min or max, not {mode!r}")
        self.monitor = monitor
        self.mode = mode
        self.best: float | None = None

    def improved(self, row: dict[str, Any], by: float = 0.0) -> bool:
        """Whether this epoch is the best so far (and remember it if so)."""
        column, value = monitored(row, self.monitor)
        larger = self.mode == "max" or (self.mode == "auto" and "loss" not in column)
        if math.isnan(value) or (self.best is not None and (value - self.best) * (1 if larger else -1) <= by):
            return False
        self.best = value
        return True

    def state(self):
        return {"best": self.best}


class EarlyStopping(_Monitor):
    """Stop when the monitored column (``val_loss``, else ``loss``) has not improved for `patience` epochs."""

    def __init__(self, monitor: str | None = None, patience: int = 10, min_delta: float = 0.0, mode: str = "auto"):
        super().__init__(monitor, mode)
        self.patience = patience
        self.min_delta = min_delta
        self.waited = 0

    def on_epoch_end(self, trainer, row):
        self.waited = 0 if self.improved(row, self.min_delta) else self.waited + 1
        if self.waited >= self.patience:
            trainer.stop_training = True

    def state(self):
        return {"best": self.best, "waited": self.waited}


class Checkpoint(Callback):
    """Save everything needed to resume, at each epoch's end, when interrupted, and within long epochs.

    Parameters
    ----------
    path : path
        The file (.safetensors or .npz); see `Trainer.save_checkpoint`.
    every_epochs : int
        How often.
    every_seconds : float
        Within an epoch, save when so much time has passed since the last save.

    A save that fails (a full disk) warns and leaves the last one; training goes on.
    """

    order = 100  # after those whose state it saves

    def __init__(self, path: str | PathLike[str], every_epochs: int = 1, every_seconds: float = 60.0):
        self.path = Path(path)
        self.every_epochs = every_epochs
        self.every_seconds = every_seconds

    def on_fit_begin(self, trainer):
        remove_leftovers(self.path)
        self._saved = time.monotonic()

    def on_batch_end(self, trainer, loss):
        if time.monotonic() - self._saved >= self.every_seconds:
            self._save(trainer)

    def on_epoch_end(self, trainer, row):
        if trainer.epoch % self.every_epochs == 0:
            self._save(trainer)

    def on_interrupt(self, trainer):
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        _written(self.path, trainer.save_checkpoint, "the last checkpoint stands")
        self._saved = time.monotonic()


class BestModel(_Monitor):
    """Save the model's weights whenever the monitored column is better than ever (``val_loss``, else ``loss``)."""

    def __init__(self, path: str | PathLike[str], monitor: str | None = None, mode: str = "auto"):
        super().__init__(monitor, mode)
        self.path = Path(path)

    def on_epoch_end(self, trainer, row):
        if self.improved(row):
            _written(self.path, partial(trainer.save_model, epoch=trainer.epoch), "the model before it stands")


class ReduceOnPlateau(Callback):
    """Lower the learning rate when the monitored column stops improving.

    Parameters
    ----------
    schedule : optim.schedules.ReduceOnPlateau
        Says when and by how much; give the trainer no other schedule.
    monitor : str, optional
        ``val_loss``, else ``loss``, by default.
    """

    def __init__(self, schedule: Any, monitor: str | None = None):
        self.schedule = schedule
        self.monitor = monitor
        self._state = schedule.init()

    def on_fit_begin(self, trainer):
        if trainer.schedule is not None:
            raise ValueError("a trainer with ReduceOnPlateau must have no other schedule")

    def on_epoch_end(self, trainer, row):
        self._state = self.schedule.update(monitored(row, self.monitor)[1], self._state)
        trainer.optimizer_state["lr"] = self._state["lr"]

    def state(self):
        return {name: value.item() for name, value in self._state.items()}

    def restore(self, state):
        self._state = {name: np.asarray(value, self._state[name].dtype) for name, value in state.items()}


class CSVLogger(Callback):
    """Write the history to a CSV file after each epoch."""

    def __init__(self, path: str | PathLike[str]):
        self.path = Path(path)

    def on_epoch_end(self, trainer, row):
        _written(self.path, trainer.history.to_csv, "the next epoch tries again")


class TensorBoard(Callback):
    """Write every column of the history for TensorBoard (needs tensorboardX, extra ``[train]``)."""

    def __init__(self, folder: str | PathLike[str]):
        self.folder = Path(folder)

    def on_fit_begin(self, trainer):
        self._writer = require("tensorboardX", "train").SummaryWriter(str(self.folder))

    def on_epoch_end(self, trainer, row):
        for name, value in row.items():
            if name != "epoch" and value is not None:
                self._writer.add_scalar(name, value, row["epoch"])

    def on_fit_end(self, trainer):
        self._writer.close()


class StopOnNaN(Callback):
    """End training with an error as soon as the loss is NaN or infinite; the trainer has it always."""

    def on_batch_end(self, trainer, loss):
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss became {loss} in epoch {trainer.epoch + 1}, batch {trainer.batch}: lower the learning rate"
                f" (it is {trainer.lr:g}), clip the gradients, or look for extreme values in the data"
            )
