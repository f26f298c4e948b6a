"""Changes of dtype."""

from __future__ import annotations

import numpy as np
from onnx import helper

from pyconv.onnx.registry import UnsupportedError, is_plain, operator
from pyconv.ops.elementwise import Cast


@operator("Cast", since=6)
def cast(x, *, to, saturate=1, round_mode="up"):
    return _as(x, helper.tensor_dtype_to_np_dtype(to))


@operator("CastLike", since=15)
def cast_like(x, like, *, saturate=1, round_mode="up"):
    return _as(x, like.dtype)


def _as(x, dtype):
    """Between dtypes where NumPy's conversion is ONNX's: not from numbers with a fraction to integers beyond them."""
    dtype = np.dtype(dtype)
    if dtype == x.dtype:
        return x
    if not is_plain(dtype):
        raise UnsupportedError(f"{x.dtype} to {dtype}")
    return Cast(dtype)(x)
