"""The native depthwise engine: every form that its microkernels know, and others, on every instruction set, exactly."""

import numpy as np
import pytest
from arrays import arranged, assert_passes_exact, unwritten

from pyconv import kernels
from pyconv.kernels.spec import PADDING_MODES, ConvSpec

if (reason := kernels.available("native")) is not None:
    pytest.skip(reason, allow_module_level=True)

ORDERS = ("C", "channels_last", "reversed", "sliced")


def every_pass(
    groups, size, kernel, stride, dilation, padding, mode="zeros", order="C", dtype=np.float32, group=(1, 1)
):
    """All three passes of two images on the native backend against the naive one; `group`: its channels of x and y."""
    spec = ConvSpec((stride,) * 2, padding, (dilation,) * 2, groups, mode)
    x_shape, w_shape = (2, groups * group[0], *size), (groups * group[1], group[0], kernel, kernel)
    assert_passes_exact(x_shape, w_shape, spec, order, dtype)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 7, 11])
def test_kernel_sizes_and_strides(isa, kernel, stride):
    for order in ORDERS:
        every_pass(19, (9, 19), kernel, stride, 1, ((kernel // 2, kernel // 2),) * 2, order=order)


@pytest.mark.parametrize("kernel", [9, 18, 31])
def test_large_kernels(isa, kernel):
    for order in ("C", "channels_last"):
        every_pass(17, (12, 43), kernel, 1, 1, ((kernel // 2, kernel // 2 + 1),) * 2, order=order)
    every_pass(16, (31, 40), kernel, 1, 1, ((8, 0), (3, 9)), "circular", "channels_last", np.float64)


@pytest.mark.parametrize("kernel", [3, 5])
def test_dilation(isa, kernel):
    for stride in (1, 2):
        every_pass(18, (17, 19), kernel, stride, 3, ((4, 2), (0, 5)), order="channels_last")


@pytest.mark.parametrize("mode", PADDING_MODES)
def test_padding_modes(isa, mode):
    for order in ORDERS:
        every_pass(33, (4, 5), 3, 1, 1, ((3, 1), (2, 3)), mode, order)
        every_pass(17, (9, 40), 5, 2, 1, ((3, 1), (2, 3)), mode, order)


@pytest.mark.parametrize("group", [(2, 2), (4, 4), (8, 8), (4, 8), (16, 8), (32, 16)], ids=str)
def test_groups_of_a_few_channels(isa, group):
    for order in ("C", "channels_last", "sliced"):
        for stride in (1, 2):
            every_pass(8, (9, 13), 3, stride, 1, ((1, 1), (2, 0)), order=order, group=group)
    every_pass(4, (7, 6), 3, 1, 1, ((3, 1), (2, 3)), "circular", "channels_last", np.float64, group)


@pytest.mark.parametrize("group", [(8, 8), (4, 2)], ids=str)
def test_groups_whose_phases_see_inputs_apart(isa, group):
    every_pass(4, (9, 13), 4, 3, 2, ((2, 3), (2, 3)), order="channels_last", group=group)
    every_pass(4, (9, 13), 5, 3, 2, ((1, 0), (3, 2)), dtype=np.float64, group=group)


def test_doubles(isa):
    for order in ORDERS:
        every_pass(21, (10, 11), 3, 1, 1, ((1, 1),) * 2, order=order, dtype=np.float64)


@pytest.mark.parametrize("order", ["C", "channels_last"])
def test_many_channels_whose_pixels_collide_in_cache(isa, order):
    every_pass(256, (7, 7), 7, 1, 1, ((3, 3),) * 2, order=order)


@pytest.mark.parametrize("order", ["C", "channels_last"])
def test_planes_cut_into_tiles(isa, order):
    for kernel, stride in ((3, 1), (5, 2)):
        every_pass(40, (61, 57), kernel, stride, 1, ((kernel // 2, kernel // 2),) * 2, order=order)


def test_an_output_sees_only_its_window(isa):
    """NaN beyond a block's last pixel, or in the padding's place, does not spread."""
    spec = ConvSpec((1, 1), ((1, 1), (1, 1)), (1, 1), 16)
    x, w = np.ones((1, 16, 3, 23), np.float32), np.ones((16, 1, 3, 3), np.float32)
    x[:, :, :, 11] = np.nan
    for order in ORDERS:
        y = arranged(unwritten(x.shape, np.float32), order)
        with kernels.backend("native"):
            kernels.run("conv", y, arranged(x, order), w, None, spec)
        assert (np.flatnonzero(np.isnan(y).any(axis=(0, 1, 2))) == [10, 11, 12]).all()
