"""The registry of kernels: which backends there are, what each row does, and which row serves a call.

A kernel writes its first argument (`overwrites`, never adds to) from the others. A backend's package holds a table
`KERNELS`: kernel name -> rows, best first. A row may refuse a call and then says why; the next one is asked, and after
the backend's own rows come those of `plain` (NumPy), which every backend shares.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

BACKENDS = ("naive", "im2col", "numba", "native")


@dataclass(frozen=True, slots=True)
class Row:
    """One implementation of a kernel.

    `refuse(*arguments)` returns None where it serves, else the reason why not. `decline(*arguments)` says likewise
    whether it is a good choice where the caller leaves that open. `pack(*arguments)` returns None, or how the
    third of them, the weights, is packed for more calls with arrays of the same shapes and strides: an object whose
    `pack(weights)` gives what may stand for them, and whose `key` is equal for those that make the same of them.
    `predict(*arguments, packed=False)` gives the seconds that it should take, with weights packed before or not.
    """

    algorithm: str
    function: Callable[..., None]
    refuse: Callable[..., str | None] | None = None
    decline: Callable[..., str | None] | None = None
    pack: Callable[..., Any] | None = None
    predict: Callable[..., float] | None = None


_default: str | None = None  # set on first use: the best backend that loads
_current: ContextVar[str | None] = ContextVar("pyconv_backend", default=None)


@cache
def table(backend: str) -> dict[str, tuple[Row, ...]]:
    """All rows of a backend, its own before the shared ones; loads the backend."""
    own = import_module(f"{__name__}.{backend}").KERNELS
    plain = import_module(f"{__name__}.plain").KERNELS
    return {name: tuple(own.get(name, ())) + tuple(plain.get(name, ())) for name in {**plain, **own}}


def available(backend: str) -> str | None:
    """None if the backend can be used here, else why not."""
    try:
        table(backend)
    except ImportError as error:
        return str(error)
    return None


def get_backend() -> str:
    """Name of the backend that serves this thread now."""
    return _current.get() or _default or _choose_default()


def set_backend(name: str) -> None:
    """Make `name` the backend of the whole process: naive, im2col, numba or native."""
    global _default
    _default = _checked(name)


@contextmanager
def backend(name: str) -> Iterator[None]:
    """Use a backend inside a `with` block, in this thread (or task) alone."""
    token = _current.set(_checked(name))
    try:
        yield
    finally:
        _current.reset(token)


def rows(kernel: str) -> tuple[Row, ...]:
    """The rows of a kernel in the current backend, best first."""
    return table(get_backend())[kernel]


def run(kernel: str, out: Any, *arguments: Any, algorithm: str = "auto") -> None:
    """Run the best row that does not refuse (or the named algorithm); it overwrites `out`."""
    choose(kernel, out, *arguments, algorithm=algorithm).function(out, *arguments)


def choose(kernel: str, out: Any, *arguments: Any, algorithm: str = "auto") -> Row:
    """The best row that does not refuse the call (or that of the named algorithm)."""
    for row in rows(kernel):
        if algorithm in ("auto", row.algorithm) and _why_not(row, algorithm, out, arguments) is None:
            return row
    reasons = [
        f"{row.algorithm}: {_why_not(row, algorithm, out, arguments)}"
        for row in rows(kernel)
        if algorithm in ("auto", row.algorithm)
    ]
    known = ", ".join(row.algorithm for row in rows(kernel))
    raise ValueError(
        f"algorithm {algorithm!r} cannot run {kernel} in backend {get_backend()!r}"
        + (f" ({'; '.join(reasons)})" if reasons else f"; it has {known}")
    )


def _why_not(row: Row, algorithm: str, out: Any, arguments: tuple[Any, ...]) -> str | None:
    reason = row.refuse(out, *arguments) if row.refuse else None
    if reason is None and algorithm == "auto" and row.decline:
        reason = row.decline(out, *arguments)
    return reason


def fitting(kernel: str, out: Any, *arguments: Any) -> list[Row]:
    """The rows that can serve a call, best first: those that decline come last."""
    fit = [row for row in rows(kernel) if row.refuse is None or row.refuse(out, *arguments) is None]
    return sorted(fit, key=lambda row: row.decline is not None and row.decline(out, *arguments) is not None)


def _checked(name: str) -> str:
    if name not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, not {name!r}")
    reason = available(name)
    if reason is not None:
        raise ValueError(f"backend {name!r} is not available: {reason}")
    return name


def _choose_default() -> str:
    global _default
    _default = next(name for name in ("native", "numba", "im2col") if available(name) is None)
    if _default != "native":
        slower = {"numba": "Numba", "im2col": "im2col on NumPy"}[_default]
        hint = "" if _default == "numba" else ', or pip install "pyconv-engine[numba]" for Numba'
        warnings.warn(
            f"{slower} serves in place of the C kernels: {available('native')}{hint}", RuntimeWarning, stacklevel=4
        )
    return _default
