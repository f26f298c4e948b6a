"""How many threads a kernel may use: what this process was given, what its environment asks, what its caller sets.

The default is the number of cores the process may really use (its CPU affinity, and the CPU quota of its control
groups, version 1 or 2), unless OMP_NUM_THREADS says otherwise. `set_num_threads` changes it for the process,
`num_threads` inside a `with` block for one Python thread or task. Results do not depend on it.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_default: int | None = None  # found out on first use
_current: ContextVar[int | None] = ContextVar("pyconv_num_threads", default=None)


def get_num_threads() -> int:
    """Number of threads that a kernel called here and now may use.

    Examples
    --------
    >>> import pyconv as pc
    >>> with pc.num_threads(1):
    ...     pc.get_num_threads()
    1
    """
    return _current.get() or _default or _find_default()


def set_num_threads(n: int) -> None:
    """Let kernels use `n` threads in the whole process.

    Parameters
    ----------
    n : int
        At least 1. More than `usable_cores()` is obeyed, and seldom pays.

    Raises
    ------
    ValueError, TypeError
        If `n` is less than 1, or no integer.
    """
    global _default
    _default = _checked(n)


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Let kernels use `n` threads inside a `with` block, in this Python thread (or task) alone."""
    token = _current.set(_checked(n))
    try:
        yield
    finally:
        _current.reset(token)


def usable_cores(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores that this process may really use: its affinity, cut to its control groups' quota (rounded up)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota(proc, cgroups)
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def cgroup_quota(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> float | None:
    """The least CPU quota, in cores, of the groups this process is in and of all above them; None where none is set."""
    quotas = []
    for line in _read(proc / "self" / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not controllers:  # version 2; beside version 1 it is mounted as `unified`
            folders, read = (cgroups, cgroups / "unified"), _quota_v2
        elif "cpu" in controllers.split(","):
            folders, read = (cgroups / controllers, cgroups / "cpu"), _quota_v1
        else:
            continue
        # A container may see its own group as the root while the path is the host's: what is not there is passed over.
        parts = [part for part in group.split("/") if part not in ("", "..")]
        quotas += [read(folder.joinpath(*parts[:n])) for folder in folders for n in range(len(parts) + 1)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota_v2(group: Path) -> float | None:
    fields = _read(group / "cpu.max").split()  # "max 100000" or "150000 100000": microseconds of each period
    return _ratio(*fields) if len(fields) == 2 else None


def _quota_v1(group: Path) -> float | None:
    return _ratio(_read(group / "cpu.cfs_quota_us").strip(), _read(group / "cpu.cfs_period_us").strip())


def _ratio(quota: str, period: str) -> float | None:
    """quota / period, or None for no limit ("max" in version 2, -1 in version 1)."""
    if not (quota.isdecimal() and period.isdecimal()) or int(quota) == 0 or int(period) == 0:
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _checked(n: int) -> int:
    try:
        count = operator.index(n)
    except TypeError:
        raise TypeError(f"n must be an integer number of threads, not {n!r}") from None
    if count < 1:
        raise ValueError(f"n must be at least 1 thread, not {count}")
    return count


def _find_default() -> int:
    global _default
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # a list gives one number a nesting level
    _default = int(asked) if asked.isdecimal() and int(asked) > 0 else usable_cores()
    return _default
