"""Whole networks against ONNX Runtime, with random weights: those that onnx ships are all equal, which hides a mistake
in the memory order."""

from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test
import pytest
from onnx import numpy_helper

import pyconv as pc

LIGHT = Path(onnx.backend.test.__file__).parent / "data" / "light"
NETWORKS = ["squeezenet", "shufflenet", "inception_v1", "densenet121", "resnet50"]


def with_random_weights(model):
    """The model with weights drawn such that activations neither vanish nor explode."""
    rng = np.random.default_rng(0)
    shapes = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if t.dims}
    made = {n.output[0]: n for n in model.graph.node if n.op_type == "ConstantOfShape"}
    found = {}

    def weight(name, role):
        if name in made:
            shape = tuple(int(v) for v in shapes[made[name].input[0]])
        elif name in shapes and shapes[name].dtype == np.float32:
            shape = shapes[name].shape
        else:
            return
        if role == "variance":
            found[name] = rng.uniform(0.5, 1.5, shape).astype(np.float32)
        elif len(shape) > 1:
            found[name] = (rng.standard_normal(shape) * (2 / np.prod(shape[1:])) ** 0.5).astype(np.float32)
        else:
            found[name] = rng.uniform(0.5, 1.0, shape).astype(np.float32)

    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm", "BatchNormalization", "Mul", "Add"):
            for place, name in enumerate(node.input[1:], 1):
                weight(name, "variance" if node.op_type == "BatchNormalization" and place == 4 else "")
    for node in [n for n in model.graph.node if n.output[0] in found]:
        model.graph.node.remove(node)
    kept = [t for t in model.graph.initializer if t.name not in found]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept + [numpy_helper.from_array(v, n) for n, v in found.items()])
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_light_networks_with_random_weights(name):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = with_random_weights(onnx.load(LIGHT / f"light_{name}.onnx"))
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
