"""Node and Op: the one representation of a computation, whether it runs now, is taped, or is recorded for a plan.

An `Op` is its attributes, its shape rule, its gradient rule and the name of its kernel. Called on arrays it computes;
called on nodes it records a `Node`. A node that carries a `value` is taped (the op ran as it was recorded); one without
is symbolic. Gradient rules are written by calling ops, so the same rule runs on arrays and on nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from itertools import count
from typing import Any, ClassVar

import numpy as np

from pyconv import kernels
from pyconv.ops.prepared import computed

_numbers = count()


@cache
def _attribute_names(op_type: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(op_type) if f.name != "algorithm")


class Node:
    """One value of a computation: the op that makes it, from which inputs, its shape and dtype."""

    __slots__ = ("dtype", "inputs", "name", "number", "op", "shape", "value")
    __array_ufunc__ = None  # ndarray + Node goes to Node.__radd__

    def __init__(self, op, inputs, shape, dtype, value=None, name=None):
        self.op: Op | None = op  # None: a leaf (input, parameter or constant)
        self.inputs: tuple[Node | None, ...] = inputs  # None stands for an input left out (no bias)
        self.shape: tuple[int, ...] = shape
        self.dtype: np.dtype = dtype
        self.value: np.ndarray | None = value
        self.name: str | None = name
        self.number = next(_numbers)  # nodes recorded later have higher ones: the order in which user code ran

    @classmethod
    def leaf(cls, value: np.ndarray, name: str | None = None) -> Node:
        """A taped leaf that holds an array."""
        return cls(None, (), value.shape, value.dtype, value, name)

    @classmethod
    def placeholder(cls, shape: tuple[int, ...], dtype: Any, name: str | None = None) -> Node:
        """A symbolic leaf, to be fed when the graph runs."""
        return cls(None, (), tuple(shape), np.dtype(dtype), None, name)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype=None, copy=None):
        if self.value is None:
            raise TypeError(f"{self!r} is symbolic: it has no array until its graph runs")
        return np.array(self.value, dtype=dtype, copy=copy)

    def __bool__(self):
        raise TypeError("the truth of a recorded value is not known while recording: branch on shapes, or use F.where")

    def __repr__(self) -> str:
        what = self.name or (type(self.op).__name__ if self.op else "leaf")
        return f"Node({what}, shape={self.shape}, dtype={self.dtype})"


class Op:
    """Base of all operations. Subclasses are frozen dataclasses whose fields are the op's attributes."""

    __slots__ = ()
    kernel: ClassVar[str]  # name in the registry; the kernel is called as kernel(out, *inputs, *attributes)
    algorithm = "auto"  # an op that lets its caller choose has a field of this name
    in_place: ClassVar[tuple[int, ...]] = ()  # inputs in whose memory every row of the kernel may put its result

    def infer(self, *inputs) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and dtype of the result; inputs may be arrays or nodes."""
        return inputs[0].shape, inputs[0].dtype

    def vjp(self, dy, y, *inputs) -> tuple[Callable[[], Any] | None, ...]:
        """The gradient rule: for each input a function that gives its cotangent, or None where there is none."""
        raise TypeError(f"{type(self).__name__} has no gradient")

    def attributes(self, *inputs) -> tuple[Any, ...]:
        """What the kernel takes after the inputs."""
        # A type is hashable, whether or not its instances are, of which the checker thinks.
        return tuple(getattr(self, name) for name in _attribute_names(type(self)))  # type: ignore[arg-type]

    def allocate(self, *arrays: np.ndarray | None) -> np.ndarray:
        """Memory for the result: in the first input's memory order where the ranks agree."""
        shape, dtype = self.infer(*arrays)
        return np.empty_like(arrays[0], dtype, "K", subok=False, shape=shape)

    def compute(self, *arrays: np.ndarray | None, out: np.ndarray | None = None) -> np.ndarray:
        """Run now, into `out` if given."""
        if out is None:
            out = self.allocate(*arrays)
        kernels.run(self.kernel, out, *arrays, *self.attributes(*arrays), algorithm=self.algorithm)
        return out

    def __call__(self, *inputs):
        if type(self).compute is _by_kernel:
            y = computed(self, inputs)
            if y is not None:
                return y
        for i in inputs:
            if type(i) is Node:
                return self._record(inputs)
        return self.compute(*inputs)

    def _record(self, inputs) -> Node:
        nodes = tuple(i if i is None or type(i) is Node else Node.leaf(np.asarray(i)) for i in inputs)
        taped = all(n is None or n.value is not None for n in nodes)
        if taped:
            value = self(*(None if n is None else n.value for n in nodes))
            return Node(self, nodes, value.shape, value.dtype, value)
        shape, dtype = self.infer(*nodes)
        return Node(self, nodes, tuple(shape), np.dtype(dtype))


_by_kernel = Op.compute  # as ops compute that have a kernel, not a way of their own
