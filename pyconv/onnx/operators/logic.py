"""Comparisons, logic, and the choice between two arrays."""

from __future__ import annotations

import operator as python

import numpy as np

import pyconv.functional as F
from pyconv.onnx.registry import UnsupportedError, is_known, operator


def _comparison(name, function):
    @operator(name, since=7)
    def entry(a, b):
        if a.dtype != b.dtype:
            raise UnsupportedError("mixed dtypes")
        return np.asarray(function(a, b)) if is_known(a, b) else function(a, b)


for _name, _function in {
    "Less": python.lt,
    "LessOrEqual": python.le,
    "Greater": python.gt,
    "GreaterOrEqual": python.ge,
    "Equal": python.eq,
}.items():
    _comparison(_name, _function)


def _logic(name, function):
    @operator(name, since=7)
    def entry(a, b):
        if a.dtype != bool or b.dtype != bool:
            raise UnsupportedError("no truth values")
        return function(a, b)


_logic("And", F.mul)
_logic("Or", F.maximum)
_logic("Xor", lambda a, b: np.not_equal(a, b) if is_known(a, b) else a != b)


@operator("Not")
def logical_not(x):
    return np.logical_not(x) if is_known(x) else x == np.zeros((), bool)


@operator("Where", since=9)
def where(condition, a, b):
    if a.dtype != b.dtype:
        raise UnsupportedError("mixed dtypes")
    return F.where(condition, a, b)
