"""Matrix products."""

import numpy as np


def linear(y, x, w, b):
    """y (M, O) = x (M, I) · wᵀ (I, O) + b (O,) or None; overwrites y."""
    np.matmul(x, w.T, out=y)
    if b is not None:
        y += b


def matmul(y, a, b, transpose_a, transpose_b):
    """y = a · b over the last two axes, either operand transposed if so told, the others broadcast; overwrites y."""
    np.matmul(np.swapaxes(a, -1, -2) if transpose_a else a, np.swapaxes(b, -1, -2) if transpose_b else b, out=y)
