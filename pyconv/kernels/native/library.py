"""The C library: loading it, the instruction set it uses, and the memory it works in."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from pyconv.kernels.threads import get_num_threads

try:
    from pyconv.kernels.native._lib import ffi, lib
except ImportError as error:
    raise ImportError(
        "the C kernels are not built; install a C compiler (gcc or clang) and reinstall pyconv-engine"
    ) from error

_HUGE_PAGE = 2 << 20  # workspaces begin on one: fewer misses of the TLB
_LEAST_BYTES = 4 << 20  # from here on NumPy asks the system for huge pages; what is never touched costs nothing
_KEPT_BYTES = 64 << 20  # a thread keeps a workspace up to this size for its next call


class _Local(threading.local):
    """What a thread has: a program that it records, its workspace, and one too large to keep for long."""

    program: Any = None
    buffer: tuple[Any, int, Any] | None = None  # memory, bytes, pointer
    transient: Any = None


_local = _Local()
_needed: WeakKeyDictionary[Any, tuple[Any, ...]] = WeakKeyDictionary()


def isas() -> tuple[str, ...]:
    """Instruction sets that this machine can run, best first."""
    names = []
    index = 0
    while (name := lib.pyconv_isa_name(index)) != ffi.NULL:
        if lib.pyconv_isa_supported(index):
            names.append(ffi.string(name).decode())
        index += 1
    return tuple(names)


def get_isa() -> str:
    """The instruction set in use."""
    return ffi.string(lib.pyconv_isa()).decode()


def set_isa(name: str) -> None:
    """Use one of `isas()` in the whole process; not while kernels run in other threads."""
    if lib.pyconv_select_isa(name.encode()):
        raise ValueError(f"instruction set must be one of {', '.join(isas())} on this machine, not {name!r}")


def workspace(size: int) -> Any:
    """A pointer to `size` bytes, aligned to a page, that this thread may use until its next call."""
    program = _local.program
    if program is not None:
        return program.scratch(size)
    kept = _local.buffer
    if kept is None or kept[1] < size:
        size = max(size, _LEAST_BYTES)
        buffer = np.empty(size + _HUGE_PAGE, np.uint8)
        address = -(-buffer.ctypes.data // _HUGE_PAGE) * _HUGE_PAGE
        kept = (buffer, size, ffi.cast("void *", address))
        if size <= _KEPT_BYTES:
            _local.buffer = kept
        else:
            _local.transient = kept  # freed by the next large call or with the thread
    return kept[2]


def workspace_for(size_of: Any, *arguments: Any) -> Any:
    """A `workspace` as large as a function of the library says for these arguments and the number of threads."""
    program = _local.program
    if program is None:
        return workspace(size_of(*arguments, get_num_threads()))
    return workspace(max(size_of(*arguments, threads) for threads in range(1, program.threads + 1)))


def call(function: Any, *arguments: Any) -> None:
    """Call a function of the library, its number of threads added; or note it in the program that is being recorded.

    What a kernel reads and writes must then be arrays that the caller gave, and C must do all of the work: nothing has
    been computed when this returns.
    """
    program = _local.program
    if program is None:
        function(*arguments, get_num_threads())
    else:
        program.append(function, arguments)


@contextmanager
def recording(program: Any) -> Iterator[None]:
    """Inside a `with` block this thread's calls go to a program (program.py)."""
    _local.program = program
    try:
        yield
    finally:
        _local.program = None


def keep(owner: Any, *needed: Any) -> Any:
    """`owner`, which from now on keeps alive what it points to."""
    _needed[owner] = needed
    return owner


def pointer(array: np.ndarray | None) -> Any:
    """The address of an array's first element."""
    if array is None:
        return ffi.NULL
    if array.flags.c_contiguous:  # eight times as fast as the other way
        return ffi.from_buffer(array)
    return ffi.cast("void *", array.__array_interface__["data"][0])


def aligned(array: np.ndarray) -> np.ndarray:
    """The array itself, or a copy where C could not read its elements in place."""
    return array if array.flags.aligned else array.copy()


def fills_aligned(kernel):
    """A kernel whose result may lie anywhere: C fills a misaligned one by way of a copy."""

    @wraps(kernel)
    def run(out, *arguments):
        target = out if out.flags.aligned else np.empty_like(out)
        kernel(target, *arguments)
        if target is not out:
            out[...] = target

    return run


if os.environ.get("PYCONV_ISA"):
    set_isa(os.environ["PYCONV_ISA"])
