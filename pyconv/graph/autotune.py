"""Autotune: the algorithm of each convolution of a plan by measurement, saved for the next time.

The cost model behind `algorithm="auto"` knows shapes and the instruction set, not this machine's caches. A tuner runs
all rows that can serve a step and are as exact as the precision asks for, on arrays of the step's shapes and strides,
in turns, and keeps the quickest.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from pyconv import kernels
from pyconv._version import __version__
from pyconv.graph.execute import ArrayLayout
from pyconv.graph.memory import ALIGNMENT, Step, View
from pyconv.kernels import Row
from pyconv.kernels.machine import cpu_name
from pyconv.kernels.measure import measure
from pyconv.kernels.precision import ROUNDS_MORE
from pyconv.kernels.threads import get_num_threads

TUNED = ("conv", "fused_conv", "conv_backward_data")  # kernels
FORMAT = "pyconv autotune 1"
MOST_PROBLEMS = 4096  # that a file keeps of one machine, those measured last

Times = dict[str, float]  # algorithm -> seconds


class Tuner:
    """Times of the algorithms of problems, measured or read from a file.

    Parameters
    ----------
    path : path, optional
        The file; by default ``autotune.json`` in the user's cache folder.

    Raises
    ------
    ValueError
        If there is a file at `path` that is not one of these. One in the cache folder is left out with a warning.
    """

    def __init__(self, path: str | PathLike[str] | None = None):
        self._lock = threading.Lock()
        self._path = default_path() if path is None else Path(path)
        self._measured: dict[str, dict[str, Times]] = {}  # machine -> problem -> times, not yet saved
        try:
            self._known = _read(self._path)
        except (ValueError, OSError) as error:
            if path is not None:
                raise
            warnings.warn(f"{error}; it will be replaced", RuntimeWarning, stacklevel=4)
            self._known = {}

    def choose(self, step: Step, arguments: Sequence[Any], packs: bool) -> tuple[Row, Times]:
        """The quickest row for a step whose kernel takes these arguments, and what was measured: nothing for only one.

        `packs` says whether the weights are constant, so that they may be packed beforehand.
        """
        chosen = kernels.choose(step.kernel, *arguments, algorithm=step.algorithm)
        if step.kernel not in TUNED or step.algorithm != "auto" or kernels.get_backend() != "native":
            return chosen, {}
        rows = {row.algorithm: row for row in candidates(step.kernel, arguments)}
        if len(rows) < 2:
            return chosen, {}
        machine, problem = _machine(), _problem(step, packs, rows)
        with self._lock:
            times = self._measured.get(machine, {}).get(problem) or self._known.get(machine, {}).get(problem)
            if not times or not times.keys() <= rows.keys():
                runs = {name: run for name, row in rows.items() if (run := recorded(row, arguments, packs)) is not None}
                times = measure(runs)
                self._measured.setdefault(machine, {})[problem] = times
        return (rows[min(times, key=times.__getitem__)], times) if times else (chosen, {})

    def save(self) -> None:
        """Add what was measured to the file, in which others may have written meanwhile; warn if that cannot be."""
        with self._lock:
            if not self._measured:
                return
            with suppress(ValueError, OSError):  # who named a file that is none was told, and the cache's is replaced
                self._known = _read(self._path)
            for machine, problems in self._measured.items():
                merged = {**self._known.get(machine, {}), **problems}
                self._known[machine] = dict(list(merged.items())[-MOST_PROBLEMS:])
            self._measured = {}
            try:
                _write(self._path, self._known)
            except OSError as error:
                warnings.warn(f"measured times cannot be saved: {error}", RuntimeWarning, stacklevel=4)


def default_path() -> Path:
    """``autotune.json`` in the folder where this system's users have caches."""
    home = Path.home()
    if sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        folder = home / "Library" / "Caches"
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return folder / "pyconv" / "autotune.json"


# --- what is measured


def candidates(kernel: str, arguments: Sequence[Any]) -> list[Row]:
    """The rows that can serve a call in C, and are as exact as the precision asks for."""
    from pyconv.kernels.native.program import Program

    fit = filter(Program.takes, kernels.fitting(kernel, *arguments))
    return [row for row in fit if row.decline is None or row.decline(*arguments) != ROUNDS_MORE]


def recorded(row: Row, arguments: Sequence[Any], packs: bool) -> Callable[[], None] | None:
    """A function that runs a row on arrays like the arguments; None if it does not run in C."""
    from pyconv.kernels.native.program import Program

    own = [_like(a) if isinstance(a, np.ndarray) else a for a in arguments]
    arrays = [a for a in own if isinstance(a, np.ndarray)]
    packing = row.pack(*own) if packs and row.pack else None
    if packing is not None:
        own[2] = packing.pack(own[2])
    program, threads = Program(arrays), get_num_threads()
    if program.record(row, *own) is not None:
        return None
    memory = np.empty(program.workspace_bytes + ALIGNMENT, np.uint8)
    shift = -memory.__array_interface__["data"][0] % ALIGNMENT
    bound = program.bind([*arrays, memory[shift:]])

    def run(alive: Any = (arrays, memory, program)) -> None:
        bound.run(threads)

    return run


def _like(array: np.ndarray) -> np.ndarray:
    """Zeros of an array's shape, strides and dtype."""
    zeros = ArrayLayout(array.shape, array.strides, array.dtype).sample()
    zeros[...] = 0
    return zeros


def _problem(step: Step, packs: bool, algorithms: Iterable[str]) -> str:
    """A step as text: kernel, what it works on and how, its attributes, and what there was to choose from."""
    views = " ".join(map(_text, (step.out, *step.operands)))
    attributes = " ".join(map(str, step.attributes))
    return f"{step.kernel} {step.out.dtype} {views} {attributes}{' packed' if packs else ''}: {' '.join(algorithms)}"


def _text(view: View | None) -> str:
    """Shape and strides in elements, 1x3x8x8/192,64,8,1; - for what is left out."""
    if view is None:
        return "-"
    strides = ",".join(str(s // view.dtype.itemsize) for s in view.strides)
    return f"{'x'.join(map(str, view.shape))}/{strides}"


def _machine() -> str:
    """What times depend on beside the problem."""
    from pyconv.kernels.native.library import get_isa

    return f"{cpu_name()}, {get_isa()}, threads: {get_num_threads()}, pyconv {__version__}"


# --- the file


def _read(path: Path) -> dict[str, dict[str, Times]]:
    """machine -> problem -> times, nothing if there is no file; ValueError if it is not one of these."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no file of measured times: it is no text") from None
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is no file of measured times, or a broken one: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is no file of measured times: its format must be {FORMAT!r}")
    machines: Any = content.get("machines")
    if not _is_table(machines, lambda m: _is_table(m, lambda p: _is_table(p, _is_time))):
        raise ValueError(f"{path} is a broken file of measured times: machines must hold times of problems in seconds")
    return machines


def _is_table(value: Any, holds: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(map(holds, value.values()))


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < float("inf")


def _write(path: Path, machines: dict[str, dict[str, Times]]) -> None:
    """Replace the file in one step, so that nobody ever reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=path.name, suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"format": FORMAT, "machines": machines}, file, indent=1)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
