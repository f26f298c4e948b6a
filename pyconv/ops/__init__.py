"""Operations: each a small class with its attributes, shape rule, gradient rule and kernel's name.

Importing the package gives `Node` its operators and methods, which the modules of their ops install.
"""

from pyconv.ops import elementwise, linear, shape, statistics

__all__ = ["elementwise", "linear", "shape", "statistics"]
