"""What `pyconv train` does where its user says nothing: the recipe of each data set, in one place.

For CIFAR-10, `--model airbench94` has the recipe of its author (Jordan, 94% on CIFAR-10 in 3.29 seconds on a single
GPU, arXiv 2404.00498, 2024; see `examples/airbench.py`), which takes longer than the default.
"""

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
    "label_smoothing": 0.0,
    "class_weights": "none",
    "augment": (),
    "mixup": 0.0,
    "lookahead": 0,
    "shift_rate": 1.0,
    "last_batch": "keep",
    "views": "one",
    "seed": 0,
}

RECIPES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "digits": {"model": "digitsnet", "epochs": 20, "augment": ("shift=0.125", "rotate=10")},
        "mnist": {"model": "mnistnet", "epochs": 5, "batch_size": 128, "lr": 5e-3, "augment": ("shift=0.08",)},
        "cifar10": {  # few epochs, so a large rate, weak augmentation and soft targets
            "epochs": 7,
            "batch_size": 128,
            "optimizer": "nesterov",
            "lr": 0.1,
            "label_smoothing": 0.1,
            "augment": ("flip", "shift=0.0625"),
        },
        "catvnoncat": {
            "model": "catnet",
            "epochs": 60,
            "batch_size": 32,
            "weight_decay": 0.5,  # 209 images: with 0.01 the network learns them by heart
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

MODEL_RECIPES: Mapping[tuple[str, str], Mapping[str, Any]] = MappingProxyType(  # what a network wants beside that
    {
        ("cifar10", "airbench94"): {
            "epochs": 10,
            "batch_size": 1024,
            "lr": 1.5,
            "momentum": 0.85,
            "weight_decay": 1.33e-3,  # 0.0153 for sums over 1024 samples and 1 + 1 / (1 - momentum) times the rate
            "schedule": "triangle",
            "shift_rate": 64.0,
            "lookahead": 5,
            "label_smoothing": 0.2,
            "augment": ("alternate", "shift=0.0625"),
            "last_batch": "drop",
            "views": "six",
        },
    }
)

_COUPLED, _DECOUPLED = 5e-4, 1e-2  # weight decay that goes through the gradient, and beside it

OPTIMIZERS: Mapping[str, tuple[float, float]] = MappingProxyType(  # for networks with batch norm
    {  # learning rate (the largest of the schedule), weight decay
        "sgd": (0.1, _COUPLED),
        "gradient_descent": (0.1, _COUPLED),
        "momentum": (0.03, _COUPLED),
        "nesterov": (0.03, _COUPLED),
        "rmsprop": (1e-3, _COUPLED),
        "adam": (3e-3, _COUPLED),
        "adamw": (3e-3, _DECOUPLED),
        "adagrad": (1e-2, _COUPLED),
        "lamb": (1e-2, _DECOUPLED),
        "lion": (3e-4, _DECOUPLED),
    }
)


_OF_OPTIMIZER = ("lr", "weight_decay", "momentum", "shift_rate")  # what a recipe says for its own optimizer alone


def recipe(dataset: str, optimizer: str | None = None, model: str | None = None) -> dict[str, Any]:
    """The complete default settings for a data set, with another optimizer or network than its own if one is named."""
    if dataset not in RECIPES:
        raise ValueError(f"dataset must be one of {', '.join(RECIPES)}, not {dataset!r}")
    own = {**_COMMON, **RECIPES[dataset]}
    own["model"] = model or own["model"]
    own |= MODEL_RECIPES.get((dataset, own["model"]), {})
    lr, weight_decay = OPTIMIZERS[optimizer or own["optimizer"]]
    general = {"lr": lr, "weight_decay": weight_decay}
    if optimizer in (None, own["optimizer"]):
        return {**general, **own}
    others = {name: value for name, value in own.items() if name not in _OF_OPTIMIZER}
    return {**others, **general, "shift_rate": 1.0, "optimizer": optimizer}
