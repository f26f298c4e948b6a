"""How this backend compiles, and how it uses several threads.

Kernels are jitted without the GIL and take a range of independent units (`begin`, `end`); `parallel` gives a range to
each of a few Python threads. Numba's own `parallel=True` is not used: two Python threads that call at once abort its
workqueue layer, and its OpenMP layer does not survive a fork.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numba

from pyconv.kernels import threads

GRAIN = 200_000  # multiply-adds (or elements moved) that repay waking one more thread: about 50 µs of work
_pool: tuple[int, ThreadPoolExecutor] | None = None  # (workers, executor); idle workers block, they do not spin


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
    """Run `kernel(begin, end, *arguments)` over range(units), on the threads that `work` repays and the user allows."""
    count = min(threads.get_num_threads(), units, 1 + work // GRAIN)
    if count <= 1:
        kernel(0, units, *arguments)
        return
    bounds = [units * i // count for i in range(count + 1)]
    executor = _executor(count - 1)
    others = [executor.submit(kernel, bounds[i], bounds[i + 1], *arguments) for i in range(1, count)]
    try:
        kernel(bounds[0], bounds[1], *arguments)
    finally:
        for other in others:  # the arrays must not be given back while a thread still writes
            other.result()


def _executor(workers: int) -> ThreadPoolExecutor:
    global _pool
    if _pool is None or _pool[0] < workers:
        _pool = workers, ThreadPoolExecutor(workers, thread_name_prefix="pyconv-numba")
    return _pool[1]


def _forget_threads() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)  # threads do not cross a fork: the child starts its own
