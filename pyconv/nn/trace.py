"""What a functional call puts in place of a model's arrays, and who watches the calls of modules, a thread at a time.

A module asks here what stands for an array of its own: the array itself, or, inside a functional call of this thread,
another array or a graph node. So `forward` is written once, and one model may serve many threads at once: what a call
changes lives in its trace, not in the module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np


class Trace:
    """What one functional call reads and writes instead of the modules' arrays, by identity, so that ties hold."""

    __slots__ = ("names", "updates", "values")

    def __init__(self, values: dict[int, Any], names: dict[int, str]):
        self.values = values  # id of a module's array -> what stands for it
        self.names = names  # id of a buffer of the called model -> its name
        self.updates: dict[str, Any] = {}  # buffers that the call assigned

    def assign(self, array: np.ndarray, value: Any) -> None:
        """Let `value` stand for a buffer from now on; that of a module outside the called model is not reported."""
        self.values[id(array)] = value
        if id(array) in self.names:
            self.updates[self.names[id(array)]] = value


trace: ContextVar[Trace | None] = ContextVar("pyconv_trace", default=None)
watcher: ContextVar[Callable[..., None] | None] = ContextVar("pyconv_watcher", default=None)


def current(array: np.ndarray | None) -> Any:
    """What stands for a module's array in this thread now."""
    call = trace.get()
    return array if call is None else call.values.get(id(array), array)


@contextmanager
def watch(callback: Callable[..., None]) -> Iterator[None]:
    """Inside a `with` block, in this thread alone, call `callback(module, args, output)` after every module's call."""
    token = watcher.set(callback)
    try:
        yield
    finally:
        watcher.reset(token)
