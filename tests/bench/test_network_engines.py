"""Networks: the twins compute what pyconv does, and every engine runs each network, scaled down."""

import numpy as np
import pytest

import pyconv as pc
from pyconv import kernels
from pyconv.bench.networks import (
    BACKENDS,
    NETWORKS,
    PASSES,
    PEERS,
    Network,
    Result,
    alone,
    call_costs,
    run,
    select,
    table,
)
from pyconv.bench.twins import torch_twin
from pyconv.graph.trace import trace
from pyconv.kernels.threads import get_num_threads, set_num_threads

QUICK = ("lenet5", "airbench94", "resnet18_cifar", "mobilenet_v2")  # the others have no op that these have not
MODELS = {network.model: network.scaled() for network in NETWORKS.values() if network.model in QUICK}
# float32 rounding through up to 53 layers, of outputs of about one; a wrong layer is off by as much as they are.
TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def _as_before():
    before = kernels.get_backend(), get_num_threads()
    yield
    kernels.set_backend(before[0])
    set_num_threads(before[1])


@pytest.fixture(params=MODELS)
def network(request):
    return MODELS[request.param]


def recorded(network):
    x = network.arrays()["x"]
    return x, *trace(network.build(), [x])


def test_torch_twin_computes_the_same(network):
    torch = pytest.importorskip("torch")
    x, graph, _ = recorded(network)
    (expected,) = graph.evaluate(x)
    function, parameters = torch_twin(graph)
    assert not parameters
    np.testing.assert_allclose(function(torch.from_numpy(x)).numpy(), expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_torch_twin_trains_the_same_parameters(network):
    pytest.importorskip("torch")
    model = network.build()
    graph, _ = trace(model, [network.arrays()["x"]])
    _, parameters = torch_twin(graph, model.parameters())
    assert sorted(tuple(p.shape) for p in parameters) == sorted(p.shape for p in model.parameters())
    assert all(p.requires_grad for p in parameters)


@pytest.mark.parametrize("engine", [*BACKENDS.values(), *PEERS.values()], ids=[*BACKENDS, *PEERS])
@pytest.mark.parametrize("pass_", PASSES)
def test_every_engine_runs(engine, pass_):
    if (reason := engine.unavailable()) is not None:
        pytest.skip(f"{engine.name}: {reason}")
    engine.start(1)
    network = MODELS["lenet5"]
    if (reason := engine.refuse(network, pass_)) is not None:
        assert (engine.name, pass_) == ("onnxruntime", "training"), reason
        return
    call = engine.prepare(network, pass_, network.arrays())
    first, second = (float(np.asarray(call()[0]).ravel()[0]) for _ in range(2))
    assert np.isfinite([first, second]).all()
    assert (first == second) == (pass_ == "inference")  # a step of training has changed the weights


def test_torch_trains_on_the_loss_that_a_plan_does(monkeypatch):
    pytest.importorskip("torch")
    network = MODELS["lenet5"]
    weights = network.build().state_dict()

    def build(self):
        model = pc.models.create("lenet5", in_channels=1)
        model.load_state_dict(weights)
        return model

    monkeypatch.setattr(Network, "build", build)
    losses = []
    for engine in (BACKENDS["im2col"], PEERS["torch"]):
        engine.start(1)
        call = engine.prepare(network, "training", network.arrays())
        losses.append([float(call()[0]) for _ in range(3)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_run_measures_time_and_memory(monkeypatch):
    small = MODELS["lenet5"]
    monkeypatch.setitem(NETWORKS, small.name, small)
    (results,) = run([small], PASSES, [BACKENDS["im2col"]], 1, seconds=0.01)
    (result,) = results
    assert result.seconds > 0
    assert result.facts["arena_bytes"] >= result.facts["live_bytes"] > 0
    assert "im2col" in table(results)


def test_memory_is_that_of_a_process_of_its_own():
    peak, facts = alone(BACKENDS["im2col"], MODELS["lenet5"], "training", 1)
    assert facts["steps"] > 10
    assert peak is None or 20e6 < peak < 500e6


def test_call_costs_are_positive():
    if kernels.available("native") is not None:
        pytest.skip(kernels.available("native"))
    with pc.backend("native"):
        costs = call_costs(calls=20)
    assert 0 < costs["step_seconds"] < costs["python_seconds"] < 1e-3
    assert costs["functional_seconds"] > 0


def test_select():
    assert [n.name for n in select("lenet5*")] == ["lenet5@1", "lenet5@64"]
    with pytest.raises(ValueError, match="network 'x' is unknown: use lenet5@1"):
        select("x")


def test_table_says_why_an_engine_did_not_run():
    results = [
        Result("lenet5@1", "inference", "native", False, 1e-3, peak_bytes=50_000_000),
        Result("lenet5@1", "inference", "torch", True, 4e-3),
        Result("lenet5@1", "inference", "onnxruntime", True, note="not installed"),
    ]
    lines = table(results).splitlines()
    assert lines[2].split() == ["native", "1", "0.25", "50"]
    assert lines[-1].split() == ["onnxruntime", "–", "not", "installed"]
