"""How the C kernels behave in a process: thread counts, ends of arrays, denormals, forks, Python threads, the GIL."""

import ctypes
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from arrays import reals

from pyconv import kernels
from pyconv.kernels.resample import ResampleSpec
from pyconv.kernels.spec import AdaptivePoolSpec, ConvSpec, PoolSpec
from pyconv.kernels.threads import num_threads

if (reason := kernels.available("native")) is not None:
    pytest.skip(reason, allow_module_level=True)

from pyconv.kernels.native import elementwise


def large_calls():
    """(kernel, output, arguments) of work large enough to be split between threads."""
    rng = np.random.default_rng(9)
    calls, labels = [], rng.integers(0, 70, (4, 30, 31))
    linear_tables = ResampleSpec((45, 62), "linear").tables((30, 31))
    for order in ("C", "channels_last"):
        x = reals(rng, (4, 70, 30, 31), np.float32, order)
        dy, y = np.empty_like(x), np.empty_like(x)
        dy[...] = rng.standard_normal(x.shape)
        channel = np.abs(rng.standard_normal((2, 70))).astype(np.float32)
        spec = ConvSpec((1, 1), ((1, 1),) * 2, (1, 1))
        w = reals(rng, (70, 70, 3, 3), np.float32)
        depthwise, kernel = ConvSpec((1, 1), ((1, 1),) * 2, (1, 1), 70), reals(rng, (70, 1, 3, 3), np.float32)
        pooling = PoolSpec((3, 3), (2, 2), ((1, 1),) * 2, (1, 1))
        windows, size = pooling.windows(x.shape[2:]), (4, 70, *pooling.output_size(x.shape[2:]))
        pooled = np.empty_like(x, shape=size)
        pooled[...] = rng.standard_normal(size)
        calls += [
            ("conv", y, x, w, None, spec),
            ("conv_backward_data", y, dy, w, None, spec),
            ("conv_backward_weights", np.empty_like(w), dy, x, spec),
            ("conv", y, x, kernel, None, depthwise),
            ("conv_backward_data", y, dy, kernel, None, depthwise),
            ("conv_backward_weights", np.empty_like(kernel), dy, x, depthwise),
            ("max_pool", pooled.copy(order="K"), x, windows),
            ("max_pool_indices", np.empty_like(pooled, np.int64), x, windows),
            ("max_pool_backward", y, pooled, x, windows),
            ("avg_pool", pooled.copy(order="K"), x, windows),
            ("avg_pool_backward", y, pooled, windows),
            ("avg_pool", np.empty((4, 70, 1, 1), np.float32), x, AdaptivePoolSpec((1, 1)).windows((30, 31))),
            ("unary", y, x, "gelu"),
            ("unary_backward", y, dy, x, x, "gelu"),
            ("binary", y, x, dy, "add"),
            ("binary", y, x, channel[0].reshape(-1, 1, 1), "mul"),
            ("binary", y, x, reals(rng, x.shape, np.float32, "F"), "mul"),
            ("binary", np.empty(x.shape, bool), x, dy, "less"),
            ("where", y, x > 0, x, channel[0].reshape(-1, 1, 1)),
            ("copy", y, reals(rng, x.shape, np.float32, "F")),
            ("copy", np.empty_like(x, np.float64), x),
            ("concat", np.empty_like(x, shape=(4, 140, 30, 31)), x, dy, 1),
            ("interpolate", np.empty_like(x, shape=(4, 70, 45, 62)), x, linear_tables),
            ("pad", np.empty_like(x, shape=(4, 70, 33, 30)), x, ((0, 0), (0, 0), (1, 2), (0, -1)), "constant", 2.0),
            ("cross_entropy", np.empty((4, 30, 31), np.float32), x, labels, channel[0], 0.1, -100),
            ("cross_entropy_backward", y, x[:, 0], x, labels, channel[0], 0.1, -100),
            ("sum", np.empty(70, np.float32), x, (0, 2, 3), False),
            ("sum", np.empty((4, 70), np.float32), x, (2, 3), False),
            ("sum", np.empty((), np.float32), x, (0, 1, 2, 3), False),
            ("moments", np.empty((2, 70), np.float32), x),
            ("normalize", y, x, channel, None, None, 1e-5),
            ("normalize_sums", np.empty((2, 70), np.float32), dy, x, channel, 1e-5),
            ("batch_norm_backward", y, dy, x, channel, channel, None, 1e-5),
            ("fused_normalize", y, x, channel, None, None, dy, 1e-5, "silu"),
            *(
                call
                for f in ("silu", "relu")
                for call in (
                    ("fused_normalize_sums", np.empty((2, 70), np.float32), dy, x, channel, None, None, 1e-5, f),
                    ("fused_batch_norm_backward", y, dy, x, channel, channel, None, None, 1e-5, f),
                )
            ),
        ]
    a, b = reals(rng, (300, 400), np.float32), reals(rng, (500, 400), np.float32)
    rows = np.empty_like(a)
    return [
        *calls,
        ("dropout_mask", rows, np.array([3, 4], np.uint64), 0.3),
        ("softmax", rows, a, 1),
        ("log_softmax", rows, a, 1),
        ("softmax_backward", rows, a, a.copy(), 1),
        ("log_softmax_backward", rows, a, a.copy(), 1),
        ("linear", np.empty((300, 500), np.float32), a, b, None),
        ("matmul", np.empty((400, 400), np.float32), a, a.copy(), True, False),
    ]


def test_results_do_not_depend_on_the_number_of_threads(isa):
    with kernels.backend("native"):
        for name, out, *arguments in large_calls():
            results = []
            for threads in (1, 2, 3):
                out.fill(-7)
                with num_threads(threads):
                    kernels.run(name, out, *arguments)
                results.append(out.tobytes())
            assert len(set(results)) == 1, name


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mprotect"), reason="needs mprotect")
def test_no_access_past_an_array(isa):
    """Arrays flush against pages that may not be touched; in a process of its own, since a stray access kills it."""
    script = Path(__file__).with_name("guarded.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, str(script), isa], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"died of signal {-done.returncode}: {done.stderr}"
    assert int(done.stdout) > 1000


def denormals_work():
    tiny = np.full(8, 1e-40, np.float32)
    return bool((tiny * np.float32(0.5) > 0).all())


def test_denormals_are_flushed_inside_and_not_outside():
    assert denormals_work()
    for size in (16, 1 << 20):  # serial and parallel
        x = np.full(size, 1e-40, np.float32)
        y = np.empty_like(x)
        with num_threads(2):
            elementwise.binary(y, x, x, "add")
        assert not y.any()
        assert denormals_work()


def parallel_answer():
    x = np.random.default_rng(10).standard_normal((4, 16, 40, 40), dtype=np.float32)
    w = np.random.default_rng(11).standard_normal((16, 16, 3, 3), dtype=np.float32)
    y = np.empty_like(x)
    with kernels.backend("native"), num_threads(2):
        kernels.run("conv", y, x, w, None, ConvSpec((1, 1), ((1, 1),) * 2, (1, 1)))
        kernels.run("unary", y, y, "relu")
    return y.tobytes()


def send_answer(queue):
    queue.put(parallel_answer())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_works_and_does_not_hang():
    expected = parallel_answer()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=send_answer, args=(queue,))
    child.start()
    try:
        assert queue.get(timeout=30) == expected
        child.join(timeout=30)
        assert child.exitcode == 0
    finally:
        child.kill()
    assert parallel_answer() == expected


def test_two_python_threads_at_once():
    expected = parallel_answer()
    answers = []

    def work():
        for _ in range(20):
            answers.append(parallel_answer() == expected)

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert answers == [True] * 40


def test_the_gil_is_released():
    """While one thread is inside a kernel another one goes on."""
    x = np.zeros(1 << 23, np.float32)
    spans = []

    def work():
        begin = time.perf_counter()
        with num_threads(1):
            elementwise.unary(x, x, "gelu")
        spans.append((begin, time.perf_counter()))

    worker = threading.Thread(target=work)
    ticks = []
    worker.start()
    while worker.is_alive():
        ticks.append(time.perf_counter())
        time.sleep(0)
    (begin, end), inside = spans[0], 0.25
    quarter = inside * (end - begin)
    assert any(begin + quarter < tick < end - quarter for tick in ticks)
