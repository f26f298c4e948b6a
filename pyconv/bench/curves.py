"""Loss curves: the same steps of training by our compiled step, and by PyTorch in float32 and float64.

All start at the same weights and see the same batches. What two engines in float32 differ by is due to rounding if each
is about as far from float64 as the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from pyconv.bench.networks import LR, MOMENTUM, Network
from pyconv.bench.twins import torch_twin


class Curves(NamedTuple):
    """The losses of `steps` steps: three arrays (steps,)."""

    ours: np.ndarray
    torch: np.ndarray
    exact: np.ndarray  # PyTorch in float64

    def errors(self, begin: int = 0, end: int | None = None) -> tuple[float, float]:
        """Root mean square distances from float64 over some steps: ours, and PyTorch's."""
        part = slice(begin, end)
        ours, theirs = (np.sqrt(np.mean((losses[part] - self.exact[part]) ** 2)) for losses in (self.ours, self.torch))
        return float(ours), float(theirs)


def curves(network: Network, steps: int) -> Curves:
    """Train a network three times, by SGD with momentum on the cross-entropy; dropout is off."""
    return Curves(_ours(network, steps), *(_torch(network, steps, dtype) for dtype in ("float32", "float64")))


def batches(network: Network, steps: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images and labels, always the same: a pattern for each class, and as much noise."""
    rng = np.random.default_rng(0)
    patterns = rng.standard_normal((network.classes, *network.input_shape[1:]), np.float32)
    for _ in range(steps):
        labels = rng.integers(0, network.classes, network.batch)
        yield patterns[labels] + rng.standard_normal(network.input_shape, np.float32), labels


def _model(network: Network, dtype: str) -> Any:
    nn = import_module("pyconv.nn")
    nn.init.manual_seed(0)
    model = network.build().astype(np.dtype(dtype))
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def _ours(network: Network, steps: int) -> np.ndarray:
    optim, compile_step = import_module("pyconv.optim"), import_module("pyconv.train.compiled").compile_training_step
    model = _model(network, "float32").train()
    first = next(batches(network, 1))
    with compile_step(model, "cross_entropy", optim.SGD(lr=LR, momentum=MOMENTUM), *first) as step:
        return np.array([float(step(x, labels)[0]) for x, labels in batches(network, steps)])


def _torch(network: Network, steps: int, dtype: str) -> np.ndarray:
    torch, trace = import_module("torch"), import_module("pyconv.graph.trace").trace
    model = _model(network, dtype)
    function, parameters = torch_twin(trace(model, [np.empty(network.input_shape, dtype)])[0], model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=LR, momentum=MOMENTUM)
    losses = []
    for x, labels in batches(network, steps):
        optimizer.zero_grad()
        output = function(torch.from_numpy(x.astype(dtype)))
        loss = torch.nn.functional.cross_entropy(output, torch.from_numpy(labels))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)
