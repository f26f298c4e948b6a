"""Whole networks against ONNX Runtime, with random weights: those that onnx ships are all equal, which hides a mistake
in the memory order."""

import numpy as np
import pytest

import pyconv as pc
from pyconv.bench import light

NETWORKS = [name for name in light.NAMES if name != "vgg19"]  # whose 140 million weights take long to draw


@pytest.mark.parametrize("name", NETWORKS)
def test_light_networks_with_random_weights(name):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = light.network(name)
    held = {t.name for t in model.graph.initializer}
    (declared,) = (i for i in model.graph.input if i.name not in held)
    shape = [d.dim_value for d in declared.type.tensor_type.shape.dim]
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    theirs = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    session = pc.onnx.load(model)
    (y,), (expected,) = session.run(None, {declared.name: x}), theirs.run(None, {declared.name: x})
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert session.fallbacks() == []
    assert expected.std() > 0
