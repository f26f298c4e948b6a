"""Functions in, functions out: gradients of a user's function, and a check of them by finite differences."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any

import numpy as np

from pyconv.graph.differentiate import gradients
from pyconv.graph.tree import map_leaves
from pyconv.ops.elementwise import mul
from pyconv.ops.node import Node
from pyconv.ops.reduce import Reshape
from pyconv.ops.statistics import sum as sum_over

_nested: ContextVar[bool] = ContextVar("pyconv_nested", default=False)  # an outer function is being differentiated


def value_and_grad(
    fn: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """Turn `fn` into a function that returns its value and the gradient of its value.

    Parameters
    ----------
    fn : callable
        Returns a scalar (an array of shape ``()``), computed with `pyconv.functional`, `pyconv.nn` or operators.
    argnums : int or tuple of ints
        Which positional arguments to differentiate by. Each is a float32 or float64 array, or a dict, list or tuple of
        such (nested as you like; None stands for something left out).
    has_aux : bool
        Whether `fn` returns a pair: the scalar, and something else to be handed through.

    Returns
    -------
    callable
        With the arguments of `fn`; returns ``(value, gradient)``, or ``((value, aux), gradient)`` with `has_aux`. The
        gradient has the structure of the argument (a tuple of gradients where `argnums` is a tuple).

    Raises
    ------
    TypeError
        If an argument to differentiate by holds something else than floating-point arrays, or `fn` returns no array.
    ValueError
        If `fn` returns an array that is not a scalar.

    Notes
    -----
    Reverse mode: one pass forward that records every op, one pass back. Functions made this way may be nested, which
    gives second derivatives.

    Examples
    --------
    >>> import numpy as np
    >>> import pyconv as pc
    >>> import pyconv.functional as F
    >>> def loss(params, x, y):
    ...     return F.mse_loss(F.linear(x, params["w"], params["b"]), y)
    >>> params = {"w": np.ones((1, 2)), "b": np.zeros(1)}
    >>> value, grads = pc.value_and_grad(loss)(params, np.array([[1.0, 2.0]]), np.array([[1.0]]))
    >>> float(value), grads["w"].tolist(), grads["b"].tolist()
    (4.0, [[4.0, 8.0]], [4.0])
    """
    positions = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @wraps(fn)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        arguments, sources = list(args), []
        record = _nested.get()
        for position in positions:
            if not -len(args) <= position < len(args):
                raise ValueError(f"argnums names argument {position}, but there are {len(args)} positional arguments")
            nodes: list[Node] = []
            arguments[position] = map_leaves(partial(_source, nodes), args[position])
            record = record or any(node.inputs for node in nodes)
            sources.append(nodes)
        token = _nested.set(True)
        try:
            result = fn(*arguments, **kwargs)
        finally:
            _nested.reset(token)
        value, aux = _checked(result, has_aux)
        flat = [node for nodes in sources for node in nodes]
        if type(value) is Node:
            cotangents = gradients(value, flat, record=record)
        else:
            cotangents = [np.zeros(node.shape, node.dtype) for node in flat]
        if not record:
            value, aux = map_leaves(_array, value), map_leaves(_array, aux)
            cotangents = _independent(cotangents)
        remaining = iter(cotangents)
        grads = tuple(map_leaves(lambda _: next(remaining), args[position]) for position in positions)
        return (value, aux) if has_aux else value, grads[0] if isinstance(argnums, int) else grads

    return wrapped


def grad(fn: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """Turn `fn` into a function that returns the gradient of its value, or ``(gradient, aux)``; see `value_and_grad`.

    Examples
    --------
    >>> import numpy as np
    >>> import pyconv as pc
    >>> import pyconv.functional as F
    >>> pc.grad(lambda x: F.sum(x * x * x))(np.array([1.0, 2.0])).tolist()
    [3.0, 12.0]
    """
    both = value_and_grad(fn, argnums, has_aux)

    @wraps(fn)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapped


def check_gradients(
    fn: Callable[..., Any], *args: Any, eps: float = 1e-5, rtol: float = 1e-5, atol: float = 1e-7, samples: int = 100
) -> float:
    """Compare the gradients of `fn` with central differences in float64.

    Parameters
    ----------
    fn : callable
        Returns an array of any shape; one that is not a scalar is weighted at random and summed.
    *args
        Arguments of `fn`. Floating-point arrays, also inside dicts, lists and tuples, are taken to float64 and checked;
        everything else is handed on as it is. Keep them away from kinks, as those of ReLU at 0.
    eps : float
        Step of the differences.
    rtol, atol : float
        What may lie between the two, relative to the numerical one, and absolute.
    samples : int
        At most so many elements of each array are checked, drawn with a fixed seed.

    Returns
    -------
    float
        The largest absolute difference found.

    Raises
    ------
    AssertionError
        If a difference is larger than allowed; it names the argument and the element.

    Examples
    --------
    >>> import numpy as np
    >>> import pyconv.functional as F
    >>> from pyconv.graph.transforms import check_gradients
    >>> check_gradients(F.tanh, np.linspace(-1, 1, 5)) < 1e-8
    True
    """
    rng = np.random.default_rng(0)
    arrays: list[np.ndarray] = []

    def keep(leaf: Any) -> Any:
        if not _is_float(leaf):
            return leaf
        arrays.append(np.array(leaf, np.float64))
        return _Checked(len(arrays) - 1)

    template = [map_leaves(keep, a) for a in args]
    weights = None

    def scalar(values: list[Any]) -> Any:
        nonlocal weights
        result = fn(*(map_leaves(lambda leaf: values[leaf] if type(leaf) is _Checked else leaf, a) for a in template))
        if weights is None:
            weights = np.asarray(rng.uniform(0.5, 1.5, result.shape) if result.shape else 1.0)
        return sum_over(mul(result, weights))

    value, grads = value_and_grad(scalar)(arrays)
    if not np.isfinite(value):
        raise AssertionError(f"the function is not finite at the given arguments: {value}")
    largest = 0.0
    for number, (array, gradient) in enumerate(zip(arrays, grads, strict=True)):
        picked = np.sort(rng.permutation(array.size)[:samples])
        for position in zip(*np.unravel_index(picked, array.shape), strict=True) if array.ndim else [()]:
            centre = array[position]
            array[position] = centre + eps
            above = float(scalar(arrays))
            array[position] = centre - eps
            below = float(scalar(arrays))
            array[position] = centre
            numerical, analytical = (above - below) / (2 * eps), float(gradient[position])
            difference = abs(numerical - analytical)
            if not difference <= atol + rtol * abs(numerical):
                where = tuple(int(p) for p in position)
                raise AssertionError(
                    f"array {number} of the arguments, element {where}: the gradient is {analytical:.10g}, "
                    f"finite differences give {numerical:.10g}"
                )
            largest = max(largest, difference)
    return largest


class _Checked(int):
    """The place of an array that `check_gradients` varies."""


def _is_float(leaf: Any) -> bool:
    return isinstance(leaf, (np.ndarray, np.floating, float)) and np.asarray(leaf).dtype in (np.float32, np.float64)


def _source(nodes: list[Node], leaf: Any) -> Node:
    """A node to differentiate by; a node that comes from an outer function keeps its link to it."""
    if type(leaf) is Node:
        node = Reshape(leaf.shape)(leaf)
    elif _is_float(leaf):
        node = Node.leaf(np.asarray(leaf))
    else:
        kind = f"{leaf.dtype} array" if isinstance(leaf, np.ndarray) else type(leaf).__name__
        raise TypeError(f"a gradient is taken by float32 or float64 arrays, not by a {kind}")
    nodes.append(node)
    return node


def _checked(result: Any, has_aux: bool) -> tuple[Any, Any]:
    if has_aux:
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(f"with has_aux the function must return a pair (value, aux), not {type(result).__name__}")
        value, aux = result
    else:
        value, aux = result, None
    if not hasattr(value, "shape"):
        raise TypeError(f"the function must return a scalar array, not {type(value).__name__}")
    if value.shape != ():
        raise ValueError(f"the function must return a scalar (F.mean makes one), not an array of shape {value.shape}")
    return value, aux


def _array(leaf: Any) -> Any:
    return leaf.value if type(leaf) is Node and leaf.value is not None else leaf


def _independent(arrays: list[Any]) -> list[Any]:
    """The arrays, copied where they are views or given twice, so that the caller may write into each."""
    seen: set[int] = set()
    result = []
    for array in arrays:
        fresh = type(array) is Node or (array.flags.owndata and array.flags.writeable and id(array) not in seen)
        seen.add(id(array))
        result.append(array if fresh else array.copy())
    return result
