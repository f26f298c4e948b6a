"""`pyconv evaluate`: loss, accuracy and the figures of each class on a test set."""

from __future__ import annotations

import argparse
import json

import numpy as np

EXAMPLE = """\
examples:
  pyconv evaluate run
  pyconv evaluate run --data-dir ~/mnist --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EXAMPLE
    parser.add_argument("run_folder", metavar="RUN", help="folder that `pyconv train` wrote, or a model file of it")
    parser.add_argument("--dataset", metavar="NAME", help="default: the one it was trained on; its test part is used")
    parser.add_argument("--data-dir", metavar="DIR", help="folder that holds the data (default: as in training)")
    parser.add_argument("--batch-size", type=int, default=256, metavar="N", help="(%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from pyconv import data, train
    from pyconv.cli.run import load_model, views_of
    from pyconv.train.metrics import predicted

    model, about = load_model(args.run_folder)
    name = args.dataset or about["dataset"]
    folder = args.data_dir or (about["data_dir"] if name == about["dataset"] else None)
    options = {"image_size": about["input_shape"][1]} if name == "folder" else {}
    test = data.load(name, folder, **options).test
    if list(test.classes) != about["classes"]:
        raise ValueError(
            f"the model knows the classes {', '.join(about['classes'])}; {name} has {', '.join(test.classes)}"
        )
    if list(test.input_shape) != about["input_shape"]:
        raise ValueError(
            f"the model takes inputs {tuple(about['input_shape'])}, those of {name} are {test.input_shape}"
        )
    trainer = train.Trainer(model, metrics=["accuracy", "precision", "recall", "f1"], progress=False)
    views = views_of(about.get("views", "one"))
    figures = trainer.evaluate(test, args.batch_size, views=views)
    matrix = train.confusion_matrix(test.y, predicted(trainer.predict(test, views=views)), len(test.classes))
    if args.json:
        report = {"dataset": name, "samples": len(test), **figures, "classes": list(test.classes)}
        print(json.dumps({**report, "confusion": matrix.tolist()}, indent=2, ensure_ascii=False))
        return 0
    print(f"{name}: {len(test)} test samples, accuracy {figures['accuracy']:.2%}, loss {figures['loss']:.4f}")
    width = max(5, *map(len, test.classes))
    print(f"{'class':<{width}}  samples  precision  recall")
    right, actual, claimed = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    for k, label in enumerate(test.classes):
        precision, recall = (right[k] / max(1, count[k]) for count in (claimed, actual))
        print(f"{label:<{width}}  {actual[k]:>7}  {precision:>9.1%}  {recall:>6.1%}")
    return 0
