"""What goes wrong with a model file, in one class that callers can catch."""

from __future__ import annotations


class ModelError(ValueError):
    """A model that is broken, hostile or beyond what can be run; the message says where."""
