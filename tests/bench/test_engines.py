"""The engines: each does the problem it is given, on a layer of each class, or says why it does not."""

from functools import cache

import numpy as np
import pytest

from pyconv import kernels
from pyconv.bench.engines import BACKENDS, PEERS, channels_last, choose, reference
from pyconv.bench.problems import PASSES, SHORT, find
from pyconv.bench.timing import error
from pyconv.kernels.threads import get_num_threads, set_num_threads

SMALL = [find(name).scaled() for name in SHORT]
CASES = [(problem, pass_) for problem in SMALL for pass_ in ("forward", "backward")]
CASES += [(find(name), pass_) for name in ("lecture/conv", "dcgan/up4@small") for pass_ in PASSES[1:3]]

# Rounding of a float32 sum of up to 6,272 terms (the bias gradient of dcgan/up4), relative to the largest result:
# 100 units in the last place of 1 leave room for any order of summation and for Winograd.
TOLERANCE = 6e-6


@cache
def exact(problem, pass_):
    return reference(problem, pass_)


@pytest.mark.parametrize("engine", [*BACKENDS.values(), *PEERS.values()], ids=[*BACKENDS, *PEERS])
def test_engine_is_right_on_every_class(engine):
    reason = engine.unavailable()
    if reason is not None:
        pytest.skip(f"{engine.name}: {reason}")
    before = kernels.get_backend(), get_num_threads()
    try:
        engine.start(1)
        cases = [case for case in CASES if engine.refuse(*case) is None]
        assert len(cases) >= 10
        for problem, pass_ in cases:
            call = engine.prepare(problem, pass_, problem.arrays())
            assert error(call(), exact(problem, pass_)) < TOLERANCE, (problem.name, pass_)
        assert error(call(), exact(*cases[-1])) < TOLERANCE  # a second time
    finally:
        kernels.set_backend(before[0])
        set_num_threads(before[1])


def test_our_backends_refuse_nothing():
    assert all(engine.refuse(*case) is None for engine in BACKENDS.values() for case in CASES)
    assert {engine.backend for engine in BACKENDS.values()} == set(kernels.BACKENDS)


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 5), (2, 3, 4, 5, 6)])
def test_channels_last_is_the_same_array_in_another_order(shape):
    x = np.arange(np.prod(shape)).reshape(shape)
    y = channels_last(x)
    np.testing.assert_array_equal(x, y)
    assert y.strides[1] == y.itemsize
    assert np.moveaxis(y, 1, -1).flags.c_contiguous


def test_peers_that_only_infer_say_so():
    problem = find("resnet50/conv2.3x3")
    for name in ("onnxruntime", "openvino", "scipy"):
        assert PEERS[name].refuse(problem, "backward")
    assert PEERS["scipy"].refuse(problem.at_batch(64), "forward")
    assert PEERS["torch"].refuse(problem, "backward") is None


def test_reference_of_a_batch_is_that_of_its_images():
    """dw is the sum over images, y and dx their concatenation, at rounding."""
    problem = find("lenet5/conv1").scaled()
    arrays = problem.arrays("float64")
    with kernels.backend("im2col"):
        whole = BACKENDS["im2col"].prepare(problem, "backward", arrays)()
    for got, want in zip(reference(problem, "backward"), whole, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-13 * np.abs(want).max())


def test_choose():
    assert [engine.name for engine in choose(BACKENDS, "native*,naive")] == ["native", "native-cl", "naive"]
    assert choose(PEERS, "none") == []
    with pytest.raises(ValueError, match="naive, im2col"):
        choose(BACKENDS, "cuda")
