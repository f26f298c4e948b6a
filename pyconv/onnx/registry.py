"""The registry of operators: which function records an ONNX operator, for which versions of the operator set.

An entry takes the node's inputs in order (a `Node`, an array whose values are known while recording, or None for one
left out) and its attributes by name, and returns what the node makes: one value, or a tuple of several. It is written
with `pyconv.functional`, so what depends on known arrays alone is computed on the spot.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyconv.onnx.errors import ModelError
from pyconv.ops.node import Node


class UnsupportedError(Exception):
    """Our kernels do not serve a node; the message says why. The reference implementation runs it."""


class UndecidedError(Exception):
    """A value that must be known while recording is not."""

    def __init__(self, node: Node):
        super().__init__("a shape or an axis depends on values that are not known while recording")
        self.node = node


@dataclass(frozen=True, slots=True)
class Operator:
    """One function that records an operator, from operator set `since` to `until`."""

    function: Callable[..., Any]
    since: int
    until: int
    attributes: frozenset[str]
    counted: bool  # whether it asks how many outputs the node has
    required: int | None  # how many inputs must be there; None: all

    def __call__(self, inputs: list[Any], attributes: dict[str, Any], outputs: int, wanted: int) -> tuple[Any, ...]:
        """What the node makes, of whose `outputs` at least the first `wanted` are read."""
        unknown = sorted(attributes.keys() - self.attributes)
        if unknown:
            raise UnsupportedError(f"attribute {', '.join(unknown)}")
        if any(value is None for value in inputs[: self.required]):
            raise UnsupportedError("an input that must be there is left out")
        if self.counted:
            attributes = {**attributes, "outputs": outputs}
        try:
            made = self.function(*inputs, **attributes)
        except ModelError:
            raise
        except (ValueError, TypeError, IndexError) as error:  # what our kernels refuse is the reference's to judge
            raise UnsupportedError(str(error)) from error
        made = made if isinstance(made, tuple) else (made,)
        if len(made) < wanted:
            raise UnsupportedError(f"{wanted} outputs")
        return made


_OPERATORS: dict[tuple[str, str], list[Operator]] = {}
NEWEST = 1 << 30
LARGEST = 1 << 28  # elements of an array that a model may make of a smaller one before it is run


def operator(
    *names: str, since: int = 1, until: int = NEWEST, domain: str = ""
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function for operators of these names, from operator set `since` to `until`."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        parameters = inspect.signature(function).parameters.values()
        keywords = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        places = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        required = sum(p.default is p.empty for p in places) if places else None
        entry = Operator(function, since, until, frozenset(keywords) - {"outputs"}, "outputs" in keywords, required)
        for name in names:
            _OPERATORS.setdefault((domain, name), []).append(entry)
        return function

    return register


def find(domain: str, name: str, version: int) -> Operator | None:
    """The entry that serves an operator in a version of its operator set."""
    for entry in _OPERATORS.get((domain, name), ()):
        if entry.since <= version <= entry.until:
            return entry
    return None


def names() -> list[str]:
    """The operators of the standard domain that have an entry."""
    return sorted(name for domain, name in _OPERATORS if not domain)


# --- what entries ask of their inputs


def is_known(*values: Any) -> bool:
    """Whether all of them are arrays (or left out), so that their values can be looked at."""
    return all(type(value) is not Node for value in values)


def is_plain(dtype: np.dtype) -> bool:
    """Whether plans hold arrays of this dtype: NumPy's own numbers and truth values."""
    return dtype.kind in "biufc" and dtype.isbuiltin == 1


def static(value: Any) -> np.ndarray:
    """The value of an input that decides shapes."""
    if type(value) is Node:
        raise UndecidedError(value)
    return np.asarray(value)


def integers(value: Any) -> tuple[int, ...]:
    """A list of sizes or axes: an attribute, or an input that decides shapes."""
    return tuple(int(v) for v in static(value).reshape(-1).tolist())


def number(value: Any) -> Any:
    """A single number: an attribute, or an input that decides what is recorded."""
    return static(value).reshape(-1)[0].item()


def floats(*values: Any) -> None:
    """Refuse inputs that are not float32 or float64."""
    for value in values:
        if value is not None and value.dtype not in (np.float32, np.float64):
            raise UnsupportedError(str(value.dtype))


def check_size(shape: Any, *values: Any) -> None:
    """Refuse to compute an array of many elements out of few while recording."""
    count = math.prod(shape)
    if is_known(*values) and count > LARGEST:
        raise ModelError(f"the model makes a constant of {count:,} elements out of little; {LARGEST:,} are allowed")


def axis_of(axis: int, ndim: int) -> int:
    """A non-negative axis."""
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis must lie in {-ndim} … {ndim - 1}, not be {axis}")
    return axis % ndim
