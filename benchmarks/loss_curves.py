"""Loss curves of ResNet-18 and MobileNetV2 over 200 steps: our compiled step beside PyTorch in float32 and float64.

    python benchmarks/loss_curves.py [--steps 200] [--png curves.png]

Weights and batches are the same; what ours and PyTorch's curves differ by is float32's rounding where both are about
as far from float64. Rounding grows from step to step in any training, so the table shows it a quarter at a time.
"""

from __future__ import annotations

import argparse
import sys

from pyconv._extras import require
from pyconv.bench.curves import curves
from pyconv.bench.networks import Network

NETWORKS = (
    Network("resnet18_cifar", 8, 3, 32, 10, ("training",)),
    Network("mobilenet_v2", 8, 3, 64, 10, ("training",)),
)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--steps", type=int, default=200, help="steps of training (%(default)s)")
    arguments.add_argument("--png", help="draw the curves")
    given = arguments.parse_args()
    if given.steps < 4:
        arguments.error(f"--steps must be at least 4, not {given.steps}")
    pyplot = require("matplotlib.pyplot", "bench") if given.png else None
    figure, axes = pyplot.subplots(1, len(NETWORKS), figsize=(10, 4)) if pyplot else (None, [None] * len(NETWORKS))
    print("| network | steps | loss, float64 | pyconv, off by | PyTorch, off by | ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    for network, panel in zip(NETWORKS, axes, strict=True):
        found = curves(network, given.steps)
        for quarter in range(4):
            begin, end = (given.steps * n // 4 for n in (quarter, quarter + 1))
            ours, theirs = found.errors(begin, end)
            row = f"{network.name} | {begin + 1}–{end} | {found.exact[begin:end].mean():.4f}"
            print(f"| {row} | {ours:.1e} | {theirs:.1e} | {ours / theirs:.2f} |", flush=True)
        if panel:
            for name, losses in zip(("pyconv", "PyTorch", "PyTorch, float64"), found, strict=True):
                panel.plot(losses, label=name, linewidth=1)
            panel.set(title=f"{network.name}, {network}", xlabel="step", ylabel="loss")
            panel.legend()
    if figure:
        figure.savefig(given.png, dpi=120)
    return 0


if __name__ == "__main__":
    sys.exit(main())
