"""Matrix products by the convolution kernels: rows are pixels of one image, a 1 × 1 kernel takes their channels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from pyconv.kernels.native.library import call, ffi, lib, pointer, workspace_for
from pyconv.kernels.native.loops import unsupported

FEWEST_ROWS = 8  # below that packing the matrix costs more than the product


def linear(y, x, w, b):
    """y (M, O) = x (M, I) · wᵀ + b."""
    problem = _problem(x, w, y)
    bias = None if b is None else np.ascontiguousarray(b)
    memory = workspace_for(lib.pyconv_conv_workspace, problem, 0)
    call(lib.pyconv_conv_forward, problem, pointer(x), pointer(w), pointer(bias), pointer(y), memory)


def refuse_linear(y, x, w, b):
    if x.shape[0] < FEWEST_ROWS:
        return f"it packs w, which does not pay for fewer than {FEWEST_ROWS} rows"
    return unsupported(y, x, w)


def matmul(y, a, b, transpose_a, transpose_b):
    """y = a · b, either operand transposed."""
    if transpose_a and not transpose_b:  # the gradient of a linear layer's weights, summed over rows in chunks
        problem = _problem(b, y, a)
        memory = workspace_for(lib.pyconv_conv_workspace, problem, 2)
        call(lib.pyconv_conv_backward_weights, problem, pointer(a), pointer(b), pointer(y), memory)
    else:
        linear(y, a.T if transpose_a else a, b if transpose_b else b.T, None)


def refuse_matmul(y, a, b, transpose_a, transpose_b):
    if a.shape[transpose_a] < FEWEST_ROWS:
        return f"it packs b, which does not pay for fewer than {FEWEST_ROWS} rows"
    return unsupported(y, a, b)


def _problem(x, w, y):
    """y (M, O) = x (M, I) · wᵀ (I, O) as a convolution over M pixels."""
    return _describe(x.shape, x.strides, w.shape, w.strides, y.strides, x.itemsize)


@lru_cache(maxsize=256)
def _describe(x_shape, x_strides, w_shape, w_strides, y_strides, itemsize):
    def matrix(strides):
        rows, columns = (s // itemsize for s in strides)
        return [0, columns, 0, 0, rows]

    return ffi.new(
        "pyconv_conv *",
        {
            "n": 1,
            "c": x_shape[1],
            "k": w_shape[0],
            "groups": 1,
            "in": [1, 1, x_shape[0]],
            "out": [1, 1, x_shape[0]],
            "kernel": [1, 1, 1],
            "stride": [1, 1, 1],
            "dilation": [1, 1, 1],
            "pad": [0, 0, 0],
            "x_strides": matrix(x_strides),
            "y_strides": matrix(y_strides),
            "w_strides": [*(s // itemsize for s in w_strides), 0, 0, 0],
            "padding_mode": 0,
            "real_bits": 8 * itemsize,
        },
    )
