"""Trees: arrays or nodes in dicts, lists and tuples, as people hand them to functions and get them back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with its leaves mapped, dicts in their own order; None stays."""
    if isinstance(tree, dict):
        return {key: map_leaves(function, value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        items = [map_leaves(function, item) for item in tree]
        if isinstance(tree, list):
            return items
        return type(tree)(*items) if hasattr(tree, "_fields") else tuple(items)
    return None if tree is None else function(tree)


def leaves(tree: Any) -> list[Any]:
    """The leaves in the order in which `map_leaves` meets them."""
    found: list[Any] = []
    map_leaves(found.append, tree)
    return found


def names(tree: Any, prefix: str = "") -> list[str]:
    """The dotted names of the leaves, in the same order: keys of dicts, places in lists and tuples."""
    if tree is None:
        return []
    if not isinstance(tree, (dict, list, tuple)):
        return [prefix]
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return [name for key, value in pairs for name in names(value, f"{prefix}.{key}" if prefix else str(key))]
