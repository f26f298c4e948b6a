"""Convolution in C: arrays become pointers and strides, a problem becomes a `pyconv_conv`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from pyconv.kernels.native import cost
from pyconv.kernels.native.cost import BACKWARD_DATA, BACKWARD_WEIGHTS, DIRECT, FORWARD
from pyconv.kernels.native.elementwise import UNARY
from pyconv.kernels.native.library import aligned, call, ffi, fills_aligned, lib, pointer, workspace_for
from pyconv.kernels.native.packing import PackedWeights, packing, weights_pointer
from pyconv.kernels.padding import fold
from pyconv.kernels.spec import PADDING_MODES, ConvSpec


@fills_aligned
def conv(y, x, w, b, spec, algorithm=DIRECT):
    """y = x ∗ w + b."""
    x, w = aligned(x), _aligned_weights(w)
    forward(describe(spec, x, w, y, algorithm), y, x, w, b)


def forward(problem, y, x, w, b):
    """The forward pass of a `pyconv_conv`."""
    arrays = pointer(x), weights_pointer(w), pointer(_bias(b)), pointer(y)
    call(lib.pyconv_conv_forward, problem, *arrays, workspace_for(lib.pyconv_conv_workspace, problem, FORWARD))


def fused(problem, y, x, w, b, residual):
    """The forward pass of a `pyconv_conv` with its epilogue."""
    arrays = pointer(x), weights_pointer(w), pointer(_bias(b)), pointer(residual), pointer(y)
    call(lib.pyconv_conv_fused, problem, *arrays, workspace_for(lib.pyconv_conv_workspace, problem, FORWARD))


def pack_conv(y, x, w, b, spec, algorithm=DIRECT):
    """How `conv` wants w packed, or None if nothing is gained."""
    return packing(describe(spec, x, w, y, algorithm, packed=True), FORWARD)


@fills_aligned
def conv_backward_data(dx, dy, w, b, spec, algorithm=DIRECT):
    """dx = wᵀ ∗ dy + b. Where padding is not zeros the gradient of the padded x is folded back."""
    if spec.padding_mode != "zeros":
        size = tuple(n + begin + end for n, (begin, end) in zip(dx.shape[2:], spec.padding, strict=True))
        padded = np.empty((*dx.shape[:2], *size), dx.dtype)
        inner = ConvSpec(spec.stride, ((0, 0),) * len(size), spec.dilation, spec.groups)
        conv_backward_data(padded, dy, w, None, inner)
        fold(dx, padded, spec.padding, spec.padding_mode)
        if b is not None:
            dx += b.reshape(-1, *(1,) * len(size))
        return
    dy, w = aligned(dy), _aligned_weights(w)
    problem = describe(spec, dx, w, dy, algorithm)
    arrays = pointer(dy), weights_pointer(w), pointer(_bias(b)), pointer(dx)
    memory = workspace_for(lib.pyconv_conv_workspace, problem, BACKWARD_DATA)
    call(lib.pyconv_conv_backward_data, problem, *arrays, memory)


def pack_backward_data(dx, dy, w, b, spec, algorithm=DIRECT):
    """How `conv_backward_data` wants w packed, or None if nothing is gained."""
    if spec.padding_mode != "zeros":
        return None
    return packing(describe(spec, dx, w, dy, algorithm, packed=True), BACKWARD_DATA)


@fills_aligned
def conv_backward_weights(dw, dy, x, spec, algorithm=DIRECT):
    """dw = the correlation of x with dy."""
    dy, x = aligned(dy), aligned(x)
    problem = describe(spec, x, dw, dy, algorithm)
    memory = workspace_for(lib.pyconv_conv_workspace, problem, BACKWARD_WEIGHTS)
    call(lib.pyconv_conv_backward_weights, problem, pointer(dy), pointer(x), pointer(dw), memory)


def predict_conv(y, x, w, b, spec, packed=False):
    """Seconds that `conv` should take."""
    return cost.seconds(describe(spec, x, w, y), FORWARD, DIRECT, packed)


def predict_backward_data(dx, dy, w, b, spec, packed=False):
    """Seconds that `conv_backward_data` should take."""
    return cost.seconds(describe(spec, dx, w, dy), BACKWARD_DATA, DIRECT, packed)


def predict_backward_weights(dw, dy, x, spec, packed=False):
    """Seconds that `conv_backward_weights` should take."""
    return cost.seconds(describe(spec, x, dw, dy), BACKWARD_WEIGHTS, DIRECT)


def _aligned_weights(w):
    return w if isinstance(w, PackedWeights) else aligned(w)


def _bias(b):
    return None if b is None else aligned(np.ascontiguousarray(b))


def describe(
    spec: ConvSpec, x, w, y, algorithm: int = DIRECT, packed=False, activation: str = "", parameters=(), pooled=False
) -> Any:
    """The `pyconv_conv` for arrays of these shapes and strides; x stands for dx, and so on; y for its pooled maxima."""
    layouts = x.shape, x.strides, w.shape, w.strides, y.shape, y.strides, x.itemsize
    packed = packed or isinstance(w, PackedWeights)
    return _describe(spec, *layouts, algorithm, packed, epilogue(activation, parameters), pooled)


def epilogue(activation: str, parameters) -> tuple[int, tuple[float, float]]:
    """An activation, or none if that is empty, and its parameters as C numbers them."""
    first, second = (*map(float, parameters), 0.0, 0.0)[:2]
    return UNARY[activation] if activation else -1, (first, second)


@lru_cache(maxsize=256)
def _describe(
    spec, x_shape, x_strides, w_shape, w_strides, y_shape, y_strides, itemsize, algorithm, packed, epilogue, pooled
):
    lead = (1,) * (5 - len(x_shape))  # a missing depth or height is an axis of one
    none = (0,) * len(lead)

    def strides(of):
        elements = [s // itemsize for s in of]
        return [*elements[:2], *none, *elements[2:]]

    return ffi.new(
        "pyconv_conv *",
        {
            "n": x_shape[0],
            "c": x_shape[1],
            "k": w_shape[0],
            "groups": spec.groups,
            "in": [*lead, *x_shape[2:]],
            "out": [*lead, *(n * (2 if pooled else 1) for n in y_shape[2:])],
            "kernel": [*lead, *w_shape[2:]],
            "stride": [*lead, *spec.stride],
            "dilation": [*lead, *spec.dilation],
            "pad": [*none, *(begin for begin, _ in spec.padding)],
            "x_strides": strides(x_strides),
            "y_strides": strides(y_strides),
            "w_strides": strides(w_strides),
            "padding_mode": PADDING_MODES.index(spec.padding_mode),
            "real_bits": 8 * itemsize,
            "algorithm": algorithm,
            "packed": packed,
            "activation": epilogue[0],
            "parameters": epilogue[1],
            "pooled": pooled,
        },
    )
