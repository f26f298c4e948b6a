"""One run of the benchmark: every engine on every pass of every problem, results as they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pyconv.bench.engines import Engine, reference
from pyconv.bench.problems import Problem
from pyconv.bench.timing import Measurement, race, started


def run(
    problems: Sequence[Problem],
    passes: Sequence[str],
    engines: Sequence[Engine],
    threads: int,
    seconds: float = 0.5,
    check: bool = True,
) -> Iterator[list[Measurement]]:
    """Yield the measurements of one pass of one problem after another.

    Parameters
    ----------
    problems, passes, engines
        What to run; a pass that a problem has not is left out.
    threads
        Threads of each engine.
    seconds
        Time each engine gets for each pass of each problem, in turns.
    check
        Measure errors against float64 too.
    """
    with TemporaryDirectory(prefix="pyconv-bench-") as folder, started(engines, threads) as workers:
        for problem in problems:
            for pass_ in passes:
                if pass_ in problem.passes:
                    exact = _save(Path(folder), reference(problem, pass_)) if check else []
                    yield race(workers, problem, pass_, seconds, exact)


def _save(folder: Path, arrays: Sequence[np.ndarray]) -> list[str]:
    """Write the reference where every worker can read it; the one before is overwritten."""
    paths = [str(folder / f"{i}.npy") for i in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        np.save(path, array)
    return paths
