"""An ONNX model as a `Module`: its weights are parameters, so that it can be trained further and exported again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from pyconv import nn
from pyconv.functional import batch_norm_train
from pyconv.nn.module import FLOATS
from pyconv.nn.trace import current
from pyconv.onnx import operators  # noqa: F401  (registers them)
from pyconv.onnx.model import MEMORY_LIMIT, Call, Model, read
from pyconv.onnx.reference import ReferenceNode
from pyconv.onnx.registry import UndecidedError, UnsupportedError, find
from pyconv.ops.node import Node

# operator -> the first of its inputs that may be a weight
_LAYERS = {
    "Conv": 1,
    "ConvTranspose": 1,
    "Gemm": 0,
    "MatMul": 0,
    "BatchNormalization": 1,
    "InstanceNormalization": 1,
    "LayerNormalization": 1,
    "GroupNormalization": 1,
    "RMSNormalization": 1,
    "PRelu": 1,
    "LSTM": 1,
    "GRU": 1,
}
_SUMS = ("Add", "Sub", "Mul", "Div")  # biases and scales that exporters write out; a single number is none
_SAME = ("Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten")  # a weight on its way to its layer
_STATISTICS = (3, 4)  # inputs of BatchNormalization: running mean and variance


def to_module(model: Any, *, memory_limit: int | None = MEMORY_LIMIT) -> ImportedModule:
    """An ONNX model as a module that `Trainer` can train.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
    memory_limit : int, optional
        As for `load`.

    Returns
    -------
    ImportedModule
        Takes the model's inputs in order. Floating-point initializers that layers read are its parameters, under their
        names in the file (dots make submodules); running statistics of batch normalizations are buffers. In training
        mode batch normalization uses the batch's statistics, and Dropout nodes drop.

    Raises
    ------
    ModelError
        As `load`.

    Examples
    --------
    >>> import numpy as np, onnx
    >>> import pyconv as pc
    >>> proto = onnx.parser.parse_model('''
    ...     <ir_version: 8, opset_import: ["": 17]>
    ...     g (float[N, 2] x) => (float[N, 1] y) <float[2, 1] weight = {1, 2}> { y = MatMul(x, weight) }''')
    >>> module = pc.onnx.to_module(proto)
    >>> module(np.ones((1, 2), np.float32)).tolist(), list(module.state_dict())
    ([[3.0]], ['weight'])
    """
    return ImportedModule(read(model, memory_limit))


class ImportedModule(nn.Module):
    """A model file as a module; `to_module` makes it."""

    def __init__(self, model: Model):
        self._model = model
        self._slots_of: dict[str, tuple[nn.Module, str]] = {}  # a weight's name in the file -> who holds it, as what
        self._dropouts: dict[str, nn.Dropout] = {}
        weights, statistics = _trained(model)
        for name in weights | statistics:
            value = model.constants.pop(name)
            owner, key = self._place_of(name)
            if name in statistics:
                owner.register_buffer(key, value)
            else:
                owner.register_parameter(key, np.array(value))
            self._slots_of[name] = owner, key
        for call in model.calls:
            if call.op_type == "Dropout" and not call.domain:
                rate = call.attributes.get("ratio", 0.5)
                if len(call.inputs) > 1 and call.inputs[1]:
                    rate = float(model.constants.get(call.inputs[1], np.float32(rate)))
                self._dropouts[call.outputs[0]] = dropout = nn.Dropout(float(rate))
                self.register_module(f"dropout_{len(self._dropouts) - 1}", dropout)

    def _place_of(self, name: str) -> tuple[nn.Module, str]:
        """The submodule, made if need be, and the key for a dotted name; one name for what cannot be taken apart."""
        *path, key = name.split(".")
        owner: nn.Module = self
        for part in path:
            held = owner._modules.get(part)
            if not part or not key or part in owner._parameters or part in owner._buffers:
                return self, name.replace(".", "_") or "_"
            if held is None:
                owner.register_module(part, held := _Part())
            owner = held
        return (self, f"{name}_".replace(".", "_")) if key in owner._modules else (owner, key)

    def forward(self, *inputs: Any) -> Any:
        """The model's outputs, the only one or a tuple of them."""
        names = list(self._model.inputs)
        if len(inputs) != len(names):
            raise ValueError(f"the model takes {len(names)} inputs ({', '.join(names)}), not {len(inputs)}")
        values: dict[str, Any] = {**self._model.constants, **dict(zip(names, inputs, strict=True))}
        for name, (owner, key) in self._slots_of.items():
            table = owner._parameters if key in owner._parameters else owner._buffers
            values[name] = current(table[key])
        for call in self._model.calls:
            made = self._made(call, [values[name] if name else None for name in call.inputs], values)
            values.update((name, value) for name, value in zip(call.outputs, made, strict=False) if name)
        outputs = tuple(values[name] for name in self._model.outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def _made(self, call: Call, inputs: list[Any], values: dict[str, Any]) -> Iterable[Any]:
        """What a node makes of its inputs."""
        if self.training and call.op_type == "BatchNormalization" and call.inputs[3] in self._slots_of:
            return (self._batch_norm(call, *inputs),)
        if call.outputs and call.outputs[0] in self._dropouts and len(call.outputs) == 1:
            return (self._dropouts[call.outputs[0]](inputs[0]),)
        entry = find(call.domain, call.op_type, call.version)
        try:
            if entry is None or call.captured:
                raise UnsupportedError("none of ours")
            return entry(inputs, call.attributes, len(call.outputs), len([o for o in call.outputs if o]))
        except (UnsupportedError, UndecidedError) as error:
            if any(type(value) is Node for value in inputs):
                raise TypeError(f"{call.label} cannot be differentiated or compiled: {error}") from None
            return ReferenceNode(call, self._model)(values)

    def _batch_norm(self, call: Call, x: Any, scale: Any, b: Any, mean: Any, var: Any) -> Any:
        """Batch normalization with the batch's statistics, which move the running ones."""
        momentum, eps = call.attributes.get("momentum", 0.9), call.attributes.get("epsilon", 1e-5)
        y, *moved = batch_norm_train(x, mean, var, scale, b, 1 - momentum, eps)
        for name, value in zip(call.inputs[3:], moved, strict=True):
            owner, key = self._slots_of[name]
            setattr(owner, key, value)
        return y


class _Part(nn.Module):
    """What lies under one part of a dotted name."""


def _trained(model: Model) -> tuple[dict[str, None], dict[str, None]]:
    """The names of the constants that are weights, and of those that are running statistics, in the file's order.

    Some exporters write weights as Constant nodes: those are taken where no initializer of the file is a weight.
    """
    made = {c.outputs[0]: c.attributes["value"] for c in model.calls if _is_constant(c)}
    weights, statistics = _roles(model, model.constants)
    if not weights and made:
        weights, statistics = _roles(model, made)
        taken = weights | statistics
        model.constants.update((name, made[name]) for name in taken)
        model.calls[:] = [c for c in model.calls if not c.outputs or c.outputs[0] not in taken]
    return {n: None for n in model.constants if n in weights}, {n: None for n in model.constants if n in statistics}


def _is_constant(call: Call) -> bool:
    return call.op_type == "Constant" and not call.domain and isinstance(call.attributes.get("value"), np.ndarray)


def _roles(model: Model, constants: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Which of the constants are weights, and which are running statistics."""
    weights: set[str] = set()
    statistics: set[str] = set()
    stands: dict[str, str] = {}  # a constant in another shape -> the constant
    for call in model.calls:
        if call.domain:
            continue
        if call.op_type in _SAME and call.inputs[0]:
            stands[call.outputs[0]] = stands.get(call.inputs[0], call.inputs[0])
            continue
        for place, name in enumerate(call.inputs):
            source = stands.get(name, name)
            value = constants.get(source)
            if not isinstance(value, np.ndarray) or value.dtype not in FLOATS:
                continue
            if call.op_type == "BatchNormalization" and place in _STATISTICS and source == name:
                statistics.add(name)
            elif place >= _LAYERS.get(call.op_type, len(call.inputs)) or (call.op_type in _SUMS and value.size > 1):
                weights.add(source)
    both = weights & statistics
    return weights - both, statistics - both
