"""Resampling in C against the shared NumPy kernel, in every mode, memory order and rank."""

import itertools

import numpy as np
import pytest
from arrays import arranged, reals

from pyconv import kernels
from pyconv.kernels.plain import shape as plain
from pyconv.kernels.resample import ResampleSpec

if (reason := kernels.available("native")) is not None:
    pytest.skip(reason, allow_module_level=True)

from pyconv.kernels.native import resample

SIZES = [((5,), (11,)), ((4, 6), (8, 12)), ((7, 5), (3, 9)), ((2, 3, 4), (3, 6, 4)), ((40, 40), (80, 81))]
ORDERS = ("C", "channels_last", "F", "reversed", "sliced")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "linear", "cubic"])
def test_every_order_and_size(isa, mode, dtype):
    rng = np.random.default_rng(0)
    eps = 0 if mode.startswith("nearest") else 64 * np.finfo(dtype).eps
    for (size, out), channels in itertools.product(SIZES, (1, 5)):
        tables = ResampleSpec(out, mode).tables(size)
        x = reals(rng, (2, channels, *size), dtype)
        expected = np.empty((2, channels, *out))
        plain.interpolate(expected, x.astype(np.float64), tables)
        for order_in, order_out in itertools.product(ORDERS, repeat=2):
            y = arranged(np.full(expected.shape, -7, dtype), order_out)
            with kernels.backend("native"):
                kernels.run("interpolate", y, arranged(x, order_in), tables)
            np.testing.assert_allclose(y, expected, rtol=eps, atol=eps, err_msg=f"{size} {order_in} {order_out}")


def test_parts_of_arrays_and_empty_batches():
    tables = ResampleSpec((6, 6), "linear").tables((3, 3))
    x = np.random.default_rng(1).standard_normal((2, 3, 3, 8)).transpose(0, 3, 1, 2)[:, 2:7]
    whole, expected = np.full((2, 6, 6, 12), 7.0), np.empty((2, 5, 6, 6))
    resample.interpolate(whole.transpose(0, 3, 1, 2)[:, 4:9], x, tables)
    plain.interpolate(expected, x, tables)
    np.testing.assert_allclose(whole[..., 4:9].transpose(0, 3, 1, 2), expected, rtol=1e-14)
    assert (whole[..., :4] == 7).all()
    assert (whole[..., 9:] == 7).all()
    resample.interpolate(expected[:0], x[:0], tables)
    assert "nothing" in resample.refuse(np.ones((1, 1, 6, 6)), np.ones((1, 1, 0, 3)), tables)
    assert "float32 and float64" in resample.refuse(np.ones((1, 1, 2), int), np.ones((1, 1, 1), int), tables)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("scale", [-1.5, 1e-30, 1e30, np.nan, np.inf])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "linear", "cubic"])
def test_whatever_the_scale_a_source_is_a_pixel(mode, scale):
    """C reads where the tables say, and a model file may say anything."""
    (taps,) = ResampleSpec((7,), mode, scale=(scale,)).tables((4,))
    assert ((taps.source >= 0) & (taps.source < 4)).all()
