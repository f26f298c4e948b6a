"""Programs: kernels recorded once, on the arrays of a plan, and run again, in one call into C, on others like them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np

from pyconv.kernels import Row
from pyconv.kernels.native import KERNELS
from pyconv.kernels.native.library import ffi, lib, pointer, recording
from pyconv.kernels.threads import get_num_threads

_CALLS = {  # a function of the library -> its number in a program
    getattr(lib, name.replace("CALL_", "").lower()): getattr(lib, name)
    for name in dir(lib)
    if name.startswith("PYCONV_CALL_")
}
_FUNCTIONS = {row.function for rows in KERNELS.values() for row in rows}
_ARGUMENTS = dict(ffi.typeof("pyconv_call").fields)["value"].type.length
_from_buffer, _run, _NULL = ffi.from_buffer, lib.pyconv_program_run, ffi.NULL  # found faster so, in each call
_OTHER_ISA = "the instruction set is no longer the one that the program was recorded for"


class _Unrecordable(Exception):
    """Why a kernel's call cannot be part of a program."""


class Program:
    """A list of calls into C, whose arrays are named by the segment of memory that they lie in and their place there.

    Parameters
    ----------
    segments : sequence of ndarray
        The memory that recorded arrays lie in: one array each for an arena, an input, a constant, … A run is given as
        many, in the same order, whose arrays need only have the same strides and sizes.

    Notes
    -----
    A program is for the instruction set in use when it was made and at most as many threads as were set then.
    """

    def __init__(self, segments: Sequence[np.ndarray]):
        self.threads = max(1, lib.pyconv_effective_threads(get_num_threads()))
        self.workspace_bytes = 0  # of the additional segment that a run takes
        self._isa = lib.pyconv_isa()
        self._count = len(segments)
        # (first byte, byte past the last, address of element 0, number), in the order of their addresses
        self._ranges = sorted((*_extent(s), _address(s), i) for i, s in enumerate(segments) if s.size)
        self._calls: list[tuple[int, list[int], list[int]]] = []  # function, values, segments
        self._kernels: list[int] = []  # for each kernel the number of its first call
        self._kept: dict[int, Any] = {}  # descriptors that calls point to
        self._scratch = ffi.cast("void *", 0)
        self._compiled: Any = None

    def __len__(self) -> int:
        """How many kernels were recorded."""
        return len(self._kernels)

    @staticmethod
    def takes(row: Row) -> bool:
        """Whether a row runs in C, so that calls of it may be recorded."""
        return row.function in _FUNCTIONS

    def record(self, row: Row, out: np.ndarray, *arguments: Any) -> str | None:
        """Add a kernel's call: None, or the reason why it cannot be part of the program, which is then as before."""
        if not self.takes(row):
            return f"{row.algorithm} does not run in C"
        reason = row.refuse(out, *arguments) if row.refuse else None
        if reason is not None:
            return reason
        before, scratch = len(self._calls), self.workspace_bytes
        try:
            with recording(self):
                row.function(out, *arguments)
        except _Unrecordable as refusal:
            del self._calls[before:]
            self.workspace_bytes = scratch
            return str(refusal)
        self._kernels.append(before)
        self._compiled = None
        return None

    def run(self, segments: Sequence[np.ndarray | int], threads: int) -> None:
        """Make all calls on `segments` (arrays or their addresses), the last of which is `workspace_bytes` of scratch.

        It is aligned to 64 bytes. The GIL is released; several threads may run one program on memory of their own.
        """
        self.bind(segments).run(threads)

    def profile(self, segments: Sequence[np.ndarray | int], threads: int) -> np.ndarray:
        """Run, and give the seconds that each kernel took."""
        return np.array(self.bind(segments).profile(threads))

    def bind(self, segments: Sequence[np.ndarray | int]) -> BoundProgram:
        """The program on segments as for `run`, to be run again and again, some of them exchanged in between."""
        if len(segments) != self._count + 1:
            raise ValueError(f"a run takes {self._count} segments and one of scratch, not {len(segments)}")
        addresses = [s if isinstance(s, int) else _address(s) for s in segments]
        return BoundProgram(self._compiled or self._compile(), tuple(self._kernels), addresses)

    def _compile(self) -> tuple[Any, Any]:
        """The `pyconv_program`, and what it points to."""
        calls = ffi.new("pyconv_call[]", [(values, segments, number) for number, values, segments in self._calls])
        program = ffi.new("pyconv_program *", [calls, len(self._calls), self._isa, self.threads])
        prepared = ffi.new("int64_t[]", lib.pyconv_program_prepare(program, ffi.NULL) // ffi.sizeof("int64_t"))
        lib.pyconv_program_prepare(program, prepared)
        program.prepared = prepared
        self._compiled = program, (calls, prepared)
        return self._compiled

    def scratch(self, size: int) -> Any:
        """What stands for a workspace of so many bytes while recording."""
        self.workspace_bytes = max(self.workspace_bytes, size)
        return self._scratch

    def append(self, function: Any, arguments: Sequence[Any]) -> None:
        """Note a call; `arguments` lack the number of threads."""
        values, segments = [0] * _ARGUMENTS, [-1] * _ARGUMENTS
        for i, argument in enumerate(arguments):
            if not isinstance(argument, ffi.CData):
                values[i] = int(argument)
            elif argument is self._scratch:
                segments[i] = self._count
            elif argument != ffi.NULL:
                values[i], segments[i] = self._locate(argument)
        self._calls.append((_CALLS[function], values, segments))

    def _locate(self, pointer: Any) -> tuple[int, int]:
        """(bytes from the beginning of a segment, its number), or (address, -1) of what the program keeps alive."""
        address = int(ffi.cast("intptr_t", pointer))
        if _is_descriptor(ffi.typeof(pointer)):
            self._kept[address] = pointer
            return address, -1
        place = bisect_right(self._ranges, address, key=lambda r: r[0]) - 1
        if place < 0 or address >= self._ranges[place][1]:
            raise _Unrecordable("it works on a copy of an array, or on one outside of the program's segments")
        _, _, base, number = self._ranges[place]
        return address - base, number


class BoundProgram:
    """A program and the addresses of its segments, which cost nothing to hand over once they are here."""

    __slots__ = ("_compiled", "_kernels", "addresses", "program", "segments")

    def __init__(self, compiled: tuple[Any, Any], kernels: Sequence[int], addresses: Sequence[int]):
        self._compiled = compiled
        self.program = compiled[0]
        self._kernels = kernels
        self.addresses = ffi.new("intptr_t[]", addresses)
        self.segments = ffi.cast("void **", self.addresses)

    def place(self, arrays: Sequence[np.ndarray]) -> None:
        """Let these arrays be the first segments from now on; it is for the caller to keep them alive."""
        for number, array in enumerate(arrays):
            self.segments[number] = pointer(array)

    def run(self, threads: int) -> None:
        """As `Program.run`."""
        if _run(self.program, self.addresses, threads, _NULL):
            raise RuntimeError(_OTHER_ISA)

    def call(self, arrays: Sequence[np.ndarray], threads: int) -> None:
        """`place` and `run`, in less time."""
        segments, number = self.segments, 0
        try:
            for array in arrays:
                segments[number] = _from_buffer(array)
                number += 1
        except (BufferError, ValueError):  # the array is not contiguous
            self.place(arrays)
        if _run(self.program, self.addresses, threads, _NULL):
            raise RuntimeError(_OTHER_ISA)

    def profile(self, threads: int) -> list[float]:
        """As `Program.profile`."""
        count = self.program.count
        seconds = ffi.new("double[]", count)
        if _run(self.program, self.addresses, threads, seconds):
            raise RuntimeError(_OTHER_ISA)
        ends = [*self._kernels[1:], count]
        return [sum(seconds[b:e]) for b, e in zip(self._kernels, ends, strict=True)]


def _is_descriptor(kind: Any) -> bool:
    """Whether a C type is one that kernels describe themselves with: a structure, or an array of known length."""
    if kind.kind == "array":
        return kind.length is not None
    return kind.item.kind == "struct"


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _extent(array: np.ndarray) -> tuple[int, int]:
    """The first byte of an array and the one past its last."""
    spans = [(n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)]
    address = _address(array)
    return address + sum(s for s in spans if s < 0), address + sum(s for s in spans if s > 0) + array.itemsize
