"""What every public function does with its arguments first: take arrays in, normalise sizes, refuse the rest clearly.

Each check raises `ValueError` (right type, wrong value) or `TypeError` in one sentence that names the argument, what
came and what would do. Calls with plain ints and native float arrays take the short way through.
"""

from __future__ import annotations

from operator import index
from typing import Any, NoReturn

import numpy as np
from numpy import ndarray

from pyconv.ops.node import Node, Op
from pyconv.ops.reduce import Reshape

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
AXES = {1: "N, C, L", 2: "N, C, H, W", 3: "N, C, D, H, W"}  # by number of spatial axes
LARGEST = 2**31 - 1  # of strides, paddings, dilations and sizes along an axis


def as_input(x: Any, name: str, ndim: int | None = None) -> Any:
    """`x` as a node or a native float32 or float64 ndarray, without a copy where it is one already.

    Takes ndarrays of any memory order and objects with `__dlpack__` or `__array__` (PyTorch CPU tensors share their
    memory). A non-native byte order costs a copy.
    """
    if type(x) is ndarray:
        dtype = x.dtype
        if (dtype is FLOAT32 or dtype is FLOAT64) and (ndim is None or x.ndim == ndim):
            return x
    elif type(x) is not Node:
        x = as_array(x, name)
    if x.dtype != FLOAT32 and x.dtype != FLOAT64:
        x = _native_float(x, name)
    if ndim is not None and x.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes, not {x.ndim} (its shape is {x.shape})")
    return x


def as_array(x: Any, name: str) -> ndarray:
    """`x` as an ndarray of whatever dtype it has, sharing memory where it can; no lists and no masked arrays."""
    if isinstance(x, ndarray):
        if isinstance(x, np.ma.MaskedArray):
            raise TypeError(f"{name} must not be a masked array: fill it first, with {name}.filled(value)")
        return np.asarray(x)
    if getattr(x, "requires_grad", False):
        raise TypeError(f"{name} is a tensor that requires grad, which pyconv cannot track: pass {name}.detach()")
    if hasattr(x, "__dlpack__"):
        try:
            return np.from_dlpack(x)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            raise TypeError(f"{name} must be an array that NumPy can read from CPU memory: {error}") from error
    if hasattr(x, "__array__"):
        return np.asarray(x)
    wrap = f"; np.asarray({name}, np.float32) would do" if isinstance(x, (list, tuple, int, float)) else ""
    raise TypeError(
        f"{name} must be an array (ndarray, or an object with __dlpack__ or __array__), not {type(x).__name__}{wrap}"
    )


def as_indices(indices: Any, name: str, ndim: int) -> Any:
    """`indices` as a node or an int64 ndarray of `ndim` axes."""
    if type(indices) is not Node:
        indices = as_array(indices, name)
    if indices.dtype.kind not in "iu" or (type(indices) is Node and indices.dtype != np.int64):
        raise TypeError(f"{name} must hold integers (int64), not {indices.dtype}")
    if indices.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes, not {indices.ndim} (its shape is {indices.shape})")
    return indices if type(indices) is Node else indices.astype(np.int64, "K", copy=False)


def _native_float(x: Any, name: str) -> ndarray:
    if x.dtype.kind == "f" and x.dtype.itemsize in (4, 8) and type(x) is not Node:
        return x.astype(x.dtype.newbyteorder("="))
    advice = f": convert it with {name}.astype(np.float32)" if x.dtype.kind in "biuf" else ""
    raise TypeError(f"{name} must be float32 or float64, not {x.dtype}{advice}")


def check_same_dtype(x: Any, name: str, other: Any, other_name: str) -> None:
    """Refuse to mix float32 and float64."""
    if other.dtype is not x.dtype and other.dtype != x.dtype:
        raise TypeError(f"{other_name} must have {name}'s dtype {x.dtype}, not {other.dtype}")


def batched(x: Any, name: str, n: int) -> tuple[Any, bool]:
    """`x` with a batch axis before its channels and `n` spatial axes, and whether one had to be added."""
    if x.ndim == n + 2:
        return x, False
    if x.ndim == n + 1:
        return Reshape((1, *x.shape))(x), True
    raise ValueError(
        f"{name} must have {n + 2} axes ({AXES[n]}), or {n + 1} without a batch, not {x.ndim} (its shape is {x.shape})"
    )


def unbatched(y: Any) -> Any:
    """Drop the batch axis that `batched` added."""
    return Reshape(y.shape[1:])(y)


def batched_pair(n: int, dy: Any, x: Any) -> tuple[Any, Any, bool]:
    """dy and x with a batch axis, of one dtype, and whether one had to be added."""
    dy, single = batched(as_input(dy, "dy"), "dy", n)
    x, _ = batched(as_input(x, "x"), "x", n)
    check_extent(dy.shape, "dy")
    check_same_dtype(x, "x", dy, "dy")
    return dy, x, single


def with_input_size(n: int, dy: Any, input_size: Any) -> tuple[Any, bool, tuple[int, ...]]:
    """dy with a batch axis, whether one had to be added, and the shape of the pooling's input."""
    dy, single = batched(as_input(dy, "dy"), "dy", n)
    check_extent(dy.shape, "dy")
    size = shape_or_tail(input_size, "input_size", n)
    x_shape = (*dy.shape[:2], *size[-n:])
    if len(size) == n + 2 and size != x_shape:
        raise ValueError(f"input_size must be {x_shape} for dy of shape {dy.shape}, not {size}")
    return dy, single, x_shape


def integer(value: Any, name: str) -> int:
    """An int from anything that is one (NumPy integers too); bools and floats are not."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        return index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, not {value!r}") from None


def at_least_1(value: Any, name: str) -> int:
    """A positive int."""
    value = value if type(value) is int else integer(value, name)
    check_least((value,), name, 1)
    return value


def sizes(value: Any, name: str, n: int) -> tuple[int, ...]:
    """One int an axis from an int or a sequence of `n` (or one) ints."""
    if type(value) is int:
        return (value,) * n
    if type(value) is tuple and len(value) == n and set(map(type, value)) == {int}:
        return value
    if not _is_sequence(value):
        try:
            return (integer(value, name),) * n
        except TypeError:
            _refuse_sizes(value, name, n)
    if len(value) not in (1, n):
        raise ValueError(f"{name} must be an int or {n} ints, not {len(value)}: {value!r}")
    try:
        entries = tuple(integer(v, name) for v in value)
    except TypeError:
        _refuse_sizes(value, name, n)
    return entries if len(entries) == n else entries * n


def padding_pairs(value: Any, name: str, n: int) -> tuple[tuple[int, int], ...]:
    """(begin, end) an axis from an int, `n` (or one) ints, or `n` pairs."""
    if type(value) is int:
        return ((value, value),) * n
    if type(value) is tuple and len(value) == n:
        for v in value:
            if type(v) is not tuple or len(v) != 2 or type(v[0]) is not int or type(v[1]) is not int:
                break
        else:
            return value  # as layers hold it
    if not _is_sequence(value) or not any(map(_is_sequence, value)):
        return tuple((p, p) for p in sizes(value, name, n))
    if len(value) != n or any(_is_sequence(v) and len(v) != 2 for v in value):
        raise ValueError(f"{name} must be an int, {n} ints or {n} (begin, end) pairs, not {value!r}")
    return tuple(sizes(v, name, 2) for v in value)  # type: ignore[misc]


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (tuple, list)) or (isinstance(value, ndarray) and value.ndim > 0)


def _refuse_sizes(value: Any, name: str, n: int) -> NoReturn:
    raise TypeError(f"{name} must be an int or {n} ints, not {value!r}")


def check_least(values: tuple[int, ...], name: str, least: int) -> None:
    """Every entry at least `least`, and no more than sizes may be."""
    if min(values) < least or max(values) > LARGEST:
        bound = f"at least {least}" if min(values) < least else f"at most {LARGEST}"
        raise ValueError(f"{name} must be {bound}, not {values[0] if len(set(values)) == 1 else values}")


def check_choice(value: Any, name: str, choices: tuple[str, ...]) -> None:
    """One of the names."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def check_extent(shape: tuple[int, ...], name: str) -> None:
    """No axis but the batch may be empty."""
    if 0 in shape[1:]:
        raise ValueError(f"{name} must not be empty along any axis but the batch, its shape is {shape}")


def check_shape(x: Any, name: str, shape: tuple[int, ...], whose: str) -> None:
    """Exactly this shape."""
    if x.shape != shape:
        raise ValueError(f"{name} must have the shape {shape} of {whose}, not {x.shape}")


def shape_or_tail(value: Any, name: str, n: int) -> tuple[int, ...]:
    """A whole shape (n + 2 ints) or its spatial part (n ints, each at least 1)."""
    if not isinstance(value, (tuple, list, ndarray)) or len(value) not in (n, n + 2):
        raise ValueError(f"{name} must be {n + 2} ints, or the last {n} of them, not {value!r}")
    values = sizes(value, name, len(value))
    check_least(values[-n:], name, 1)
    return values


def compute_into(out: Any, op: Op, *inputs: Any) -> ndarray:
    """Run `op` on arrays into the caller's array `out`; through a copy where `out` shares memory with an input."""
    if any(type(i) is Node for i in inputs):
        raise TypeError("out cannot be given while a computation is being recorded: leave it out")
    if type(out) is not ndarray:
        raise TypeError(f"out must be an ndarray, not {type(out).__name__}")
    shape, dtype = op.infer(*inputs)
    if out.shape != shape:
        raise ValueError(f"out must have the result's shape {shape}, not {out.shape}")
    if out.dtype != dtype:
        raise TypeError(f"out must have the result's dtype {dtype}, not {out.dtype}")
    if not out.flags.writeable:
        raise ValueError("out must be writeable, not a read-only array")
    if not any(i is not None and np.may_share_memory(out, i) for i in inputs):
        return op.compute(*inputs, out=out)
    np.copyto(out, op.compute(*inputs))
    return out
