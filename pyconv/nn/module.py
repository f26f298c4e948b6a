"""Module: parameters, buffers and submodules under names, and the call that runs a model on values given from outside.

A module holds arrays. Reading `self.weight` gives the array, or, while `functional_call` runs in this thread, the
value that stands for it (another array, or a graph node when a gradient is taken). So `forward` is written once, and
one model may serve many threads at once: what a call changes lives in its trace, not in the module.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from pyconv.nn.summary import Summary

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Parameter:
    """Marks an array as a parameter when it is assigned to an attribute of a `Module`; the attribute is the array.

    Parameters
    ----------
    data : array_like of float32 or float64

    Examples
    --------
    >>> import numpy as np
    >>> from pyconv import nn
    >>> class Scale(nn.Module):
    ...     def __init__(self):
    ...         self.factor = nn.Parameter(np.ones(3))
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> [name for name, _ in Scale().named_parameters()]
    ['factor']
    """

    def __init__(self, data: Any):
        self.data = _parameter_array("data", data)


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` found to differ between the model's names and the given ones."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class _Trace:
    """What one functional call reads and writes instead of the modules' arrays, by identity, so that ties hold."""

    __slots__ = ("names", "updates", "values")

    def __init__(self, values: dict[int, Any], names: dict[int, str]):
        self.values = values  # id of a module's array -> what stands for it
        self.names = names  # id of a buffer of the called model -> its name
        self.updates: dict[str, Any] = {}  # buffers that the call assigned


_trace: ContextVar[_Trace | None] = ContextVar("pyconv_trace", default=None)
_watcher: ContextVar[Callable[..., None] | None] = ContextVar("pyconv_watcher", default=None)


class Module:
    """Base of all layers and models: give it a `forward`, assign parameters and submodules as attributes.

    Names and behaviour follow `torch.nn.Module`, except that parameters and buffers are plain NumPy arrays.

    Examples
    --------
    >>> import numpy as np
    >>> import pyconv.functional as F
    >>> from pyconv import nn
    >>> class Block(nn.Module):
    ...     def __init__(self, channels):
    ...         self.conv = nn.Conv2d(channels, channels, 3, padding="same")
    ...     def forward(self, x):
    ...         return x + F.relu(self.conv(x))
    >>> Block(4)(np.zeros((1, 4, 8, 8), np.float32)).shape
    (1, 4, 8, 8)
    """

    training: bool

    def __new__(cls, *args: Any, **kwargs: Any) -> Module:
        self = super().__new__(cls)  # set up here, so that a subclass need not call super().__init__()
        self.__dict__.update(training=True, _parameters={}, _buffers={}, _transient=set(), _modules={})
        return self

    def forward(self, *args: Any) -> Any:
        """What the module computes; a subclass writes it in terms of `pyconv.functional` and its submodules."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        output = self.forward(*args, **kwargs)
        watcher = _watcher.get()
        if watcher is not None:
            watcher(self, args, output)
        return output

    # --- attributes

    def __getattr__(self, name: str) -> Any:
        held = self.__dict__
        if name in held["_parameters"]:
            return _current(held["_parameters"][name])
        if name in held["_buffers"]:
            return _current(held["_buffers"][name])
        if name in held["_modules"]:
            return held["_modules"][name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self.register_parameter(name, value.data)
        elif isinstance(value, Module):
            self._place(self._modules, name, value)
        elif name in self._parameters:
            if _trace.get() is not None:
                raise TypeError(f"parameter {name!r} cannot be assigned inside a functional call")
            self._parameters[name] = None if value is None else _parameter_array(name, value)
        elif name in self._buffers:
            self._write_buffer(name, value)
        else:
            self._modules.pop(name, None)
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        table = next((table for table in self._tables() if name in table), None)
        if table is None:
            object.__delattr__(self, name)
        else:
            del table[name]

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def register_parameter(self, name: str, array: Any) -> None:
        """Add a parameter; None keeps the name for one that is left out (no bias)."""
        self._place(self._parameters, name, None if array is None else _parameter_array(name, array))

    def register_buffer(self, name: str, array: Any, persistent: bool = True) -> None:
        """Add an array that is state but not trained; one that is not persistent stays out of `state_dict`."""
        self._place(self._buffers, name, None if array is None else np.array(array))
        (self._transient.discard if persistent else self._transient.add)(name)

    def register_module(self, name: str, module: Module) -> None:
        """Add a submodule under a name that need not be an identifier."""
        if not isinstance(module, Module):
            raise TypeError(f"module {name!r} must be a Module, not {type(module).__name__}")
        self._place(self._modules, name, module)

    def _tables(self) -> tuple[dict[str, Any], ...]:
        return self._parameters, self._buffers, self._modules

    def _place(self, table: dict[str, Any], name: str, value: Any) -> None:
        """Put a value into one table, where a name that is there keeps its place, and take the name out of all else."""
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"name must be a non-empty string without a dot, not {name!r}")
        for other in (*self._tables(), self.__dict__):
            if other is not table:
                other.pop(name, None)
        table[name] = value

    def _write_buffer(self, name: str, value: Any) -> None:
        held = self._buffers[name]
        trace = _trace.get()
        if trace is not None and held is not None:
            trace.values[id(held)] = value
            if id(held) in trace.names:  # a module outside the called model keeps its state
                trace.updates[trace.names[id(held)]] = value
        elif value is None or held is None or np.shape(value) != held.shape:
            self._buffers[name] = None if value is None else np.array(value)
        else:
            np.copyto(held, np.asarray(value), casting="same_kind")

    # --- walks

    def named_modules(self, prefix: str = "", memo: set[int] | None = None) -> Iterator[tuple[str, Module]]:
        """This module (under `prefix`) and all below it with their dotted names, each once, parents first."""
        memo = set() if memo is None else memo
        if id(self) in memo:
            return
        memo.add(id(self))
        yield prefix, self
        for name, module in self._modules.items():
            yield from module.named_modules(_join(prefix, name), memo)

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once, parents first."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules with their names, each once."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct submodules, each once."""
        return (module for _, module in self.named_children())

    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, np.ndarray]]:
        """The parameters with their dotted names; one that is shared comes once, under its first name."""
        return ((name, _current(array)) for name, array in self._named("_parameters", prefix, recurse))

    def parameters(self, recurse: bool = True) -> Iterator[np.ndarray]:
        """The parameters, each once."""
        return (array for _, array in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, np.ndarray]]:
        """The buffers with their dotted names, those that `state_dict` leaves out among them."""
        return ((name, _current(array)) for name, array in self._named("_buffers", prefix, recurse))

    def buffers(self, recurse: bool = True) -> Iterator[np.ndarray]:
        """The buffers, each once."""
        return (array for _, array in self.named_buffers(recurse=recurse))

    def _named(self, table: str, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, np.ndarray]]:
        seen: set[int] = set()
        for path, module in self.named_modules(prefix) if recurse else ((prefix, self),):
            for name, array in module.__dict__[table].items():
                if array is not None and id(array) not in seen:
                    seen.add(id(array))
                    yield _join(path, name), array

    def num_parameters(self) -> int:
        """How many numbers are trained; a shared parameter counts once."""
        return sum(array.size for array in self.parameters())

    # --- state

    def state_dict(self, prefix: str = "") -> dict[str, np.ndarray]:
        """Every parameter and persistent buffer under its dotted name: the arrays themselves, not copies."""
        return {name: _current(owner[key]) for name, owner, key in self._slots(prefix)}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True, assign: bool = False) -> IncompatibleKeys:
        """Copy arrays into the parameters and buffers of the same names; nothing is written if anything is wrong.

        Parameters
        ----------
        state : mapping of str to array_like
            As `state_dict` gives it; PyTorch's, moved to the CPU, will do.
        strict : bool
            Whether a name that only one side has is an error.
        assign : bool
            Take over the given values with their dtypes, instead of casting them to the module's.

        Returns
        -------
        IncompatibleKeys
            `missing_keys` and `unexpected_keys`.

        Raises
        ------
        ValueError
            If names (where `strict`) or shapes differ.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state must map names to arrays, not be a {type(state).__name__}")
        slots = {name: (owner, key) for name, owner, key in self._slots()}
        missing = [name for name in slots if name not in state]
        unexpected = [name for name in state if name not in slots]
        new = {name: np.asarray(state[name]) for name in slots if name in state}
        wrong = [
            f"{name} has shape {array.shape} where the model has {slots[name][0][slots[name][1]].shape}"
            for name, array in new.items()
            if array.shape != slots[name][0][slots[name][1]].shape
        ]
        wrong += [
            f"{name} holds {array.dtype}, no numbers the model could take"
            for name, array in new.items()
            if not np.can_cast(array.dtype, slots[name][0][slots[name][1]].dtype, "same_kind")
        ]
        if strict and missing:
            wrong.append(f"missing: {', '.join(missing)}")
        if strict and unexpected:
            wrong.append(f"unexpected: {', '.join(unexpected)}")
        if wrong:
            raise ValueError(f"state does not fit this {type(self).__name__}: {'; '.join(wrong)}")
        taken: dict[int, np.ndarray] = {}  # ties survive
        for name, array in new.items():
            owner, key = slots[name]
            if assign:
                owner[key] = taken.setdefault(id(owner[key]), np.array(array))
            else:
                np.copyto(owner[key], array, casting="unsafe")
        return IncompatibleKeys(missing, unexpected)

    def _slots(self, prefix: str = "") -> Iterator[tuple[str, dict[str, np.ndarray], str]]:
        """(dotted name, table, key) of all in `state_dict`, in PyTorch's order; what is shared under every name."""
        for name, array in self._parameters.items():
            if array is not None:
                yield _join(prefix, name), self._parameters, name
        for name, array in self._buffers.items():
            if array is not None and name not in self._transient:
                yield _join(prefix, name), self._buffers, name
        for name, module in self._modules.items():
            yield from module._slots(_join(prefix, name))

    # --- the whole

    def train(self, mode: bool = True) -> Module:
        """Set this module and all below it to training (or, with False, evaluation); gives the module back."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self) -> Module:
        """Set this module and all below it to evaluation: dropout does nothing, batch norm uses running statistics."""
        return self.train(False)

    def apply(self, function: Callable[[Module], Any]) -> Module:
        """Call `function` on every submodule and on this module, children first; gives the module back."""
        for module in self.children():
            module.apply(function)
        function(self)
        return self

    def clone(self) -> Module:
        """A deep copy that shares nothing with this module."""
        return copy.deepcopy(self)

    def astype(self, dtype: Any) -> Module:
        """A copy whose floating-point parameters and buffers have another dtype; like `ndarray.astype`.

        Raises
        ------
        TypeError
            If `dtype` is neither float32 nor float64.
        """
        dtype = float_dtype(dtype)
        result = self.clone()
        converted: dict[int, np.ndarray] = {}  # ties survive
        for module in result.modules():
            for table in (module._parameters, module._buffers):
                for name, array in table.items():
                    if array is not None and array.dtype in FLOATS:
                        table[name] = converted.setdefault(id(array), array.astype(dtype, copy=False))
        return result

    def summary(self, *input_shapes: tuple[int, ...], dtype: Any = None) -> Summary:
        """What the model is and costs for inputs of these shapes (without the batch axis); `print` shows a table.

        Parameters and errors are those of `pyconv.nn.summary.summarize`.
        """
        from pyconv.nn.summary import summarize

        return summarize(self, *input_shapes, dtype=dtype)

    def extra_repr(self) -> str:
        """What stands between the brackets of `repr`."""
        return ""

    def __repr__(self) -> str:
        lines = [f"({name}): {module!r}".replace("\n", "\n  ") for name, module in self._modules.items()]
        extra = self.extra_repr()
        if not lines:
            return f"{type(self).__name__}({extra})"
        return "\n  ".join([f"{type(self).__name__}({extra}", *lines]) + "\n)"


def functional_call(model: Module, state: Mapping[str, Any], *args: Any, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
    """Call a model with these values in place of its parameters and buffers; the model itself is left as it is.

    Parameters
    ----------
    model : Module
    state : mapping of str to ndarray or Node
        Values by dotted name; what is not named stays the model's own. A shared parameter may be given under any of its
        names.
    *args, **kwargs
        Handed to the model.

    Returns
    -------
    output : Any
        What the model returned.
    updates : dict of str to ndarray or Node
        New values of the buffers that the call assigned (running statistics, random states).

    Raises
    ------
    ValueError
        If a name is not the model's, or a shape differs.

    Examples
    --------
    >>> import numpy as np
    >>> from pyconv import nn
    >>> layer = nn.Linear(2, 1)
    >>> y, updates = nn.functional_call(layer, {"weight": np.ones((1, 2)), "bias": np.zeros(1)}, np.ones((1, 2)))
    >>> float(y[0, 0]), updates
    (2.0, {})
    """
    outer = _trace.get()
    values = {} if outer is None else dict(outer.values)
    held: dict[str, np.ndarray] = {}
    names: dict[int, str] = {}
    for path, module in model.named_modules():
        for key, array in (*module._parameters.items(), *module._buffers.items()):
            if array is not None:
                held[_join(path, key)] = array
        names.update((id(array), _join(path, key)) for key, array in module._buffers.items() if array is not None)
    for name, value in state.items():
        if name not in held:
            raise ValueError(f"state names {name!r}, which this {type(model).__name__} does not have")
        if tuple(value.shape) != held[name].shape:
            raise ValueError(f"state gives {name} the shape {tuple(value.shape)}; it must be {held[name].shape}")
        values[id(held[name])] = value
    trace = _Trace(values, names)
    token = _trace.set(trace)
    try:
        return model(*args, **kwargs), trace.updates
    finally:
        _trace.reset(token)


@contextmanager
def watch(callback: Callable[[Module, tuple, Any], None]) -> Iterator[None]:
    """Inside a `with` block, in this thread alone, call `callback(module, args, output)` after every module's call."""
    token = _watcher.set(callback)
    try:
        yield
    finally:
        _watcher.reset(token)


def float_dtype(dtype: Any) -> np.dtype:
    """`dtype` as a NumPy dtype, if it is one that layers compute in."""
    result = np.dtype(dtype)
    if result not in FLOATS:
        raise TypeError(f"dtype must be float32 or float64, not {result}")
    return result


def _current(array: np.ndarray | None) -> Any:
    """What stands for a module's array in this thread now."""
    trace = _trace.get()
    return array if trace is None else trace.values.get(id(array), array)


def _parameter_array(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype not in FLOATS:
        raise TypeError(f"parameter {name!r} must be float32 or float64, not {array.dtype}")
    return array if array.flags.writeable else array.copy()


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
