"""What the Numba backend promises beyond right results: threads, forks, caching and a lazy import."""

import math
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from arrays import integers

from pyconv import kernels
from pyconv.kernels.spec import AdaptivePoolSpec, ConvSpec, PoolSpec
from pyconv.kernels.threads import num_threads

pytest.importorskip("numba", reason="the numba backend needs Numba")

from pyconv.kernels.numba import runtime


def convolution(n, c, k, size, kernel, stride=1, padding=0, groups=1):
    """(kernel, shape of its result, shapes of its inputs, attributes) of the three kernels of a convolution."""
    spec = ConvSpec((stride,) * 2, ((padding, padding),) * 2, (1, 1), groups)
    x, w = (n, c, size, size), (k, c // groups, kernel, kernel)
    y = (n, k, *spec.output_size(x[2:], w[2:]))
    yield "conv", y, (x, w, (k,)), (spec,)
    yield "conv_backward_data", x, (y, w, (c,)), (spec,)
    yield "conv_backward_weights", w, (y, x), (spec,)


def pooling(n, c, size, spec):
    windows = spec.windows((size, size))
    x, y = (n, c, size, size), (n, c, *spec.output_size((size, size)))
    yield "max_pool", y, (x,), (windows,)
    yield "max_pool_backward", x, (y, x), (windows,)
    yield "avg_pool", y, (x,), (windows,)
    yield "avg_pool_backward", x, (y,), (windows,)


PROBLEMS = [
    pytest.param(call, id=f"{name}-{call[0]}")
    for name, calls in {
        "dense": convolution(3, 20, 35, 19, 3, padding=1),
        "strided": convolution(2, 17, 9, 23, 5, stride=2, padding=2),
        "one image": convolution(1, 300, 70, 5, 3, padding=1),
        "depthwise": convolution(2, 40, 40, 30, 3, stride=2, padding=1, groups=40),
        "multiplier": convolution(3, 12, 24, 30, 3, padding=1, groups=12),
        "3x3": pooling(3, 40, 31, PoolSpec((3, 3), (2, 2), ((1, 1),) * 2, (1, 1))),
        "adaptive": pooling(2, 70, 24, AdaptivePoolSpec((7, 7))),
    }.items()
    for call in calls
]


def compute(call, order="C", threads=1):
    kernel, shape, inputs, attributes = call
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s).astype(np.float32) for s in inputs]
    if order == "channels_last":
        arrays = [np.moveaxis(np.moveaxis(a, 1, -1).copy(), -1, 1) if a.ndim > 1 else a for a in arrays]
    out = np.full(shape, np.nan, np.float32)
    with kernels.backend("numba"), num_threads(threads):
        kernels.run(kernel, out, *arrays, *attributes)
    return out


@pytest.mark.parametrize("order", ["C", "channels_last"])
@pytest.mark.parametrize("call", PROBLEMS)
def test_results_do_not_depend_on_the_number_of_threads(call, order, monkeypatch):
    monkeypatch.setattr(runtime, "GRAIN", 1)  # as many threads as are allowed, even for little work
    alone = compute(call, order)
    assert not np.isnan(alone).any()
    for threads in (2, 3, 7):
        np.testing.assert_array_equal(compute(call, order, threads), alone)


def test_work_is_cut_into_ranges_that_cover_it_once():
    done = []
    with num_threads(3):
        runtime.parallel(lambda begin, end: done.append((begin, end)), 100, 10 * runtime.GRAIN)
        done.sort()
        assert len(done) == 3 * runtime.PIECES
        assert [begin for begin, _ in done] == [0, *(end for _, end in done[:-1])]
        assert done[-1][1] == 100
        done.clear()
        runtime.parallel(lambda begin, end: done.append((begin, end)), 10, runtime.GRAIN // 2)
        assert done == [(0, 10)]  # too little work to share


def test_threads_share_the_work():
    """Each of two units waits until the other has begun."""
    barrier = threading.Barrier(2, timeout=60)
    with num_threads(2):
        runtime.parallel(lambda begin, end: barrier.wait(), 2, 10 * runtime.GRAIN)


@pytest.mark.parametrize("fails_here", [True, False])
def test_an_error_in_any_thread_reaches_the_caller_after_all_have_ended(fails_here):
    barrier, ended, caller = threading.Barrier(2, timeout=60), [], threading.get_ident()

    def fail(begin, end):
        barrier.wait()
        if (threading.get_ident() == caller) == fails_here:
            raise ZeroDivisionError
        time.sleep(0.05)
        ended.append(begin)

    with num_threads(2), pytest.raises(ZeroDivisionError):
        runtime.parallel(fail, 2, 10 * runtime.GRAIN)
    assert len(ended) == 1


def test_python_threads_may_call_at_once(monkeypatch):
    monkeypatch.setattr(runtime, "GRAIN", 1)
    calls = [p.values[0] for p in PROBLEMS]
    expected = [compute(call) for call in calls]
    with ThreadPoolExecutor(4) as callers:
        for _ in range(3):
            for result, right in zip(callers.map(lambda call: compute(call, threads=2), calls), expected, strict=True):
                np.testing.assert_array_equal(result, right)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this platform cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_computes_after_its_parent_has(monkeypatch):
    monkeypatch.setattr(runtime, "GRAIN", 1)
    call = PROBLEMS[0].values[0]
    expected = compute(call, threads=3)
    receive, send = multiprocessing.Pipe(duplex=False)

    def child():
        send.send(compute(call, threads=3))

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    try:
        assert receive.poll(60), "the child hangs"
        np.testing.assert_array_equal(receive.recv(), expected)
        process.join(60)
        assert process.exitcode == 0
    finally:
        process.kill()
    np.testing.assert_array_equal(compute(call, threads=3), expected)  # the parent's threads still serve


def python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_pyconv_imports_no_numba():
    assert python("import sys, pyconv; print('numba' in sys.modules, 'llvmlite' in sys.modules)") == ["False", "False"]


def test_without_numba_the_backend_names_the_extra():
    code = "import sys; sys.modules['numba'] = None\nfrom pyconv import kernels; print(kernels.available('numba'))"
    assert "pyconv-engine[numba]" in " ".join(python(code))


GATHER = """
import numpy as np
from pyconv.kernels.numba import indexed
y = np.empty((1, 1, 2))
indexed.gather(y, np.arange(3.0).reshape(1, 1, 3), np.array([[[2, -1]]]))
assert y.tolist() == [[[2, 0]]]
stats = indexed._gather.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def test_a_second_process_finds_the_compiled_code(tmp_path):
    assert python(GATHER, NUMBA_CACHE_DIR=str(tmp_path)) == ["0", "1"]
    assert python(GATHER, NUMBA_CACHE_DIR=str(tmp_path)) == ["1", "0"]


def test_where_no_folder_can_be_written_it_compiles_without_a_cache():
    namespace = {}
    exec("def double(a): return a + a", namespace)  # no source file, so no place for a cache
    assert runtime.jit(namespace["double"])(21) == 42


def test_nan_and_infinity_keep_their_meaning():
    """Only what reads a NaN is NaN, in both memory orders; what LLVM may reorder must not make one vanish."""
    rng = np.random.default_rng(0)
    x, w = integers(rng, (2, 18, 9, 9), np.float32), integers(rng, (20, 18, 3, 3), np.float32)
    x[1, 3, 4, 4] = np.nan
    spec = ConvSpec((1, 1), ((1, 1),) * 2, (1, 1))
    reached = np.zeros((2, 20, 9, 9), bool)
    reached[1, :, 3:6, 3:6] = True
    for order in (x, np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1)):
        y = np.empty((2, 20, 9, 9), np.float32)
        with kernels.backend("numba"):
            kernels.run("conv", y, order, w, None, spec)
        np.testing.assert_array_equal(np.isnan(y), reached)


def test_large_sums_stay_accurate():
    """A weight gradient sums over all pixels: in pieces, so that its error does not grow with their number."""
    rng = np.random.default_rng(0)
    for groups, channels in ((1, 3), (8, 8)):
        x, dy = rng.random((8, channels, 96, 96)), rng.random((8, 8, 96, 96))
        spec = ConvSpec((1, 1), ((1, 1),) * 2, (1, 1), groups)
        wide, narrow = np.empty((8, channels // groups, 3, 3)), np.empty((8, channels // groups, 3, 3), np.float32)
        with kernels.backend("numba"):
            kernels.run("conv_backward_weights", wide, dy, x, spec)
            kernels.run("conv_backward_weights", narrow, dy.astype(np.float32), x.astype(np.float32), spec)
        terms = math.prod(dy.shape) // 8
        assert np.abs(narrow / wide - 1).max() < np.finfo(np.float32).eps * math.sqrt(terms) / 10


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        pytest.param(PoolSpec((4,), (2,), ((2, 7),), (3,)), 5, id="starts go back"),
        pytest.param(PoolSpec((1,), (4,), ((3, 1),), (3,)), 1, id="every window empty"),
        pytest.param(PoolSpec((1, 1), (3, 3), ((1, 1),) * 2, (1, 1)), 10, id="rows that no window holds"),
    ],
)
def test_windows_that_do_not_tile_an_axis(spec, size):
    """Tables out of which no buffer with one stride can be made, or with gaps."""
    shape = (2, 3, *(size,) * len(spec.stride))
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    y = np.ones((2, 3, *spec.output_size(shape[2:])), np.float32)
    windows = spec.windows(shape[2:])
    calls = [("max_pool", y, (x,)), ("max_pool_backward", x, (y, x))]
    if max(spec.dilation) == 1:
        calls += [("avg_pool", y, (x,)), ("avg_pool_backward", x, (y,))]
    for kernel, like, inputs in calls:
        expected, out = np.empty_like(like), np.empty_like(like)
        for backend, result in (("naive", expected), ("numba", out)):
            with kernels.backend(backend):
                kernels.run(kernel, result, *inputs, windows)
        np.testing.assert_array_equal(out, expected, err_msg=kernel)
