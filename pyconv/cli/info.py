"""`pyconv info`: what this installation runs on."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = "example:\n  pyconv info"


def run(args: argparse.Namespace) -> int:
    """Print versions, backends, instruction sets and threads."""
    import pyconv as pc

    pc.show_config()
    return 0
