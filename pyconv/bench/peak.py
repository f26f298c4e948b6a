"""How many float32 operations a second this machine can do at most: what GFLOP/s are held against.

The native library measures its FMA units; where there is none, a large matrix product of NumPy's BLAS stands in, which
comes within some percent of that.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache
from multiprocessing import get_context

import numpy as np

from pyconv import kernels
from pyconv.bench.timing import environment

_SIZE = 1536
_SECONDS = 1.0


@cache
def peak_flops(threads: int) -> tuple[float, str]:
    """Operations a second of `threads` threads together, a multiply-add counted as two, and how they were measured."""
    with environment(threads), ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        if kernels.available("native") is None:
            return pool.submit(_fma_flops, threads).result(), "FMA instructions"
        return pool.submit(_matmul_flops).result(), "NumPy's matrix product"


def _fma_flops(threads: int) -> float:
    """The sum over independent threads, each at its best moment: no thread waits for another that lost its core."""
    from pyconv.kernels.native.library import lib

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(lambda _: lib.pyconv_measure_peak(32, _SECONDS, 1), range(threads)))


def _matmul_flops() -> float:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, _SIZE, _SIZE), np.float32)
    out = np.empty_like(a)
    best = float("inf")
    end = time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        np.matmul(a, b, out)
        best = min(best, time.perf_counter() - start)
    return 2 * _SIZE**3 / best
