"""How exactly float32 convolution is computed: whether algorithms that round more may serve where they are quicker.

"fast", the default, lets `algorithm="auto"` choose Winograd where it pays: its largest error is below 2e-5 of the
largest output. "strict" keeps to sums of products, whose error is below 4e-6, and so is float64 always computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

PRECISIONS = ("fast", "strict")
ROUNDS_MORE = "it rounds more than the precision asked for allows"  # why a row declines

_default = "fast"
_current: ContextVar[str | None] = ContextVar("pyconv_precision", default=None)


def get_precision() -> str:
    """The precision that serves this thread now.

    Examples
    --------
    >>> import pyconv as pc
    >>> with pc.precision("strict"):
    ...     pc.get_precision()
    'strict'
    """
    return _current.get() or _default


def set_precision(name: str) -> None:
    """Set the precision of the whole process.

    Parameters
    ----------
    name : str
        "fast" or "strict".

    Raises
    ------
    ValueError
        If it is neither.
    """
    global _default
    _default = _checked(name)


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Use a precision inside a `with` block, in this thread (or task) alone."""
    token = _current.set(_checked(name))
    try:
        yield
    finally:
        _current.reset(token)


def _checked(name: str) -> str:
    if name not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {name!r}")
    return name
