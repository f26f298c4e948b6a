"""Moving elements: reshaping, slicing, joining and padding. What can be a view of its input is one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pyconv.functional.arguments import as_array, as_input, check_choice, check_least, check_same_dtype, integer
from pyconv.ops import shape as ops
from pyconv.ops.node import Node
from pyconv.ops.reduce import Broadcast, Reshape

__all__ = [
    "broadcast_to",
    "concat",
    "flatten",
    "getitem",
    "pad",
    "permute",
    "reshape",
    "split",
    "stack",
    "transpose",
]


def reshape(x, shape):
    """The same elements, in C order, under another shape. ONNX `Reshape`.

    Parameters
    ----------
    x : array, any shape
    shape : int or sequence of ints
        One of them may be -1: what is left.

    Raises
    ------
    ValueError
        If the number of elements differs.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.reshape(np.zeros((2, 6)), (3, -1)).shape
    (3, 4)
    """
    return ops.reshape(_array(x, "x"), _sizes(shape, "shape"))


def flatten(x, start_dim=0, end_dim=-1):
    """The axes from start_dim to end_dim as one; F.flatten(x, 1) makes a row of each sample. ONNX `Flatten`.

    Raises
    ------
    ValueError
        If x has no such axes, or they are in the wrong order.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.flatten(np.zeros((2, 3, 4)), 1).shape
    (2, 12)
    """
    x = _array(x, "x")
    if x.ndim == 0:
        return Reshape((1,))(x)
    start, end = _axis(start_dim, "start_dim", x.ndim), _axis(end_dim, "end_dim", x.ndim)
    if start > end:
        raise ValueError(f"start_dim must not come after end_dim, they are axes {start} and {end}")
    shape = tuple(x.shape)
    return Reshape((*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))(x)


def transpose(x, dim0, dim1):
    """x with two axes swapped, as `torch.transpose`; `permute` orders them all.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.transpose(np.zeros((2, 3, 4)), 0, 2).shape
    (4, 3, 2)
    """
    x = _array(x, "x")
    first, second = _axis(dim0, "dim0", x.ndim), _axis(dim1, "dim1", x.ndim)
    axes = list(range(x.ndim))
    axes[first], axes[second] = second, first
    return ops.Transpose(tuple(axes))(x)


def permute(x, dims):
    """The axes in the order given. ONNX `Transpose`, `torch.permute`.

    Raises
    ------
    ValueError
        If dims does not name every axis once.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.permute(np.zeros((2, 3, 4)), (0, 2, 1)).shape
    (2, 4, 3)
    """
    x, dims = _array(x, "x"), _sizes(dims, "dims")
    axes = tuple(_axis(d, "dims", x.ndim) for d in dims)
    if sorted(axes) != list(range(x.ndim)):
        raise ValueError(f"dims must name each of the {x.ndim} axes once, not {tuple(dims)}")
    return ops.Transpose(axes)(x)


def broadcast_to(x, shape):
    """x repeated to `shape` by NumPy's rules, as a read-only view. ONNX `Expand`.

    Raises
    ------
    ValueError
        If x does not broadcast to it.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.broadcast_to(np.array([1.0, 2.0]), (2, 2)).tolist()
    [[1.0, 2.0], [1.0, 2.0]]
    """
    x, shape = _array(x, "x"), _sizes(shape, "shape")
    try:
        fits = np.broadcast_shapes(x.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"x of shape {tuple(x.shape)} does not broadcast to shape {shape}")
    return Broadcast(shape)(x)


def getitem(x, key):
    """x[key] for integers, slices (of any step), None and Ellipsis; a view. ONNX `Slice`.

    Raises
    ------
    IndexError
        If an integer lies outside its axis, or there are more indices than axes.
    TypeError
        If the key holds something else.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.getitem(np.arange(6.0).reshape(2, 3), (0, slice(None, None, -1))).tolist()
    [2.0, 1.0, 0.0]
    """
    return ops.getitem(_array(x, "x"), key)


def concat(arrays, dim=0):
    """The arrays one after another along an axis. ONNX `Concat`.

    Parameters
    ----------
    arrays : sequence of arrays
        At least one; of one dtype, and of one shape but for axis `dim`.
    dim : int

    Raises
    ------
    ValueError, TypeError
        If there is none, or shapes or dtypes do not fit.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.concat([np.zeros((2, 1)), np.ones((2, 3))], 1).shape
    (2, 4)
    """
    arrays = _arrays(arrays)
    axis = _axis(dim, "dim", arrays[0].ndim)
    for i, array in enumerate(arrays[1:], start=1):
        if array.ndim != arrays[0].ndim or any(
            n != m for a, (n, m) in enumerate(zip(array.shape, arrays[0].shape, strict=True)) if a != axis
        ):
            raise ValueError(
                f"arrays[{i}] must have the shape {tuple(arrays[0].shape)} of arrays[0] except along axis {axis}, "
                f"its shape is {tuple(array.shape)}"
            )
    return ops.Concat(axis)(*arrays)


def stack(arrays, dim=0):
    """The arrays side by side along a new axis.

    Parameters
    ----------
    arrays : sequence of arrays
        At least one; of one shape and dtype.
    dim : int
        Where the new axis stands in the result.

    Raises
    ------
    ValueError, TypeError
        If there is none, or shapes or dtypes differ.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.stack([np.zeros(3), np.ones(3)], -1).shape
    (3, 2)
    """
    arrays = _arrays(arrays)
    shape = tuple(arrays[0].shape)
    axis = _axis(dim, "dim", len(shape) + 1)
    for i, array in enumerate(arrays):
        if tuple(array.shape) != shape:
            raise ValueError(f"arrays[{i}] must have the shape {shape} of arrays[0], not {tuple(array.shape)}")
    return ops.Concat(axis)(*(Reshape((*shape[:axis], 1, *shape[axis:]))(a) for a in arrays))


def split(x, split_size_or_sections, dim=0):
    """x cut along an axis into a list of views. ONNX `Split`.

    Parameters
    ----------
    x : array, any shape
    split_size_or_sections : int or sequence of ints
        The size of every piece (the last may be smaller), or the size of each; they add up to x's.
    dim : int

    Raises
    ------
    ValueError
        If the sizes do not add up, or one is negative.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> [part.shape for part in F.split(np.zeros((5, 2)), 2)]
    [(2, 2), (2, 2), (1, 2)]
    """
    x, name = _array(x, "x"), "split_size_or_sections"
    axis = _axis(dim, "dim", x.ndim)
    total = x.shape[axis]
    if isinstance(split_size_or_sections, (tuple, list)):
        parts = _sizes(split_size_or_sections, name)
        if sum(parts) != total or min(parts, default=0) < 0:
            raise ValueError(f"{name} must be sizes that add up to {total}, not {split_size_or_sections}")
    else:
        size = integer(split_size_or_sections, name)
        check_least((size,), name, 1)
        parts = tuple(min(size, total - begin) for begin in range(0, total, size)) or (0,)
    return [ops.take(x, axis, sum(parts[:i]), size) for i, size in enumerate(parts)]


def pad(x, pad, mode="constant", value=0.0):
    """Elements added at the ends of the last axes. ONNX `Pad`, `torch.nn.functional.pad`.

    Parameters
    ----------
    x : array, any shape, float32 or float64
    pad : sequence of ints
        (begin, end) of the last axis, then of the one before it, and so on. Negative numbers cut off.
    mode : {"constant", "reflect", "replicate", "circular"}
        What is added: `value`; x mirrored, without its border element; the border element; x from its other end.
    value : float

    Raises
    ------
    ValueError
        If pad has an odd number of entries or too many, leaves an axis with less than nothing, or asks for more than x
        holds: `reflect` less than an axis's size, `circular` at most that, `replicate` any number from one element on.

    Examples
    --------
    >>> import numpy as np, pyconv.functional as F
    >>> F.pad(np.array([1.0, 2.0, 3.0]), (1, 2), mode="reflect").tolist()
    [2.0, 1.0, 2.0, 3.0, 2.0, 1.0]
    """
    x, entries = as_input(x, "x"), _sizes(pad, "pad")
    check_choice(mode, "mode", ("constant", "reflect", "replicate", "circular"))
    if len(entries) % 2 or len(entries) > 2 * x.ndim:
        raise ValueError(f"pad must hold a (begin, end) pair for some of the last of x's {x.ndim} axes, not {entries}")
    pairs = [(0, 0)] * (x.ndim - len(entries) // 2) + list(zip(entries[-2::-2], entries[::-2], strict=True))
    kept = [(max(-b, 0), n + min(b, 0) + min(e, 0)) for n, (b, e) in zip(x.shape, pairs, strict=True)]
    for axis, (_, count) in enumerate(kept):
        if count < 0:
            raise ValueError(f"pad cuts more from axis {axis} than its {x.shape[axis]} elements: {pairs[axis]}")
    if mode == "circular" and min(entries, default=0) < 0:  # what is cut off is not repeated
        x = ops.Slice(tuple((begin, count, 1) for begin, count in kept))(x)
        pairs = [(max(b, 0), max(e, 0)) for b, e in pairs]
    for axis, (size, added) in enumerate(zip(x.shape, pairs, strict=True)):
        most = {"reflect": max(size - 1, 0), "circular": size, "replicate": math.inf if size else 0}.get(mode, math.inf)
        if max(added) > most:
            raise ValueError(f"pad adds at most {most} elements to axis {axis} in mode {mode!r}, not {added}")
    if not any(begin or end for begin, end in pairs):
        return x
    return ops.Pad(tuple(pairs), mode, float(value) if mode == "constant" else 0.0)(x)


def _array(x: Any, name: str) -> Any:
    """An array of any dtype, or a node."""
    return x if type(x) is Node else as_array(x, name)


def _arrays(arrays: Any) -> list[Any]:
    if not isinstance(arrays, Sequence):
        raise TypeError(f"arrays must be a list or tuple of arrays, not {type(arrays).__name__}")
    if not arrays:
        raise ValueError("arrays must hold at least one array")
    checked = [_array(a, f"arrays[{i}]") for i, a in enumerate(arrays)]
    for i, array in enumerate(checked):
        check_same_dtype(checked[0], "arrays[0]", array, f"arrays[{i}]")
    return checked


def _axis(dim: Any, name: str, ndim: int) -> int:
    dim = integer(dim, name)
    if not -ndim <= dim < ndim:
        allowed = f"lie in {-ndim} … {ndim - 1}" if ndim else "be left out for an array without axes"
        raise ValueError(f"{name} must {allowed}, not {dim}")
    return dim % ndim


def _sizes(values: Any, name: str) -> tuple[int, ...]:
    if isinstance(values, (tuple, list, np.ndarray)) and np.ndim(values) == 1:
        return tuple(integer(v, name) for v in values)
    return (integer(values, name),)
