"""Module: parameters, buffers and submodules under names, and what can be done with the whole of them.

A module holds arrays. Reading `self.weight` gives the array, or, while `functional_call` runs in this thread, the
value that stands for it (see `pyconv/nn/trace.py`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pyconv.nn.trace import current, trace, watcher

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
        callback = watcher.get()
        if callback is not None:
            callback(self, args, output)
        return output

    # --- attributes

    def __getattr__(self, name: str) -> Any:
        held = self.__dict__
        if name in held["_parameters"]:
            return current(held["_parameters"][name])
        if name in held["_buffers"]:
            return current(held["_buffers"][name])
        if name in held["_modules"]:
            return held["_modules"][name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self.register_parameter(name, value.data)
        elif isinstance(value, Module):
            self._place(self._modules, name, value)
        elif name in self._parameters:
            if trace.get() is not None:
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
        call = trace.get()
        if call is not None and held is not None:
            call.assign(held, value)
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
            yield from module.named_modules(_joined(prefix, name), memo)

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
        return ((name, current(array)) for name, array in self._named("_parameters", prefix, recurse))

    def parameters(self, recurse: bool = True) -> Iterator[np.ndarray]:
        """The parameters, each once."""
        return (array for _, array in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, np.ndarray]]:
        """The buffers with their dotted names, those that `state_dict` leaves out among them."""
        return ((name, current(array)) for name, array in self._named("_buffers", prefix, recurse))

    def buffers(self, recurse: bool = True) -> Iterator[np.ndarray]:
        """The buffers, each once."""
        return (array for _, array in self.named_buffers(recurse=recurse))

    def _named(self, table: str, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, np.ndarray]]:
        seen: set[int] = set()
        for path, module in self.named_modules(prefix) if recurse else ((prefix, self),):
            for name, array in module.__dict__[table].items():
                if array is not None and id(array) not in seen:
                    seen.add(id(array))
                    yield _joined(path, name), array

    def num_parameters(self) -> int:
        """How many numbers are trained; a shared parameter counts once."""
        return sum(array.size for array in self.parameters())

    # --- state

    def state_dict(self, prefix: str = "") -> dict[str, np.ndarray]:
        """Every parameter and persistent buffer under its dotted name: the arrays themselves, not copies."""
        return {name: current(owner[key]) for name, owner, key in self._slots(prefix)}

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
                yield _joined(prefix, name), self._parameters, name
        for name, array in self._buffers.items():
            if array is not None and name not in self._transient:
                yield _joined(prefix, name), self._buffers, name
        for name, module in self._modules.items():
            yield from module._slots(_joined(prefix, name))

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


def float_dtype(dtype: Any) -> np.dtype:
    """`dtype` as a NumPy dtype, if it is one that layers compute in."""
    result = np.dtype(dtype)
    if result not in FLOATS:
        raise TypeError(f"dtype must be float32 or float64, not {result}")
    return result


def _parameter_array(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype not in FLOATS:
        raise TypeError(f"parameter {name!r} must be float32 or float64, not {array.dtype}")
    return array if array.flags.writeable else array.copy()


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
