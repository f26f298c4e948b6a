"""Matrix products."""

from __future__ import annotations

import pyconv.functional as F
from pyconv.onnx.registry import floats, operator


@operator("MatMul")
def matmul(a, b):
    floats(a, b)
    return F.matmul(a, b)


@operator("Gemm", since=7)
def gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    floats(a, b, c)
    if transA:
        a = F.transpose(a, 0, 1)
    if c is not None and beta != 1:
        c = F.mul(c, beta)
    weight = b if transB else F.transpose(b, 0, 1)  # (O, I)
    if alpha != 1:
        weight = F.mul(weight, alpha)
    if c is None or c.shape == (weight.shape[0],):
        return F.linear(a, weight, c)
    return F.add(F.linear(a, weight), c)
