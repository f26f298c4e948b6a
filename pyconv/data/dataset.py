"""A data set in memory: images, labels, class names, and how its pixels become the floats a model sees."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


def as_float(x: np.ndarray) -> np.ndarray:
    """Images as a model takes them: uint8 becomes float32 in [0, 1], floats stay as they are.

    Examples
    --------
    >>> as_float(np.array([0, 255], np.uint8))
    array([0., 1.], dtype=float32)
    """
    if x.dtype == np.uint8:
        return x * np.float32(1 / 255)
    return x


class ArrayDataset:
    """Images or other inputs with their targets, in arrays.

    Parameters
    ----------
    x : array (N, C, *spatial)
        uint8 (0 to 255, given to the model as floats from 0 to 1) or floating point (given as it is). float16 and
        integers other than uint8 become float32.
    y : array
        Integer labels (N,) from 0 up to the number of classes, or floating-point targets (N, …).
    classes : sequence of str, optional
        Names of the classes; by default the labels themselves, as text.
    weights : array (N,), optional
        What each sample counts in the loss; one by default.

    Raises
    ------
    ValueError
        If lengths differ, a label is out of range, or a value is NaN or infinite.

    Examples
    --------
    >>> data = ArrayDataset(np.zeros((3, 1, 4, 4), np.uint8), [0, 1, 1], classes=["dog", "cat"])
    >>> len(data), data.counts().tolist()
    (3, [1, 2])
    """

    def __init__(self, x, y, classes: Sequence[str] | None = None, *, weights=None):
        self.x = _inputs(np.asarray(x))
        self.y = np.asarray(y)
        if self.y.ndim == 0:
            raise TypeError(f"y must be an array of labels or targets, not {y!r}")
        if len(self.x) != len(self.y):
            raise ValueError(f"x and y must have the same length, not {len(self.x)} and {len(self.y)}")
        self.weights = None if weights is None else _weights(weights, len(self.x))
        if np.issubdtype(self.y.dtype, np.integer):
            self.classes = _checked_labels(self.y, classes)
            self.y = self.y.astype(np.int64, copy=False)
        elif np.issubdtype(self.y.dtype, np.floating):
            if classes is not None:
                raise ValueError(f"labels of classes must be integers, not {self.y.dtype}")
            _check_finite("y", self.y)
            self.classes = ()
        else:
            raise TypeError(f"y must be integer labels or floating-point targets, not {self.y.dtype}")

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        return f"ArrayDataset(x={self.x.dtype}{self.x.shape}, {len(self.classes)} classes)"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input: (C, *spatial)."""
        return self.x.shape[1:]

    def counts(self) -> np.ndarray:
        """How many samples each class has (K,)."""
        return np.bincount(self.y, minlength=len(self.classes))

    def subset(self, indices) -> ArrayDataset:
        """The samples that `indices` (positions, or a mask) choose, with the same classes."""
        part = object.__new__(ArrayDataset)
        part.x, part.y, part.classes = self.x[indices], self.y[indices], self.classes
        part.weights = None if self.weights is None else self.weights[indices]
        return part

    def mean_std(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each channel over all samples, as float32 (C,), in the model's units."""
        axes = (0, *range(2, self.x.ndim))
        total = np.zeros(self.x.shape[1])
        squares = np.zeros(self.x.shape[1])
        for start in range(0, len(self), 4096):  # in blocks: a float copy of a large uint8 set need not fit in memory
            part = as_float(self.x[start : start + 4096]).astype(np.float64)
            total += part.sum(axes)
            squares += (part * part).sum(axes)
        count = max(1, self.x.size // max(1, self.x.shape[1]))
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean * mean, 0))
        return mean.astype(np.float32), np.where(std > 1e-6, std, 1).astype(np.float32)


class Split(NamedTuple):
    """The two parts of a data set."""

    train: ArrayDataset
    test: ArrayDataset


def stratified_split(data: ArrayDataset, test_fraction: float = 0.2, seed: int = 0) -> Split:
    """Divide a data set so that each class gives the same share, and at least one sample, to each part.

    A class of one sample goes to training alone, with a warning. The same seed gives the same split.

    Raises
    ------
    ValueError
        If `test_fraction` is not between 0 and 1, or nothing is left to test with.
    """
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction must lie between 0 and 1, not {test_fraction}")
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(data), bool)
    single = []
    for label, name in enumerate(data.classes or [""]):  # targets that are no classes are divided as one
        members = rng.permutation(np.flatnonzero(data.y == label) if data.classes else len(data))
        if len(members) == 1:
            single.append(name)
        elif len(members) > 1:
            chosen[members[: min(len(members) - 1, max(1, round(test_fraction * len(members))))]] = True
    if not chosen.any():
        raise ValueError(f"{len(data)} samples are too few to set some aside for testing: give at least two a class")
    if single:
        warnings.warn(f"only one sample of {', '.join(single)}: it is trained on, and not tested", stacklevel=3)
    return Split(data.subset(~chosen), data.subset(chosen))


def _inputs(x: np.ndarray) -> np.ndarray:
    if x.ndim < 2:
        raise ValueError(f"x must have the shape (N, C, …), not {x.shape}")
    if x.dtype == np.uint8:
        return x
    if not (np.issubdtype(x.dtype, np.integer) or np.issubdtype(x.dtype, np.floating) or x.dtype == bool):
        raise TypeError(f"x must hold numbers, not {x.dtype}")
    if x.dtype not in (np.float32, np.float64):
        x = x.astype(np.float32)
    _check_finite("x", x)
    return x


def _check_finite(what: str, values: np.ndarray) -> None:
    for start in range(0, len(values), 4096):
        finite = np.isfinite(values[start : start + 4096])
        if not finite.all():
            sample = start + int(np.argmin(finite.reshape(len(finite), -1).all(axis=1)))
            raise ValueError(f"{what} holds NaN or infinity, first in sample {sample}: clean or drop such samples")


def _weights(weights, count: int) -> np.ndarray:
    weights = np.asarray(weights, np.float32)
    if weights.shape != (count,) or not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError(f"weights must be {count} finite numbers ≥ 0, not an array of shape {weights.shape}")
    return weights


def _checked_labels(y: np.ndarray, classes: Sequence[str] | None) -> tuple[str, ...]:
    if y.ndim != 1:
        raise ValueError(f"labels must have the shape (N,), not {y.shape}")
    low, high = (int(y.min()), int(y.max())) if len(y) else (0, -1)
    names = tuple(str(k) for k in range(high + 1)) if classes is None else tuple(str(c) for c in classes)
    if low < 0 or high >= len(names):
        wrong = int(np.flatnonzero((y < 0) | (y >= len(names)))[0])
        raise ValueError(f"label {int(y[wrong])} of sample {wrong} is out of range: there are {len(names)} classes")
    return names
