"""Optimizers and learning-rate schedules, as pure functions of parameters, gradients, state and step.

Optimizers are made by class, `optim.Adam(lr=1e-3)`, or by name, `optim.create("adam", lr=1e-3)`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pyconv.optim import schedules
from pyconv.optim.adagrad import Adagrad
from pyconv.optim.adam import Adam, AdamW
from pyconv.optim.clip import clip_by_norm, clip_by_value, global_norm
from pyconv.optim.ema import EMA
from pyconv.optim.lamb import LAMB
from pyconv.optim.lion import Lion
from pyconv.optim.lookahead import Lookahead
from pyconv.optim.optimizer import Optimizer
from pyconv.optim.rmsprop import RMSProp, RMSprop
from pyconv.optim.scaled import Scaled
from pyconv.optim.sgd import SGD, GradientDescent, Momentum

__all__ = [
    "EMA",
    "LAMB",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "GradientDescent",
    "Lion",
    "Lookahead",
    "Momentum",
    "Optimizer",
    "RMSProp",
    "RMSprop",
    "Scaled",
    "clip_by_norm",
    "clip_by_value",
    "create",
    "global_norm",
    "names",
    "schedules",
]

_OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": SGD,
    "gradient_descent": SGD,
    "momentum": Momentum,
    "nesterov": partial(Momentum, nesterov=True),
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
    "adagrad": Adagrad,
    "lamb": LAMB,
    "lion": Lion,
}


def create(name: str, **options: Any) -> Optimizer:
    """An optimizer by name, with the arguments of its class.

    Raises
    ------
    ValueError
        If there is no such name.

    Examples
    --------
    >>> from pyconv import optim
    >>> optim.create("nesterov", lr=0.1).momentum
    0.9
    """
    if name not in _OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {', '.join(_OPTIMIZERS)}, not {name!r}")
    return _OPTIMIZERS[name](**options)


def names() -> tuple[str, ...]:
    """The names that `create` knows."""
    return tuple(_OPTIMIZERS)
