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
