"""Ctrl-C and SIGTERM during training: they wait for the end of the running batch, so that what is saved is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Deferred:
    """Remembers the signal that came; `pending` is None until one does."""

    def __init__(self):
        self.pending: int | None = None


@contextmanager
def deferred_signals() -> Iterator[Deferred]:
    """Hold back SIGINT and SIGTERM inside the block; afterwards the one that came is delivered as usual.

    A second Ctrl-C does not wait. Outside of the main thread, where Python has no signals, nothing is held back.
    """
    deferred = Deferred()
    if threading.current_thread() is not threading.main_thread():
        yield deferred
        return

    def hold(number, frame):
        if deferred.pending is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        deferred.pending = number

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            before[number] = signal.signal(number, hold)
    try:
        yield deferred
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if deferred.pending is not None:
            signal.raise_signal(deferred.pending)
