"""What the lecture "Why convolutions?" claims, measured on a layer or a model: sharing, sparsity, invariance, features.

The functions give arrays and small records; `pyconv.viz` draws them.
"""

from pyconv.analysis.dense import DenseEquivalent, dense_equivalent
from pyconv.analysis.features import feature_maps, filter_images
from pyconv.analysis.shifts import ShiftCurve, dense_twin, shift_consistency

__all__ = [
    "DenseEquivalent",
    "ShiftCurve",
    "dense_equivalent",
    "dense_twin",
    "feature_maps",
    "filter_images",
    "shift_consistency",
]
