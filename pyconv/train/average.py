"""The moving average of a model in training: which arrays it takes in, and a model that holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyconv import nn, optim


def as_ema(ema: float | optim.EMA | None) -> optim.EMA | None:
    """An average from its decay, counting for less over the first steps; None and 0 stand for none."""
    return ema if isinstance(ema, optim.EMA) else optim.EMA(ema, warm_up=True) if ema else None


def averaged(params: Mapping[str, Any], buffers: Mapping[str, Any]) -> dict[str, Any]:
    """What is averaged: the parameters, and the buffers that hold statistics of training."""
    return {**params, **{name: array for name, array in buffers.items() if array.dtype.kind == "f"}}


def averaged_arrays(model: nn.Module) -> dict[str, np.ndarray]:
    """What is averaged of a model."""
    return averaged(dict(model.named_parameters()), dict(model.named_buffers()))


def averaged_model(model: nn.Module, average: Mapping[str, np.ndarray]) -> nn.Module:
    """A copy of the model with these averages of its arrays."""
    model = model.clone()
    for name, array in averaged_arrays(model).items():
        np.copyto(array, average[name])
    return model
