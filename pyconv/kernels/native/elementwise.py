"""Functions of one and two arrays in C. What it cannot walk along contiguous elements is left to NumPy."""

from __future__ import annotations

from functools import lru_cache

from pyconv.kernels.native.library import call, ffi, lib, pointer
from pyconv.kernels.native.loops import axes_of, by_stride, merged, unsupported

_DIMS = 6

UNARY = {
    name: getattr(lib, f"PYCONV_{name.upper()}")
    for name in (
        *("neg", "abs", "sqrt", "exp", "log", "relu", "leaky_relu", "clip", "hardtanh", "elu", "sigmoid", "tanh"),
        *("softplus", "gelu", "gelu_tanh", "silu", "mish", "hardsigmoid", "hardswish"),
    )
}
BINARY = {name: getattr(lib, f"PYCONV_{name.upper()}") for name in ("add", "sub", "mul", "div", "maximum", "minimum")}


def unary(y, x, name, *parameters):
    """y = f(x)."""
    call(lib.pyconv_unary, _loops(y, x), UNARY[name], pointer(y), pointer(x), _parameters(parameters))


def refuse_unary(y, x, name, *parameters):
    return f"it has no {name}" if name not in UNARY else _refuse(y, x)


def unary_backward(dx, dy, x, y, name, *parameters):
    """dx = dy · f'(x)."""
    arrays = map(pointer, (dx, dy, x, y))
    call(lib.pyconv_unary_backward, _loops(dx, dy, x, y), UNARY[name], *arrays, _parameters(parameters))


def refuse_unary_backward(dx, dy, x, y, name, *parameters):
    return f"it has no {name}" if name not in UNARY else _refuse(dx, dy, x, y)


def binary(y, a, b, name):
    """y = f(a, b), either operand broadcast."""
    call(lib.pyconv_binary, _loops(y, a, b), BINARY[name], pointer(y), pointer(a), pointer(b))


def refuse_binary(y, a, b, name):
    return f"it has no {name}" if name not in BINARY else _refuse(y, a, b)


def _parameters(values):
    return ffi.new("double[2]", [float(v) for v in values])


def _loops(*arrays):
    return _describe(arrays[0].itemsize, *((a.shape, a.strides) for a in arrays))


def _refuse(*arrays):
    reason = unsupported(*arrays)
    if reason is None and isinstance(described := _loops(*arrays), str):
        reason = described
    return reason


@lru_cache(maxsize=1024)
def _describe(itemsize, *arrays):
    """A `pyconv_loops` for the first array and those broadcast to its shape, or the reason why there is none."""
    shape = arrays[0][0]
    strides = [_broadcast(shape, *array) for array in arrays]
    axes = merged(by_stride(axes_of(shape, strides, itemsize))) or [(1, (1,) * len(arrays))]
    repeats = (0, 1) if len(arrays) == 3 else (1,)  # binary operands
    if axes[-1][1][0] != 1 or any(s not in repeats for s in axes[-1][1]):
        return "the innermost axis is not contiguous in every array"
    if len(axes) > _DIMS:
        return f"the arrays share too little memory order: {len(axes)} loops"
    axes = [(1, (0,) * len(arrays))] * (_DIMS - len(axes)) + axes
    rows = [[s[i] for _, s in axes] for i in range(len(arrays))]
    return ffi.new("pyconv_loops *", [[n for n, _ in axes], rows, 8 * itemsize])


def _broadcast(shape, own, strides):
    """Strides of an array broadcast to `shape`."""
    lead = len(shape) - len(own)
    return (0,) * lead + tuple(0 if n != m else s for n, m, s in zip(own, shape[lead:], strides, strict=True))
