"""Metrics: numbers about predictions, gathered batch by batch.

A metric's memory is one array of counts, which the trainer owns and saves in checkpoints, so that training resumes in
the middle of an epoch with the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


def predicted(output: np.ndarray) -> np.ndarray:
    """Class of each sample: the largest logit of (N, K), or the sign of a single logit (N,) or (N, 1)."""
    if output.ndim == 1 or output.shape[1] == 1:
        return (output.reshape(len(output), -1)[:, 0] > 0).astype(np.int64)
    return output.argmax(1)


def confusion_matrix(y_true, y_pred, num_classes: int | None = None) -> np.ndarray:
    """How often class i (row) was taken for class j (column).

    Examples
    --------
    >>> confusion_matrix([0, 1, 1], [0, 1, 0])
    array([[1, 0],
           [1, 1]])
    """
    y_true, y_pred = np.asarray(y_true).astype(np.int64), np.asarray(y_pred).astype(np.int64)
    k = num_classes or int(max(y_true.max(initial=-1), y_pred.max(initial=-1))) + 1
    return np.bincount(y_true * k + y_pred, minlength=k * k).reshape(k, k)


class Metric:
    """Base: `start` gives an array of zeros, `add` adds a batch to it, `value` reads the number from it."""

    name = "metric"

    def start(self, num_classes: int) -> np.ndarray:
        return np.zeros(2)

    def add(self, state: np.ndarray, output: np.ndarray, target: np.ndarray) -> None:
        raise NotImplementedError

    def value(self, state: np.ndarray) -> float:
        return float(state[0] / state[1]) if state[1] else float("nan")


class Accuracy(Metric):
    """Share of samples whose class is predicted right."""

    name = "accuracy"

    def add(self, state, output, target):
        state += (predicted(output) == target.reshape(-1)).sum(), len(target)


class TopK(Metric):
    """Share of samples whose class is among the `k` largest logits."""

    def __init__(self, k: int = 5):
        self.k = k
        self.name = f"top{k}"

    def add(self, state, output, target):
        own = np.take_along_axis(output, target[:, None], 1)
        state += ((output > own).sum(1) < self.k).sum(), len(target)


class _FromConfusion(Metric):
    """The mean over the classes that occur; with two classes, the figure of class 1."""

    def start(self, num_classes):
        return np.zeros((max(2, num_classes),) * 2)

    def add(self, state, output, target):
        state += confusion_matrix(target.reshape(-1), predicted(output), len(state))

    def value(self, state):
        right, actual, claimed = np.diag(state), state.sum(1), state.sum(0)
        figures = self.figures(right, actual, claimed)
        if len(figures) == 2:
            return float(figures[1])
        occurs = actual + claimed > 0
        return float(figures[occurs].mean()) if occurs.any() else float("nan")

    def figures(self, right, actual, claimed):
        raise NotImplementedError


class Precision(_FromConfusion):
    """Of what is called a class, the share that is one."""

    name = "precision"

    def figures(self, right, actual, claimed):
        return right / np.maximum(claimed, 1)


class Recall(_FromConfusion):
    """Of what is a class, the share that is called one."""

    name = "recall"

    def figures(self, right, actual, claimed):
        return right / np.maximum(actual, 1)


class F1(_FromConfusion):
    """Harmonic mean of precision and recall."""

    name = "f1"

    def figures(self, right, actual, claimed):
        return 2 * right / np.maximum(actual + claimed, 1)


class Averaged(Metric):
    """The mean over samples of a function ``(output, target) -> number`` that is itself a mean over a batch."""

    def __init__(self, function: Callable[[np.ndarray, np.ndarray], float], name: str | None = None):
        self.function = function
        self.name = str(name or getattr(function, "__name__", "metric"))

    def add(self, state, output, target):
        state += float(self.function(output, target)) * len(target), len(target)


class Sums:
    """What an epoch's loss and metrics are computed from."""

    def __init__(self, metrics: Sequence[Metric], num_classes: int):
        self.metrics = metrics
        self.num_classes = num_classes
        self.loss = 0.0
        self.count = 0
        self.states = [m.start(num_classes) for m in metrics]

    def add(self, loss: float, output: np.ndarray, target: np.ndarray) -> None:
        self.loss += loss * len(target)
        self.count += len(target)
        for metric, state in zip(self.metrics, self.states, strict=True):
            metric.add(state, output, target)

    def values(self) -> dict[str, float]:
        mean = self.loss / self.count if self.count else float("nan")
        return {"loss": mean, **{m.name: m.value(s) for m, s in zip(self.metrics, self.states, strict=True)}}

    def arrays(self) -> dict[str, np.ndarray]:
        states = {f"{i}": state for i, state in enumerate(self.states)}
        return {"loss": np.array([self.loss]), "count": np.array([self.count]), **states}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.loss, self.count = float(arrays["loss"][0]), int(arrays["count"][0])
        self.states = [arrays[f"{i}"] for i in range(len(self.states))]


METRICS: dict[str, Callable[[], Metric]] = {
    "accuracy": Accuracy,
    "top3": lambda: TopK(3),
    "top5": lambda: TopK(5),
    "precision": Precision,
    "recall": Recall,
    "f1": F1,
}


def as_metrics(metrics: Any) -> list[Metric]:
    """Metrics from one, or several, of what `as_metric` takes."""
    return [as_metric(m) for m in ([metrics] if isinstance(metrics, (str, Metric)) or callable(metrics) else metrics)]


def as_metric(metric: Any) -> Metric:
    """A metric from its name, a `Metric`, or a function of (output, target)."""
    if isinstance(metric, Metric):
        return metric
    if callable(metric):
        return Averaged(metric)
    if metric not in METRICS:
        raise ValueError(f"metrics must be a Metric, a function, or one of {', '.join(METRICS)}, not {metric!r}")
    return METRICS[metric]()
