"""How this backend compiles, and how it uses several threads.

Kernels are jitted without the GIL and take a range of independent units (`begin`, `end`); `parallel` gives a range to
each of a few Python threads. Numba's own `parallel=True` is not used: two Python threads that call at once abort its
workqueue layer, and its OpenMP layer does not survive a fork.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numba

from pyconv.kernels import threads

GRAIN = 2_000_000  # elements moved or multiplied, 0.1 to 0.3 ns each, that repay waking one more thread
PIECES = 4  # of a range for each thread
_calls: SimpleQueue[Callable[[], None]] = SimpleQueue()  # what the workers are to do; idle ones block, they do not spin
_workers = 0


def jit(function: Callable[..., Any] | None = None, *, reorder_sums: bool = False) -> Callable[..., Any]:
    """`numba.njit` as this backend wants it: no GIL, cached on disk where some folder can be written.

    Multiplications and additions may be fused; NaN and infinity keep their meaning. `reorder_sums` also lets LLVM split
    a sum over the lanes of a vector.

    Numba notices a change of the file that a kernel stands in but not of the files it calls into: after editing
    `tile.py` delete the `__pycache__` here.
    """
    if function is None:
        return partial(jit, reorder_sums=reorder_sums)
    flags = {"contract", "reassoc", "nsz"} if reorder_sums else {"contract"}
    compile_ = partial(numba.njit, nogil=True, fastmath=flags, error_model="numpy")
    try:
        return compile_(cache=True)(function)
    except RuntimeError:  # neither the package nor the user's cache folder can be written
        return compile_(function)


def parallel(kernel: Callable[..., None], units: int, work: int, *arguments: Any) -> None:
    """Run `kernel(begin, end, *arguments)` over range(units), on the threads that `work` repays and the user allows.

    The range is cut into pieces, which the threads take in turn: if one wakes late, the others do its share.
    """
    count = min(threads.get_num_threads(), units, 1 + work // GRAIN)
    if count <= 1:
        kernel(0, units, *arguments)
        return
    pieces = min(units, PIECES * count)
    bounds = [units * i // pieces for i in range(pieces + 1)]
    turns = iter(range(pieces))  # the GIL makes each turn one thread's

    def take_turns() -> None:
        for i in turns:
            kernel(bounds[i], bounds[i + 1], *arguments)

    _share(take_turns, count - 1)


def _share(work: Callable[[], None], helpers: int) -> None:
    """Run `work` in this thread and in those of so many workers that wake before it has ended here."""
    seats, ended = iter(range(helpers)), SimpleQueue[BaseException | None]()

    def help_if_needed() -> None:
        if next(seats, None) is None:  # all is done
            return
        try:
            work()
        except BaseException as error:
            ended.put(error)
        else:
            ended.put(None)

    _employ(helpers)
    for _ in range(helpers):
        _calls.put(help_if_needed)
    try:
        work()
    finally:
        free = len(list(seats))
        errors = [ended.get() for _ in range(helpers - free)]  # the arrays must not be given back while a thread writes
    for error in filter(None, errors):
        raise error


def _employ(workers: int) -> None:
    """Have at least so many workers."""
    global _workers
    while _workers < workers:
        _workers += 1
        Thread(target=_serve, args=(_calls,), name=f"pyconv-numba-{_workers}", daemon=True).start()


def _serve(calls: SimpleQueue[Callable[[], None]]) -> None:
    while True:
        calls.get()()


def _forget_workers() -> None:
    global _calls, _workers
    _calls, _workers = SimpleQueue(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)  # threads do not cross a fork: the child starts its own
