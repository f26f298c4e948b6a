"""Matrix products by the convolution kernels: rows are pixels of one image, a 1 × 1 kernel takes their channels."""

from __future__ import annotations

from functools import lru_cache

from pyconv.kernels.native import conv
from pyconv.kernels.native.library import call, ffi, lib, pointer, workspace_for
from pyconv.kernels.native.packing import PackedWeights, packing, unsupported_layer

FEWEST_ROWS = 8  # below that the matrix is read where it lies, or not at all


def linear(y, x, w, b):
    """y (M, O) = x (M, I) · wᵀ + b."""
    conv.forward(_problem(x, w, y), y, x, w, b)


def refuse_linear(y, x, w, b):
    return _refuse_few(x, w) or unsupported_layer(w, y, x)


def pack_linear(y, x, w, b):
    """How `linear` wants w packed, or None if nothing is gained."""
    return packing(_problem(x, w, y, packed=True), conv.FORWARD)


def fused_linear(y, x, w, b, residual, activation, *parameters):
    """y = f(x · wᵀ + b + residual)."""
    problem = _problem(x, w, y, activation=activation, parameters=parameters)
    conv.fused(problem, y, x, w, b, residual)


def _refuse_few(x, w):
    """Few rows are multiplied with rows of w as they lie: to pack w would cost more than the product."""
    contiguous = all(a.shape[1] == 1 or a.strides[1] == a.dtype.itemsize for a in (x, w))
    if x.shape[0] < FEWEST_ROWS and not contiguous:
        return f"it wants contiguous rows where they are fewer than {FEWEST_ROWS}"
    return None


def matmul(y, a, b, transpose_a, transpose_b):
    """y = a · b, either operand transposed."""
    if transpose_a and not transpose_b:  # the gradient of a linear layer's weights, summed over rows in chunks
        problem = _problem(b, y, a)
        memory = workspace_for(lib.pyconv_conv_workspace, problem, 2)
        call(lib.pyconv_conv_backward_weights, problem, pointer(a), pointer(b), pointer(y), memory)
    else:
        linear(y, a.T if transpose_a else a, b if transpose_b else b.T, None)


def pack_matmul(y, a, b, transpose_a, transpose_b):
    """How `matmul` wants b packed, or None if nothing is gained."""
    if transpose_a and not transpose_b:
        return None
    problem = _problem(a.T if transpose_a else a, b if transpose_b else b.T, y, packed=True)
    return packing(problem, conv.FORWARD)


def refuse_matmul(y, a, b, transpose_a, transpose_b):
    few = None
    if not transpose_a or transpose_b:
        few = _refuse_few(a.T if transpose_a else a, b if transpose_b else b.T)
    elif a.shape[1] < FEWEST_ROWS:
        few = f"it packs b, which does not pay for fewer than {FEWEST_ROWS} rows"
    return few or unsupported_layer(b, y, a)


def _problem(x, w, y, packed=False, activation="", parameters=()):
    """y (M, O) = x (M, I) · wᵀ (I, O) as a convolution over M pixels."""
    packed = packed or isinstance(w, PackedWeights)
    epilogue = conv.epilogue(activation, parameters)
    return _describe(x.shape, x.strides, w.shape, w.strides, y.strides, x.itemsize, packed, epilogue)


@lru_cache(maxsize=256)
def _describe(x_shape, x_strides, w_shape, w_strides, y_strides, itemsize, packed, epilogue):
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
            "packed": packed,
            "activation": epilogue[0],
            "parameters": epilogue[1],
        },
    )
