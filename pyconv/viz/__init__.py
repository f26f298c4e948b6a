"""Pictures of training, of its results and of what a network does (matplotlib, extra ``[train]``)."""

from pyconv.viz.analysis import plot_dense_equivalent, plot_feature_maps, plot_images, plot_shift_consistency
from pyconv.viz.confusion import plot_confusion
from pyconv.viz.curves import plot_costs, plot_history

__all__ = [
    "plot_confusion",
    "plot_costs",
    "plot_dense_equivalent",
    "plot_feature_maps",
    "plot_history",
    "plot_images",
    "plot_shift_consistency",
]
