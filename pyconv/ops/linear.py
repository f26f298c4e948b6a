"""Matrix products: the dense layer, and matmul with either operand transposed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pyconv.ops.node import Node, Op
from pyconv.ops.reduce import Reshape, Sum, unbroadcast


@dataclass(frozen=True, slots=True)
class Linear(Op):
    """y (M, O) = x (M, I) · wᵀ + b, for w (O, I) and b (O,) or None."""

    kernel: ClassVar[str] = "linear"

    def infer(self, x, w, b=None):
        return (x.shape[0], w.shape[0]), np.result_type(x.dtype, w.dtype)

    def allocate(self, x, w, b=None):
        return np.empty(*self.infer(x, w, b))

    def vjp(self, dy, y, x, w, b=None):
        return (
            lambda: MatMul()(dy, w),
            lambda: MatMul(transpose_a=True)(dy, x),
            lambda: Sum((0,))(dy),
        )


@dataclass(frozen=True, slots=True)
class MatMul(Op):
    """The product of two matrices, either of them transposed first."""

    transpose_a: bool = False
    transpose_b: bool = False
    kernel: ClassVar[str] = "matmul"

    def infer(self, a, b):
        rows = a.shape[-1] if self.transpose_a else a.shape[-2]
        columns = b.shape[-2] if self.transpose_b else b.shape[-1]
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        return (*batch, rows, columns), np.result_type(a.dtype, b.dtype)

    def allocate(self, a, b):
        return np.empty(*self.infer(a, b))

    def vjp(self, dy, y, a, b):
        op = type(self)

        def da():
            da = op(self.transpose_b, True)(b, dy) if self.transpose_a else op(False, not self.transpose_b)(dy, b)
            return unbroadcast(da, a.shape)

        def db():
            db = op(True, self.transpose_a)(dy, a) if self.transpose_b else op(not self.transpose_a, False)(a, dy)
            return unbroadcast(db, b.shape)

        return da, db


@dataclass(frozen=True, slots=True)
class BatchedMatMul(MatMul):
    """`MatMul` of the last two axes; the axes before them broadcast."""

    kernel: ClassVar[str] = "batched_matmul"


def matmul(a, b):
    """a @ b as NumPy reads it: vectors are rows or columns, axes before the last two broadcast."""
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("matmul takes arrays of at least one axis: multiply by a number with * (F.mul)")
    rows, columns = a.ndim == 1, b.ndim == 1
    if rows:
        a = Reshape((1, *a.shape))(a)
    if columns:
        b = Reshape((*b.shape, 1))(b)
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(f"b must have {a.shape[-1]} rows to match the columns of a, not {b.shape[-2]}")
    if a.ndim == b.ndim == 2:
        y = MatMul()(a, b)
    elif b.ndim == 2:  # the rows of all matrices of a, one after the other
        y = Reshape((*a.shape[:-1], b.shape[-1]))(MatMul()(Reshape((math.prod(a.shape[:-1]), a.shape[-1]))(a), b))
    else:
        y = BatchedMatMul()(a, b)
    if rows or columns:
        y = Reshape((*y.shape[:-2], *(() if rows else y.shape[-2:-1]), *(() if columns else y.shape[-1:])))(y)
    return y


def _install_operators() -> None:
    methods = {"__matmul__": matmul, "__rmatmul__": lambda self, other: matmul(other, self)}
    for name, method in methods.items():
        setattr(Node, name, method)


_install_operators()
