"""Trainer: fits a model to data, a batch at a time, and can be stopped at any batch and resumed exactly.

All that a run depends on is here: the model's parameters and buffers and their averages, the optimizer's state, the
position (epoch, batch), the sums that the epoch's figures come from, and the seed. Batches and augmentation follow from
(seed, epoch, batch) alone.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from os import PathLike
from typing import Any

import numpy as np

from pyconv import nn, optim, serialization
from pyconv.data.augment import as_augment
from pyconv.data.dataset import ArrayDataset, as_float
from pyconv.data.loader import Batch, Loader
from pyconv.train import checkpoint
from pyconv.train.average import as_ema, averaged_model
from pyconv.train.callbacks import Callback, StopOnNaN
from pyconv.train.history import History
from pyconv.train.interrupt import Deferred, deferred_signals
from pyconv.train.losses import as_loss, mean_loss
from pyconv.train.metrics import Sums, as_metrics
from pyconv.train.progress import Progress
from pyconv.train.step import Inputs, Mixup, TrainingStep, sample_weights
from pyconv.train.stepper import Compiled, Eager

Views = Callable[[np.ndarray], list[tuple[float, np.ndarray]]]


class Trainer:
    """Fits a model.

    Parameters
    ----------
    model : nn.Module
    loss : str or callable
        ``cross_entropy``, ``binary_cross_entropy``, ``mse``, ``l1``, ``hinge``, or a function of (output, target) in
        terms of `pyconv.functional` that gives the mean over the batch.
    optimizer : optimizer of `pyconv.optim`, or the name of one
        ``optim.Adam()`` by default.
    metrics : str, Metric or callable, or a sequence of them
        See `pyconv.train.metrics`.
    callbacks : sequence of Callback
    schedule : callable, optional
        Gives the learning rate of the step with a number (from 0): ``schedule(step) -> lr``.
    augment : Augment or sequence of str, optional
        Changes to training images, see `pyconv.data.Augment`.
    class_weights : array (K,), optional
        What each class counts in the loss.
    label_smoothing : float
        Share of the target spread over all classes (with ``cross_entropy``).
    mixup : float
        Mix each training sample with another one, in a share drawn from Beta(mixup, mixup); 0: do not.
    ema : float or optim.EMA, optional
        Keep a moving average of the weights (and of batch norm's statistics) with this decay, 0.999 say, that counts
        for less over the first steps. `evaluate`, `predict`, `save_model` and validation use the average; training
        goes on with the weights themselves.
    accumulate : int
        Run each batch in so many parts and add their gradients: less memory, the same batch size.
    seed : int
        Of the order of samples, of augmentation and of dropout. (The model's first weights are the model's affair.)
    prefetch : int
        Batches that a thread prepares ahead.
    progress : bool
        Show a bar on a terminal, else a line an epoch.
    compiled : bool
        Compile the whole step, from forward to update, into one plan. Without, it runs op by op, which is for looking
        into it; the two agree to rounding. A model that cannot be recorded, since it looks at the values of its
        activations, runs op by op in any case, after a warning.
    recompute : bool
        Compute cheap activations again in the backward pass rather than keep them: less memory, some more time.

    Attributes
    ----------
    history : History
    epoch, batch : int
        Epochs done, and batches done in the current one.
    averaged_model : nn.Module
        What `evaluate`, `predict` and `save_model` use.

    Examples
    --------
    >>> import pyconv as pc
    >>> from pyconv import nn, optim
    >>> train, test = pc.data.load("digits")
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> trainer = Trainer(model, optimizer=optim.Adam(lr=1e-2), progress=False)
    >>> history = trainer.fit(train, epochs=3, batch_size=64, validation=test)
    >>> history["val_accuracy"][-1] > 0.8
    True
    """

    def __init__(
        self,
        model: nn.Module,
        loss: str | Callable[..., Any] = "cross_entropy",
        optimizer: Any = "adam",
        metrics: Iterable[Any] = ("accuracy",),
        callbacks: Iterable[Callback] = (),
        *,
        schedule: Callable[[int], float] | None = None,
        augment: Any = None,
        class_weights: Any = None,
        label_smoothing: float = 0.0,
        mixup: float = 0.0,
        ema: float | optim.EMA | None = None,
        accumulate: int = 1,
        seed: int = 0,
        prefetch: int = 2,
        progress: bool = True,
        compiled: bool = True,
        recompute: bool = False,
    ):
        if accumulate < 1:
            raise ValueError(f"accumulate must be at least 1, not {accumulate}")
        if seed < 0:
            raise ValueError(f"seed must be at least 0, not {seed}")
        if not mixup >= 0:
            raise ValueError(f"mixup must be at least 0, not {mixup}")
        if recompute and not compiled:
            raise ValueError("recompute must be False for a trainer that does not compile its step")
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a Module, not {type(model).__name__}")
        if not (schedule is None or callable(schedule)):
            raise TypeError(f"schedule must be a function step -> lr, as optim.schedules makes them, not {schedule!r}")
        self.model = model
        self.loss = as_loss(loss, label_smoothing)
        self.optimizer = optim.create(optimizer) if isinstance(optimizer, str) else optimizer
        self.metrics = as_metrics(metrics)
        self.callbacks = sorted([StopOnNaN(), *callbacks, *([Progress()] if progress else [])], key=lambda c: c.order)
        self.schedule = schedule
        self.augment = as_augment(augment)
        self.class_weights = None if class_weights is None else np.asarray(class_weights, np.float32)
        self.mixup = mixup
        self.ema = as_ema(ema)
        self.accumulate = accumulate
        self.seed = seed
        self.prefetch = prefetch
        self._stepper = Compiled(recompute) if compiled else Eager()
        self.history = History()
        self.run: dict[str, Any] = {}
        self.epoch = self.batch = self.step = 0
        self.last_epoch = self.samples = 0
        self.stop_training = False
        self.optimizer_state: dict[str, Any] | None = None
        self.ema_state: dict[str, Any] | None = None
        self.begin_sums(0)

    # --- what people call

    def fit(
        self,
        train: ArrayDataset | tuple,
        epochs: int = 1,
        batch_size: int = 32,
        validation: ArrayDataset | tuple | None = None,
        *,
        shuffle: bool = True,
        drop_last: bool = False,
        resume: str | PathLike[str] | None = None,
    ) -> History:
        """Train for so many epochs more.

        Parameters
        ----------
        train, validation : ArrayDataset or (x, y)
        epochs : int
            With `resume`, the number given to the run that stopped: together they make so many.
        batch_size : int
        shuffle : bool
            Draw a new order each epoch.
        drop_last : bool
            Leave out what does not fill a batch, other samples in each epoch.
        resume : path, optional
            A checkpoint of a run with the same model, data and arguments; training goes on where it was written, and
            ends with the same weights, bit for bit, as if it had never stopped.

        Returns
        -------
        History
            Of all epochs so far: loss and metrics (as training saw them, augmented and with dropout), ``val_`` the same
            on `validation`, learning rate, seconds, and the share of these in which training waited for data.

        Raises
        ------
        ValueError
            If data and model do not fit, or the checkpoint is not one of such a run.
        FloatingPointError
            If the loss becomes NaN or infinite.
        """
        train, validation = as_dataset(train), None if validation is None else as_dataset(validation)
        if len(train) == 0:
            raise ValueError("train holds no samples")
        if epochs < 0:
            raise ValueError(f"epochs must be at least 0, not {epochs}")
        self._check_fits(train)
        order = {"shuffle": shuffle, "drop_last": drop_last}
        loader = Loader(train, batch_size, **order, augment=self.augment, seed=self.seed, prefetch=self.prefetch)
        run = {"samples": len(train), "batch_size": batch_size, **order}
        if resume is None:
            if self.epoch == self.batch == 0:
                self._seed_randomness()
            self.run = {**run, "first_epoch": self.epoch}
            self.begin_sums(len(train.classes))
            self.stop_training = False
        else:
            checkpoint.restore(self, resume, run)
        self.last_epoch = self.run["first_epoch"] + epochs
        self.samples = len(train)
        with deferred_signals() as signals:
            self._each("on_fit_begin")
            try:
                while self.epoch < self.last_epoch and not self.stop_training:
                    if not self._fit_epoch(loader, validation, signals):
                        self._each("on_interrupt")
                        break
            finally:
                self._each("on_fit_end")
        return self.history

    def train_on_batch(self, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> float:
        """One step: forward, loss, backward, update. Returns the loss before the update."""
        loss, _ = self._update(Batch(np.asarray(x), np.asarray(y), weights, self.step))
        return loss

    def evaluate(
        self, data: ArrayDataset | tuple, batch_size: int = 256, *, views: Views | None = None
    ) -> dict[str, float]:
        """Loss and metrics on `data`, with the model in evaluation mode: ``{"loss": …, "accuracy": …}``.

        With `views`, of the mean of the outputs for several views of each input, as `predict` takes them.
        """
        data = as_dataset(data)
        self._check_fits(data)
        sums, model = Sums(self.metrics, len(data.classes)), self.averaged_model
        with _mode(model, training=False):
            for batch in Loader(data, batch_size, prefetch=0).batches():
                batch = batch._replace(x=self._inputs(batch.x))
                output, weights = _seen(model, batch.x, views), sample_weights(batch, self.class_weights)
                sums.add(float(mean_loss(self.loss, output, batch.y, weights)), output, batch.y)
        return sums.values()

    def predict(self, x: Any, batch_size: int = 256, *, views: Views | None = None) -> np.ndarray:
        """The model's outputs (N, …) for inputs (N, C, *spatial), in evaluation mode; uint8 is scaled to [0, 1].

        `views` makes a list of (share, inputs) from a batch of inputs, and the outputs are added in these shares:
        `pyconv.data.views` looks at images also mirrored and moved.
        """
        x = x.x if isinstance(x, ArrayDataset) else np.asarray(x)
        model = self.averaged_model
        with _mode(model, training=False):
            starts = range(0, max(1, len(x)), batch_size)
            parts = [_seen(model, self._inputs(x[i : i + batch_size]), views) for i in starts]
        return np.concatenate(parts)

    @property
    def averaged_model(self) -> nn.Module:
        """With `ema`, and once it has begun, a copy of the model that holds the averages; else the model itself."""
        return self.model if self.ema_state is None else averaged_model(self.model, self.ema_state["params"])

    def clone(self) -> Trainer:
        """A deep copy that shares nothing with this trainer and goes on as it would."""
        return copy.deepcopy(self)

    @property
    def lr(self) -> float:
        """The learning rate of the last step."""
        state = self.optimizer_state
        return float("nan") if state is None else float(state["lr"])

    @property
    def seen(self) -> int:
        """Samples seen in the current epoch."""
        return int(self.sums.count)

    def running(self) -> dict[str, float]:
        """Loss and metrics of the current epoch so far."""
        return self.sums.values()

    # --- one epoch, one step

    def _fit_epoch(self, loader: Loader, validation: ArrayDataset | None, signals: Deferred) -> bool:
        """Train the rest of an epoch; False if a signal cut it short."""
        self._each("on_epoch_begin")
        began = time.perf_counter()
        with _mode(self.model, training=True), closing(loader.batches(self.epoch, self.batch)) as batches:
            while (batch := self._next(batches)) is not None:
                loss, output = self._update(batch)
                self.batch += 1
                self.sums.add(loss, output, batch.y)
                self._each("on_batch_end", loss)
                if signals.pending is not None:
                    self.seconds += time.perf_counter() - began
                    return False
        row = {"epoch": self.epoch + 1, **self.sums.values()}
        if validation is not None:
            row |= {f"val_{name}": value for name, value in self.evaluate(validation).items()}
        self.seconds += time.perf_counter() - began
        row |= {"lr": self.lr, "seconds": round(self.seconds, 3), "waiting": round(self.waiting / self.seconds, 4)}
        self.history.append(row)
        self.epoch += 1
        self.batch = 0
        self.begin_sums(self.sums.num_classes)
        self._each("on_epoch_end", row)
        return signals.pending is None or self.epoch >= self.last_epoch

    def _next(self, batches: Iterator[Batch]) -> Batch | None:
        """The next batch, or None; the time that it was waited for is noted."""
        began = time.perf_counter()
        batch = next(batches, None)
        self.waiting += time.perf_counter() - began
        return batch

    def _update(self, batch: Batch) -> tuple[float, np.ndarray]:
        """One step of the optimizer; the batch's loss and the model's outputs from before it."""
        batch = batch._replace(x=self._inputs(batch.x))
        batch = batch._replace(weights=sample_weights(batch, self.class_weights))
        inputs = Inputs(batch.x, batch.y, batch.weights)
        if self.mixup:
            inputs = Mixup(self.mixup, self.seed).inputs(batch, self.epoch, self.accumulate)
        step = TrainingStep(self.model, self.loss, self.optimizer, self.ema, self.accumulate)
        state = step.state(self.optimizer_state, self.ema_state)
        if self.schedule is not None:
            state["optimizer"]["lr"] = np.asarray(self.schedule(self.step), np.asarray(state["optimizer"]["lr"]).dtype)
        loss, output, state = self._stepper.run(step, state, inputs)
        self.optimizer_state, self.ema_state = state["optimizer"], state["average"] or None
        if np.isfinite(loss):
            self.step += 1
        return float(loss), output

    # --- saving

    def save_model(self, path: str | PathLike[str], **description: Any) -> None:
        """Write the model (with `ema`, the averages), as `pyconv.save` does."""
        serialization.save(self.averaged_model, path, **description)

    def save_checkpoint(self, path: str | PathLike[str]) -> None:
        """Write all that `fit(resume=path)` needs to go on exactly here, to a .safetensors or .npz file.

        One file holds everything and is replaced at once: a kill at any moment leaves the old one or the new one.
        """
        checkpoint.save(self, path)

    # --- small things

    def _each(self, moment: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, moment)(self, *arguments)

    def begin_sums(self, num_classes: int) -> None:
        """Begin an epoch's figures anew."""
        self.sums = Sums(self.metrics, num_classes)
        self.seconds = self.waiting = 0.0  # of the epoch; and of that, for data

    def _seed_randomness(self) -> None:
        """Make dropout's random states follow from the trainer's seed, each layer its own."""
        for index, module in enumerate(self.model.modules()):
            if "rng_state" in module._buffers:
                key = np.random.SeedSequence([self.seed, index]).generate_state(1, np.uint64)
                module.rng_state = np.array([key[0], 0], np.uint64)

    def _inputs(self, x: np.ndarray) -> np.ndarray:
        """Inputs as the model takes them: floats of its own precision, uint8 scaled to [0, 1]."""
        x = as_float(x)
        dtype = next((p.dtype for p in self.model.parameters()), x.dtype)
        return x.astype(dtype, copy=False) if x.dtype.kind == "f" else x

    def _check_fits(self, data: ArrayDataset) -> None:
        """Run one sample through the model, so that data that do not fit are refused before anything has changed."""
        if len(data) == 0:
            return
        with _mode(self.model, training=False):
            output = self.model(self._inputs(data.x[:1]))
        if data.classes and output.ndim == 2 and 1 < output.shape[1] < len(data.classes):
            raise ValueError(f"the model gives {output.shape[1]} classes, the data have {len(data.classes)}")
        if self.class_weights is not None and self.class_weights.shape != (len(data.classes),):
            raise ValueError(
                f"class_weights must be a number for each of the {len(data.classes)} classes,"
                f" not an array of shape {self.class_weights.shape}"
            )


def _seen(model: nn.Module, x: np.ndarray, views: Views | None) -> np.ndarray:
    """The model's outputs for a batch, or their mean over views of it."""
    return model(x) if views is None else sum(model(y) * x.dtype.type(share) for share, y in views(x))


class _mode:
    """Put a model into training or evaluation mode inside a `with` block; each module gets its own mode back."""

    def __init__(self, model: nn.Module, training: bool):
        self.model, self.training = model, training

    def __enter__(self) -> None:
        self.before = [(m, m.training) for m in self.model.modules()]
        self.model.train(self.training)

    def __exit__(self, *error: Any) -> None:
        for module, training in self.before:
            module.training = training


def as_dataset(data: Any) -> ArrayDataset:
    """An `ArrayDataset` from one, or from a pair (x, y)."""
    if isinstance(data, ArrayDataset):
        return data
    if isinstance(data, tuple) and len(data) == 2:
        return ArrayDataset(*data)
    raise TypeError(f"data must be an ArrayDataset or a pair (x, y), not {type(data).__name__}")
