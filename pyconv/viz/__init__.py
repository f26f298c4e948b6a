"""Pictures of training and of its results (matplotlib, extra ``[train]``)."""

from pyconv.viz.confusion import plot_confusion
from pyconv.viz.curves import plot_history

__all__ = ["plot_confusion", "plot_history"]
