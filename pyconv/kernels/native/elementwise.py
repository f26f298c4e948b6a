"""Elementwise functions in C: of reals in vectors, and of arrays whose types differ, a row at a time."""

from __future__ import annotations

from pyconv.kernels.native.library import call, ffi, lib, pointer
from pyconv.kernels.native.loops import INTEGERS, TYPES, UNSIGNED, describe, described, refuse, unsupported

UNARY = {
    name: getattr(lib, f"PYCONV_{name.upper()}")
    for name in (
        *("neg", "abs", "sign", "sqrt", "exp", "log", "relu", "leaky_relu", "clip", "hardtanh", "elu", "sigmoid"),
        *("tanh", "softplus", "gelu", "gelu_tanh", "silu", "mish", "hardsigmoid", "hardswish", "power"),
    )
}
POWERS = (-2, -1, -0.5, 0.5, 0.75, 1, 2, 3)
MIXED = {
    name: getattr(lib, f"PYCONV_{name.upper()}")
    for name in (
        *("add", "sub", "mul", "div", "maximum", "minimum"),
        *("pow", "less", "less_equal", "equal", "not_equal"),
    )
}
_WRAP = ("add", "sub", "mul")  # the same bits whether signed or not
BINARY = {name: MIXED[name] for name in ("add", "sub", "mul", "div", "maximum", "minimum")}


def unary(y, x, name, *parameters):
    """y = f(x)."""
    call(lib.pyconv_unary, describe(y, x), UNARY[name], pointer(y), pointer(x), _parameters(parameters))


def refuse_unary(y, x, name, *parameters):
    return _refuse_function(name, parameters) or unsupported(y, x) or refuse(y, x)


def unary_backward(dx, dy, x, y, name, *parameters):
    """dx = dy · f'(x)."""
    arrays = map(pointer, (dx, dy, x, y))
    call(lib.pyconv_unary_backward, describe(dx, dy, x, y), UNARY[name], *arrays, _parameters(parameters))


def refuse_unary_backward(dx, dy, x, y, name, *parameters):
    return _refuse_function(name, parameters) or unsupported(dx, dy, x, y) or refuse(dx, dy, x, y)


def binary(y, a, b, name):
    """y = f(a, b), either operand broadcast."""
    call(lib.pyconv_binary, describe(y, a, b), BINARY[name], pointer(y), pointer(a), pointer(b))


def refuse_binary(y, a, b, name):
    return f"it has no {name}" if name not in BINARY else unsupported(y, a, b) or refuse(y, a, b)


def mixed(y, a, b, name):
    """`binary` for arrays of any types: integers, say, or a comparison's flags."""
    call(lib.pyconv_mixed, described(y, a, b), MIXED[name], pointer(y), pointer(a), pointer(b))


def refuse_mixed(y, a, b, name):
    integers = a.dtype.char in INTEGERS and b.dtype.char in INTEGERS
    if integers and (name == "pow" or (name == "sub" and y.dtype.char == "?")):
        return f"it has no {name} of integers"
    if any(i.dtype.char in UNSIGNED for i in (y, a, b)) and not (integers and name in _WRAP):
        return f"it has no {name} of uint64"
    return _refuse_types(y, a, b, narrows=not integers or name == "div")


def where(y, condition, a, b):
    """y = a where the condition is not 0, else b."""
    call(lib.pyconv_where, described(y, condition, a, b), *map(pointer, (y, condition, a, b)))


def refuse_where(y, condition, a, b):
    if any(i.dtype.char in UNSIGNED for i in (condition, a, b)):
        return "it does not take uint64"
    integers = a.dtype.char in INTEGERS and b.dtype.char in INTEGERS
    return _refuse_types(y, condition, a, b, narrows=not integers)


def cast(y, x):
    """y = x in another type."""
    call(lib.pyconv_cast, described(y, x), pointer(y), pointer(x))


def refuse_cast(y, x):
    if y.dtype.char in UNSIGNED or x.dtype.char in UNSIGNED:
        return "it does not take uint64"
    return _refuse_types(y, x, narrows=x.dtype.char not in INTEGERS)


def _refuse_function(name, parameters):
    if name not in UNARY:
        return f"it has no {name}"
    if name == "power" and parameters[0] not in POWERS:
        return f"it has no power {parameters[0]}"
    return None


def _refuse_types(y, *operands, narrows):
    """`narrows`: results are in floating point."""
    for array in (y, *operands):
        if array.dtype.char not in TYPES or not array.dtype.isnative:
            return f"it does not take {array.dtype}"
        if not array.flags.aligned:
            return "an array is misaligned"
    if narrows and y.dtype.char in INTEGERS and y.dtype.char != "?":
        return "it makes no integers of floats"
    return refuse(y, *operands)


def _parameters(values):
    return ffi.new("double[2]", [float(v) for v in values])
