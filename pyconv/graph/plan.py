"""Plan: a compiled network. It is called like the function it was made from, and knows what it will do before it does.

A plan holds a variant for each set of input shapes it was called with lately (and for their dtypes and memory orders),
each with its own steps and workspaces.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any

import numpy as np

from pyconv import kernels
from pyconv.graph.execute import Code, Workspace
from pyconv.graph.layout import contiguous
from pyconv.graph.memory import place
from pyconv.graph.passes import optimize
from pyconv.graph.trace import ArraySpec, trace
from pyconv.graph.tree import leaves, map_leaves

VARIANTS = 8  # a plan keeps so many, those called last


class Plan:
    """A function or model compiled for shapes of its inputs; made by `pc.compile`."""

    def __init__(self, function: Callable[..., Any], specs: Sequence[ArraySpec]):
        self._function = function
        self._backend = kernels.get_backend()
        self._lock = threading.Lock()
        self._variants: OrderedDict[tuple, _Variant] = OrderedDict()
        key = tuple((s.shape, contiguous(s.shape, s.dtype.itemsize), s.dtype) for s in specs)
        self._latest = self._variant(key)

    def __call__(self, *inputs: Any, out: Any = None) -> Any:
        arrays = [x if type(x) is np.ndarray else np.asarray(x) for x in inputs]
        key = tuple((x.shape, x.strides, x.dtype) for x in arrays)
        variant = self._latest
        if variant.key != key:
            variant = self._variant(key)
        return variant(arrays, out)

    def _variant(self, key: tuple) -> _Variant:
        with self._lock:
            variant = self._variants.get(key)
            if variant is None:
                with kernels.backend(self._backend):
                    variant = self._variants[key] = _Variant(self._function, key)
                if len(self._variants) > VARIANTS:
                    self._variants.popitem(last=False)
            self._variants.move_to_end(key)
            self._latest = variant
            return variant


class _Variant:
    def __init__(self, function: Callable[..., Any], key: tuple):
        self.key = key
        graph, self.result = trace(function, [ArraySpec(shape, dtype) for shape, _, dtype in key])
        self.graph = optimize(graph)
        self.outputs = [(o.shape, o.dtype) for o in self.graph.outputs]
        placement = place(
            self.graph, [strides for _, strides, _ in key], [contiguous(s, d.itemsize) for s, d in self.outputs]
        )
        self.code = Code(placement)
        self.free: list[Workspace] = []

    def __call__(self, inputs: Sequence[np.ndarray], out: Any) -> Any:
        outputs = [np.empty(*o) for o in self.outputs] if out is None else leaves(out)
        workspace = self.free.pop() if self.free else Workspace(self.code)
        try:
            workspace.run(inputs, outputs)
        finally:
            self.free.append(workspace)
        remaining = iter(outputs)
        return map_leaves(lambda _: next(remaining), self.result)
