"""Writes docs/api.md: every public name with the first line of its docstring. A test holds the page to the code."""

import inspect
from importlib import import_module
from pathlib import Path

PAGE = Path(__file__).with_name("api.md")
MODULES = {
    "pyconv": "import pyconv as pc",
    "pyconv.functional": "import pyconv.functional as F",
    "pyconv.nn": "from pyconv import nn",
    "pyconv.nn.init": "from pyconv.nn import init",
    "pyconv.optim": "from pyconv import optim",
    "pyconv.models": "from pyconv import models",
    "pyconv.data": "from pyconv import data",
    "pyconv.train": "from pyconv import train",
    "pyconv.analysis": "from pyconv import analysis",
    "pyconv.viz": "from pyconv import viz",
}
HEAD = """# API reference

Every public name with the first line of its docstring; `help(name)` has the rest: shapes, errors, an example, the
source. Written by `docs/make_api.py`.
"""


def first_line(module, name):
    if name == "__version__":
        return "The version, a string."
    return inspect.getdoc(getattr(module, name)).splitlines()[0].replace("|", "&#124;")


def public_names(module):
    """`__all__`, or the functions of a package that gathers its modules' names."""
    functions = [name for name, value in vars(module).items() if inspect.isfunction(value) and name[0] != "_"]
    return getattr(module, "__all__", None) or functions


def page():
    """The text of the page."""
    parts = [HEAD]
    for path, how in MODULES.items():
        module = import_module(path)
        rows = [f"| `{name}` | {first_line(module, name)} |" for name in sorted(public_names(module))]
        parts.append("\n".join([f"\n## `{path}`\n", f"`{how}`\n", "| name | |", "| --- | --- |", *rows]) + "\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
