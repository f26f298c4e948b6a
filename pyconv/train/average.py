"""The moving average of a model in training: which arrays it takes in, and a model that holds it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pyconv import nn, optim


def as_ema(ema: float | optim.EMA | None) -> optim.EMA | None:
    """An average from its decay, counting for less over the first steps; None and 0 stand for none."""
    return ema if isinstance(ema, optim.EMA) else optim.EMA(ema, warm_up=True) if ema else None


def averaged_arrays(model: nn.Module) -> dict[str, np.ndarray]:
    """What is averaged: the parameters, and the buffers that hold statistics of training."""
    buffers = {name: array for name, array in model.named_buffers() if array.dtype.kind == "f"}
    return {**dict(model.named_parameters()), **buffers}


def averaged_model(model: nn.Module, average: Mapping[str, np.ndarray]) -> nn.Module:
    """A copy of the model with these averages of its arrays."""
    model = model.clone()
    for name, array in averaged_arrays(model).items():
        np.copyto(array, average[name])
    return model
