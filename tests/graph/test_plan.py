"""Plans: equal to eager in every backend and memory order; what they tell, hold, share and release."""

import os
import threading
import tracemalloc

import numpy as np
import pytest
from graph_networks import NETWORKS, float64, network, normal

import pyconv as pc
import pyconv.functional as F
from pyconv import nn
from pyconv.graph.plan import VARIANTS
from pyconv.graph.tree import leaves


def assert_close(results, expected, tolerance=1e-12):
    results, expected = leaves(results), leaves(expected)
    assert len(results) == len(expected)
    for y, want in zip(results, expected, strict=True):
        scale = max(1.0, float(np.abs(want).max(initial=0)))
        np.testing.assert_allclose(y, want, rtol=0, atol=tolerance * scale)
        assert (y.shape, y.dtype) == (want.shape, want.dtype)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_plan_equals_eager(name, backend):
    model, arrays = network(name)
    with pc.backend(backend):
        plan, expected = pc.compile(model, *arrays), model(*arrays)
    for _ in range(2):  # nothing is left of a call in the next
        assert_close(plan(*arrays), expected)
    assert_close(plan(*(-a for a in arrays)), model(*(-a for a in arrays)))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_plan_equals_eager_in_float32(name, backend):
    model, arrays = network(name)
    state = {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in model.state_dict().items()}
    model.load_state_dict(state, assign=True)
    with pc.backend(backend):
        plan = pc.compile(model, *(a.shape for a in arrays))
        arrays = [a.astype(np.float32) for a in arrays]
        assert_close(plan(*arrays), model(*arrays), 1e-5)


@pytest.mark.parametrize(
    "order",
    [
        lambda a: np.moveaxis(np.moveaxis(a, 1, -1).copy(), -1, 1),
        lambda a: a[::-1, :, ::-1].copy()[::-1, :, ::-1],
        lambda a: np.repeat(a, 2, -1)[..., ::2],
        lambda a: np.broadcast_to(a[:1], a.shape),
        lambda a: np.frombuffer(b"0" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape),
    ],
    ids=["channels last", "reversed", "sliced", "broadcast", "misaligned"],
)
@pytest.mark.parametrize("name", ["resnet", "branches"])
def test_inputs_of_any_memory_order(name, order):
    model, (x,) = network(name)
    plan = pc.compile(model, x)
    assert_close(plan(order(x)), model(order(x)))


def test_other_sizes_and_dtypes_get_a_variant_and_old_ones_go():
    model, (x,) = network("resnet")
    plan = pc.compile(model, x)
    for n in range(1, VARIANTS + 4):
        x = normal(n % 3 + 1, 3, 8 + 2 * n, 12)
        assert_close(plan(x), model(x))
    assert len(plan._variants) == VARIANTS
    layer = nn.ReLU()
    plan = pc.compile(layer, (3,))
    assert plan(np.ones(4)).dtype == np.float64
    assert plan(np.ones((0, 3), np.float32)).shape == (0, 3)


def test_results_go_where_they_are_told():
    model, (x,) = network("resnet")
    plan = pc.compile(model, x)
    y = np.full((2, 10), np.nan)
    assert plan(x, out=y) is y
    assert_close(y, model(x))
    wide = np.full((2, 20), np.nan)
    assert_close(plan(x, out=wide[:, ::-2]), model(x))
    assert np.isnan(wide[:, ::2]).all()
    shared, (a, b) = network("shared")
    plan = pc.compile(shared, a, b)
    out = {"both": [np.empty((3, 6)), np.empty((3, 6))], "sum": np.empty(()), "same": np.empty((3, 6))}
    result = plan(a, b, out=out)
    assert result["both"][1] is out["both"][1]
    assert_close(result, shared(a, b))


def test_new_results_do_not_take_the_order_of_the_last_place():
    w = np.random.default_rng(0).standard_normal((6, 1, 3, 3))
    plan = pc.compile(lambda x: F.conv2d(x, w), (2, 1, 8, 8), precision="float64")
    x = np.random.default_rng(1).standard_normal((2, 1, 8, 8))
    channels_last = np.moveaxis(np.empty((2, 6, 6, 6)), -1, 1)
    expected = plan(x)
    for out in (channels_last, None, expected.copy(), channels_last, channels_last, None, None):
        np.testing.assert_array_equal(plan(x, out=out), expected)


def test_an_output_may_lie_over_an_input():
    x = normal(4, 4)
    plan = pc.compile(lambda x: F.matmul(x, F.transpose(x, 0, 1)), x)
    expected = x @ x.T
    assert plan(x, out=x) is x
    assert_close(x, expected)


@pytest.mark.parametrize(
    ("function", "arrays"),
    [
        (lambda x: x, [normal(2, 3)]),
        (lambda x: (x, x, F.relu(x), F.relu(x)), [normal(2, 3)]),
        (lambda x: (F.transpose(F.relu(x), 0, 1), F.relu(x)), [normal(2, 3)]),
        (lambda x: [F.reshape(F.exp(x), (6,)), None, np.arange(3)], [normal(2, 3)]),
        (lambda x: F.reshape(F.transpose(x, 0, 1), (2, 3)), [normal(2, 3)]),
        (lambda x: F.mul(x[:1], x[1:]), [normal(2, 3)]),
        (lambda x, i: F.cross_entropy(x, i), [normal(3, 4), np.array([0, 2, 1])]),
        (lambda x: F.sum(F.broadcast_to(F.exp(x), (4, 2, 3)), 0), [normal(2, 3)]),
        (lambda x: F.where(x > 0, x, x * x), [normal(2, 3)]),
        (lambda x: F.add(F.relu(x), F.transpose(F.relu(x), 0, 1)), [normal(3, 3)]),
        (lambda x, s: F.dropout(x, rng_state=s), [normal(2, 3), np.array([5, 1], np.uint64)]),
        (lambda x: F.max_pool2d(x, 2, return_indices=True), [normal(1, 3, 4, 4)]),
    ],
)
def test_views_constants_and_in_place_ops(function, arrays, backend):
    with pc.backend(backend):
        plan = pc.compile(function, *arrays)
        assert_close(plan(*arrays), function(*arrays))
        assert_close(plan(*arrays), function(*arrays))


def test_a_model_is_compiled_in_evaluation_mode_and_keeps_its_own():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
    model[1].eval()
    x = normal(4, 3).astype(np.float32)
    assert_close(pc.compile(model, x)(x), x / np.sqrt(np.float32(1 + 1e-5)), 1e-6)
    assert model.training
    assert not model[1].training


def test_nothing_is_allocated_for_results_that_have_a_place():
    model, (x,) = network("resnet")
    plan, y = pc.compile(model, x), np.empty((2, 10))
    plan(x, out=y)
    tracemalloc.start()
    try:
        for _ in range(3):
            plan(x, out=y)
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        plan(x, out=y)
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert now - before < 512
    assert peak - before < 4096  # the argument lists of a few Python calls; the least activation has 2,048 bytes


def test_the_arena_is_hardly_larger_than_what_lives_at_once():
    model = float64(pc.models.create("resnet20"))
    placement = pc.compile(model, normal(1, 3, 32, 32))._latest.code.placement
    assert placement.arena_bytes <= 1.15 * placement.live_bytes
    assert (
        placement.live_bytes == 3 * 16 * 32 * 32 * 8
    )  # a block's input, and what its second convolution has to do with


def test_a_concatenation_is_computed_in_place():
    branches = [nn.Conv2d(3, n, 3, padding=1) for n in (4, 5, 6)]
    x = normal(2, 3, 6, 6).astype(np.float32)

    def function(x):
        a, b, c = (branch(x) for branch in branches)
        return F.max_pool2d(F.concat([F.relu(a), b, x, c[:, ::2]], 1), 2)

    plan = pc.compile(function, x)
    assert_close(plan(x), function(x), 1e-5)
    code = plan._latest.code
    assert sorted(c.step.kernel for c in code.choices) == ["conv", "conv", "copy", "copy", "fused_conv", "max_pool"]


def test_a_value_may_stand_in_a_concatenation_twice():
    conv = nn.Conv2d(3, 4, 3)
    x = normal(2, 3, 6, 6).astype(np.float32)

    def function(x):
        a = conv(x)
        return F.max_pool2d(F.concat([a, x[:, :, 1:5, 1:5], a, a], 1), 2)

    assert_close(pc.compile(function, x)(x), function(x), 1e-5)


def test_explain_and_profile_name_every_step(backend):
    model, (x,) = network("resnet")
    with pc.backend(backend):
        plan = pc.compile(model, x)
    text = plan.explain()
    assert text.count("Conv(") == 6
    assert "channels last" in text
    assert backend in text
    assert plan.memory >= plan._latest.code.placement.live_bytes > 0
    times = plan.profile(x)
    assert len(times) == len(text.splitlines()) - 3
    assert all(t.seconds >= 0 for t in times)
    assert times[0].step == "FusedConv(padding=1, relu)"


def test_native_plans_pack_constant_weights_once():
    reason = pc.kernels.available("native")
    if reason:
        pytest.skip(f"native is not available: {reason}")
    model, (x,) = network("resnet")
    weights = sum(w.nbytes for w in model.state_dict().values() if w.ndim == 4)
    with pc.backend("native"):
        plan = pc.compile(model, x)
        own = pc.compile(F.conv2d, x, normal(4, x.shape[1], 3, 3))
    assert plan.packed_bytes >= weights
    assert f"packed weights {plan.packed_bytes:,}" in plan.explain()
    assert own.packed_bytes == 0  # weights that each call brings


def test_native_plans_run_in_c():
    reason = pc.kernels.available("native")
    if reason:
        pytest.skip(f"native is not available: {reason}")
    model, (x,) = network("resnet")
    with pc.backend("native"):
        code = pc.compile(model, np.repeat(x, 8, 0))._latest.code
    assert [c.step.kernel for c in code.choices if c.reason is not None] == []
    assert len(code.parts) == 1


def test_many_threads_may_call_one_plan(backend):
    model, (x,) = network("resnet")
    inputs = [normal(2, 3, 16, 16, seed=s) for s in range(6)]
    with pc.backend(backend):
        expected = [model(i) for i in inputs]
        plan = pc.compile(model, x)
    wrong = []

    def work(i):
        for _ in range(10):
            if not np.allclose(plan(inputs[i]), expected[i], rtol=0, atol=1e-12):
                wrong.append(i)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(inputs))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_may_call_the_plan():
    model, (x,) = network("resnet")
    plan, expected = pc.compile(model, x), model(x)
    plan(x)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.allclose(plan(x), expected, rtol=0, atol=1e-12) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_closed_plan_holds_nothing():
    model, (x,) = network("resnet")
    with pc.compile(model, x) as plan:
        plan(x)
    assert not plan._variants
    for use in (lambda: plan(x), plan.explain, lambda: plan.memory, lambda: plan.graph, lambda: plan.profile(x)):
        with pytest.raises(ValueError, match="the plan is closed"):
            use()
    plan.close()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: pc.compile(m, (2, 3), precision="half"), ValueError, "precision must be one of"),
        (lambda m: pc.compile(m, (2, 3), threads=0), ValueError, "threads must be a positive int"),
        (lambda m: pc.compile(m, (2, -3)), TypeError, "an example must be"),
        (lambda m: pc.compile(m, 5), TypeError, "an example must be"),
        (lambda m: pc.compile(m, (2, 5)), ValueError, "x must end in weight's 3 input features"),
        (lambda m: pc.compile(lambda x: "y", (2, 3)), TypeError, "must return arrays, not str"),
        (lambda m: pc.compile(m, (2, 3))([[1.0]]), TypeError, "an input must be an array, not list"),
        (
            lambda m: pc.compile(m, (2, 3))(np.ones((2, 3), np.float32), out=np.ones((3, 2))),
            ValueError,
            "out must have",
        ),
        (lambda m: pc.compile(m, (2, 3))(np.ones((2, 3), np.float32), out=np.ones((2, 4))), TypeError, "out must have"),
        (lambda m: pc.compile(m, (2, 3))(np.ones((2, 3), np.float32), out=[]), ValueError, "out must hold 1 arrays"),
        (lambda m: pc.compile(m, (2, 3))(np.ones((2, 3), np.float32), out=[1.0]), TypeError, "out must hold arrays"),
        (
            lambda m: pc.compile(m, (2, 3))(np.ones((2, 3), np.float32), out=np.broadcast_to(np.float32(0), (2, 4))),
            ValueError,
            "out must be writeable",
        ),
    ],
)
def test_wrong_calls_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(nn.Linear(3, 4))


def test_a_wrong_number_of_inputs_is_refused():
    plan = pc.compile(nn.Linear(3, 4), (2, 3))
    with pytest.raises(TypeError):
        plan(np.ones((2, 3), np.float32), np.ones((2, 3), np.float32))


def test_arrays_that_look_alike_but_are_not_are_told_apart():
    plan = pc.compile(lambda x: x * 2, (2, 1, 3), precision="float64")
    x, y = normal(2, 1, 3), np.empty((2, 1, 3))
    odd_strides = np.lib.stride_tricks.as_strided(x, x.shape, (24, 7, 8))  # of an axis of one element: no matter
    misaligned = np.frombuffer(b"0" + x.tobytes(), np.uint8)[1:].view(float).reshape(x.shape)
    backwards = x[::-1].copy()[::-1]
    for like in (x, odd_strides, misaligned, backwards):
        np.testing.assert_array_equal(plan(like), 2 * x)
        np.testing.assert_array_equal(plan(like, out=y), 2 * x)
    fixed = y.copy()
    fixed.flags.writeable = False
    for wrong, error in ((fixed, ValueError), (y.astype(np.float32), TypeError), (y[:, 0], ValueError)):
        with pytest.raises(error, match="out must"):
            plan(x, out=wrong)
    x.shape = (6,)  # the same array by another shape
    np.testing.assert_array_equal(plan(x), 2 * x)
