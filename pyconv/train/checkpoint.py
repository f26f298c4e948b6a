"""Checkpoints: all of a trainer's state in one file, from which training goes on exactly."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from pyconv import serialization
from pyconv.train.average import averaged_arrays
from pyconv.train.history import History

if TYPE_CHECKING:
    from pyconv.train.trainer import Trainer


def save(trainer: Trainer, path: str | PathLike[str]) -> None:
    """Write the trainer's state; the file is replaced at once, so that a kill leaves the old one or the new one."""
    model = trainer.model
    arrays = {
        **{f"parameter/{name}": array for name, array in model.named_parameters()},
        **{f"buffer/{name}": array for name, array in model.named_buffers()},
        **{f"optimizer/{name}": array for name, array in _flatten(trainer.optimizer_state or {})},
        **{f"average/{name}": array for name, array in _flatten(trainer.ema_state or {})},
        **{f"sums/{name}": array for name, array in trainer.sums.arrays().items()},
    }
    progress = {
        "run": trainer.run,
        "seed": trainer.seed,
        "epoch": trainer.epoch,
        "batch": trainer.batch,
        "step": trainer.step,
        "seconds": trainer.seconds,
        "waiting": trainer.waiting,
        "stopped": trainer.stop_training,
        "num_classes": trainer.sums.num_classes,
        "history": trainer.history.to_dict(),
        "callbacks": [{"name": type(c).__name__, "state": c.state()} for c in trainer.callbacks],
    }
    # as text: JSON proper has no NaN, which a history may hold
    serialization.write(path, arrays, {"kind": "checkpoint", "progress": json.dumps(progress)})


def restore(trainer: Trainer, path: str | PathLike[str], run: Mapping[str, Any]) -> None:
    """Take over a checkpoint of a run like `run`; if it is none, raise ValueError and leave the trainer as it was."""
    arrays, about = serialization.read(path)
    if about.get("kind") != "checkpoint":
        raise ValueError(f"{path} is not a checkpoint of a training run but a file of {about.get('kind', 'arrays')}")
    progress = json.loads(about["progress"])
    for name, value in {**run, "seed": trainer.seed}.items():
        saved = progress["seed"] if name == "seed" else progress["run"].get(name)
        if saved != value:
            raise ValueError(f"{path} was written by a run with {name} {saved}, not {value}: resume with the same")
    kinds = ("parameter", "buffer", "optimizer", "average", "sums")
    groups: dict[str, dict[str, np.ndarray]] = {kind: {} for kind in kinds}
    for name, array in arrays.items():
        kind, _, rest = name.partition("/")
        groups[kind][rest] = array
    own = {"parameter": dict(trainer.model.named_parameters()), "buffer": dict(trainer.model.named_buffers())}
    states: dict[str, dict[str, Any]] = {"optimizer": {}, "average": {}}  # in the shape that they must have
    if groups["optimizer"]:  # a step was made
        states["optimizer"] = trainer.optimizer.init(own["parameter"])
        if trainer.ema is not None:
            states["average"] = trainer.ema.init(averaged_arrays(trainer.model))
    flat = {kind: dict(_flatten(state)) for kind, state in states.items()}
    for kind, expected in {**own, **flat}.items():
        _check_same(path, kind, {name: array.shape for name, array in expected.items()}, groups[kind])
    for kind, held in own.items():
        for name, array in held.items():
            np.copyto(array, groups[kind][name])
    trainer.optimizer_state, trainer.ema_state = (
        _unflatten(state, groups[kind]) or None for kind, state in states.items()
    )
    trainer.run = progress["run"]
    trainer.epoch, trainer.batch, trainer.step = (progress[k] for k in ("epoch", "batch", "step"))
    trainer.history = History(progress["history"])
    trainer.begin_sums(progress["num_classes"])
    trainer.sums.restore(groups["sums"])
    trainer.seconds, trainer.waiting, trainer.stop_training = (progress[k] for k in ("seconds", "waiting", "stopped"))
    remembered = [(c["name"], c["state"]) for c in progress["callbacks"]]
    for callback in trainer.callbacks:  # matched by name, in order
        index = next((i for i, (name, _) in enumerate(remembered) if name == type(callback).__name__), None)
        if index is not None:
            callback.restore(remembered.pop(index)[1])


def _flatten(state: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """(path, array) of every array in nested dictionaries."""
    for name, value in state.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{path}/")
        else:
            yield path, np.asarray(value)


def _unflatten(template: Mapping[str, Any], arrays: Mapping[str, np.ndarray], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries in the shape of `template` with the arrays that `_flatten` gave."""
    return {
        name: _unflatten(value, arrays, f"{prefix}{name}/") if isinstance(value, Mapping) else arrays[f"{prefix}{name}"]
        for name, value in template.items()
    }


def _check_same(path: Any, kind: str, expected: Mapping[str, tuple], found: Mapping[str, np.ndarray]) -> None:
    for name, shape in expected.items():
        if name not in found:
            raise ValueError(f"{path} does not fit: it has no {kind} {name}")
        if found[name].shape != shape:
            raise ValueError(
                f"{path} does not fit: {kind} {name} has the shape {found[name].shape} there, {shape} here"
            )
    extra = sorted(set(found) - set(expected))
    if extra:
        raise ValueError(f"{path} does not fit: it has {kind} {extra[0]}, which is not here")
