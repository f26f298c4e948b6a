"""Random masks in C, from the stream that NumPy's Philox gives."""

from __future__ import annotations

from pyconv.kernels.native.library import call, ffi, lib, pointer
from pyconv.kernels.native.loops import unsupported


def dropout_mask(mask, state, p):
    """mask = 0 with probability p, else 1 / (1 - p)."""
    values = ffi.new("double[2]", [p * 2**32, 1 / (1 - p) if p < 1 else 0])
    state = ffi.cast("uint64_t *", pointer(state))
    call(lib.pyconv_dropout_mask, pointer(mask), state, values, mask.size, 8 * mask.itemsize)


def refuse_dropout_mask(mask, state, p):
    if not (mask.flags.c_contiguous and state.flags.c_contiguous and state.flags.aligned):
        return "an array is not contiguous"
    return unsupported(mask)
