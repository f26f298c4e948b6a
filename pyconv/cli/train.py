"""`pyconv train`: from a data set to a run folder, in one command."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from pyconv.cli import settings as settings_module
from pyconv.cli.run import CHECKPOINT, CONFIG, METRICS, MODEL, build_model, load_data, model_description, views_of
from pyconv.cli.settings import Settings

EXAMPLE = """\
examples:
  pyconv train                                                   trains on the bundled digits
  pyconv train --dataset mnist --data-dir ~/mnist --out run      RUN/model.safetensors, curves.png, metrics.json, …
  pyconv train --dataset folder --data-dir ~/photos --augment flip rotate=10 --epochs 40
  pyconv train --resume run                                      goes on where a run was stopped
  pyconv train --config run/config.toml --seed 1 --out run1      repeats a run, with another seed
"""
LOOKAHEAD_DECAY = 0.95  # a step, of the slow weights at the end of a run
INITIAL_COST_SAMPLES = 2000  # of the training set, at most, for the cost J before and after training


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EXAMPLE
    settings_module.add_arguments(parser)
    parser.add_argument("--config", metavar="FILE", help="settings as TOML, as each run writes them")
    parser.add_argument("--out", metavar="RUN", help="folder to write to (default: runs/DATASET-MODEL-TIME)")
    parser.add_argument("--resume", metavar="RUN", help="go on with a run that was stopped, with its settings")
    parser.add_argument(
        "--tensorboard", action="store_true", help="write the curves for TensorBoard to RUN/tensorboard"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def run(args: argparse.Namespace) -> int:
    """Train; returns the exit code."""
    options = settings_module.given(args)
    if args.resume:
        folder, settings = _resumed(args, options)
    else:
        settings = settings_module.resolve(options, args.config)
        folder = Path(args.out or f"runs/{settings.dataset}-{settings.model}-{time.strftime('%Y%m%d-%H%M%S')}")
    return _train(settings, folder, args)


def _resumed(args: argparse.Namespace, options: dict[str, Any]) -> tuple[Path, Settings]:
    """The folder and the settings of the run to go on with; what does not change its course may be given anew."""
    changed = sorted(set(options) - {"data_dir", "threads", "backend"})
    if changed or args.config or args.out:
        what = changed[0] if changed else "config" if args.config else "out"
        raise ValueError(f"--resume goes on with the settings of {args.resume}: leave out --{what.replace('_', '-')}")
    folder = Path(args.resume)
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(f"{folder} is not the folder of a run: it holds no {CONFIG}")
    return folder, settings_module.resolve(options, folder / CONFIG)


def _train(settings: Settings, folder: Path, args: argparse.Namespace) -> int:
    from pyconv import kernels, train
    from pyconv._extras import require
    from pyconv._files import write_atomically
    from pyconv.kernels import threads
    from pyconv.train.metrics import predicted
    from pyconv.viz import plot_confusion

    for module in ("matplotlib", "safetensors"):
        require(module, "train")  # now rather than after the run
    if settings.backend is not None:
        kernels.set_backend(settings.backend)
    if settings.threads is not None:
        threads.set_num_threads(settings.threads)
    split = load_data(settings)
    model = build_model(settings, split.train)
    trainer = _trainer(settings, model, split.train, folder, args)

    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / CHECKPOINT
    if not args.resume:
        if checkpoint.exists() and not (folder / METRICS).exists():
            raise FileExistsError(
                f"{folder} holds a run that was stopped: --resume {folder} goes on with it; delete it or name another"
            )
        for old in (METRICS, CHECKPOINT):
            (folder / old).unlink(missing_ok=True)
        write_atomically(folder / CONFIG, settings_module.to_toml(settings).encode())

    began = time.perf_counter()
    sample = split.train.subset(slice(INITIAL_COST_SAMPLES))
    initial_cost = trainer.evaluate(sample)["loss"]
    try:
        history = trainer.fit(
            split.train,
            settings.epochs,
            settings.batch_size,
            validation=split.test,
            drop_last=settings.last_batch == "drop",
            resume=checkpoint if args.resume and checkpoint.exists() else None,
        )
    except (KeyboardInterrupt, SystemExit):
        if checkpoint.exists():
            print(f"stopped in epoch {trainer.epoch + 1} of {settings.epochs}: pyconv train --resume {folder} goes on")
        raise
    seconds = sum(history["seconds"])
    views = views_of(settings.views)
    outputs = trainer.predict(split.test, views=views)
    confusion = train.confusion_matrix(split.test.y, predicted(outputs), len(split.test.classes))
    test = trainer.evaluate(split.test, views=views)
    metrics = {
        "dataset": settings.dataset,
        "model": settings.model,
        "test_accuracy": test["accuracy"],
        "test_loss": test["loss"],
        "epochs": trainer.epoch,
        "seconds": round(seconds, 3),
        "parameters": model.num_parameters(),
        "initial_cost": initial_cost,
        "final_cost": trainer.evaluate(sample)["loss"],
        "train_samples": len(split.train),
        "test_samples": len(split.test),
        "seed": settings.seed,
        "optimizer": settings.optimizer,
        "backend": kernels.get_backend(),
        "isa": _isa(),
        "threads": threads.get_num_threads(),
        "total_seconds": round(time.perf_counter() - began, 3),
    }
    try:
        trainer.save_model(folder / MODEL, **model_description(settings, split.train))
        history.to_csv(folder / "history.csv")
        history.plot(folder / "curves.png")
        plot_confusion(confusion, split.test.classes, folder / "confusion.png")
        write_atomically(folder / METRICS, (json.dumps(metrics, indent=2) + "\n").encode())
    except OSError as error:
        raise OSError(f"{error}; make room, then: pyconv train --resume {folder}") from error
    print(
        f"test accuracy {test['accuracy']:.2%}, test loss {test['loss']:.4f} after {trainer.epoch} epochs in"
        f" {seconds:.1f} s; written to {folder}"
    )
    return 0


def _trainer(settings: Settings, model: Any, data: Any, folder: Path, args: argparse.Namespace) -> Any:
    from pyconv import train
    from pyconv.data import Loader
    from pyconv.optim import schedules

    callbacks: list[Any] = [train.Checkpoint(folder / CHECKPOINT), train.CSVLogger(folder / "history.csv")]
    if args.tensorboard:
        callbacks.append(train.TensorBoard(folder / "tensorboard"))
    if settings.patience is not None:
        callbacks.append(train.EarlyStopping(patience=settings.patience))
    schedule = None
    steps = len(Loader(data, settings.batch_size, drop_last=settings.last_batch == "drop"))  # an epoch
    if settings.schedule == "plateau":
        if settings.warm_up:
            raise ValueError("warm_up goes with every schedule but plateau")
        plateau = schedules.ReduceOnPlateau(settings.lr, patience=settings.epochs // 10)
        callbacks.append(train.ReduceOnPlateau(plateau))
    else:
        schedule = schedules.create(
            settings.schedule, settings.lr, settings.epochs * steps, warm_up=settings.warm_up * steps
        )
    weights = None
    if settings.class_weights == "balanced":
        counts = data.counts()
        weights = len(data) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return train.Trainer(
        model,
        optimizer=_optimizer(settings, settings.epochs * steps),
        schedule=schedule,
        callbacks=callbacks,
        augment=settings.augment,
        mixup=settings.mixup,
        ema=settings.ema,
        accumulate=settings.accumulate,
        class_weights=weights,
        label_smoothing=settings.label_smoothing,
        seed=settings.seed,
        progress=not args.quiet,
    )


def _optimizer(settings: Settings, steps: int) -> Any:
    """The optimizer for a run of so many steps, with what goes around it."""
    from pyconv import optim

    options: dict[str, Any] = {"weight_decay": settings.weight_decay, "clip_norm": settings.clip_norm}
    if settings.momentum is not None:
        options["momentum"] = settings.momentum
        if not hasattr(optim.create(settings.optimizer, lr=settings.lr), "momentum"):
            raise ValueError(f"momentum is no setting of the optimizer {settings.optimizer!r}")
    optimizer: Any = optim.create(settings.optimizer, lr=settings.lr, **options)
    if settings.shift_rate != 1:
        optimizer = optim.Scaled(optimizer, "*norm*.bias", settings.shift_rate)
    if settings.lookahead:
        decay = LOOKAHEAD_DECAY**settings.lookahead
        optimizer = optim.Lookahead(optimizer, every=settings.lookahead, decay=decay, steps=steps)
    return optimizer


def _isa() -> str:
    """The instruction set that the C library uses; "none" without one."""
    from pyconv import kernels

    if kernels.available("native") is not None:
        return "none"
    from pyconv.kernels.native.library import get_isa

    return get_isa()
