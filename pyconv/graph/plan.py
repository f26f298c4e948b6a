"""Plan: a compiled network. It is called like the function it was made from, and knows what it will do before it does.

A plan holds a variant for each set of input shapes it was called with lately (and of dtypes and memory orders), each
with its own steps and workspaces. Folded and packed weights are shared between them (`shared.py`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from pyconv import kernels
from pyconv.graph.autotune import Tuner
from pyconv.graph.dump import dump_to
from pyconv.graph.execute import ArrayLayout, Code, Workspace
from pyconv.graph.explain import explain
from pyconv.graph.graph import Graph, op_text
from pyconv.graph.guards import guards
from pyconv.graph.layout import Strides, contiguous, same_order
from pyconv.graph.memory import place
from pyconv.graph.passes import optimize
from pyconv.graph.shared import Shared
from pyconv.graph.trace import trace, trace_step
from pyconv.graph.tree import leaves, map_leaves
from pyconv.kernels.threads import get_num_threads, num_threads
from pyconv.ops.node import Node

VARIANTS = 8  # a plan keeps so many, those called last

_ndarray = np.ndarray  # found faster than an attribute of a module
_C_CONTIGUOUS, _ALIGNED, _WRITEABLE = 0x1, 0x100, 0x400  # of numpy's flags.num
_READ_ONLY = "out must be writeable, not a read-only array"
_CLOSED = "the plan is closed: compile a new one"


class StepTime(NamedTuple):
    """A step of a plan and the seconds that it took."""

    step: str
    seconds: float


class Plan:
    """A compiled function; `pc.compile` makes it.

    Called with other shapes, dtypes or memory orders than before it compiles a variant of itself, and keeps those that
    were called last. Several threads may call one plan; each call has a workspace for itself while it runs.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        layouts: Sequence[ArrayLayout],
        threads: int | None = None,
        dump: str | PathLike[str] | None = None,
        state: Any = None,
        recompute: bool = False,
        shared: Shared | None = None,
        tuner: Tuner | None = None,
    ):
        self._function: Callable[..., Any] | None = function
        self._state = state
        self._recompute = recompute
        self._shared = Shared() if shared is None else shared
        self._backend = kernels.get_backend()
        self._threads = threads
        self._tuner = tuner
        self._lock = threading.Lock()
        self._variants: OrderedDict[Any, _Variant] = OrderedDict()
        self._latest: _Variant | None = None  # called or made last
        self._variant(tuple(layouts), dump=dump)

    def __call__(self, *inputs: Any, out: Any = None) -> Any:
        """What the function returns for these inputs, in new arrays in C order or in those given.

        Parameters
        ----------
        *inputs : arrays
            As many as the function was compiled for.
        out : array, or a tree of arrays as the function returns it, optional
            Where the results go. Nothing is allocated then, unless `out` shares memory with an input.

        Raises
        ------
        ValueError, TypeError
            If the number of inputs, or the shape or dtype of `out`, is not right, or the plan is closed.
        """
        variant = self._latest
        if variant is None:
            raise ValueError(_CLOSED)
        arrays = [*inputs] if out is None else [*inputs, out]
        layouts = variant.inputs if out is None else variant.inputs_and_output
        if layouts is None or len(arrays) != len(layouts):
            return self._converted(inputs, out)
        for array, (shape, strides, dtype, flags) in zip(arrays, layouts):  # noqa: B905 (a keyword costs a comparison)
            if (
                type(array) is not _ndarray
                or array.shape != shape
                or array.dtype is not dtype
                or array.flags.num & flags != flags
                or (strides is not None and array.strides != strides)
            ):
                return self._converted(inputs, out)
        if out is None:
            return variant(arrays, self._threads or get_num_threads())
        if variant.reads_late and any(np.may_share_memory(out, x) for x in inputs):
            return self._by_way_of_copies(inputs, [out])
        variant.run(arrays, self._threads or get_num_threads())
        return out

    def _found(self, inputs: Sequence[np.ndarray], out: Any) -> Any:
        """`__call__` for arrays unlike those of the last call, and for results that are not one array."""
        threads = self._threads or get_num_threads()
        variant = self._variant(_layouts_of(inputs))
        if out is None:
            return variant(inputs, threads)
        outputs = _leaf_arrays(out)
        _check(outputs, variant.outputs)
        if any(np.may_share_memory(y, x) for y in outputs for x in inputs):
            return self._by_way_of_copies(inputs, outputs)
        strides = tuple(y.strides for y in outputs)
        if strides != tuple(o.strides for o in variant.outputs):
            variant = self._variant(_layouts_of(inputs), strides)
        variant.run([*inputs, *outputs], threads)
        return variant.returned(outputs)

    def _converted(self, inputs: Sequence[Any], out: Any) -> Any:
        """`__call__` for arrays unlike those of the last call, or none that kernels take."""
        arrays = [as_array(x) for x in inputs]
        if out is not None and not all(y.flags.aligned for y in _leaf_arrays(out)):
            return self._by_way_of_copies(arrays, _leaf_arrays(out))
        return self._found(arrays, out)

    def _by_way_of_copies(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> Any:
        """Compute into arrays of our own first: those given overlap inputs, or kernels cannot write into them."""
        variant = self._variant(_layouts_of(inputs))
        _check(outputs, variant.outputs)
        results = [np.empty(shape, dtype) for shape, _, dtype in variant.outputs]
        variant.run([*inputs, *results], self._threads or get_num_threads())
        for y, result in zip(outputs, results, strict=True):
            np.copyto(y, result)
        return variant.returned(outputs)

    @property
    def memory(self) -> int:
        """Bytes that a call works in, beside inputs, outputs and weights, for the shapes called last."""
        code = self._current().code
        return code.placement.arena_bytes + code.scratch_bytes

    @property
    def arena_bytes(self) -> int:
        """Bytes of the memory that all intermediate results share, for the shapes called last."""
        return self._current().code.placement.arena_bytes

    @property
    def live_bytes(self) -> int:
        """The largest sum of intermediate results that are needed at one time: no arena can be smaller."""
        return self._current().code.placement.live_bytes

    @property
    def steps(self) -> int:
        """How many kernels a call runs, for the shapes called last."""
        return len(self._current().code.choices)

    @property
    def packed_bytes(self) -> int:
        """Bytes of weights that are kept in the order in which kernels want them, for the shapes called last."""
        return self._current().code.packed_bytes

    @property
    def graph(self) -> Graph:
        """The `Graph` after all passes, for the shapes called last."""
        return self._current().graph

    def explain(self) -> str:
        """A line for each step: op, shape and memory order of its result, algorithm and why, bytes, multiplications."""
        with kernels.backend(self._backend):
            return explain(self._current().code)

    def profile(self, *inputs: Any) -> list[StepTime]:
        """Run once, and give the time of each step."""
        arrays = [as_array(x) for x in inputs]
        variant = self._variant(_layouts_of(arrays))
        seconds = variant.profile(arrays, self._threads or get_num_threads())
        names = ["Copy" if c.step.node is None else op_text(c.step.node) for c in variant.code.choices]
        return [StepTime(*pair) for pair in zip(names, seconds, strict=True)]

    def close(self) -> None:
        """Release all memory; the plan cannot be called again."""
        with self._lock:
            self._function = self._state = None
            self._variants.clear()
            self._latest = None

    def __enter__(self) -> Plan:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    # --- variants

    def _current(self) -> _Variant:
        if self._latest is None:
            raise ValueError(_CLOSED)
        return self._latest

    def _variant(
        self,
        layouts: tuple[ArrayLayout, ...],
        outputs: tuple[Strides, ...] | None = None,
        dump: str | PathLike[str] | None = None,
    ) -> _Variant:
        """The variant for such inputs and for outputs of these strides (C order by default), made if need be."""
        with self._lock:
            if self._function is None:
                raise ValueError(_CLOSED)
            variant = self._variants.get((layouts, outputs))
            if variant is None:
                with kernels.backend(self._backend), num_threads(self._threads or get_num_threads()):
                    variant = _Variant(
                        self._function, layouts, outputs, dump, self._state, self._recompute, self._shared, self._tuner
                    )
                if self._tuner is not None:
                    self._tuner.save()
                self._variants[layouts, outputs] = variant
                if len(self._variants) > VARIANTS:
                    self._variants.popitem(last=False)
            self._variants.move_to_end((layouts, outputs))
            self._latest = variant
            return variant


class _Expected(NamedTuple):
    """What an array must be for a call to take it as it is."""

    shape: tuple[int, ...]
    strides: Strides | None  # None: the flags tell that it is in C order
    dtype: np.dtype
    flags: int

    @classmethod
    def like(cls, layout: ArrayLayout, flags: int = 0) -> _Expected:
        """Such as a layout says, aligned, and with these flags."""
        shape, strides, dtype = layout
        if same_order(shape, strides, contiguous(shape, dtype.itemsize)):
            return cls(shape, None, dtype, flags | _ALIGNED | _C_CONTIGUOUS)
        return cls(shape, strides, dtype, flags | _ALIGNED)


class _Variant:
    """The plan for inputs of one kind, and the workspaces that wait for calls."""

    def __init__(
        self,
        function: Callable[..., Any],
        layouts: Sequence[ArrayLayout],
        output_strides: tuple[Strides, ...] | None,
        dump: str | PathLike[str] | None,
        state: Any,
        recompute: bool,
        shared: Shared,
        tuner: Tuner | None,
    ):
        fixed = leaves(state)
        traced, self._result = trace(function, layouts) if state is None else trace_step(function, layouts, state)
        self.graph = optimize(traced, None if dump is None else dump_to(dump), recompute)
        results = zip(self.graph.outputs, self.graph.targets, strict=True)
        shapes = [(o.shape, o.dtype) for o, target in results if target is None]
        strides = output_strides or [contiguous(shape, dtype.itemsize) for shape, dtype in shapes]
        self.outputs = [ArrayLayout(n, tuple(s), d) for (n, d), s in zip(shapes, strides, strict=True)]
        inputs = [a.strides for a in (*layouts, *fixed)]
        placement = place(self.graph, inputs, strides, len(fixed))
        self.code = Code(placement, layouts, self.outputs, fixed, shared, tuner)
        self._guards = guards(traced, len(layouts))
        self._backend = kernels.get_backend()
        self._in_c = all(choice.reason is None for choice in self.code.choices)
        self._is_single = type(self._result) is Node
        expected = [_Expected.like(layout) for layout in layouts]
        self.inputs = expected if output_strides is None else None  # of calls that give new arrays, in C order
        self.inputs_and_output = None
        if self._is_single:
            self.inputs_and_output = [*expected, _Expected.like(self.outputs[0], _WRITEABLE)]
        self.reads_late = self.code.placement.reads_late()
        self._free = [Workspace(self.code)]

    def __call__(self, inputs: Sequence[np.ndarray], threads: int) -> Any:
        """One call, into new arrays."""
        outputs = [np.empty(shape, dtype) for shape, _, dtype in self.outputs]
        self.run([*inputs, *outputs], threads)
        return self.returned(outputs)

    def run(self, arrays: Sequence[np.ndarray], threads: int) -> None:
        """One call, in a workspace of its own."""
        for guard in self._guards:
            guard.check(arrays)
        try:
            workspace = self._free.pop()
        except IndexError:  # all are in use by other threads
            workspace = Workspace(self.code)
        if self._in_c:
            workspace.run(arrays, threads)
        else:  # kernels called from Python look these up
            with kernels.backend(self._backend), num_threads(threads):
                workspace.run(arrays, threads)
        self._free.append(workspace)

    def profile(self, inputs: Sequence[np.ndarray], threads: int) -> list[float]:
        """One call, and the seconds of each step."""
        outputs = [np.empty(shape, dtype) for shape, _, dtype in self.outputs]
        for guard in self._guards:
            guard.check(inputs)
        with kernels.backend(self._backend), num_threads(threads):
            return Workspace(self.code).profile([*inputs, *outputs], threads)

    def returned(self, outputs: Sequence[np.ndarray]) -> Any:
        """The outputs as the function returns them."""
        if self._is_single:
            return outputs[0]
        remaining = iter(outputs)
        return map_leaves(lambda _: next(remaining), self._result)


def _leaf_arrays(out: Any) -> list[np.ndarray]:
    """The leaves of `out`."""
    outputs = leaves(out)
    for y in outputs:
        if type(y) is not np.ndarray:
            raise TypeError(f"out must hold arrays, not {type(y).__name__}")
    return outputs


def _check(outputs: Sequence[np.ndarray], expected: Sequence[ArrayLayout]) -> None:
    """The arrays given for results have their shapes and dtypes, and can be written."""
    if len(outputs) != len(expected):
        raise ValueError(f"out must hold {len(expected)} arrays, not {len(outputs)}")
    for y, (shape, _, dtype) in zip(outputs, expected, strict=True):
        if y.shape != shape:
            raise ValueError(f"out must have the result's shape {shape}, not {y.shape}")
        if y.dtype != dtype:
            raise TypeError(f"out must have the result's dtype {dtype}, not {y.dtype}")
        if not y.flags.writeable:
            raise ValueError(_READ_ONLY)


def _layouts_of(arrays: Sequence[np.ndarray]) -> tuple[ArrayLayout, ...]:
    return tuple(ArrayLayout(a.shape, a.strides, a.dtype) for a in arrays)


def as_array(x: Any) -> np.ndarray:
    """An input as an aligned ndarray."""
    if not hasattr(x, "__array__"):
        raise TypeError(f"an input must be an array, not {type(x).__name__}")
    x = np.asarray(x)
    return x if x.flags.aligned else x.copy()
