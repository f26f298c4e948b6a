"""Pictures of what `pyconv.analysis` measures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from pyconv._extras import require
from pyconv.viz.figure import new_figure, save_figure

if TYPE_CHECKING:
    from pyconv.analysis import DenseEquivalent, ShiftCurve

_GAP = (0.75, 0.82, 0.92)  # between images: a colour that no grey image has


def plot_dense_equivalent(dense: DenseEquivalent, path: str | PathLike[str] | None = None) -> Any:
    """Draw the matrix of a layer: one colour a parameter, white where an input and an output are not connected.

    A matrix of up to a few hundred rows and columns can be read.

    Parameters
    ----------
    dense : DenseEquivalent
    path : path, optional
        Where to write a PNG.

    Returns
    -------
    matplotlib.figure.Figure
    """
    outputs, inputs = dense.index.shape
    figure = new_figure(8, max(2.5, min(12.0, 1.5 + 6 * outputs / inputs)))
    axes = figure.add_subplot()
    colours = require("matplotlib", "train").colormaps["turbo"].with_extremes(bad="white")
    axes.imshow(np.ma.masked_less(dense.index, 0), cmap=colours, interpolation="nearest", aspect="auto")
    title = f"{np.count_nonzero(dense.uses):,} parameters in {dense.connections:,} of {dense.index.size:,} places"
    axes.set(
        xlabel=f"{inputs:,} inputs ({_times(dense.input_shape)})",
        ylabel=f"{outputs:,} outputs ({_times(dense.output_shape)})",
        title=f"{title}: {dense.sparsity:.1%} empty",
    )
    save_figure(figure, path)
    return figure


def plot_shift_consistency(curves: Mapping[str, ShiftCurve], path: str | PathLike[str] | None = None) -> Any:
    """Draw how often predictions survive a shift, a curve a model; beside it the accuracy, where it was measured.

    Parameters
    ----------
    curves : mapping of str to ShiftCurve
        By the model's name.
    path : path, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    panels = [("consistency", "same class as in its place")]
    if any(curve.accuracy is not None for curve in curves.values()):
        panels.append(("accuracy", "right class"))
    figure = new_figure(5 * len(panels), 4)
    for number, (name, label) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        for model, curve in curves.items():
            if getattr(curve, name) is not None:
                axes.plot(curve.shifts, getattr(curve, name), marker=".", label=model)
        axes.set(xlabel="shift (pixels)", title=label, ylim=(0, 1.03))
        axes.grid(alpha=0.3)
        axes.legend()
    save_figure(figure, path)
    return figure


def plot_images(images: Any, path: str | PathLike[str] | None = None, columns: int | None = None) -> Any:
    """Draw images side by side, such as `analysis.filter_images` gives.

    Parameters
    ----------
    images : array (N, H, W) or (N, H, W, 3)
        From 0 to 1.
    path : path, optional
    columns : int, optional
        Images a row; about the root of their number by default.

    Returns
    -------
    matplotlib.figure.Figure
    """
    sheet = _sheet(np.asarray(images), columns)
    figure = new_figure(6, 6 * sheet.shape[0] / sheet.shape[1])
    _show(figure.add_subplot(), sheet, 0, 1)
    save_figure(figure, path)
    return figure


def plot_feature_maps(
    maps: Mapping[str, np.ndarray], path: str | PathLike[str] | None = None, channels: int = 12
) -> Any:
    """Draw the first channels of each layer's maps, a row a layer, each row from its least to its largest value.

    Parameters
    ----------
    maps : mapping of str to array (C, H, W)
        From `analysis.feature_maps`.
    path : path, optional
    channels : int
        At most so many of each layer.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = new_figure(8, max(1.0, len(maps)))
    for number, (name, layer) in enumerate(maps.items()):
        axes = figure.add_subplot(len(maps), 1, number + 1)
        shown = layer[:channels]
        empty = np.full((channels - len(shown), *shown.shape[1:]), np.nan)
        _show(axes, _sheet(np.concatenate([shown, empty]), channels), shown.min(), shown.max())
        axes.set_ylabel(f"{name}\n{_times(layer.shape)}", rotation=0, ha="right", va="center", fontsize=8)
    save_figure(figure, path)
    return figure


def _show(axes: Any, sheet: np.ndarray, low: float, high: float) -> None:
    grey = require("matplotlib", "train").colormaps["gray"].with_extremes(bad=_GAP)
    axes.imshow(sheet, cmap=grey, vmin=low, vmax=high, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set_visible(False)


def _sheet(images: np.ndarray, columns: int | None) -> np.ndarray:
    """Images (N, H, W[, 3]) in rows on one sheet, small ones enlarged, with a gap around each (NaN where grey)."""
    if images.ndim not in (3, 4) or len(images) == 0 or (images.ndim == 4 and images.shape[3] != 3):
        raise ValueError(f"images must have the shape (N, H, W) or (N, H, W, 3), not {images.shape}")
    scale = max(1, 32 // max(images.shape[1:3]))
    images = images.repeat(scale, 1).repeat(scale, 2)
    columns = columns or math.ceil(math.sqrt(len(images)))
    height, width = images.shape[1] + 2, images.shape[2] + 2
    rows = -(-len(images) // columns)
    sheet = np.empty((rows * height + 2, columns * width + 2, *images.shape[3:]))
    sheet[...] = _GAP if images.ndim == 4 else np.nan
    for number, image in enumerate(images):
        top, left = 2 + number // columns * height, 2 + number % columns * width
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
