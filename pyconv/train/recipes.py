"""What `pyconv train` does where its user says nothing: the recipe of each data set, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_COMMON: dict[str, Any] = {
    "model": "cifarnet",
    "epochs": 30,
    "batch_size": 64,
    "optimizer": "adamw",
    "schedule": "one_cycle",
    "weight_decay": 0.01,
    "label_smoothing": 0.0,
    "class_weights": "none",
    "augment": (),
    "mixup": 0.0,
    "seed": 0,
}

RECIPES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "digits": {"model": "digitsnet", "epochs": 20, "augment": ("shift=0.125", "rotate=10")},
        "mnist": {"model": "mnistnet", "epochs": 4, "batch_size": 128, "augment": ("shift=0.08",)},
        "cifar10": {"epochs": 20, "batch_size": 128, "augment": ("flip", "shift=0.125")},
        "catvnoncat": {
            "model": "catnet",
            "epochs": 60,
            "batch_size": 32,
            "class_weights": "balanced",
            "augment": ("flip", "shift=0.1", "colour=0.3"),
        },
        "folder": {
            "model": "catnet",
            "batch_size": 32,
            "class_weights": "balanced",
            "augment": ("flip", "shift=0.1", "colour=0.3"),
        },
        "npz": {},
    }
)

LEARNING_RATES: Mapping[str, float] = MappingProxyType(  # the largest of the schedule, for networks with batch norm
    {
        "sgd": 0.1,
        "gradient_descent": 0.1,
        "momentum": 0.03,
        "nesterov": 0.03,
        "rmsprop": 1e-3,
        "adam": 3e-3,
        "adamw": 3e-3,
        "adagrad": 1e-2,
        "lion": 3e-4,
    }
)


def recipe(dataset: str) -> dict[str, Any]:
    """The complete default settings for a data set, but for the learning rate (see `LEARNING_RATES`)."""
    if dataset not in RECIPES:
        raise ValueError(f"dataset must be one of {', '.join(RECIPES)}, not {dataset!r}")
    return {**_COMMON, **RECIPES[dataset]}
