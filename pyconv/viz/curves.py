"""Curves of training: the loss and each metric of a run, training beside validation; the cost of several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from pyconv.viz.figure import new_figure, save_figure

_NOT_CURVES = ("epoch", "lr", "seconds", "waiting")


def plot_history(history: Mapping[str, list[Any]], path: str | PathLike[str] | None = None) -> Any:
    """Draw one panel a figure of the history (loss, accuracy, …) against the epoch.

    Parameters
    ----------
    history : History
        Columns ``epoch``, ``loss``, …; those that begin with ``val_`` share the panel of their training column.
    path : path, optional
        Where to write a PNG.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = [n for n in history if n not in _NOT_CURVES and not n.startswith("val_")]
    names += [n[4:] for n in history if n.startswith("val_") and n[4:] not in history]
    figure = new_figure(5 * max(1, len(names)), 4)
    for number, name in enumerate(names):
        axes = figure.add_subplot(1, len(names), number + 1)
        for column, label in ((name, "training"), (f"val_{name}", "validation")):
            if column in history:
                points = [(e, v) for e, v in zip(history["epoch"], history[column], strict=True) if v is not None]
                axes.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < 40 else None)
        axes.set(xlabel="epoch", title=name)
        axes.grid(alpha=0.3)
        axes.legend()
    save_figure(figure, path)
    return figure


def plot_costs(costs: Mapping[str, Sequence[float]], path: str | PathLike[str] | None = None) -> Any:
    """Draw how the cost J falls in several runs, on a logarithmic axis.

    Parameters
    ----------
    costs : mapping of str to sequence of float
        J before training and after each epoch, by the run's name.
    path : path, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = new_figure(6, 4)
    axes = figure.add_subplot()
    for name, values in costs.items():
        axes.semilogy(range(len(values)), values, marker=".", label=name)
    axes.set(xlabel="epoch", ylabel="cost J")
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(figure, path)
    return figure
