"""Shift consistency: against models whose answer is known."""

import numpy as np
import pytest

import pyconv.functional as F
from pyconv import nn
from pyconv.analysis import dense_twin, shift_consistency


class Brightest(nn.Module):
    """Its class is the column that holds the brightest pixel."""

    def forward(self, x):
        return F.max(x, (1, 2))


@pytest.fixture
def points():
    """A point each, off the border by at least 2."""
    x = np.zeros((6, 1, 8, 8), np.uint8)
    x[np.arange(6), 0, 3, [2, 3, 4, 5, 3, 4]] = 255
    return x


def test_a_model_that_looks_at_columns_survives_moves_along_them(points):
    y = points.argmax(3).max((1, 2))
    curve = shift_consistency(Brightest(), points, y, shifts=(0, 1, 2))
    assert curve.shifts.tolist() == [0, 1, 2]
    assert curve.consistency.tolist() == [1.0, 0.5, 0.5]
    assert curve.accuracy.tolist() == [1.0, 0.5, 0.5]
    assert shift_consistency(Brightest(), points).accuracy is None


def test_what_comes_in_repeats_the_edge():
    x = np.full((1, 1, 4, 4), 0.5, np.float32)
    x[..., 0] = 1  # when all moves right the first column is as bright as the second
    assert shift_consistency(Brightest(), x, shifts=[1]).consistency.tolist() == [1.0]


def test_a_convolution_and_a_maximum_see_no_shift(points):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GlobalMaxPool(), nn.Flatten(), nn.Linear(4, 3))
    assert shift_consistency(model, points, shifts=(1, 2)).consistency.tolist() == [1.0, 1.0]


def test_bad_arguments_are_refused(points):
    with pytest.raises(ValueError, match=r"images \(N, C, H, W\)"):
        shift_consistency(Brightest(), points[0])
    for shifts in ([8], [-1], [0.5]):
        with pytest.raises(ValueError, match="shifts must be whole numbers from 0 to 7"):
            shift_consistency(Brightest(), points, shifts=shifts)


@pytest.mark.parametrize("channels", [8, 64, 256])
def test_a_twin_is_of_the_same_size(channels):
    model = nn.Sequential(
        nn.Conv2d(3, channels, 5), nn.ReLU(), nn.GlobalAvgPool(), nn.Flatten(), nn.Linear(channels, 10)
    )
    twin = dense_twin(model, (3, 12, 12), 10)
    assert abs(twin.num_parameters() - model.num_parameters()) <= (3 * 12 * 12 + 11) / 2
    assert twin(np.zeros((2, 3, 12, 12), np.float32)).shape == (2, 10)
