"""Calls made before are made again from what was found out then: with equal results, and nothing of it stale."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconv as pc
import pyconv.functional as F
from pyconv import kernels
from pyconv.kernels.spec import ConvSpec
from pyconv.ops import prepared
from pyconv.ops.conv import Conv
from pyconv.ops.elementwise import Add, Unary

native = pytest.mark.skipif(kernels.available("native") is not None, reason="the C kernels are not built")
ORDERS = {
    "contiguous": lambda x: x,
    "channels last": lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1),
    "turned": lambda x: x[..., ::-1].copy()[..., ::-1],
    "part": lambda x: np.repeat(x, 2, -1)[..., ::2],
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
}


def usual(op, *inputs):
    """An op's result, its kernel called the long way."""
    out = op.allocate(*inputs)
    kernels.run(op.kernel, out, *inputs, *op.attributes(*inputs), algorithm=op.algorithm)
    return out


@pytest.fixture(autouse=True)
def fresh():
    prepared._prepared.cache_clear()


def random(*shape, dtype=np.float32):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(list(ORDERS)), st.sampled_from(list(ORDERS)), st.sampled_from([1, 3, 8]), st.booleans())
def test_equal_to_the_usual_call_in_any_memory_order(x_order, w_order, channels, with_bias):
    x, w = ORDERS[x_order](random(2, channels, 6, 7)), ORDERS[w_order](random(4, channels, 3, 3))
    b = random(4) if with_bias else None
    op = Conv(ConvSpec((1, 1), ((1, 1), (1, 1)), (1, 1)))
    for inputs in ((x, w, b), (x + 1, w, b), (x, w * 2, b)):
        y, expected = op(*inputs), usual(op, *inputs)
        np.testing.assert_array_equal(y, expected)
        assert y.strides == expected.strides


@native
def test_one_array_given_twice_is_not_taken_for_one_ever_after():
    x, z = random(3, 5), random(5, 3).T.copy()
    assert (Add()(x, x) == x + x).all()
    assert (Add()(x, z) == x + z).all()
    assert prepared._prepared.cache_info().hits == 1


@native
def test_what_cannot_be_prepared_is_computed_the_usual_way():
    x = random(2, 3, 6, 6)
    odd = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    swapped = x.astype(">f4")
    for y in (odd, swapped, x.view(np.recarray)):
        for _ in range(2):
            assert (np.asarray(F.relu(y)) == np.maximum(x, 0)).all()
    for _ in range(2):
        assert F.relu(np.empty((0, 3), np.float32)).shape == (0, 3)
        assert np.isnan(F.relu(np.full((2, 2), np.nan, np.float32))).all()


@native
def test_backend_precision_and_threads_are_those_of_each_call(monkeypatch):
    served = []
    x, w = random(1, 32, 32, 32), random(32, 32, 3, 3)
    choose = kernels.choose

    def noted(*arguments, **options):
        row = choose(*arguments, **options)
        served.append((kernels.get_backend(), row.algorithm))
        return row

    monkeypatch.setattr(kernels, "choose", noted)
    fast = F.conv2d(x, w)
    with pc.precision("strict"):
        strict = F.conv2d(x, w)
    with pc.backend("im2col"):
        F.conv2d(x, w)
    with pc.num_threads(pc.get_num_threads() + 1):
        other = F.conv2d(x, w)
    assert served == [("native", "winograd"), ("native", "direct"), ("im2col", "im2col"), ("native", "winograd")]
    np.testing.assert_array_equal(other, fast)
    assert not np.array_equal(strict, fast)
    assert np.array_equal(F.conv2d(x, w), fast)
    assert len(served) == 4


@native
def test_another_instruction_set_makes_calls_anew():
    from pyconv.kernels.native import library

    x, w, before = random(1, 8, 9, 9), random(8, 8, 3, 3), library.get_isa()
    try:
        results = []
        for isa in (*library.isas(), *library.isas()):
            library.set_isa(isa)
            results.append([F.conv2d(x, w) for _ in range(2)])
            np.testing.assert_array_equal(*results[-1])
    finally:
        library.set_isa(before)
    for first, second in zip(results, results[len(results) // 2 :], strict=False):
        np.testing.assert_array_equal(first[0], second[0])


@native
def test_threads_share_a_call():
    x, w = random(1, 16, 20, 20), random(16, 16, 3, 3)
    inputs = [x * k for k in range(1, 9)]
    expected = [F.conv2d(i, w) for i in inputs]
    failed = []

    def work(number):
        for _ in range(50):
            if not np.array_equal(F.conv2d(inputs[number], w), expected[number]):
                failed.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


@native
def test_no_more_calls_are_kept_than_said():
    for n in range(1, prepared.CALLS + 20):
        Unary("relu")(np.ones(n, np.float32))
    assert prepared._prepared.cache_info().currsize == prepared.CALLS
