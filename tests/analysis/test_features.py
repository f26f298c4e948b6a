"""Filters and feature maps as arrays, and all pictures of the analysis."""

import numpy as np
import pytest

from pyconv import nn
from pyconv.analysis import ShiftCurve, dense_equivalent, feature_maps, filter_images


def test_a_filter_is_grey_at_zero_and_reaches_black_or_white():
    layer = nn.Conv2d(3, 2, 2)
    layer.weight[...] = 0
    layer.weight[0, 1, 0, 1] = -4
    layer.weight[0, 2, 1, 1] = 2
    images = filter_images(layer)
    assert images.shape == (2, 2, 2, 3)
    assert images[0, 0, 1].tolist() == [0.5, 0.0, 0.5]
    assert images[0, 1, 1].tolist() == [0.5, 0.5, 0.75]
    assert (images[1] == 0.5).all()
    assert filter_images(nn.Conv2d(4, 3, 5)).shape == (12, 5, 5)
    with pytest.raises(TypeError, match=r"nn\.Conv2d, not Linear"):
        filter_images(nn.Linear(2, 2))


def test_feature_maps_are_what_the_layers_give_in_evaluation():
    model = nn.Sequential(
        nn.Sequential({"conv": nn.Conv2d(1, 4, 3), "norm": nn.BatchNorm2d(4)}),
        nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 2),
    )  # fmt: skip
    image = np.random.default_rng(0).integers(0, 256, (1, 6, 6), np.uint8)
    maps = feature_maps(model, image)
    assert list(maps) == ["0.conv", "0.norm", "1", "2"]
    np.testing.assert_array_equal(maps["0.conv"], model[0][0](image[None] * np.float32(1 / 255))[0])
    np.testing.assert_array_equal(maps["1"], maps["2"])
    assert model.training
    with pytest.raises(ValueError, match=r"\(C, H, W\)"):
        feature_maps(model, image[None])


def test_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    from pyconv import viz

    layer = nn.Conv2d(3, 5, 3)
    maps = feature_maps(nn.Sequential(layer, nn.ReLU(), nn.GlobalAvgPool()), np.zeros((3, 8, 8), np.uint8))
    curve = ShiftCurve(np.arange(3), np.ones(3))
    figures = [
        viz.plot_dense_equivalent(dense_equivalent(layer, (3, 6, 6)), tmp_path / "dense.png"),
        viz.plot_shift_consistency({"a": curve}, tmp_path / "shift.png"),
        viz.plot_shift_consistency({"a": curve, "b": ShiftCurve(np.arange(3), np.ones(3), np.ones(3))}),
        viz.plot_images(filter_images(layer), tmp_path / "colour.png"),
        viz.plot_images(np.zeros((7, 40, 30)), tmp_path / "grey.png", columns=4),
        viz.plot_feature_maps(maps, tmp_path / "maps.png", channels=4),
        viz.plot_costs({"Adam": [2.0, 1.0]}, tmp_path / "costs.png"),
    ]
    assert [len(figure.axes) for figure in figures] == [1, 1, 2, 1, 1, 3, 1]
    assert "135 parameters" in figures[0].axes[0].get_title()
    for picture in tmp_path.iterdir():
        assert picture.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="images must have the shape"):
        viz.plot_images(np.zeros((2, 2)))
