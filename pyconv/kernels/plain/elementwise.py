"""Functions of two arrays with NumPy broadcasting, and selection."""

import numpy as np

UFUNCS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.true_divide,
    "pow": np.power,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "less": np.less,
    "less_equal": np.less_equal,
    "equal": np.equal,
    "not_equal": np.not_equal,
}


def binary(y, a, b, name):
    """y = f(a, b) for the named f; overwrites y."""
    UFUNCS[name](a, b, out=y)


def where(y, condition, a, b):
    """y = a where condition is not 0, else b; overwrites y."""
    y[...] = np.where(condition, a, b)
