"""ONNX: trained models run on pyconv's kernels, through a session of ours or the standard backend interface.

    session = pc.onnx.load("model.onnx")
    outputs = session.run(None, {"x": x})

Needs the extra ``onnx``. Operators that our kernels do not serve run through the onnx package's reference
implementation, and `Session.explain` names them. One file a family of operators: `pyconv/onnx/operators/`.
"""

from pyconv._extras import require

require("onnx", "onnx")

from pyconv.onnx.backend import is_compatible, prepare, run_model, run_node, supports_device  # noqa: E402
from pyconv.onnx.errors import ModelError  # noqa: E402
from pyconv.onnx.exporter import export  # noqa: E402
from pyconv.onnx.inference_session import InferenceSession  # noqa: E402
from pyconv.onnx.module import to_module  # noqa: E402
from pyconv.onnx.session import Session, ValueInfo, load  # noqa: E402

__all__ = [
    "InferenceSession",
    "ModelError",
    "Session",
    "ValueInfo",
    "export",
    "is_compatible",
    "load",
    "prepare",
    "run_model",
    "run_node",
    "supports_device",
    "to_module",
]
