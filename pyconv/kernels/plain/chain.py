"""Chains of elementwise functions, one after the other."""

import numpy as np

from pyconv.kernels.plain.elementwise import UFUNCS, binary, where
from pyconv.kernels.plain.unary import unary


def chain(y, *arguments):
    """y = the last of some steps (name, values, parameters), whose values are inputs, numbers and earlier results."""
    *inputs, numbers, steps = arguments
    values = [*inputs, *(y.dtype.type(number) for number in numbers)]
    for number, (name, operands, parameters) in enumerate(steps, 1):
        out = y if number == len(steps) else np.empty_like(y)
        given = [values[i] for i in operands]
        if name == "where":
            where(out, *given)
        elif name in UFUNCS:
            binary(out, given[0], given[1], name)
        else:
            unary(out, *given, name, *parameters)
        values.append(out)
