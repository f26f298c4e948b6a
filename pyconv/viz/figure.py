"""A figure drawn without a screen: no window system, no state of `pyplot` is touched."""

from __future__ import annotations

import io
from os import PathLike
from typing import Any

from pyconv._extras import require
from pyconv._files import write_atomically


def new_figure(width: float, height: float) -> Any:
    """An empty matplotlib figure of a size in inches that renders with Agg."""
    figure = require("matplotlib.figure", "train").Figure(figsize=(width, height), layout="constrained")
    require("matplotlib.backends.backend_agg", "train").FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, path: str | PathLike[str] | None) -> None:
    """Write a figure as PNG, whole or not at all; None: do nothing."""
    if path is not None:
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=120)
        write_atomically(path, content.getvalue())
