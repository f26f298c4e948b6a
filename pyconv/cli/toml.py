"""Flat configurations as TOML: written by hand, read by the standard library (or tomli before Python 3.11)."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from pyconv._extras import require


def dumps(values: Mapping[str, Any]) -> str:
    """TOML text of strings, numbers, truth values and lists of them, a line each; None is left out."""
    return "".join(f"{key} = {_value(value)}\n" for key, value in values.items() if value is not None)


def read(path: str | PathLike[str]) -> dict[str, Any]:
    """The values in a TOML file.

    Raises
    ------
    ValueError
        If it is not TOML.
    """
    toml = require("tomllib", "train") if sys.version_info >= (3, 11) else require("tomli", "train")
    try:
        return toml.loads(Path(path).read_text("utf-8"))
    except ValueError as error:  # tomllib.TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise ValueError(f"{path} is not a TOML file: {error}") from error


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # a JSON string is a TOML basic string
    if isinstance(value, float):
        return repr(value)  # inf and nan included
    if isinstance(value, int):
        return str(value)
    return f"[{', '.join(_value(v) for v in value)}]"
