"""A small model with everything that a resumed run could get wrong (batch norm, dropout), and small data for it."""

import numpy as np

from pyconv import nn, optim
from pyconv.data import ArrayDataset
from pyconv.train import Trainer


def make_data(n=40, classes=3):
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    x = rng.random((n, 2, 6, 6), np.float32) * 0.5
    x[np.arange(n), 0, y, y] += 1  # something to learn
    return ArrayDataset(x, y)


def make_model(classes=3):
    nn.init.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(144, classes),
    )


def make_trainer(**options):
    options = {
        "optimizer": optim.Adam(lr=1e-2),
        "progress": False,
        "augment": ["shift=0.2", "colour"],
        "mixup": 0.2,
        "accumulate": 2,
        "ema": 0.9,
        "seed": 3,
        **options,
    }
    return Trainer(make_model(), **options)


def everything(trainer):
    """All that two equal runs must agree in, bit for bit."""
    arrays = {**dict(trainer.model.named_parameters()), **dict(trainer.model.named_buffers())}
    states = {**trainer.optimizer_state, "average": (trainer.ema_state or {}).get("params", {})}
    for slot, value in states.items():
        arrays |= {f"{slot}/{k}": v for k, v in (value.items() if isinstance(value, dict) else [("", value)])}
    return {name: (np.asarray(a).dtype.str, np.asarray(a).tobytes()) for name, a in arrays.items()}


def figures(trainer):
    """The history without its times."""
    return {name: values for name, values in trainer.history.items() if name not in ("seconds", "waiting")}
