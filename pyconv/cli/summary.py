"""`pyconv summary`: what a model is and costs, layer by layer."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLE = """\
examples:
  pyconv summary                                  the layer of the lecture: 32×32×3 in, six 5×5 filters
  pyconv summary resnet18 --input 3 224 224
  pyconv summary run
"""

LECTURE = """
"Why convolutions?" counts 156 parameters, 6 · (5 · 5 + 1): those of filters of one channel. On an image of three
channels a filter has three: 6 · (3 · 5 · 5 + 1) = 456."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EXAMPLE
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help="a network of pyconv.models, or a RUN that `pyconv train` wrote (default: the layer of the lecture)",
    )
    parser.add_argument(
        "--input", type=int, nargs="+", metavar="SIZE", help="channels, height, width (default: 3 32 32)"
    )
    parser.add_argument(
        "--classes", type=int, default=10, metavar="N", help="outputs of a network by name (%(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from pyconv import models, nn
    from pyconv.cli.run import load_model

    if args.model is None:
        shape = tuple(args.input or (3, 32, 32))
        model: nn.Module = nn.Conv2d(shape[0], 6, 5)
    elif Path(args.model).exists():
        model, about = load_model(args.model)
        shape = tuple(args.input or about["input_shape"])
    else:
        shape = tuple(args.input or (3, 32, 32))
        model = models.create(args.model, num_classes=args.classes, in_channels=shape[0])
    print(model.summary(shape))
    if args.model is None:
        print(LECTURE)
    return 0
