"""`pyconv predict`: classes of images, with probabilities."""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np

EXAMPLE = """\
examples:
  pyconv predict run cat.jpg dog.png
  pyconv predict run photos/*.jpg --json --top 1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EXAMPLE
    parser.add_argument("run_folder", metavar="RUN", help="folder that `pyconv train` wrote, or a model file of it")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="PNG or JPEG files")
    parser.add_argument("--top", type=int, default=3, metavar="K", help="how many classes to show (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON list, with every class")


def run(args: argparse.Namespace) -> int:
    """Print the classes; files that cannot be read are named, and the exit code is 2 then."""
    from pyconv.cli.run import load_model
    from pyconv.data.dataset import as_float
    from pyconv.data.folder import read_image
    from pyconv.functional import softmax

    if args.top < 1:
        raise ValueError(f"--top must be at least 1, not {args.top}")
    model, about = load_model(args.run_folder)
    channels, *size = about["input_shape"]
    results, failed = [], False
    for path in args.images:
        try:
            image = read_image(path, tuple(size), channels)
        except (ValueError, OSError) as error:
            print(f"pyconv predict: {error}", file=sys.stderr)
            results.append({"image": path, "error": str(error)})
            failed = True
            continue
        probabilities = softmax(model(as_float(image[None])), 1)[0]
        ranking = np.argsort(-probabilities, kind="stable")
        results.append(
            {
                "image": path,
                "class": about["classes"][ranking[0]],
                "probabilities": {about["classes"][k]: round(float(probabilities[k]), 6) for k in ranking},
            }
        )
        if not args.json:
            best = ", ".join(f"{about['classes'][k]} {probabilities[k]:.1%}" for k in ranking[: args.top])
            print(f"{path}: {best}")
    if args.json:
        print(json.dumps(results, indent=2, ensure_ascii=False))
    return 2 if failed else 0
