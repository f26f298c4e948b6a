"""Reductions over axes. float32 is summed in float64, so large arrays lose nothing."""

from __future__ import annotations

from pyconv.functional.arguments import as_input, integer
from pyconv.ops import statistics

__all__ = ["max", "mean", "min", "sum"]


def sum(x, dim=None, keepdim=False):
    """Sum over one axis, several, or all. ONNX `ReduceSum`.

    Parameters
    ----------
    x : array, any shape, float32 or float64
    dim : int or tuple of ints, optional
        The axes to sum over; all by default.
    keepdim : bool
        Whether they stay, with size 1.

    Returns
    -------
    array
        In x's dtype.

    Raises
    ------
    ValueError
        If x has no such axis, or one is named twice.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.sum(np.ones((2, 3)), 1).tolist()
    [3.0, 3.0]
    """
    return statistics.sum(as_input(x, "x"), _dims(dim), keepdim)


def mean(x, dim=None, keepdim=False):
    """Mean over one axis, several, or all; parameters as those of `sum`. ONNX `ReduceMean`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.mean(np.array([[1.0, 2.0], [3.0, 4.0]]), 0).tolist()
    [2.0, 3.0]
    """
    return statistics.mean(as_input(x, "x"), _dims(dim), keepdim)


def max(x, dim=None, keepdim=False):
    """Largest element over one axis, several, or all, NaN if there is one; parameters as those of `sum`.

    Equal largest elements share the gradient, as in `torch.amax`. ONNX `ReduceMax`. An empty axis raises `ValueError`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.max(np.array([[1.0, 2.0], [3.0, 0.0]]), 1).tolist()
    [2.0, 3.0]
    """
    return _extremum(statistics.max, x, dim, keepdim)


def min(x, dim=None, keepdim=False):
    """Smallest element over one axis, several, or all, NaN if there is one; see `max`. ONNX `ReduceMin`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> float(F.min(np.array([[1.0, 2.0], [3.0, 0.0]])))
    0.0
    """
    return _extremum(statistics.min, x, dim, keepdim)


def _extremum(function, x, dim, keepdim):
    x, dim = as_input(x, "x"), _dims(dim)
    if any(x.shape[axis] == 0 for axis in statistics.normalized_axes(dim, x.ndim)):
        raise ValueError(f"x must not be empty along the axes that are reduced, its shape is {tuple(x.shape)}")
    return function(x, dim, keepdim)


def _dims(dim):
    if dim is None:
        return None
    return tuple(integer(d, "dim") for d in dim) if isinstance(dim, (tuple, list)) else integer(dim, "dim")
