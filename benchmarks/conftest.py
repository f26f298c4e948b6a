"""Turns a module's `PROBLEMS` into rows: each pass of each problem by each engine that runs here.

Rows are grouped by problem and pass. An engine that is not installed, or lacks a pass, has no rows.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

import pytest

from pyconv import kernels
from pyconv.bench.engines import BACKENDS, PEERS, Engine, reference
from pyconv.bench.problems import Problem
from pyconv.bench.timing import error
from pyconv.kernels.threads import get_num_threads

PASSES = ("forward", "backward")
TOLERANCE = 1e-5  # of the largest value: the time of a wrong result is worth nothing; tests/ hold the tight bounds


@dataclass(frozen=True)
class Row:
    """One engine on one pass of one problem."""

    engine: Engine
    problem: Problem
    pass_: str

    def run(self, benchmark):
        """Time it, and hold its result against float64."""
        _start(self.engine)
        result = benchmark(self.engine.prepare(self.problem, self.pass_, self.problem.arrays()))
        assert error(result, _reference(self.problem, self.pass_)) < TOLERANCE


def pytest_generate_tests(metafunc):
    if "row" in metafunc.fixturenames:
        engines = [engine for engine in (*BACKENDS.values(), *PEERS.values()) if engine.unavailable() is None]
        rows = [
            pytest.param(
                Row(engine, problem, pass_),
                id=f"{problem.name}-{pass_}-{engine.name}",
                marks=pytest.mark.benchmark(group=f"{problem.name} {pass_}: {problem}", min_rounds=3, max_time=0.05),
            )
            for engine in engines  # outermost, so that one engine's threads spin at a time
            for problem in metafunc.module.PROBLEMS
            for pass_ in PASSES
            if engine.refuse(problem, pass_) is None
        ]
        metafunc.parametrize("row", rows)


@pytest.fixture(scope="session", autouse=True)
def _backend_as_before():
    before = kernels.get_backend()
    yield
    kernels.set_backend(before)


@lru_cache(maxsize=1)  # again only when another engine's turn comes
def _start(engine):
    engine.start(get_num_threads())


@cache
def _reference(problem, pass_):
    return reference(problem, pass_)
