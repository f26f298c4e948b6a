"""Translation invariance: how far a prediction survives when the image moves, and a dense network to compare with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyconv import nn
from pyconv.data.dataset import as_float
from pyconv.train import Trainer
from pyconv.train.metrics import predicted

_DIRECTIONS = ((-1, 0), (1, 0), (0, -1), (0, 1))


@dataclass(frozen=True)
class ShiftCurve:
    """What `shift_consistency` found, one entry a shift.

    Attributes
    ----------
    shifts : array (S,) of int
        Pixels.
    consistency : array (S,)
        Share of the images whose class is predicted as that of the image in its place.
    accuracy : array (S,) or None
        Share of the images whose class is predicted right, where the right ones were given.
    """

    shifts: np.ndarray
    consistency: np.ndarray
    accuracy: np.ndarray | None = None


def shift_consistency(
    model: nn.Module, x: np.ndarray, y: Any = None, shifts: Iterable[int] = range(5), batch_size: int = 256
) -> ShiftCurve:
    """How often the predicted class survives when images are moved by so many pixels.

    Each figure is the mean over moves up, down, left and right; what comes in at the border repeats the edge.

    Parameters
    ----------
    model : nn.Module
        Gives logits (N, K).
    x : array (N, C, H, W)
        uint8 is scaled to [0, 1], as in training.
    y : array (N,), optional
        The right classes.
    shifts : iterable of int
        Pixels, from 0 up to less than the size of the images.

    References
    ----------
    Zhang, Making convolutional networks shift-invariant again, 2019, whose consistency this is, a shift at a time.

    Examples
    --------
    The mean over all positions does not depend on where things are; a dense layer does.

    >>> import numpy as np
    >>> from pyconv import nn
    >>> from pyconv.analysis import shift_consistency
    >>> x = np.zeros((50, 1, 12, 12), np.float32)
    >>> x[:, :, 5:7, 5:7] = np.random.default_rng(0).random((50, 1, 2, 2))
    >>> conv = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.GlobalAvgPool(), nn.Flatten(), nn.Linear(8, 4))
    >>> shift_consistency(conv, x).consistency.tolist()[:4]
    [1.0, 1.0, 1.0, 1.0]
    """
    x, shifts = as_float(np.asarray(x)), np.asarray(list(shifts))
    if x.ndim != 4 or len(x) == 0:
        raise ValueError(f"x must be images (N, C, H, W), at least one, not an array of shape {x.shape}")
    if shifts.dtype.kind not in "iu" or not ((shifts >= 0) & (shifts < min(x.shape[2:]))).all():
        raise ValueError(f"shifts must be whole numbers from 0 to {min(x.shape[2:]) - 1}, not {shifts.tolist()}")
    trainer = Trainer(model, metrics=(), progress=False)
    reference = predicted(trainer.predict(x, batch_size))
    consistency, accuracy = np.empty(len(shifts)), np.empty(len(shifts))
    for i, k in enumerate(shifts):
        classes = [
            predicted(trainer.predict(_moved(x, k * down, k * right), batch_size)) for down, right in _DIRECTIONS
        ]
        consistency[i] = np.mean(classes == reference)
        accuracy[i] = np.mean(classes == np.asarray(y)) if y is not None else np.nan
    return ShiftCurve(shifts, consistency, None if y is None else accuracy)


def dense_twin(model: nn.Module, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """A dense network of one hidden layer with as many parameters as `model`, as nearly as its width allows.

    Examples
    --------
    >>> from pyconv import nn
    >>> from pyconv.analysis import dense_twin
    >>> conv = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.GlobalAvgPool(), nn.Flatten(), nn.Linear(16, 10))
    >>> conv.num_parameters(), dense_twin(conv, (1, 8, 8), 10).num_parameters()
    (330, 310)
    """
    inputs = int(np.prod(input_shape))
    width = max(1, round((model.num_parameters() - num_classes) / (inputs + 1 + num_classes)))
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, num_classes))


def _moved(x: np.ndarray, down: int, right: int) -> np.ndarray:
    """Images (N, C, H, W) moved by whole pixels, with the edge repeated."""
    rows, columns = (np.clip(np.arange(n) - by, 0, n - 1) for n, by in zip(x.shape[2:], (down, right), strict=True))
    return x[:, :, rows[:, None], columns]
