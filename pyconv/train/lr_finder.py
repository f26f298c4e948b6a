"""The learning-rate finder: a short training with a growing rate, to see which rates learn (Smith 2017)."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from pyconv.train.trainer import Trainer, as_dataset


@dataclass(frozen=True)
class LRCurve:
    """What `find_lr` saw: the rates that were tried and the smoothed loss at each."""

    rates: np.ndarray
    losses: np.ndarray

    @property
    def suggestion(self) -> float:
        """The rate at which the loss falls fastest, before it is least."""
        least = int(np.argmin(self.losses)) + 1
        if least < 3:
            raise ValueError("the loss grew at once: begin with a lower rate")
        return float(self.rates[np.argmin(np.gradient(self.losses[:least], np.log(self.rates[:least])))])

    def plot(self, path: str | PathLike[str] | None = None) -> Any:
        """Draw the loss against the rate; save it to `path` if given. Returns the matplotlib figure."""
        from pyconv.viz.figure import new_figure, save_figure

        figure = new_figure(6, 4)
        axes = figure.add_subplot()
        axes.semilogx(self.rates, self.losses)
        axes.axvline(self.suggestion, linestyle="--", color="grey", label=f"suggested: {self.suggestion:.2g}")
        axes.set(xlabel="learning rate", ylabel="loss")
        axes.legend()
        save_figure(figure, path)
        return figure


def find_lr(
    trainer: Trainer,
    train: Any,
    batch_size: int = 32,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
) -> LRCurve:
    """Try learning rates from `lowest` to `highest`, a step each, on a copy of the trainer.

    It ends early when the loss exceeds four times its least. The trainer itself and its model stay as they are.

    References
    ----------
    Smith, Cyclical learning rates for training neural networks, 2017.

    Examples
    --------
    >>> from pyconv import data, nn
    >>> train, _ = data.load("digits")
    >>> curve = find_lr(Trainer(nn.Sequential(nn.Flatten(), nn.Linear(64, 10))), train, steps=50)
    >>> 1e-6 < curve.suggestion < 10
    True
    """
    if not (0 < lowest < highest and steps >= 3):
        raise ValueError(f"find_lr needs 0 < lowest < highest and 3 steps, not {lowest}, {highest}, {steps}")
    data = as_dataset(train)
    trial = copy.deepcopy(trainer)
    rates = np.geomspace(lowest, highest, steps)
    trial.schedule = lambda step: float(rates[min(step - trainer.step, steps - 1)])
    trial.model.train()
    rng = np.random.default_rng(trainer.seed)
    losses: list[float] = []
    average = 0.0
    for _ in range(steps):
        chosen = rng.integers(0, len(data), min(batch_size, len(data)))
        loss = trial.train_on_batch(data.x[chosen], data.y[chosen])
        average = 0.9 * average + 0.1 * loss
        smooth = average / (1 - 0.9 ** (len(losses) + 1))
        if not np.isfinite(loss) or (losses and smooth > 4 * min(losses)):
            break
        losses.append(smooth)
    return LRCurve(rates[: len(losses)], np.array(losses))
