"""The version, in one place: the build reads it from here, and `pyconv.__version__` is it."""

__version__ = "0.1.0"
