"""Functions of one number, element by element."""

from __future__ import annotations

import pyconv.functional as F
from pyconv.onnx.registry import floats, operator


def _register(name, function):
    @operator(name, since=6)
    def entry(x):
        floats(x)
        return function(x)


for _name, _function in {
    "Abs": F.abs,
    "Ceil": F.ceil,
    "Cos": F.cos,
    "Erf": F.erf,
    "Exp": F.exp,
    "Floor": F.floor,
    "Log": F.log,
    "Neg": F.neg,
    "Round": F.round,
    "Sign": F.sign,
    "Sin": F.sin,
    "Sqrt": F.sqrt,
}.items():
    _register(_name, _function)


@operator("Reciprocal", since=6)
def reciprocal(x):
    floats(x)
    return F.div(1.0, x)
