"""Optional dependencies: imported where they are used, with an error that names the extra when they are missing."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Import an optional module.

    Parameters
    ----------
    module : str
        Dotted name, as in ``"matplotlib.pyplot"``.
    extra : str
        The extra of ``pyconv-engine`` that brings it.

    Raises
    ------
    ImportError
        If the module cannot be imported; the message says what to install.

    Examples
    --------
    >>> require("json", "train").dumps([1])
    '[1]'
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(f'{package} is needed here ({error}): pip install "pyconv-engine[{extra}]"') from error
