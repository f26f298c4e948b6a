"""The command `pyconv`: finds the module of the subcommand, runs it, and turns errors into messages and exit codes.

Exit codes: 0 done; 1 it failed on the way (or found a regression); 2 wrong usage or bad data; 130 after Ctrl-C, 143
after SIGTERM. Set PYCONV_TRACEBACK=1 to see where an error comes from.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module

COMMANDS = {
    "train": "train a model on a data set",
    "predict": "classify images with a trained model",
    "evaluate": "measure a trained model on test data",
    "summary": "show a model's layers, parameters and costs",
    "bench": "time pyconv and the installed peers",
    "info": "show what this installation runs on",
}
FAILED, USAGE, INTERRUPTED = 1, 2, 130
USAGE_ERRORS = (
    ValueError,
    TypeError,
    FileNotFoundError,
    FileExistsError,
    NotADirectoryError,
    IsADirectoryError,
    PermissionError,
)
FAILURES = (OSError, ImportError, FloatingPointError, MemoryError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (without the program's name); returns the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = _parser(argv)
    args = parser.parse_args(argv)
    try:
        with _habits():
            return args.run(args)
    except KeyboardInterrupt:
        print("pyconv: stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output left: nothing to say, and no one to say it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (*USAGE_ERRORS, *FAILURES) as error:
        if os.environ.get("PYCONV_TRACEBACK"):
            raise
        print(f"pyconv {args.command}: error: {error}", file=sys.stderr)
        return USAGE if isinstance(error, USAGE_ERRORS) else FAILED


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; only the module of the command in `argv` is loaded."""
    from pyconv import __version__

    parser = argparse.ArgumentParser(
        prog="pyconv",
        description="Convolutional networks on ordinary CPUs.",
        epilog="example:\n  pyconv train --out run      (trains on the bundled digits)",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pyconv {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    chosen = next((a for a in argv if not a.startswith("-")), None)
    for name, description in COMMANDS.items():
        command = commands.add_parser(
            name, help=description, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name == chosen:
            module = import_module(f"pyconv.cli.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


@contextmanager
def _habits() -> Iterator[None]:
    """Inside the block, warnings are one line each, and SIGTERM unwinds the stack as Ctrl-C does."""
    main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _terminate) if main_thread else None
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            yield
    finally:
        if main_thread:
            signal.signal(signal.SIGTERM, before)


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    print(f"pyconv: warning: {message}", file=file or sys.stderr)


def _terminate(number, frame) -> None:
    raise SystemExit(128 + number)
