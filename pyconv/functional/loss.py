"""Losses. `reduction` says what becomes of the values of the samples: "mean", "sum", or "none" of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyconv.functional.arguments import as_array, as_input, check_choice, check_same_dtype, integer
from pyconv.ops.elementwise import Unary, absolute, add, div, mul, sub
from pyconv.ops.loss import NLL, BCEWithLogits, CrossEntropy, LabelWeights, SoftCrossEntropy
from pyconv.ops.node import Node
from pyconv.ops.reduce import Reshape
from pyconv.ops.statistics import mean as mean_over
from pyconv.ops.statistics import sum as sum_over

__all__ = ["binary_cross_entropy_with_logits", "cross_entropy", "hinge_loss", "l1_loss", "mse_loss", "nll_loss"]


def cross_entropy(x, target, weight=None, *, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """Cross-entropy of softmax(x). ONNX `SoftmaxCrossEntropyLoss`, `torch.nn.functional.cross_entropy`.

    Parameters
    ----------
    x : array (N, C, *I), or (C,)
        Logits, float32 or float64.
    target : array (N, *I) of integers, or array like x
        Labels in 0 … C-1, or probabilities.
    weight : array (C,), optional
        What each class counts.
    ignore_index : int
        A sample with this label counts for nothing.
    reduction : {"mean", "sum", "none"}
        The mean over labels is weighted: it divides by the sum of their weights.
    label_smoothing : float
        In 0 … 1: how much of the target is spread evenly over all classes.

    Returns
    -------
    array (), or (N, *I) without reduction

    Raises
    ------
    ValueError
        If shapes do not fit, or a label is outside 0 … C-1.
    TypeError
        If target is neither integers nor of x's dtype.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> float(F.cross_entropy(np.log([[0.25, 0.75]]), np.array([1]), reduction="sum").round(4))
    0.2877
    """
    ignore_index = integer(ignore_index, "ignore_index")
    x, target, weight, single = _classification(x, target, weight, ignore_index, reduction)
    smoothing = float(label_smoothing)
    if not 0 <= smoothing <= 1:
        raise ValueError(f"label_smoothing must lie in 0 … 1, not {label_smoothing}")
    if target.dtype.kind == "f":
        each = SoftCrossEntropy(smoothing)(x, target, weight)
        return _reduced(each, reduction, single)
    each = CrossEntropy(smoothing, ignore_index)(x, target, weight)
    return _reduced_by_weight(each, x, target, weight, ignore_index, reduction, single)


def nll_loss(x, target, weight=None, *, ignore_index=-100, reduction="mean"):
    """-x[target], for log-probabilities x: what is left of `cross_entropy` after `log_softmax`.

    ONNX `NegativeLogLikelihoodLoss`; parameters, result and errors as those of `cross_entropy`, with labels alone.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> float(F.nll_loss(np.array([[-1.0, -2.0], [-3.0, -4.0]]), np.array([1, 0])))
    2.5
    """
    ignore_index = integer(ignore_index, "ignore_index")
    x, target, weight, single = _classification(x, target, weight, ignore_index, reduction)
    if target.dtype.kind == "f":
        raise TypeError(f"target must hold integer labels, not {target.dtype}")
    each = NLL(ignore_index)(x, target, weight)
    return _reduced_by_weight(each, x, target, weight, ignore_index, reduction, single)


def binary_cross_entropy_with_logits(x, target, weight=None, *, reduction="mean", pos_weight=None):
    """Cross-entropy of σ(x) with targets in 0 … 1, element by element and without overflow.

    Parameters
    ----------
    x : array, any shape, float32 or float64
        Logits.
    target : array of x's shape and dtype
    weight : array, optional
        What each element counts; it broadcasts.
    reduction : {"mean", "sum", "none"}
    pos_weight : array, optional
        What a positive target counts, one a class, say; it broadcasts.

    Raises
    ------
    ValueError, TypeError
        If shapes or dtypes do not fit.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> float(F.binary_cross_entropy_with_logits(np.array([0.0, -1000.0]), np.ones(2), reduction="sum").round(3))
    1000.693
    """
    x, target = _pair(x, target, reduction)
    weight, pos_weight = _broadcasting(weight, "weight", x), _broadcasting(pos_weight, "pos_weight", x)
    each = BCEWithLogits()(x, target, pos_weight)
    return _reduced(each if weight is None else mul(each, weight), reduction)


def mse_loss(x, target, *, reduction="mean"):
    """The squared error (x - target)².

    Parameters
    ----------
    x, target : arrays of one shape and dtype, float32 or float64
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ValueError, TypeError
        If shapes or dtypes differ.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> float(F.mse_loss(np.array([1.0, 4.0]), np.array([1.0, 2.0])))
    2.0
    """
    x, target = _pair(x, target, reduction)
    difference = sub(x, target)
    return _reduced(mul(difference, difference), reduction)


def l1_loss(x, target, *, reduction="mean"):
    """The absolute error |x - target|; parameters and errors as those of `mse_loss`.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> float(F.l1_loss(np.array([1.0, 4.0]), np.array([1.0, 2.0])))
    1.0
    """
    x, target = _pair(x, target, reduction)
    return _reduced(absolute(sub(x, target)), reduction)


def hinge_loss(x, target, *, margin=1.0, reduction="mean"):
    """The hinge loss, of two classes or of many.

    Parameters
    ----------
    x : array
        Scores, float32 or float64: of any shape for two classes, (N, C) for C classes.
    target : array
        Two classes: -1 or 1, in x's shape, for max(0, margin - target · x). C classes: integer labels (N,), for
        Σ_{c ≠ label} max(0, margin - x[label] + x[c]) / C, as in `torch.nn.functional.multi_margin_loss`.
    margin : float
        Positive.
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ValueError, TypeError
        If shapes or dtypes do not fit, a label is outside 0 … C-1, or the margin is not positive.

    Notes
    -----
    Weston and Watkins, Support vector machines for multi-class pattern recognition, 1999.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> float(F.hinge_loss(np.array([0.5, 2.0]), np.array([-1.0, 1.0])))
    0.75
    >>> float(F.hinge_loss(np.array([[0.0, 2.0, 1.5]]), np.array([1])).round(4))
    0.1667
    """
    margin = float(margin)
    if not margin > 0:
        raise ValueError(f"margin must be positive, not {margin}")
    scores = as_input(x, "x")
    labels: Any = target if type(target) is Node else as_array(target, "target")
    if labels.dtype.kind in "iu" and (scores.ndim, labels.ndim) == (2, 1):
        scores, labels, _, _ = _classification(scores, labels, None, None, reduction)
        own = Reshape((scores.shape[0], 1))(NLL()(scores, labels, None))  # -x[label]
        terms = Unary("relu")(add(add(scores, own), margin))
        each = div(sub(sum_over(terms, 1), margin), scores.shape[1])  # the label's own term is the margin
        return _reduced(each, reduction)
    if type(labels) is not Node:
        labels = labels.astype(scores.dtype, copy=False)
        if not np.all(np.abs(labels) == 1):
            raise ValueError("target must be -1 or 1 everywhere, or integer labels (N,) for x (N, C)")
    scores, labels = _pair(scores, labels, reduction)
    return _reduced(Unary("relu")(sub(margin, mul(scores, labels))), reduction)


def _pair(x: Any, target: Any, reduction: Any) -> tuple[Any, Any]:
    check_choice(reduction, "reduction", ("mean", "sum", "none"))
    x, target = as_input(x, "x"), as_input(target, "target")
    check_same_dtype(x, "x", target, "target")
    if tuple(x.shape) != tuple(target.shape):
        raise ValueError(f"target must have x's shape {tuple(x.shape)}, not {tuple(target.shape)}")
    return x, target


def _broadcasting(array: Any, name: str, x: Any) -> Any:
    if array is None:
        return None
    array = as_input(array, name)
    check_same_dtype(x, "x", array, name)
    try:
        fits = np.broadcast_shapes(array.shape, x.shape) == tuple(x.shape)
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{name} must broadcast to x's shape {tuple(x.shape)}, its shape is {tuple(array.shape)}")
    return array


def _classification(x: Any, target: Any, weight: Any, ignore_index: Any, reduction: Any) -> tuple[Any, Any, Any, bool]:
    """Logits (N, C, *I), labels (N, *I) or probabilities like x, weight; and whether a batch axis was added."""
    check_choice(reduction, "reduction", ("mean", "sum", "none"))
    x = as_input(x, "x")
    target = target if type(target) is Node else as_array(target, "target")
    single = x.ndim == 1
    if x.ndim == 0:
        raise ValueError("x must have an axis of classes: (C,) or (N, C, …)")
    classes = x.shape[0 if single else 1]
    if classes == 0:
        raise ValueError(f"x must have at least one class, its shape is {tuple(x.shape)}")
    expected = tuple(x.shape)
    if target.dtype.kind in "iu":
        expected = expected[:0] if single else (expected[0], *expected[2:])
        _check_labels(target, classes, ignore_index)
    else:
        target = as_input(target, "target")
        check_same_dtype(x, "x", target, "target")
    if tuple(target.shape) != expected:
        came = tuple(target.shape)
        raise ValueError(f"target must have shape {expected} for x of shape {tuple(x.shape)}, not {came}")
    if weight is not None:
        weight = as_input(weight, "weight", 1)
        check_same_dtype(x, "x", weight, "weight")
        if weight.shape[0] != classes:
            raise ValueError(f"weight must have shape ({classes},), one for each class, not {tuple(weight.shape)}")
    if single:
        x, target = Reshape((1, *x.shape))(x), Reshape((1, *target.shape))(target)
    return x, target, weight, single


def _check_labels(target: Any, classes: int, ignore_index: int | None) -> None:
    labels = target.value if type(target) is Node else target
    if labels is None or labels.size == 0:
        return
    if labels.min() < 0 or labels.max() >= classes:
        wrong = labels[(labels < 0) | (labels >= classes)]
        wrong = wrong if ignore_index is None else wrong[wrong != ignore_index]
        if wrong.size:
            raise ValueError(f"target must lie in 0 … {classes - 1} for {classes} classes, but holds {int(wrong[0])}")


def _reduced(each: Any, reduction: str, single: bool = False) -> Any:
    if reduction == "none":
        return Reshape(each.shape[1:])(each) if single else each
    return (mean_over if reduction == "mean" else sum_over)(each)


def _reduced_by_weight(
    each: Any, x: Any, target: Any, weight: Any, ignore_index: int, reduction: str, single: bool
) -> Any:
    """`_reduced`, where the mean divides by the sum of the labels' weights."""
    if reduction != "mean":
        return _reduced(each, reduction, single)
    counted = LabelWeights(x.shape[1], x.dtype, ignore_index=ignore_index)(target, weight)
    return div(sum_over(each), sum_over(counted))
