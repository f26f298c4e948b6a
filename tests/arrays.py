"""Arrays to test with: every memory order, values whose sums are exact, and error bounds for those that are not."""

import numpy as np
from hypothesis import strategies as st

from pyconv import kernels
from pyconv.kernels.precision import precision

WRITEABLE_ORDERS = ("C", "channels_last", "F", "reversed", "sliced", "misaligned")
ORDERS = (*WRITEABLE_ORDERS, "readonly", "broadcast")

dtypes = st.sampled_from([np.float32, np.float64])
orders = st.sampled_from(ORDERS)
writeable_orders = st.sampled_from(WRITEABLE_ORDERS)


def arranged(a, order):
    """`a` in another memory order; "broadcast" repeats the first entries of axes 0 and 2 by zero strides."""
    if order == "broadcast":
        first = np.ascontiguousarray(a[:1, :, :1] if a.ndim > 2 else a[:1])
        return np.broadcast_to(first, a.shape) if a.size else a
    if order == "channels_last":
        return np.moveaxis(np.moveaxis(a, 1, -1).copy(), -1, 1) if a.ndim > 1 else a
    if order == "F":
        return a.copy(order="F")
    if order == "reversed":
        return np.flip(np.flip(a).copy())
    if order == "sliced":  # every other element of a larger array, along every axis
        larger = unwritten([2 * n + 1 for n in a.shape], a.dtype)
        view = larger[tuple(slice(1, 2 * n + 1, 2) for n in a.shape)]
        view[...] = a
        return view
    if order == "misaligned":
        view = np.ndarray(a.shape, a.dtype, bytearray(a.nbytes + 1), offset=1)
        view[...] = a
        return view
    result = a.copy()
    result.flags.writeable = order != "readonly"
    return result


def integers(rng, shape, dtype, order="C"):
    """Small integers: their products and sums are exact in float32, in whatever order they are added."""
    return arranged(rng.integers(-4, 5, shape).astype(dtype), order)


def reals(rng, shape, dtype, order="C"):
    return arranged(rng.standard_normal(shape).astype(dtype), order)


def unwritten(shape, dtype):
    """An array that shows where nothing was written: NaN, or for integers -7 (unsigned, 249)."""
    return np.full(shape, {"f": np.nan, "u": 249}.get(np.dtype(dtype).kind, -7), dtype)


def rows_for(backend, kernel, out, *arguments):
    """Every row of a backend that takes the call: each must give the right result, not only the first."""
    with kernels.backend(backend):
        rows = kernels.rows(kernel)
    return [row for row in rows if row.refuse is None or row.refuse(out, *arguments) is None]


def results(backend, kernel, shape, dtype, order, *arguments):
    """(algorithm, result) of every row, into arrays of a memory order."""
    for row in rows_for(backend, kernel, unwritten(shape, dtype), *arguments):
        out = arranged(unwritten(shape, dtype), order)
        row.function(out, *arguments)
        yield row.algorithm, out


def reference(kernel, shape, *arguments, dtype=np.float64):
    """The result of the naive backend in float64."""
    wide = [a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in arguments]
    out = unwritten(shape, dtype)
    with kernels.backend("naive"):
        kernels.run(kernel, out, *wide)
    return out


def assert_within(actual, expected, magnitude, terms, algorithm):
    """Error of a sum of `terms` products: at most (terms + 2) eps Σ|a·b|, in whatever order they are added.

    Winograd transforms its operands first, which costs some digits more.
    """
    factor = 100 if "winograd" in algorithm else 1
    bound = factor * (terms + 2) * np.finfo(actual.dtype).eps * magnitude
    excess = np.abs(actual - expected) - bound
    assert not np.isnan(excess).any(), f"{algorithm}: NaN in the result"
    assert (excess <= np.finfo(actual.dtype).tiny).all(), f"{algorithm}: {excess.max()} over its error bound"


def assert_exact(actual, expected, algorithm):
    """Equal element by element, NaN to NaN; Winograd may be off by rounding, within its documented bound."""
    if "winograd" in algorithm:
        np.testing.assert_allclose(
            actual, expected, rtol=0, atol=2e-5 * abs(expected).max(initial=1), err_msg=algorithm
        )
    else:
        np.testing.assert_array_equal(actual, expected, err_msg=algorithm, strict=False)


def assert_passes_exact(x_shape, w_shape, spec, order, dtype):
    """All three passes of a convolution on the native backend are the naive one's, on integers and without Winograd."""
    y_shape = (x_shape[0], w_shape[0], *spec.output_size(x_shape[2:], w_shape[2:]))
    rng = np.random.default_rng(0)
    x, dy = integers(rng, x_shape, dtype, order), integers(rng, y_shape, dtype, order)
    w, b = integers(rng, w_shape, dtype), integers(rng, (w_shape[0],), dtype)
    for name, shape, arguments in (
        ("conv", y_shape, (x, w, b)),
        ("conv_backward_data", x_shape, (dy, w, None)),
        ("conv_backward_weights", w_shape, (dy, x)),
    ):
        out = arranged(unwritten(shape, dtype), order)
        with kernels.backend("native"), precision("strict"):
            kernels.run(name, out, *arguments, spec)
        assert_exact(out, reference(name, shape, *arguments, spec), f"{name} {x_shape} {w_shape} {order}")
