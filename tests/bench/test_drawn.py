"""Random layers: valid, of every class, the same under the same name."""

import pytest

from pyconv.bench.drawn import MOST_FLOPS, drawn
from pyconv.bench.problems import CLASSES, find

LAYERS = [drawn(0, index) for index in range(200)]


def test_layers_are_found_by_name_and_differ():
    assert all(find(layer.name) == layer for layer in LAYERS)
    assert len({str(layer) for layer in LAYERS}) > 190
    assert str(drawn(1, 0)) != str(drawn(0, 0))


def test_layers_are_of_every_class_and_affordable():
    assert {layer.group for layer in LAYERS} == set(CLASSES)
    for layer in LAYERS:
        assert layer.flops() <= MOST_FLOPS
        assert min(layer.output_shape) >= 1
        assert layer.c % layer.groups == layer.k % layer.groups == 0
        assert (layer.group == "depthwise") == layer.is_depthwise
        assert (layer.group == "pooling") == layer.is_pool


@pytest.mark.parametrize("name", ["random/", "random/1", "random/1.", "random/x.1", "random/1.2.3"])
def test_other_names_are_unknown(name):
    with pytest.raises(ValueError, match="unknown"):
        find(name)
