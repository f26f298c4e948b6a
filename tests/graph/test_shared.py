"""What variants of a plan share: folded constants and packed weights. Nothing stale is shared, and nothing kept."""

import gc
from itertools import count

import numpy as np
import pytest
from graph_networks import normal

import pyconv as pc
import pyconv.functional as F
from pyconv import nn
from pyconv.graph.shared import Folded, Shared, key_of


@pytest.fixture
def native():
    if reason := pc.kernels.available("native"):
        pytest.skip(f"native is not available: {reason}")
    with pc.backend("native"):
        yield


def layer_and_norm(channels=32):
    model = nn.Sequential(nn.Conv2d(8, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU())
    model[1].running_mean[...] = normal(channels)
    return model


def test_variants_share_packed_weights(native):
    model = layer_and_norm()
    plan = pc.compile(model, (1, 8, 20, 20))
    held = {id(h.value) for h in plan._shared._held.values()}
    assert held
    for shape in ((2, 8, 20, 20), (1, 8, 24, 24), (3, 8, 22, 26)):
        x = normal(*shape).astype(np.float32)
        np.testing.assert_allclose(plan(x), model.eval()(x), rtol=0, atol=1e-5)
    assert {id(h.value) for h in plan._shared._held.values()} == held


def test_folded_weights_that_are_packed_are_not_kept(native):
    plan = pc.compile(layer_and_norm(), (1, 8, 20, 20))
    code = plan._latest.code
    assert [type(c) for c in code.placement.constants].count(Folded) == 1
    assert [c is None for c in code.constants] == [isinstance(c, Folded) for c in code.placement.constants]
    x = normal(1, 8, 20, 20).astype(np.float32)
    np.testing.assert_allclose(plan(x), plan.graph.evaluate(x)[0], rtol=0, atol=1e-5)


def flattened():
    return nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 3 * 3, 20))


@pytest.mark.parametrize("make", [layer_and_norm, flattened])
@pytest.mark.parametrize("name", ["numba", "im2col", "naive"])
def test_folded_weights_that_are_read_as_they_lie_are_shared(name, make):
    if reason := pc.kernels.available(name):
        pytest.skip(reason)
    model = make()
    with pc.backend(name):
        plan = pc.compile(model, (1, 8, 6, 6))
        first = plan._latest.code.constants
        x = normal(2, 8, 6, 6).astype(np.float32)
        np.testing.assert_allclose(plan(x), model.eval()(x), rtol=0, atol=1e-5)
    (folded,) = (a for a, c in zip(first, plan._latest.code.placement.constants, strict=True) if isinstance(c, Folded))
    assert any(a is folded for a in plan._latest.code.constants)


def test_a_new_variant_has_the_parameters_as_they_are_now(backend):
    model = layer_and_norm(12)
    with pc.backend(backend):
        plan = pc.compile(model, (1, 8, 6, 6))
        model[0].weight[...] = model[0].weight[::-1].copy()  # the same numbers in another order
        model[0].weight[3] *= 2
        x = normal(2, 8, 6, 6).astype(np.float32)
        np.testing.assert_allclose(plan(x), model.eval()(x), rtol=0, atol=1e-5)


def test_what_no_variant_uses_is_released(native):
    plan = pc.compile(layer_and_norm(), (1, 8, 20, 20))
    shared = plan._shared
    assert len(shared) > 0
    plan.close()
    del plan
    gc.collect()
    assert len(shared) == 0
    seeds = count()
    fresh = pc.compile(lambda x: F.conv2d(x, normal(32, 8, 3, 3, seed=next(seeds)).astype(np.float32)), (1, 8, 20, 20))
    for size in range(21, 40):  # each variant makes a weight of its own
        fresh(normal(1, 8, size, 20).astype(np.float32))
    gc.collect()
    assert len(fresh._shared) == len(fresh._variants)


def test_keys_tell_arrays_apart():
    small, large = normal(3, 4), normal(64, 64)
    assert key_of(small) == key_of(small.copy())
    assert key_of(small) != key_of(small.T)
    assert key_of(small) != key_of(small + 1)
    assert key_of(large) != key_of(large.copy())  # another array may be written to at any time
    before = key_of(large)
    assert key_of(large) == before
    large[5, 6] += 1
    assert key_of(large) != before
    large[5, 6] -= 1
    fixed = np.frombuffer(large.tobytes(), large.dtype)
    assert key_of(fixed) == key_of(fixed[:])
    assert key_of(fixed) != key_of(fixed[::-1])


def test_two_threads_that_fold_the_same_have_the_same():
    shared, rooms = Shared(), [np.empty(3), np.empty(3)]
    constant = Folded((3,), np.dtype(np.float64), lambda out: out.fill(7), "sevens", ())
    held = [shared.filled(constant, room) for room in rooms]
    assert [h.value is room for h, room in zip(held, rooms, strict=True)] == [True, True]
    assert [room.tolist() for room in rooms] == [[7, 7, 7]] * 2
    assert shared.found(constant) is held[0]
