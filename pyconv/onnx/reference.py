"""Nodes that our kernels do not serve: the onnx package's own reference implementation runs them, one at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, TypeProto, helper
from onnx.reference import ReferenceEvaluator

from pyconv.onnx.errors import ModelError
from pyconv.onnx.model import Call, Model

# What the reference implementation raises where attributes or inputs are not what it counts on.
_WRONG = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError),
)
VERSIONS = 8  # evaluators that a node keeps, one for the types of its inputs


class ReferenceNode:
    """One node, ready to run on whatever values it gets: arrays, lists of them, or None."""

    def __init__(self, call: Call, model: Model):
        self.call = call
        self.constants = {name: model.constant(name) for name in call.reads if name in model.constants}
        self._imports = [helper.make_opsetid(domain, version) for domain, version in model.opsets.items()]
        self._evaluators: dict[Any, ReferenceEvaluator] = {}

    def __call__(self, values: dict[str, Any]) -> list[Any]:
        """The node's results for values by name."""
        known = {**self.constants, **values}
        feeds = {name: known[name] for name in dict.fromkeys(self.call.reads)}
        key = tuple(value.dtype if isinstance(value, np.ndarray) else type(value) for value in feeds.values())
        evaluator = self._evaluators.get(key)
        if evaluator is None:
            try:
                evaluator = self._evaluator(feeds)
            except _WRONG as error:
                raise ModelError(f"{self.call.label} cannot be run: {error}") from error
            if len(self._evaluators) >= VERSIONS:
                self._evaluators.pop(next(iter(self._evaluators)))
            self._evaluators[key] = evaluator
        try:
            with np.errstate(all="ignore"):
                made = evaluator.run([name for name in self.call.outputs if name], feeds)
        except _WRONG as error:
            raise ModelError(f"{self.call.label} cannot be run: {error}") from error
        results = iter(made)
        return [_as_value(next(results)) if name else None for name in self.call.outputs]

    def _evaluator(self, feeds: dict[str, Any]) -> ReferenceEvaluator:
        inputs = [helper.make_value_info(name, _type_of(value)) for name, value in feeds.items()]
        outputs = [helper.make_value_info(name, TypeProto()) for name in self.call.outputs if name]
        graph = helper.make_graph([self.call.proto], "node", inputs, outputs)
        return ReferenceEvaluator(helper.make_model(graph, opset_imports=self._imports))


def _as_value(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, np.generic) else value


def _type_of(value: Any) -> TypeProto:
    """The ONNX type of a value; an empty one for what has none."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "OUST":
            return helper.make_tensor_type_proto(TensorProto.STRING, value.shape)
        return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
    if isinstance(value, list) and value and value[0] is not None:
        return helper.make_sequence_type_proto(_type_of(value[0]))
    return TypeProto()
