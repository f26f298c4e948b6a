"""Modules that hold other modules: in a chain, in a list, under names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import index
from typing import Any

from pyconv.nn.module import Module


class _Indexed(Module):
    """Submodules named "0", "1", …."""

    def __init__(self, modules: Iterable[Module] = ()):
        self.extend(modules)

    def append(self, module: Module):
        """Add a module at the end; gives the container back."""
        name = str(len(self))
        if name in self._modules:
            raise ValueError(f"cannot append: a module named {name!r} is there already")
        self.register_module(name, module)
        return self

    def extend(self, modules: Iterable[Module]):
        """Add several modules at the end; gives the container back."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, position: int, module: Module) -> None:
        """Add a module before a position."""
        modules = list(self)
        modules.insert(position, module)
        self._replace(modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __getitem__(self, position):
        if isinstance(position, slice):
            return self._slice(position)
        return list(self)[self._position(position)]

    def __setitem__(self, position: int, module: Module) -> None:
        self.register_module(list(self._modules)[self._position(position)], module)

    def __delitem__(self, position) -> None:
        modules = list(self)
        del modules[position]
        self._replace(modules)

    def _position(self, position: int) -> int:
        if not -len(self) <= index(position) < len(self):
            raise IndexError(f"position {position} is outside of {len(self)} modules")
        return index(position) % len(self)

    def _replace(self, modules: list[Module]) -> None:
        self._modules.clear()
        self.extend(modules)


class Sequential(_Indexed):
    """A chain: each module is called on what the one before returned.

    Parameters
    ----------
    *modules : Module, or one dict of str to Module
        A dict names the modules; without it they are named "0", "1", ….

    Examples
    --------
    >>> import numpy as np
    >>> from pyconv import nn
    >>> model = nn.Sequential(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1176, 10))
    >>> model(np.zeros((1, 3, 32, 32), np.float32)).shape
    (1, 10)
    """

    def __init__(self, *modules: Module | Mapping[str, Module]):
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.register_module(name, module)
        else:
            self.extend(modules)  # type: ignore[arg-type]  # what is no Module is refused there

    def forward(self, x: Any) -> Any:
        for module in self._modules.values():
            x = module(x)
        return x

    def _slice(self, positions: slice) -> Sequential:
        return Sequential(dict(list(self._modules.items())[positions]))  # names stay, as in PyTorch


class ModuleList(_Indexed):
    """A list of modules that its owner calls as it likes; their parameters are the owner's.

    Examples
    --------
    >>> from pyconv import nn
    >>> blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
    >>> len(blocks), sum(1 for _ in blocks.named_parameters())
    (3, 6)
    """

    def _slice(self, positions: slice) -> ModuleList:
        return ModuleList(list(self)[positions])


class ModuleDict(Module):
    """Modules under names, read and written like a dict.

    Examples
    --------
    >>> from pyconv import nn
    >>> heads = nn.ModuleDict({"small": nn.Linear(4, 2), "large": nn.Linear(4, 8)})
    >>> sorted(heads)
    ['large', 'small']
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()):
        self.update(modules)

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace modules."""
        for name, module in dict(modules).items():
            self[name] = module

    def __getitem__(self, name: str) -> Module:
        return self._modules[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self.register_module(name, module)

    def __delitem__(self, name: str) -> None:
        del self._modules[name]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def keys(self):
        return self._modules.keys()

    def values(self):
        return self._modules.values()

    def items(self):
        return self._modules.items()
