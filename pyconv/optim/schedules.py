"""Schedules: the learning rate as a pure function of the optimizer's step, counted from 0.

A training loop writes it into the optimizer's state: `state["lr"] = np.asarray(schedule(step))`. `ReduceOnPlateau`
depends on a metric instead, so it has a state of its own, made and remade by pure functions too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyconv.optim.optimizer import State, check


@dataclass(frozen=True)
class Schedule:
    """Base of the schedules: called with a step it gives the learning rate.

    Parameters
    ----------
    lr : float
        The largest learning rate, from which all others derive.
    """

    lr: float

    def __post_init__(self):
        check("lr", self.lr, 0)

    def __call__(self, step: int) -> float:
        raise NotImplementedError(f"{type(self).__name__} gives no rate")


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate at every step."""

    def __call__(self, step: int) -> float:
        return self.lr


@dataclass(frozen=True)
class StepDecay(Schedule):
    """The rate times `gamma` after every so many steps, as `torch.optim.lr_scheduler.StepLR`.

    Examples
    --------
    >>> [StepDecay(1.0, every=2, gamma=0.5)(step) for step in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    every: int
    gamma: float = 0.1

    def __post_init__(self):
        super().__post_init__()
        check("every", self.every, 1)
        check("gamma", self.gamma, 0)

    def __call__(self, step: int) -> float:
        return self.lr * self.gamma ** (step // self.every)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from `lr` down to `end` in so many steps, then `end`; as `CosineAnnealingLR` up to there.

    References
    ----------
    Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, 2017 (without the restarts).
    """

    steps: int
    end: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        check("steps", self.steps, 1)
        check("end", self.end, 0)

    def __call__(self, step: int) -> float:
        return _half_cosine(self.lr, self.end, min(step / self.steps, 1.0))


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up from lr / div_factor to `lr`, then down to that start / final_div_factor, by half cosines; as `OneCycleLR`.

    Parameters
    ----------
    lr : float
        The rate at the top.
    steps : int
        Of the whole cycle; afterwards the last rate stays.
    rise : float
        Share of the steps that go up, between 0 and 1 (`pct_start` in PyTorch).
    div_factor, final_div_factor : float

    References
    ----------
    Smith and Topin, Super-convergence: very fast training of neural networks using large learning rates, 2018.
    """

    steps: int
    rise: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __post_init__(self):
        super().__post_init__()
        check("steps", self.steps, 1)
        check("rise", self.rise, 0, 1)
        check("div_factor", self.div_factor, 1)
        check("final_div_factor", self.final_div_factor, 1)

    def __call__(self, step: int) -> float:
        top, last = self.rise * self.steps - 1, self.steps - 1
        first = self.lr / self.div_factor
        if step <= top:
            return _half_cosine(first, self.lr, step / top if top else 1.0)
        share = (step - top) / (last - top) if last > top else 1.0
        return _half_cosine(self.lr, first / self.final_div_factor, min(share, 1.0))


@dataclass(frozen=True)
class Triangle(Schedule):
    """Straight up from a share of `lr` to `lr`, then straight down to another share.

    Parameters
    ----------
    lr : float
        The rate at the top.
    steps : int
        Of the whole training; afterwards the last rate stays.
    rise : float
        Share of the steps that go up, between 0 and 1.
    start, end : float
        The first and the last rate, as shares of `lr`.

    Examples
    --------
    >>> schedule = Triangle(1.0, steps=10, rise=0.5, start=0.5, end=0.0)
    >>> schedule(0), schedule(5), schedule(10)
    (0.5, 1.0, 0.0)
    """

    steps: int
    rise: float = 0.23
    start: float = 0.2
    end: float = 0.07

    def __post_init__(self):
        super().__post_init__()
        check("steps", self.steps, 1)
        check("rise", self.rise, 0, 1)
        check("start", self.start, 0)
        check("end", self.end, 0)

    def __call__(self, step: int) -> float:
        top = self.rise * self.steps
        if step < top:
            return self.lr * (self.start + (1 - self.start) * step / top)
        return self.lr * (1 + (self.end - 1) * min((step - top) / (self.steps - top), 1.0))


@dataclass(frozen=True)
class WarmUp:
    """A straight rise to another schedule's first rate, then that schedule.

    Step t of the first `steps` has (t + 1) / (steps + 1) of the rate that follows.

    References
    ----------
    Goyal et al., Accurate, large minibatch SGD: training ImageNet in 1 hour, 2017.
    """

    schedule: Callable[[int], float]
    steps: int

    def __post_init__(self):
        check("steps", self.steps, 0)

    def __call__(self, step: int) -> float:
        if step < self.steps:
            return self.schedule(0) * (step + 1) / (self.steps + 1)
        return self.schedule(step - self.steps)


@dataclass(frozen=True)
class ReduceOnPlateau:
    """The rate times `factor` when a metric has not improved for more than `patience` looks at it.

    As `torch.optim.lr_scheduler.ReduceLROnPlateau`. `state["lr"]` is the rate.

    Parameters
    ----------
    lr : float
    mode : {"min", "max"}
        Whether less or more of the metric is better.
    factor : float
    patience, cooldown : int
        Looks without improvement that are forgiven, and looks after a reduction that are not counted.
    threshold : float
        Smallest change, relative to the best so far, that is an improvement.
    min_lr : float

    Examples
    --------
    >>> schedule = ReduceOnPlateau(1.0, factor=0.5, patience=0)
    >>> state = schedule.init()
    >>> for loss in (3.0, 2.0, 2.0):
    ...     state = schedule.update(loss, state)
    >>> float(state["lr"])
    0.5
    """

    lr: float
    mode: str = "min"
    factor: float = 0.1
    patience: int = 10
    cooldown: int = 0
    threshold: float = 1e-4
    min_lr: float = 0.0

    def __post_init__(self):
        if self.mode not in ("min", "max"):
            raise ValueError(f"mode must be min or max, not {self.mode!r}")
        check("factor", self.factor, 0, 1)
        for name in ("lr", "patience", "cooldown", "threshold", "min_lr"):
            check(name, getattr(self, name), 0)

    def init(self) -> State:
        """The state before the first look."""
        worst = np.inf if self.mode == "min" else -np.inf
        return _arrays(lr=self.lr, best=worst, bad=0, cooldown=0)

    def update(self, metric: float, state: State) -> State:
        """The state after a look at the metric."""
        metric, best, lr = float(metric), float(state["best"]), float(state["lr"])
        cooldown = int(state["cooldown"])
        if self._better(metric, best):
            best, bad = metric, 0
        else:
            bad = int(state["bad"]) + 1
        if cooldown > 0:
            cooldown, bad = cooldown - 1, 0
        if bad > self.patience:
            lower = max(lr * self.factor, self.min_lr)
            lr = lower if lr - lower > 1e-8 else lr
            cooldown, bad = self.cooldown, 0
        return _arrays(lr=lr, best=best, bad=bad, cooldown=cooldown)

    def _better(self, metric: float, best: float) -> bool:
        return metric < best * (1 - self.threshold) if self.mode == "min" else metric > best * (1 + self.threshold)


def create(name: str, lr: float, steps: int, warm_up: int = 0, **options: Any) -> Callable[[int], float]:
    """A schedule for a training of so many steps, by name.

    Parameters
    ----------
    name : {"constant", "step", "cosine", "one_cycle", "triangle"}
        "step" divides the rate by 10 after each third of the steps.
    lr : float
        The largest rate.
    steps : int
        Of the whole training, `warm_up` included.
    warm_up : int
        Steps of a straight rise before the schedule proper.
    **options
        Further arguments of the schedule's class.

    Examples
    --------
    >>> from pyconv.optim import schedules
    >>> schedule = schedules.create("cosine", lr=0.1, steps=100)
    >>> schedule(0), schedule(50), schedule(100)
    (0.1, 0.05, 0.0)
    """
    if name not in _SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(_SCHEDULES)}, not {name!r}")
    check("warm_up", warm_up, 0, max(steps, 1))
    schedule = _SCHEDULES[name](lr, steps - warm_up, options)
    return WarmUp(schedule, warm_up) if warm_up else schedule


def names() -> tuple[str, ...]:
    """The names that `create` knows."""
    return tuple(_SCHEDULES)


_SCHEDULES: dict[str, Callable[[float, int, dict[str, Any]], Schedule]] = {
    "constant": lambda lr, steps, options: Constant(lr, **options),
    "step": lambda lr, steps, options: StepDecay(lr, **{"every": max(1, -(-steps // 3)), **options}),
    "cosine": lambda lr, steps, options: Cosine(lr, steps, **options),
    "one_cycle": lambda lr, steps, options: OneCycle(lr, steps, **options),
    "triangle": lambda lr, steps, options: Triangle(lr, steps, **options),
}


def _half_cosine(start: float, end: float, share: float) -> float:
    """From `start` (share 0) to `end` (share 1) along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def _arrays(lr: float, best: float, bad: int, cooldown: int) -> State:
    return {
        "lr": np.asarray(lr, np.float64),
        "best": np.asarray(best, np.float64),
        "bad": np.asarray(bad, np.int64),
        "cooldown": np.asarray(cooldown, np.int64),
    }
