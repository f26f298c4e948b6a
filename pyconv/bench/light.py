"""Networks that the onnx package ships without weights (`light_*`), with random ones: real graphs of real exporters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pyconv._extras import require

NAMES = ("resnet50", "vgg19", "densenet121", "inception_v1", "squeezenet", "shufflenet")


def network(name: str) -> Any:
    """The `onnx.ModelProto` of a network, with weights drawn such that activations neither vanish nor explode.

    As shipped all weights are equal, which hides mistakes in the memory order.
    """
    onnx = require("onnx", "onnx")
    require("onnx.backend.test", "onnx")
    folder = Path(onnx.backend.test.__file__).parent / "data" / "light"
    return _with_random_weights(onnx, onnx.load(folder / f"light_{name}.onnx"))


def _with_random_weights(onnx: Any, model: Any) -> Any:
    rng = np.random.default_rng(0)
    shapes = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer if t.dims}
    made = {n.output[0]: n for n in model.graph.node if n.op_type == "ConstantOfShape"}
    found: dict[str, np.ndarray] = {}

    def weight(name: str, role: str) -> None:
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
    model.graph.initializer.extend(kept + [onnx.numpy_helper.from_array(v, n) for n, v in found.items()])
    return model
