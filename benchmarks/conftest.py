"""Turns a module's `PROBLEMS` into one row for each problem, pass and engine that runs here, grouped by problem and pass.

An engine that is not installed, or lacks a pass, has no rows.
"""

from functools import lru_cache

import numpy as np
import pytest

from pyconv import kernels
from pyconv.bench.engines import BACKENDS, PEERS, reference
from pyconv.bench.timing import error
from pyconv.kernels.threads import get_num_threads

PASSES = ("forward", "backward")
TOLERANCE = 1e-5  # of the largest value: a benchmark of a wrong result is worth nothing; tests/ hold the tight bounds


def pytest_generate_tests(metafunc):
    if "call" in metafunc.fixturenames:
        engines = [engine for engine in (*BACKENDS.values(), *PEERS.values()) if engine.unavailable() is None]
        rows = [
            pytest.param(
                (engine, problem, pass_),
                id=f"{problem.name}-{pass_}-{engine.name}",
                marks=pytest.mark.benchmark(group=f"{problem.name} {pass_}: {problem}", min_rounds=3, max_time=0.05),
            )
            for engine in engines  # outermost, so that one engine's threads spin at a time
            for problem in metafunc.module.PROBLEMS
            for pass_ in PASSES
            if engine.refuse(problem, pass_) is None
        ]
        metafunc.parametrize("call", rows, indirect=True)


@pytest.fixture
def call(request):
    """What to time: the engine's pass over the problem, once checked against float64."""
    engine, problem, pass_ = request.param
    _start(engine)
    call = engine.prepare(problem, pass_, problem.arrays())
    assert error(call(), _reference(problem, pass_)) < TOLERANCE
    return call


@pytest.fixture(scope="session", autouse=True)
def _backend_as_before():
    before = kernels.get_backend()
    yield
    kernels.set_backend(before)


@lru_cache(maxsize=1)  # again only when another engine's turn comes
def _start(engine):
    engine.start(get_num_threads())


@lru_cache(maxsize=None)
def _reference(problem, pass_):
    return reference(problem, pass_)
