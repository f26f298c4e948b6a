"""The settings of a training run: where each comes from, what it may be, and the TOML file that repeats the run.

The command line wins over `--config`, and that over the recipe of the data set.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import Any

from pyconv.cli import toml
from pyconv.train.recipes import recipe


@dataclass(frozen=True)
class Setting:
    """One setting: its type, its help, and what the command line calls its value."""

    type: type
    help: str
    metavar: str | None = None
    choices: tuple[str, ...] | None = None
    many: bool = False
    least: float | None = None


@dataclass
class Settings:
    """A run's settings, all of them."""

    dataset: str = "digits"
    data_dir: str | None = None
    image_size: int | None = None
    model: str = ""
    epochs: int = 0
    batch_size: int = 0
    optimizer: str = ""
    lr: float = 0.0
    schedule: str = ""
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    class_weights: str = ""
    augment: tuple[str, ...] = field(default=())
    mixup: float = 0.0
    ema: float = 0.0
    clip_norm: float | None = None
    accumulate: int = 1
    momentum: float | None = None
    shift_rate: float = 1.0
    lookahead: int = 0
    last_batch: str = "keep"
    views: str = "one"
    warm_up: int = 0
    patience: int | None = None
    seed: int = 0
    threads: int | None = None
    backend: str | None = None


def _table() -> dict[str, Setting]:
    from pyconv import data, kernels, optim

    schedules = (*optim.schedules.names(), "plateau")
    return {
        "dataset": Setting(str, f"{', '.join(data.DATASETS)} (default: digits)", "NAME", data.names()),
        "data_dir": Setting(str, "folder (or .npz file) that holds the data", "DIR"),
        "image_size": Setting(int, "folder: height and width that images are brought to (64)", "PIXELS", least=8),
        "model": Setting(str, "a network of pyconv.models (default: by data set)", "NAME"),
        "epochs": Setting(int, "passes over the training data", "N", least=1),
        "batch_size": Setting(int, "samples a step", "N", least=1),
        "optimizer": Setting(str, ", ".join(optim.names()), "NAME", optim.names()),
        "lr": Setting(float, "learning rate (of a schedule: its largest)", "X", least=0),
        "schedule": Setting(str, f"of the learning rate: {', '.join(schedules)}", "NAME", schedules),
        "weight_decay": Setting(float, "pull of the weights towards 0", "X", least=0),
        "label_smoothing": Setting(float, "share of the target spread over all classes", "X", least=0),
        "class_weights": Setting(str, "balanced: each class counts the same, or none", "HOW", ("none", "balanced")),
        "augment": Setting(
            str, "flip, alternate, shift, crop, rotate, colour, cutout; with =AMOUNT behind; none", "NAME", many=True
        ),
        "mixup": Setting(float, "mix each sample with another, in a share from Beta(X, X)", "X", least=0),
        "ema": Setting(float, "decay of an average of the weights, which is then the model; 0: none", "X", least=0),
        "clip_norm": Setting(float, "bound on the norm of all gradients together", "X", least=0),
        "accumulate": Setting(int, "run each batch in so many parts, to need less memory", "N", least=1),
        "momentum": Setting(float, "of an optimizer that has one (default: its own)", "X", least=0),
        "shift_rate": Setting(float, "times the learning rate, for the shifts of batch norm (sgd)", "X", least=0),
        "lookahead": Setting(int, "return to an average of the weights every N steps; 0: do not", "N", least=0),
        "last_batch": Setting(str, "drop samples that fill no batch, or keep them", "HOW", ("keep", "drop")),
        "views": Setting(str, "of each test image: one, or six, mirrored and moved by a pixel", "N", ("one", "six")),
        "warm_up": Setting(int, "epochs in which the learning rate rises to the schedule's first", "N", least=0),
        "patience": Setting(int, "stop when the test loss has not fallen for so many epochs", "N", least=1),
        "seed": Setting(int, "of first weights, order, augmentation and dropout", "N", least=0),
        "threads": Setting(int, "threads to compute with (default: the usable cores)", "N", least=1),
        "backend": Setting(
            str, f"{', '.join(kernels.BACKENDS)} (default: the best that loads)", "NAME", kernels.BACKENDS
        ),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare one option a setting; those not given are left out of the result."""
    for name, setting in _table().items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=setting.type,
            nargs="*" if setting.many else None,
            metavar=setting.metavar,
            help=setting.help,
            default=argparse.SUPPRESS,
        )


def given(args: argparse.Namespace) -> dict[str, Any]:
    """The settings on the command line."""
    return {f.name: getattr(args, f.name) for f in fields(Settings) if hasattr(args, f.name)}


def resolve(options: dict[str, Any], config: str | PathLike[str] | None = None) -> Settings:
    """Complete settings from those given, those in a TOML file and the recipe.

    Raises
    ------
    ValueError
        For an unknown name or a value that will not do; the message names it.
    """
    chosen = {**(_from_toml(config) if config else {}), **options}
    _check(chosen)
    own = recipe(chosen.get("dataset", "digits"), chosen.get("optimizer"), chosen.get("model"))
    values = {**own, **chosen}
    if values.get("data_dir") is not None:
        values["data_dir"] = str(Path(values["data_dir"]).resolve())  # the file must mean the same from anywhere
    values["augment"] = tuple(a for a in values["augment"] if a != "none")
    return Settings(**values)


def to_toml(settings: Settings) -> str:
    """The settings as the text of a TOML file."""
    return toml.dumps({f.name: getattr(settings, f.name) for f in fields(Settings)})


def _from_toml(path: str | PathLike[str]) -> dict[str, Any]:
    values = toml.read(path)
    table = _table()
    for name, value in values.items():
        if name not in table:
            raise ValueError(f"{path}: unknown setting {name!r}; there are {', '.join(table)}")
        wanted = table[name].type
        for item in value if table[name].many and isinstance(value, list) else [value]:
            number = wanted is float and isinstance(item, int)
            if isinstance(item, bool) or not (number or isinstance(item, wanted)):
                raise ValueError(f"{path}: {name} must be {wanted.__name__}, not {item!r}")
        if table[name].many and not isinstance(value, list):
            values[name] = [value]
    return values


def _check(values: dict[str, Any]) -> None:
    for name, setting in _table().items():
        value = values.get(name)
        if value is None:
            continue
        if setting.choices and value not in setting.choices:
            raise ValueError(f"{name} must be one of {', '.join(setting.choices)}, not {value!r}")
        if setting.least is not None and not value >= setting.least:
            raise ValueError(f"{name} must be at least {setting.least}, not {value}")
