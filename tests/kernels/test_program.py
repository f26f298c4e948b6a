"""Programs: recorded kernels run again in one call, on other memory, with the results of direct calls."""

import multiprocessing
import threading

import numpy as np
import pytest
from arrays import arranged

from pyconv import kernels
from pyconv.kernels.spec import ConvSpec, PoolSpec
from pyconv.kernels.threads import num_threads

if (reason := kernels.available("native")) is not None:
    pytest.skip(reason, allow_module_level=True)

from pyconv.kernels.native import library
from pyconv.kernels.native.program import Program

BATCH = 16
SAME, VALID = ConvSpec((1, 1), ((2, 2),) * 2, (1, 1)), ConvSpec((1, 1), ((0, 0),) * 2, (1, 1))
WINDOWS = [PoolSpec((2, 2), (2, 2), ((0, 0),) * 2, (1, 1)).windows((n, n)) for n in (28, 10)]


def aligned_bytes(size):
    buffer = np.empty(size + 64, np.uint8)
    begin = -buffer.__array_interface__["data"][0] % 64
    return buffer[begin : begin + size]


class Arena:
    """Arrays side by side in one piece of memory."""

    def __init__(self, size=1 << 22):
        self.bytes = aligned_bytes(size)
        self.used = 0

    def __call__(self, *shape):
        size = int(np.prod(shape)) * 4
        array = self.bytes[self.used : self.used + size].view(np.float32).reshape(shape)
        self.used += -(-size // 64) * 64
        return array


def parameters():
    rng = np.random.default_rng(0)
    shapes = {"c1": (6, 1, 5, 5), "c2": (16, 6, 5, 5), "f1": (120, 400), "f2": (84, 120), "f3": (10, 84)}
    weights = {name: rng.standard_normal(shape).astype(np.float32) * 0.1 for name, shape in shapes.items()}
    return weights, {name: rng.standard_normal(w.shape[0]).astype(np.float32) for name, w in weights.items()}


def lenet(run, arena, x, y):
    """LeNet-5's forward pass, by a function that runs or records one kernel; arrays come from `arena`."""
    w, b = PARAMETERS
    a, pa = arena(BATCH, 6, 28, 28), arena(BATCH, 6, 14, 14)
    run("conv", a, x, w["c1"], b["c1"], SAME)
    run("unary", a, a, "relu")
    run("max_pool", pa, a, WINDOWS[0])
    c, pc = arena(BATCH, 16, 10, 10), arena(BATCH, 16, 5, 5)
    run("conv", c, pa, w["c2"], b["c2"], VALID)
    run("unary", c, c, "leaky_relu", 0.25)
    run("max_pool", pc, c, WINDOWS[1])
    h, g = arena(BATCH, 120), arena(BATCH, 84)
    run("linear", h, pc.reshape(BATCH, 400), w["f1"], b["f1"])
    run("unary", h, h, "relu")
    run("linear", g, h, w["f2"], b["f2"])
    run("unary", g, g, "relu")
    run("linear", y, g, w["f3"], b["f3"])


PARAMETERS = parameters()
CONSTANTS = [array for group in PARAMETERS for array in group.values()]
KERNELS = 11


def images(seed):
    return np.random.default_rng(seed).standard_normal((BATCH, 1, 28, 28)).astype(np.float32)


def direct(x):
    y = np.empty((BATCH, 10), np.float32)
    with kernels.backend("native"):
        lenet(kernels.run, Arena(), x, y)
    return y


def recorded():
    """The program of `lenet`; its segments are an arena, x, y and the parameters."""
    arena, x, y = Arena(), images(0), np.empty((BATCH, 10), np.float32)
    program = Program([arena.bytes, x, y, *CONSTANTS])

    def record(kernel, out, *arguments):
        with kernels.backend("native"):
            row = kernels.choose(kernel, out, *arguments)
        assert program.record(row, out, *arguments) is None

    lenet(record, arena, x, y)
    return program


def run(program, x, threads=2):
    y = np.full((BATCH, 10), np.nan, np.float32)
    program.run([Arena().bytes, x, y, *CONSTANTS, aligned_bytes(program.workspace_bytes)], threads)
    return y


@pytest.fixture(params=library.isas())
def isa(request):
    before = library.get_isa()
    library.set_isa(request.param)
    yield request.param
    library.set_isa(before)


def row(kernel, algorithm=None):
    with kernels.backend("native"):
        return next(r for r in kernels.rows(kernel) if algorithm in (None, r.algorithm))


def test_a_program_does_what_direct_calls_do(isa):
    with num_threads(2):
        program = recorded()
    assert len(program) == KERNELS
    for seed in (0, 1):  # other inputs, in other memory
        for threads in (1, 2, 3):
            np.testing.assert_array_equal(run(program, images(seed), threads), direct(images(seed)))


def test_recording_computes_nothing():
    x, y = np.ones((4, 8), np.float32), np.full((4, 8), 7, np.float32)
    program = Program([x, y])
    assert program.record(row("unary"), y, x, "neg") is None
    assert (y == 7).all()
    program.run([x, y, 0], 1)
    assert (y == -1).all()


def test_segments_may_have_any_strides_and_be_given_by_address():
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    x, y = base[::-1], np.empty((4, 6), np.float32)
    program = Program([x, y])
    assert program.record(row("unary"), y, x, "neg") is None
    other = base + 1
    program.run([other[::-1], y.ctypes.data, 0], 1)
    np.testing.assert_array_equal(y, -other[::-1])


def test_what_cannot_be_recorded_is_refused_and_leaves_the_program_as_it_was():
    x, w = np.ones((2, 3, 8, 8), np.float32), np.ones((4, 3, 3, 3), np.float32)
    y = np.empty((2, 4, 6, 6), np.float32)
    program = Program([x, w, y])
    assert program.record(row("conv", "direct"), y, x, w, None, VALID) is None
    calls = len(program), program.workspace_bytes
    outside, misaligned = x.copy(), arranged(x, "misaligned")
    reflect = ConvSpec((1, 1), ((1, 1),) * 2, (1, 1), 1, "reflect")
    for refused, reason in (
        (program.record(row("conv", "direct"), y, outside, w, None, VALID), "outside"),
        (program.record(row("conv", "direct"), y, misaligned, w, None, VALID), "copy"),
        (
            program.record(
                row("conv_backward_data", "direct"), x, np.empty((2, 4, 8, 8), np.float32), w, None, reflect
            ),
            "copy",
        ),
        (program.record(row("unary"), y, y, "cos"), "no cos"),
        (program.record(row("unary", "numpy"), y, y, "cos"), "does not run in C"),
    ):
        assert reason in refused
    assert (len(program), program.workspace_bytes) == calls


def test_kernels_of_several_calls_are_recorded():
    rng = np.random.default_rng(1)
    x, none = rng.standard_normal((2, 3, 4, 5)).astype(np.float32), np.empty((2, 0, 4, 5), np.float32)
    joined, padded, mask = (
        np.empty((2, 6, 4, 5), np.float32),
        np.empty((2, 3, 6, 6), np.float32),
        np.empty(30, np.float32),
    )
    state = np.array([1, 2], np.uint64)
    program, pads = Program([x, joined, padded, state, mask]), ((0, 0), (0, 0), (1, 1), (2, -1))
    assert program.record(row("concat"), joined, x, x, none, 1) is None
    assert program.record(row("pad"), padded, x, pads, "constant", 3.0) is None
    assert program.record(row("dropout_mask"), mask, state, 0.5) is None
    assert program.record(row("binary", "wide"), state, state, state, "add") is None
    assert len(program) == 4
    program.run([x, joined, padded, state, mask, 0], 1)
    np.testing.assert_array_equal(joined, np.concatenate([x, x], 1))
    np.testing.assert_array_equal(padded, np.pad(x[..., :-1], (*pads[:3], (2, 0)), constant_values=3))
    assert set(mask) == {0, 2}
    assert state.tolist() == [2, 4]


def test_a_program_is_for_its_instruction_set_and_its_segments():
    program = recorded()
    with pytest.raises(ValueError, match="takes 13 segments and one of scratch, not 2"):
        program.run([0, 0], 1)
    isas, before = library.isas(), library.get_isa()
    if len(isas) > 1:
        library.set_isa(next(name for name in isas if name != before))
        try:
            with pytest.raises(RuntimeError, match="instruction set"):
                run(program, images(0))
        finally:
            library.set_isa(before)
    np.testing.assert_array_equal(run(program, images(0)), direct(images(0)))


def test_workspace_is_enough_for_fewer_threads_than_recorded():
    """With fewer threads a convolution may cut larger tiles: nothing is written past the scratch that was asked for."""
    with num_threads(5):
        program = recorded()
    x, y = images(3), np.empty((BATCH, 10), np.float32)
    scratch = aligned_bytes(program.workspace_bytes + 4096)
    for threads in range(1, 6):
        scratch[program.workspace_bytes :] = 77
        program.run([Arena().bytes, x, y, *CONSTANTS, scratch], threads)
        assert (scratch[program.workspace_bytes :] == 77).all()


def test_profile_times_each_kernel():
    program, y = recorded(), np.empty((BATCH, 10), np.float32)
    scratch = aligned_bytes(program.workspace_bytes)
    seconds = program.profile([Arena().bytes, images(1), y, *CONSTANTS, scratch], 2)
    assert seconds.shape == (KERNELS,)
    assert (seconds > 0).all()
    assert seconds.sum() < 10
    np.testing.assert_array_equal(y, direct(images(1)))


def test_two_python_threads_run_one_program():
    program, answers = recorded(), []

    def work(seed):
        expected = direct(images(seed))
        answers.extend((run(program, images(seed)) == expected).all() for _ in range(20))

    workers = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert answers == [True] * 40


def test_while_one_thread_records_others_compute():
    x, y, other = np.ones((4, 8), np.float32), np.zeros((4, 8), np.float32), np.zeros((4, 8), np.float32)
    program = Program([x, y])
    with library.recording(program):
        worker = threading.Thread(target=row("unary").function, args=(other, x, "neg"))
        worker.start()
        worker.join(timeout=60)
    assert (other == -1).all()
    assert not y.any()


def send(queue, program, x):
    queue.put(run(program, x).tobytes())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_runs_the_program():
    with num_threads(2):
        program = recorded()
    expected = run(program, images(5)).tobytes()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=send, args=(queue, program, images(5)))
    child.start()
    try:
        assert queue.get(timeout=30) == expected
        child.join(timeout=30)
        assert child.exitcode == 0
    finally:
        child.kill()
    assert run(program, images(5)).tobytes() == expected


CROPPED = ConvSpec((2, 2), ((-1, -1),) * 2, (1, 1))  # the first pixel that it reads is not the first
ENGINES = {  # an engine -> shapes of x and w, and the spec
    "planar": ((2, 3, 9, 20), (2, 3, 3, 3), SAME),
    "gemm": ((2, 24, 9, 9), (40, 24, 3, 3), SAME),
    "gemm, cropped": ((3, 24, 9, 9), (40, 24, 1, 1), CROPPED),
    "dot, cropped": ((1, 32, 4, 4), (24, 32, 1, 1), CROPPED),
    "depthwise": ((2, 16, 9, 9), (16, 1, 3, 3), ConvSpec((1, 1), ((1, 1),) * 2, (1, 1), 16)),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_what_was_prepared_serves_arrays_anywhere(engine):
    """As many threads as recorded take what was prepared, fewer do not."""
    x_shape, w_shape, spec = ENGINES[engine]
    rng = np.random.default_rng(0)
    xs = [np.moveaxis(rng.standard_normal((n, h, w, c)).astype(np.float32), 3, 1) for n, c, h, w in [x_shape] * 3]
    w, b = rng.standard_normal(w_shape).astype(np.float32), rng.standard_normal(w_shape[0]).astype(np.float32)
    n, *image = x_shape[0], *spec.output_size(x_shape[2:], w_shape[2:])
    ys = [np.moveaxis(np.full((n, *image, w_shape[0]), np.nan, np.float32), 3, 1) for _ in xs]
    with kernels.backend("native"), num_threads(2):
        row = kernels.choose("conv", ys[0], xs[0], w, b, spec)
        program = Program([xs[0], ys[0], w, b])
        assert program.record(row, ys[0], xs[0], w, b, spec) is None
    for x, y in zip(xs, ys, strict=True):
        expected = np.full_like(y, np.nan)
        with kernels.backend("native"), num_threads(1):
            kernels.run("conv", expected, x, w, b, spec)
        for threads in (2, 1):
            y[...] = np.nan
            program.run([x, y, w, b, aligned_bytes(program.workspace_bytes)], threads)
            np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("activation", ["relu", "clip", "gelu"])
@pytest.mark.parametrize("engine", ENGINES)
def test_what_was_prepared_leaves_out_no_epilogue(engine, activation):
    x_shape, w_shape, spec = ENGINES[engine]
    parameters = (-0.5, 0.5) if activation == "clip" else ()
    rng = np.random.default_rng(0)
    out = x_shape[0], w_shape[0], *spec.output_size(x_shape[2:], w_shape[2:])
    x, w, b, residual = (rng.standard_normal(s).astype(np.float32) for s in (x_shape, w_shape, w_shape[:1], out))
    y, expected = np.full(out, np.nan, np.float32), np.empty(out, np.float32)
    for added in (residual, None):
        operands = x, w, b, added, spec, activation, *parameters
        with kernels.backend("native"):
            row = kernels.choose("fused_conv", y, *operands)
            row.function(expected, *operands)
            segments = [array for array in (x, y, w, b, added) if array is not None]
            program = Program(segments)
            assert program.record(row, y, *operands) is None
        program.run([*segments, aligned_bytes(program.workspace_bytes)], program.threads)
        np.testing.assert_array_equal(y, expected)
