"""A session: a loaded model that can be run, on inputs of any shape that it allows."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from onnx import TensorProto, TypeProto, ValueInfoProto, helper

from pyconv.graph.shared import Shared
from pyconv.onnx.model import MEMORY_LIMIT, Model, read
from pyconv.onnx.registry import is_plain
from pyconv.onnx.stretch import Foreign, Recorder, StaticError, Stretch

VARIANTS = 8  # a place in the model keeps so many stretches, those run last


@dataclass(frozen=True, slots=True)
class ValueInfo:
    """An input or output of a model, with the attributes that ONNX Runtime's has."""

    name: str
    shape: list[int | str | None]  # a size, the name of one that varies, or None
    type: str  # tensor(float), …


@dataclass(frozen=True, slots=True)
class ModelMeta:
    """What a model says about itself, with the attributes that ONNX Runtime's has."""

    producer_name: str
    graph_name: str
    domain: str
    description: str
    graph_description: str
    version: int
    custom_metadata_map: dict[str, str]


def load(
    model: Any,
    *,
    precision: str = "float32",
    threads: int | None = None,
    memory_limit: int | None = MEMORY_LIMIT,
) -> Session:
    """Load an ONNX model.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
        External data is read from the folder of a path, and from nowhere else.
    precision : {"float32"}
        What a float32 model is computed in; models of other dtypes are computed in their own.
    threads : int, optional
        How many threads runs use; by default what `pc.get_num_threads` says when they are made.
    memory_limit : int, optional
        Bytes that the model's constants may take together, and any one array that it makes; None for no limit.

    Returns
    -------
    Session

    Raises
    ------
    ValueError
        If precision or threads is none.
    ModelError
        If the model is broken or hostile, takes more memory than allowed, or needs operators that nobody knows; a kind
        of ValueError.

    Examples
    --------
    >>> import numpy as np, onnx
    >>> import pyconv as pc
    >>> graph = onnx.parser.parse_model('''
    ...     <ir_version: 8, opset_import: ["": 17]>
    ...     double (float[N, 2] x) => (float[N, 2] y) { y = Add(x, x) }''')
    >>> session = pc.onnx.load(graph)
    >>> session.run(None, {"x": np.ones((1, 2), np.float32)})[0].tolist()
    [[2.0, 2.0]]
    """
    if precision != "float32":
        raise ValueError(f"precision must be 'float32', not {precision!r}")
    if threads is not None and (type(threads) is not int or threads < 1):
        raise ValueError(f"threads must be a positive int or None, not {threads!r}")
    session = Session(read(model, memory_limit, stay=True), threads)
    session.prepare()
    return session


class Session:
    """A model that can be run; `pc.onnx.load` makes it. Several threads may run one session."""

    def __init__(self, model: Model, threads: int | None = None):
        self._model = model
        self._threads = threads
        self._lock = threading.Lock()
        self._first = _made_before(model)
        self._alive: dict[int, list[str]] = {}  # place in the model -> names from before it that are read from there on
        self._statics: dict[int, set[str]] = {}
        self._stretches: dict[int, OrderedDict[Any, Stretch | Foreign]] = {}
        self._shared = Shared()

    def prepare(self) -> None:
        """Make the plan up to the first node that falls back, if the model says every size: the first call finds it."""
        values = {name: _zeros(i, self._model.memory_limit) for name, i in self._model.inputs.items()}
        if any(value is None for value in values.values()):
            return
        # Values that decide shapes are not known yet, and what is wrong is for the call to say.
        with self._lock, suppress(StaticError, ValueError, TypeError, MemoryError):
            if self._model.calls and not self._stretches:
                made = Recorder(self._model, 0, values, set()).record(self._threads, self._shared)
                self._stretches[0] = OrderedDict({self._key(0, values, set()): made})

    def get_inputs(self) -> list[ValueInfo]:
        """Names, shapes and types of what a run must bring."""
        return [_info(i) for i in self._model.inputs.values()]

    def get_outputs(self) -> list[ValueInfo]:
        """Names, shapes and types of what a run gives."""
        return [_info(o) for o in self._model.outputs.values()]

    def get_modelmeta(self) -> ModelMeta:
        """Who made the model, and what they wrote into it: labels, alphabets."""
        about = self._model.about
        return ModelMeta(
            about.producer_name,
            about.graph.name,
            about.domain,
            about.doc_string,
            about.graph.doc_string,
            about.model_version,
            {entry.key: entry.value for entry in about.metadata_props},
        )

    def run(self, output_names: Iterable[str] | None, inputs: Mapping[str, Any], *, out: Any = None) -> list[Any]:
        """Run the model.

        Parameters
        ----------
        output_names : names, optional
            Which outputs to give; all of them by default.
        inputs : dict of name -> array
            Lists of arrays for inputs that are sequences.
        out : sequence of arrays, optional
            Where the outputs go; each of its output's shape and dtype.

        Returns
        -------
        list
            The outputs, in the order of `output_names`.

        Raises
        ------
        ValueError, TypeError
            If inputs are missing, unknown, or not of the declared rank, size or dtype; if there is no such output.
        """
        names = list(self._model.outputs) if output_names is None else list(output_names)
        for name in names:
            if name not in self._model.outputs:
                raise ValueError(f"there is no output {name!r}; the outputs are {', '.join(self._model.outputs)}")
        brought = self._checked(inputs)
        values = dict(brought)
        position = 0
        while position < len(self._model.calls):
            stretch = self._stretch(position, values)
            if out is not None and isinstance(stretch, Stretch) and stretch.makes(names) and len(out) == len(names):
                return stretch.run_into(values, dict(zip(names, out, strict=True)))
            stretch.run(values)
            position = stretch.end
        results = [values[name] if name in values else self._model.constants[name] for name in names]
        if out is not None:
            return _put(results, out, names)
        return [_owned(value, brought.values()) for value in results]

    def explain(self) -> str:
        """What runs the model, stretch by stretch, for the inputs run last: plans, and nodes that fall back."""
        return "\n".join(stretch.explain() for stretch in self._latest())

    def fallbacks(self) -> list[str]:
        """The nodes that the reference implementation runs, for the inputs run last."""
        return [s.node.call.label for s in self._latest() if isinstance(s, Foreign)]

    def _latest(self) -> list[Stretch | Foreign]:
        found, position = [], 0
        while position < len(self._model.calls) and position in self._stretches:
            found.append(next(reversed(self._stretches[position].values())))
            position = found[-1].end
        return found

    def _stretch(self, position: int, values: dict[str, Any]) -> Stretch | Foreign:
        """The stretch that begins here and serves values like these."""
        with self._lock:
            kept = self._stretches.setdefault(position, OrderedDict())
            statics = self._statics.setdefault(position, set())
            key = self._key(position, values, statics)
            stretch = kept.get(key)
            while stretch is None:
                try:
                    stretch = Recorder(self._model, position, values, statics).record(self._threads, self._shared)
                except StaticError as error:
                    statics.add(error.name)
                    key = self._key(position, values, statics)
            kept[key] = stretch
            kept.move_to_end(key)
            if len(kept) > VARIANTS:
                kept.popitem(last=False)
            return stretch

    def _key(self, position: int, values: dict[str, Any], statics: set[str]) -> Any:
        """What a stretch depends on: shapes and dtypes, and the values that decide shapes."""
        if position not in self._alive:
            last = self._model.last_read
            self._alive[position] = [n for n, first in self._first.items() if first <= position <= last.get(n, -1)]
        return tuple(
            (value.shape, value.dtype, value.tobytes() if name in statics else None)
            if isinstance(value := values.get(name), np.ndarray)
            else type(value)
            for name in self._alive[position]
        )

    def _checked(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs as arrays, held against what the model declares."""
        missing = [name for name in self._model.inputs if name not in inputs]
        unknown = [name for name in inputs if name not in self._model.inputs and name not in self._model.optional]
        if missing or unknown:
            wrong = f"{', '.join(missing)} missing" if missing else f"{', '.join(unknown)} unknown"
            raise ValueError(f"inputs must be {', '.join(self._model.inputs) or 'none'}: {wrong}")
        declared = {**self._model.optional, **self._model.inputs}
        return {name: _as_declared(value, declared[name]) for name, value in inputs.items()}


def _made_before(model: Model) -> dict[str, int]:
    """name -> the first place in the model at which it is there, for all but constants."""
    first = dict.fromkeys((*model.inputs, *model.optional), 0)
    for number, call in enumerate(model.calls):
        first |= dict.fromkeys(filter(None, call.outputs), number + 1)
    return first


def _zeros(declared: ValueInfoProto, limit: int | None) -> np.ndarray | None:
    """An input of the declared type and sizes; None if they are not all said, or too much."""
    tensor = declared.type.tensor_type
    sizes = [n for n in _shape_of(declared.type) if isinstance(n, int)]
    if not tensor.HasField("shape") or len(sizes) < len(tensor.shape.dim):
        return None
    if tensor.elem_type not in helper.get_all_tensor_dtypes():
        return None
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    nbytes = prod(sizes) * dtype.itemsize
    if not is_plain(dtype) or nbytes > (MEMORY_LIMIT if limit is None else limit):
        return None
    return np.broadcast_to(np.zeros((), dtype), sizes)


def _as_declared(value: Any, declared: ValueInfoProto) -> Any:
    """An input as an array of the declared type; what is no tensor passes as it is."""
    if declared.type.WhichOneof("value") != "tensor_type" or value is None:
        return value
    if not isinstance(value, np.ndarray):
        value = np.asarray(value)
    tensor = declared.type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type) if tensor.elem_type else value.dtype
    if tensor.elem_type != TensorProto.STRING and value.dtype != dtype:
        raise TypeError(f"input {declared.name!r} must be {dtype}, not {value.dtype}")
    if tensor.HasField("shape"):
        sizes = _shape_of(declared.type)
        if len(sizes) != value.ndim or any(
            isinstance(n, int) and n != m for n, m in zip(sizes, value.shape, strict=True)
        ):
            shown = " × ".join("?" if n is None else str(n) for n in sizes)
            raise ValueError(f"input {declared.name!r} must have the shape {shown or '()'}, not {value.shape}")
    return value


def _owned(value: Any, inputs: Iterable[Any]) -> Any:
    """A result that the caller may write to: a copy of what is part of the model or of an input."""
    if not isinstance(value, np.ndarray):
        return value
    shared = any(isinstance(x, np.ndarray) and np.may_share_memory(value, x) for x in inputs)
    return value.copy() if shared or not value.flags.writeable else value


def _put(results: Sequence[Any], out: Sequence[Any], names: Sequence[str]) -> list[Any]:
    """Copy the results into the caller's arrays."""
    if len(out) != len(results):
        raise ValueError(f"out must hold {len(results)} arrays, not {len(out)}")
    for name, array, result in zip(names, out, results, strict=True):
        if not isinstance(array, np.ndarray) or (array.shape, array.dtype) != (result.shape, result.dtype):
            raise ValueError(f"out must hold an array of shape {result.shape} and dtype {result.dtype} for {name!r}")
        np.copyto(array, result)
    return list(out)


def _info(declared: ValueInfoProto) -> ValueInfo:
    return ValueInfo(declared.name, _shape_of(declared.type), _type_text(declared.type))


def _shape_of(declared: TypeProto) -> list[int | str | None]:
    if declared.WhichOneof("value") != "tensor_type":
        return []
    sizes: list[int | str | None] = []
    for d in declared.tensor_type.shape.dim:
        fixed = d.HasField("dim_value") and d.dim_value >= 0  # some exporters write -1 for one that varies
        sizes.append(d.dim_value if fixed else d.dim_param or None)
    return sizes


def _type_text(declared: TypeProto) -> str:
    """The type in ONNX Runtime's words: tensor(float), seq(tensor(int64))."""
    kind = declared.WhichOneof("value")
    if kind == "tensor_type":
        return f"tensor({TensorProto.DataType.Name(declared.tensor_type.elem_type).lower()})"
    if kind == "sequence_type":
        return f"seq({_type_text(declared.sequence_type.elem_type)})"
    if kind == "optional_type":
        return f"optional({_type_text(declared.optional_type.elem_type)})"
    return str(kind)
