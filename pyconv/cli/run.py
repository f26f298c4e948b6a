"""A run's folder: which files `pyconv train` writes, and how its model is built, described and loaded."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from pyconv.cli.settings import Settings

MODEL, CHECKPOINT, CONFIG, METRICS = "model.safetensors", "checkpoint.safetensors", "config.toml", "metrics.json"
WHITENED_BY = 5000  # training images, at most


def load_data(settings: Settings) -> Any:
    """The training and the test part of the run's data set."""
    from pyconv import data

    options = {} if settings.image_size is None else {"image_size": settings.image_size}
    if options and settings.dataset != "folder":
        raise ValueError(f"image_size is a setting of the dataset 'folder', not of {settings.dataset!r}")
    split = data.load(settings.dataset, settings.data_dir, **options)
    if len(split.train.classes) < 2:
        raise ValueError(
            f"{settings.dataset} must have at least two classes to tell apart, labelled with whole numbers from 0;"
            f" it has {len(split.train.classes) or 'targets that are no whole numbers'}"
        )
    return split


def build_model(settings: Settings, data: Any) -> Any:
    """The network for a data set, its first weights drawn from the seed, behind the standardisation of its inputs.

    A network that whitens does so by the first images.
    """
    from pyconv import models, nn
    from pyconv.data.dataset import as_float

    nn.init.manual_seed(settings.seed)
    mean, std = data.mean_std()
    network = models.create(settings.model, num_classes=len(data.classes), in_channels=len(mean))
    standardize = nn.Standardize(mean.tolist(), std.tolist())
    if hasattr(network, "whiten"):
        network.whiten(standardize(as_float(data.x[:WHITENED_BY])))
    return nn.Sequential({"input": standardize, "network": network})


def model_description(settings: Settings, data: Any) -> dict[str, Any]:
    """What a model file must say so that the file alone is enough to use it."""
    return {
        "dataset": settings.dataset,
        "data_dir": settings.data_dir,
        "classes": list(data.classes),
        "input_shape": list(data.input_shape),
        "views": settings.views,
    }


def views_of(name: str) -> Any:
    """What the setting `views` stands for, as `Trainer.evaluate` takes it."""
    from pyconv.data import views

    return views if name == "six" else None


def load_model(path: str | PathLike[str]) -> tuple[Any, dict[str, Any]]:
    """The model of a run (its folder or its model file) in evaluation mode, and its description.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If the file is damaged, or not written by `pyconv train`.
    """
    from pyconv import serialization

    path = Path(path)
    if path.is_dir():
        path = path / MODEL
    _, description = serialization.read(path)
    if not {"architecture", "classes", "input_shape"} <= description.keys():
        raise ValueError(f"{path} is not the model of a run of `pyconv train`")
    return serialization.load(path), description
