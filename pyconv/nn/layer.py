"""Layer: a module of this package, which its constructor's arguments describe.

As in scikit-learn, every argument of a layer's constructor is kept under its own name (an array that may be left out,
such as `bias`, by whether it is there), so one place gives the layer's `repr` and what a model file says of it.
"""

from __future__ import annotations

from inspect import Parameter as Argument
from inspect import signature
from typing import Any

from pyconv.nn.module import Module


class Layer(Module):
    """Base of pyconv's own layers."""

    def config(self) -> dict[str, Any]:
        """The arguments that make such a layer, without `dtype` and `generator`; JSON can hold them.

        Examples
        --------
        >>> from pyconv import nn
        >>> nn.Linear(3, 2, bias=False).config()
        {'in_features': 3, 'out_features': 2, 'bias': False}
        """
        return {a.name: self._argument(a.name) for a in _arguments(type(self))}

    def extra_repr(self) -> str:
        shown = []
        for argument in _arguments(type(self)):
            value, default = self._argument(argument.name), argument.default
            if default is Argument.empty and not isinstance(value, tuple):
                shown.append(repr(value))
            elif value != default and not (isinstance(value, tuple) and set(value) == {default}):
                shown.append(f"{argument.name}={value!r}")
        return ", ".join(shown)

    def _argument(self, name: str) -> Any:
        if name in self._parameters:
            return self._parameters[name] is not None
        return getattr(self, name)


def _arguments(cls: type) -> tuple[Argument, ...]:
    """The arguments of a layer's constructor that may be given by position; the rest is not part of what it is."""
    return tuple(a for a in signature(cls).parameters.values() if a.kind is Argument.POSITIONAL_OR_KEYWORD)
