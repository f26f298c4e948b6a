"""The standard interface of ONNX backends (`onnx.backend.base`), as functions that `pyconv.onnx` offers by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TypeProto, helper
from onnx.backend.base import Backend, BackendRep, namedtupledict

from pyconv.onnx.errors import ModelError
from pyconv.onnx.model import read
from pyconv.onnx.session import Session, load


class PreparedModel(BackendRep):
    """A model that is ready to run on lists of inputs."""

    def __init__(self, session: Session):
        self.session = session

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs, as a tuple that also knows their names, for inputs in order or by name."""
        names = [i.name for i in self.session.get_inputs()]
        if not isinstance(inputs, Mapping):
            given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
            if len(given) != len(names):
                raise ValueError(f"the model takes {len(names)} inputs ({', '.join(names)}), not {len(given)}")
            inputs = dict(zip(names, given, strict=True))
        outputs = [o.name for o in self.session.get_outputs()]
        return namedtupledict("Outputs", outputs)(*self.session.run(None, inputs))


class PyconvBackend(Backend):
    """pyconv as an ONNX backend, for CPU."""

    @classmethod
    def is_compatible(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether `prepare` would take the model."""
        try:
            read(model)
        except ModelError:
            return False
        return cls.supports_device(device)

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> PreparedModel:
        """A model that is ready to run; keywords are those of `load`."""
        if not cls.supports_device(device):
            raise ValueError(f"device must be 'CPU', not {device!r}")
        return PreparedModel(load(model, **kwargs))

    @classmethod
    def run_node(
        cls,
        node: NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[np.dtype, tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Run one node by itself; `opset_version` says in which version of its operator set."""
        version = kwargs.pop("opset_version", onnx.defs.onnx_opset_version())
        names = [name for name in dict.fromkeys(node.input) if name]
        values = list(inputs.values()) if isinstance(inputs, Mapping) else list(inputs)
        declared = [helper.make_value_info(name, _type_of(v)) for name, v in zip(names, values, strict=True)]
        outputs = [helper.make_value_info(name, TypeProto()) for name in node.output if name]
        graph = helper.make_graph([node], "node", declared, outputs)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid(node.domain, version)])
        return cls.prepare(model, device, **kwargs).run(values)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether it is the CPU."""
        return device.partition(":")[0] == "CPU"


def _type_of(value: Any) -> TypeProto:
    array = np.asarray(value)
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


is_compatible = PyconvBackend.is_compatible
prepare = PyconvBackend.prepare
run_model = PyconvBackend.run_model
run_node = PyconvBackend.run_node
supports_device = PyconvBackend.supports_device
