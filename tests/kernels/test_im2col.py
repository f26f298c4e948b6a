"""What the im2col backend has of its own: tiles that bound its memory, and matrices without copies."""

import math
import tracemalloc

import numpy as np
import pytest
from arrays import arranged, integers, reference
from hypothesis import given
from hypothesis import strategies as st

from pyconv.kernels.im2col import conv, depthwise, pool
from pyconv.kernels.im2col.windows import tiles
from pyconv.kernels.spec import ConvSpec, PoolSpec


@given(
    st.integers(0, 9), st.lists(st.integers(1, 20), min_size=1, max_size=3), st.integers(1, 99), st.integers(1, 9999)
)
def test_tiles_cover_everything_once_within_the_limit(batch, out_size, bytes_per_position, limit):
    seen = np.zeros((batch, out_size[0]), int)
    bytes_per_row = math.prod(out_size[1:]) * bytes_per_position
    for images, parts in tiles(batch, out_size, bytes_per_position, limit, 64):
        for rows in parts:
            seen[images, rows] += 1
            used = (images.stop - images.start) * (rows.stop - rows.start)
            assert used == 1 or used * bytes_per_row <= limit
    assert (seen == 1).all()


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(conv, "COLUMN_BYTES", 3000)
    monkeypatch.setattr(conv, "POSITIONS", 20)
    monkeypatch.setattr(depthwise, "TILE_BYTES", 3000)
    monkeypatch.setattr(pool, "TILE_BYTES", 3000)


@pytest.mark.parametrize("order", ["C", "channels_last"])
@pytest.mark.parametrize("mode", ["zeros", "reflect"])
@pytest.mark.parametrize("groups", [1, 4])
def test_results_do_not_depend_on_the_tiles(small_tiles, order, mode, groups):
    """Tiles of a few rows, and of a few images of which the last tile has fewer."""
    rng = np.random.default_rng(0)
    for size in ((17, 13), (3, 2)):
        spec = ConvSpec((2, 1), ((1, 1), (0, 1)), (1, 1), groups, mode)
        x_shape, w_shape = (5, 4, *size), (8, 4 // groups, 3, 2)
        y_shape = (5, 8, *spec.output_size(size, (3, 2)))
        x, w, b = integers(rng, x_shape, float, order), integers(rng, w_shape, float), integers(rng, (8,), float)
        dy = integers(rng, y_shape, float, order)
        for module in (conv, depthwise) if groups == 4 else (conv,):
            y, dx, dw = (arranged(np.empty(shape), order) for shape in (y_shape, x_shape, w_shape))
            module.conv(y, x, w, b, spec)
            module.conv_backward_data(dx, dy, w, None, spec)
            module.conv_backward_weights(dw, dy, x, spec)
            np.testing.assert_array_equal(y, reference("conv", y_shape, x, w, b, spec))
            np.testing.assert_array_equal(dx, reference("conv_backward_data", x_shape, dy, w, None, spec))
            np.testing.assert_array_equal(dw, reference("conv_backward_weights", w_shape, dy, x, spec))
    windows = PoolSpec((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)).windows((17, 13))
    x = integers(rng, (5, 4, 17, 13), float, order)
    y = arranged(np.empty((5, 4, 9, 7)), order)
    pool.max_pool(y, x, windows)
    np.testing.assert_array_equal(y, reference("max_pool", y.shape, x, windows))


def test_memory_stays_bounded():
    """64 channels of 256² pixels make columns of 151 MB; a tile has 16."""
    x, w = np.ones((1, 64, 256, 256), np.float32), np.ones((8, 64, 3, 3), np.float32)
    y = np.empty((1, 8, 254, 254), np.float32)
    tracemalloc.start()
    conv.conv(y, x, w, None, ConvSpec((1, 1), ((0, 0), (0, 0)), (1, 1)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * conv.COLUMN_BYTES


@pytest.mark.parametrize("order", ["C", "channels_last"])
def test_a_pointwise_convolution_copies_no_activations(order):
    x, w = arranged(np.ones((1, 64, 64, 64), np.float32), order), np.ones((64, 64, 1, 1), np.float32)
    y = arranged(np.empty((1, 64, 64, 64), np.float32), order)
    spec = ConvSpec((1, 1), ((0, 0), (0, 0)), (1, 1))
    for kernel in (conv.conv, conv.conv_backward_data):
        tracemalloc.start()
        kernel(y, x, w, None, spec)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < x.nbytes / 4
