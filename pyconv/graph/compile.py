"""Compiling: from a function or a model, and what its inputs will be like, to a `Plan`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from os import PathLike
from typing import Any

import numpy as np

from pyconv.graph.autotune import Tuner
from pyconv.graph.execute import ArrayLayout
from pyconv.graph.layout import contiguous
from pyconv.graph.plan import Plan, as_array
from pyconv.graph.tree import leaves, names

PRECISIONS: dict[str, np.dtype] = {"float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}


def compile(
    function: Callable[..., Any],
    *examples: Any,
    precision: str = "float32",
    threads: int | None = None,
    dump: str | PathLike[str] | None = None,
    autotune: bool | str | PathLike[str] = False,
) -> Plan:
    """Compile a model or a function of arrays for inputs of given shapes.

    Parameters
    ----------
    function : nn.Module or callable
        A model is compiled in evaluation mode, with its parameters as they are now: compile anew after changing them.
        A function must compute with `pyconv.functional`, models and operators, and return arrays (in dicts, lists and
        tuples, if it likes).
    *examples : shape, array or (shape, dtype)
        What each input will be like; a shape alone stands for an array of `precision`.
    precision : {"float32", "float64"}
    threads : int, optional
        How many threads calls use; by default what `get_num_threads` says when they are made, and no more than it said
        when the plan was.
    dump : path, optional
        A directory to write the graph to, as text and as a picture, as traced and after each pass.
    autotune : bool or path
        Measure the algorithms that can serve each convolution, and take the quickest. Times are saved in a file, by
        default in the user's cache folder, from which a later plan takes them. As algorithms round differently, results
        may then differ between machines, within the precision.

    Returns
    -------
    Plan
        To be called like `function`.

    Raises
    ------
    ValueError, TypeError
        If an example or precision is none, the function cannot take such inputs, or it returns something else; if the
        file that `autotune` names holds no measured times.

    Examples
    --------
    >>> import numpy as np
    >>> import pyconv as pc
    >>> from pyconv import nn
    >>> plan = pc.compile(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), (1, 3, 32, 32))
    >>> plan(np.zeros((1, 3, 32, 32), np.float32)).shape
    (1, 8, 30, 30)
    """
    return Plan(function, _layouts(examples, precision), _threads(threads), dump, tuner=_tuner(autotune))


def compile_step(
    function: Callable[..., Any],
    state: Any,
    *examples: Any,
    precision: str = "float32",
    threads: int | None = None,
    dump: str | PathLike[str] | None = None,
    recompute: bool = False,
) -> Plan:
    """Compile a step that changes a state: of training, say, whose parameters and optimizer state it updates in place.

    Parameters
    ----------
    function : callable
        ``function(state, *inputs)`` returns ``(result, new_state)``. It changes nothing itself.
    state : tree of arrays
        In dicts, lists and tuples. The plan keeps these very arrays, and each call writes the new state into them.
    *examples, precision, threads, dump
        As for `compile`; the examples are those of the inputs.
    recompute : bool
        Compute cheap intermediate results again where that takes less memory than to keep them: the activations of a
        network in its backward pass.

    Returns
    -------
    Plan
        ``plan(*inputs)`` returns the result. Calls of a plan with a state must come one after the other.

    Raises
    ------
    ValueError, TypeError
        As `compile`; if an array of the state is read-only or there twice, or the new state is not like the old.

    Examples
    --------
    >>> import numpy as np
    >>> import pyconv as pc
    >>> state = {"mean": np.zeros(2), "count": np.zeros(())}
    >>> def step(state, x):
    ...     count = state["count"] + 1
    ...     return count, {"mean": state["mean"] + (x - state["mean"]) / count, "count": count}
    >>> plan = pc.compile_step(step, state, np.zeros(2))
    >>> for x in ([1.0, 2.0], [3.0, 6.0]):
    ...     count = plan(np.array(x))
    >>> float(count), state["mean"].tolist()
    (2.0, [2.0, 4.0])
    """
    held = leaves(state)
    for name, array in zip(names(state), held, strict=True):
        if type(array) is not np.ndarray:
            raise TypeError(f"the state must hold arrays, and {name} is a {type(array).__name__}")
        if not array.flags.writeable or not array.flags.aligned:
            raise ValueError(f"the arrays of the state must be writeable and aligned, and {name} is not")
    in_memory = sorted((array for array in held if array.size), key=_first_byte)
    if any(np.may_share_memory(a, b) for a, b in pairwise(in_memory)):
        raise ValueError("the arrays of the state must not share memory")
    return Plan(function, _layouts(examples, precision), _threads(threads), dump, state, recompute)


def _first_byte(array: np.ndarray) -> int:
    """The lowest address of an array."""
    steps = zip(array.shape, array.strides, strict=True)
    return array.__array_interface__["data"][0] + sum(min(0, (n - 1) * step) for n, step in steps)


def _layouts(examples: Sequence[Any], precision: str) -> list[ArrayLayout]:
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
    return [_example(example, PRECISIONS[precision]) for example in examples]


def _tuner(autotune: Any) -> Tuner | None:
    if isinstance(autotune, bool):
        return Tuner() if autotune else None
    if not isinstance(autotune, (str, PathLike)):
        raise TypeError(f"autotune must be True, False or a path, not {autotune!r}")
    return Tuner(autotune)


def _threads(threads: Any) -> int | None:
    if threads is not None and (type(threads) is not int or threads < 1):
        raise ValueError(f"threads must be a positive int or None, not {threads!r}")
    return threads


def _example(example: Any, dtype: np.dtype) -> ArrayLayout:
    """What `compile` was told an input will be like."""
    if hasattr(example, "__array__"):
        array = as_array(example)
        return ArrayLayout(array.shape, array.strides, array.dtype)
    if isinstance(example, (tuple, list)) and len(example) == 2 and isinstance(example[0], (tuple, list)):
        example, dtype = example[0], np.dtype(example[1])
    if not isinstance(example, (tuple, list)) or not all(type(n) is int and n >= 0 for n in example):
        raise TypeError(f"an example must be a shape, an array or a (shape, dtype), not {example!r}")
    return ArrayLayout(tuple(example), contiguous(example, dtype.itemsize), dtype)
