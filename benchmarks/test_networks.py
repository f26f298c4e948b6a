"""Whole networks, scaled down: inference and a step of training, by plans and by the installed peers."""

import numpy as np
import pytest

from pyconv.bench.networks import BACKENDS, NETWORKS, PASSES, PEERS
from pyconv.kernels.threads import get_num_threads

QUICK = ("lenet5", "airbench94", "resnet18_cifar", "mobilenet_v2")
NAMES = {network.model: network.scaled() for network in NETWORKS.values() if network.model in QUICK}
ENGINES = [engine for engine in (*BACKENDS.values(), *PEERS.values()) if engine.unavailable() is None]
ROWS = [
    pytest.param(
        engine,
        network,
        pass_,
        id=f"{name}-{pass_}-{engine.name}",
        marks=pytest.mark.benchmark(group=f"{name} {pass_}: {network}", min_rounds=3, max_time=0.05),
    )
    for engine in ENGINES  # outermost, so that one engine's threads spin at a time
    for name, network in NAMES.items()
    for pass_ in PASSES
    if engine.refuse(network, pass_) is None
]


@pytest.mark.parametrize(("engine", "network", "pass_"), ROWS)
def test_network(benchmark, engine, network, pass_):
    engine.start(get_num_threads())
    result = benchmark(engine.prepare(network, pass_, network.arrays()))
    assert np.isfinite(np.asarray(result[0])).all()
