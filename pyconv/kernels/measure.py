"""How long each of several ways to compute the same takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter

_LEAST_ROUNDS, _MOST_ROUNDS = 5, 100
SECONDS = 0.02  # that each gets


def measure(runs: Mapping[str, Callable[[], None]], seconds: float = SECONDS) -> dict[str, float]:
    """The lower quartile of the seconds that each takes, in turns."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()  # what memory and caches cost at first is nobody's fault
    begin = perf_counter()
    for rounds in range(_MOST_ROUNDS):
        if rounds >= _LEAST_ROUNDS and perf_counter() - begin > seconds * len(runs):
            break
        for name, run in runs.items():
            started = perf_counter()
            run()
            taken[name].append(perf_counter() - started)
    return {name: sorted(times)[len(times) // 4] for name, times in taken.items()}
