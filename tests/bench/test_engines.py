"""The engines: each does the problem it is given, on a layer of each class, or says why it does not."""

from functools import lru_cache

import numpy as np
import pytest

from pyconv import kernels
from pyconv.bench.engines import BACKENDS, PEERS, choose, reference
from pyconv.bench.problems import SHORT, find
from pyconv.bench.timing import error

SMALL = [find(name).scaled() for name in SHORT]
CASES = [(problem, pass_) for problem in SMALL for pass_ in problem.passes]

# float32 against float64: rounding grows with the length of a sum, at most 3,136 terms here (dw of 2·28² positions and
# dx of 64·16 taps); 3e-6 of the largest value is fifty roundings. Winograd doubles it.
TOLERANCE = 6e-6


@lru_cache(maxsize=None)
def exact(problem, pass_):
    return reference(problem, pass_)


@pytest.mark.parametrize("engine", [*BACKENDS.values(), *PEERS.values()], ids=[*BACKENDS, *PEERS])
def test_engine_is_right_on_every_class(engine):
    reason = engine.unavailable()
    if reason is not None:
        pytest.skip(f"{engine.name}: {reason}")
    before = kernels.get_backend()
    try:
        engine.start(1)
        ran = 0
        for problem, pass_ in CASES:
            if engine.refuse(problem, pass_) is None:
                call = engine.prepare(problem, pass_, problem.arrays())
                assert error(call(), exact(problem, pass_)) < TOLERANCE, (problem.name, pass_)
                assert error(call(), exact(problem, pass_)) < TOLERANCE, "the second call"
                ran += 1
        assert ran >= 10
    finally:
        kernels.set_backend(before)


def test_our_backends_refuse_nothing():
    assert all(engine.refuse(*case) is None for engine in BACKENDS.values() for case in CASES)
    assert {engine.backend for engine in BACKENDS.values()} == set(kernels.BACKENDS)


def test_channels_last_engine_passes_channels_last_arrays():
    engine = BACKENDS["numba-cl"]
    assert engine.memory == "channels-last"
    assert BACKENDS["numba"].memory == "contiguous"


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
