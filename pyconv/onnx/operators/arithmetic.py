"""Arithmetic of two arrays or more, with NumPy's broadcasting."""

from __future__ import annotations

from functools import reduce

import numpy as np

import pyconv.functional as F
from pyconv.onnx.registry import UnsupportedError, floats, is_known, operator
from pyconv.ops.node import Node


def _numbers(*values):
    """Refuse mixed dtypes, which ONNX does not know either."""
    if any(v.dtype != values[0].dtype for v in values):
        raise UnsupportedError("mixed dtypes")


def _binary(name, function):
    @operator(name, since=7)
    def entry(a, b):
        _numbers(a, b)
        return function(a, b)


for _name, _function in {"Add": F.add, "Sub": F.sub, "Mul": F.mul}.items():
    _binary(_name, _function)


@operator("Div", since=7)
def div(a, b):
    _numbers(a, b)
    if a.dtype.kind in "iu" and is_known(a, b):  # integers round towards zero
        return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)
    floats(a, b)
    return F.div(a, b)


@operator("Pow", since=7)
def pow(a, b):
    floats(a)
    if type(b) is not Node and b.size == 1 and b.dtype.kind in "iuf" and b.ndim <= a.ndim:
        return F.pow(a, b.item())
    floats(b)
    _numbers(a, b)
    return F.pow(a, b)


def _variadic(name, function):
    @operator(name, since=8)
    def entry(*values):
        _numbers(*values)
        return reduce(function, values)


_variadic("Max", F.maximum)
_variadic("Min", F.minimum)
_variadic("Sum", F.add)


@operator("Mean", since=8)
def mean(*values):
    floats(*values)
    _numbers(*values)
    return F.div(reduce(F.add, values), len(values))


@operator("Mod", since=10)
def mod(a, b, *, fmod=0):
    if not is_known(a, b):
        raise UnsupportedError("a remainder")
    return np.fmod(a, b) if fmod else np.mod(a, b)
