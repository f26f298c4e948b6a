"""A confusion matrix as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np

from pyconv.viz.figure import new_figure, save_figure


def plot_confusion(matrix: Any, classes: Sequence[str], path: str | PathLike[str] | None = None) -> Any:
    """Draw how often each class (row) was taken for which (column): shares of the row as shades, counts as text.

    Parameters
    ----------
    matrix : array (K, K) of counts
    classes : sequence of str
    path : path, optional
        Where to write a PNG.

    Returns
    -------
    matplotlib.figure.Figure
    """
    matrix = np.asarray(matrix)
    k = len(classes)
    if matrix.shape != (k, k):
        raise ValueError(f"matrix must have the shape ({k}, {k}) for {k} classes, not {matrix.shape}")
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    size = min(20, 3 + 0.5 * k)
    figure = new_figure(size + 0.5, size)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class")
    axes.set(xlabel="predicted", ylabel="true", xticks=range(k), yticks=range(k))
    axes.set_xticklabels(classes, rotation=90 if max(map(len, classes), default=0) > 2 else 0)
    axes.set_yticklabels(classes)
    if k <= 30:
        for i, j in np.ndindex(k, k):
            if matrix[i, j]:
                shade = "white" if shares[i, j] > 0.5 else "black"
                axes.text(j, i, int(matrix[i, j]), ha="center", va="center", color=shade, fontsize=8)
    save_figure(figure, path)
    return figure
