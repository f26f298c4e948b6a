"""The native engine whose vectors run along images: batches with few channels, on every instruction set, exactly."""

import numpy as np
import pytest
from arrays import assert_passes_exact, unwritten

from pyconv import kernels
from pyconv.kernels.precision import precision
from pyconv.kernels.spec import PADDING_MODES, ConvSpec
from pyconv.kernels.threads import num_threads

if (reason := kernels.available("native")) is not None:
    pytest.skip(reason, allow_module_level=True)

from pyconv.kernels.native import conv, library

ORDERS = ("C", "channels_last", "reversed", "sliced")
IMAGES = 6  # the number of the engine


def every_pass(n, channels, size, kernel, spec, order="C", dtype=np.float32):
    """All three passes on the native backend against the naive one; `channels` of x and y."""
    x_shape, w_shape = (n, channels[0], *size), (channels[1], channels[0], *kernel)
    assert_passes_exact(x_shape, w_shape, spec, order, dtype)


def square(kernel, stride=1, padding=None, mode="zeros"):
    padding = ((kernel // 2, kernel // 2),) * 2 if padding is None else padding
    return (kernel,) * 2, ConvSpec((stride,) * 2, padding, (1, 1), 1, mode)


@pytest.mark.parametrize("order", ORDERS)
def test_numbers_of_channels_and_images(isa, order):
    for n, channels in ((16, (1, 6)), (16, (6, 16)), (15, (3, 7)), (31, (5, 1)), (32, (16, 10)), (14, (2, 20))):
        every_pass(n, channels, (7, 9), *square(5), order)
        every_pass(n, channels, (5, 6), *square(3, padding=((0, 0), (1, 2))), order, np.float64)


def test_it_serves_them(isa):
    x, w = np.zeros((16, 4, 9, 9), np.float32), np.zeros((6, 4, 3, 3), np.float32)
    y, spec = np.zeros((16, 6, 9, 9), np.float32), square(3)[1]
    assert library.lib.pyconv_conv_engine(conv.describe(spec, x, w, y), conv.FORWARD) == IMAGES
    one = conv.describe(spec, x[:1], w, y[:1])
    assert library.lib.pyconv_conv_engine(one, conv.FORWARD) != IMAGES


@pytest.mark.parametrize("mode", PADDING_MODES)
def test_strides_and_padding(isa, mode):
    for order in ("C", "channels_last"):
        every_pass(16, (3, 8), (6, 7), *square(3, 2, ((3, 1), (0, 4)), mode), order)
        every_pass(16, (4, 5), (9, 5), *square(4, 1, ((-1, 2), (2, 3)), mode), order)


def test_one_and_three_dimensions(isa):
    every_pass(17, (2, 5), (23,), (5,), ConvSpec((1,), ((2, 3),), (1,)), "channels_last")
    every_pass(16, (2, 5), (4, 5, 6), (2, 3, 3), ConvSpec((1,) * 3, ((1, 0), (1, 1), (0, 2)), (1,) * 3))


def test_images_cut_into_tiles(isa):
    every_pass(16, (7, 8), (45, 41), *square(3), "channels_last")


def test_threads_do_not_change_a_bit(isa):
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((48, 6, 20, 20), np.float32), rng.standard_normal((48, 9, 20, 20), np.float32)
    results = []
    for threads in (1, 2, 3):
        dw = unwritten((9, 6, 3, 3), np.float32)
        with kernels.backend("native"), num_threads(threads), precision("strict"):
            kernels.run("conv_backward_weights", dw, dy, x, square(3)[1])
        results.append(dw.tobytes())
    assert len(set(results)) == 1
