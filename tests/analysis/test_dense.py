"""The matrix of a layer: it computes what the layer does, and says which parameter stands where."""

import numpy as np
import pytest

from pyconv import nn
from pyconv.analysis import dense_equivalent

LAYERS = [
    (nn.Conv2d(3, 4, 3), (3, 6, 5)),
    (nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, dilation=(1, 2), groups=2), (4, 7, 6)),
    (nn.Conv2d(2, 2, 3, padding="same", padding_mode="circular", bias=False), (2, 5, 5)),
    (nn.Conv1d(2, 3, 4), (2, 9)),
    (nn.Conv3d(1, 2, 2), (1, 3, 4, 3)),
    (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (4, 3, 4)),
    (nn.Linear(7, 5), (7,)),
]


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda value: repr(value))
def test_the_matrix_computes_what_the_layer_does(layer, shape):
    dense, layer = dense_equivalent(layer, shape), layer.astype(np.float64)
    x = np.random.default_rng(0).standard_normal(shape)
    y = layer(x[None])[0]
    assert (dense.input_shape, dense.output_shape) == (shape, y.shape)
    np.testing.assert_allclose(dense.weight @ x.ravel() + dense.bias, y.ravel(), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(dense.parameters, layer.weight.ravel())


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda value: repr(value))
def test_it_counts_what_the_summary_counts(layer, shape):
    dense = dense_equivalent(layer, shape)
    row = layer.summary(shape).rows[0]
    assert dense.index.size == row.dense_weights
    assert dense.connections == row.connections == dense.uses.sum()
    assert dense.inputs_per_output == row.inputs_per_output
    assert dense.sparsity == pytest.approx(1 - row.connections / row.dense_weights)


def test_by_hand():
    """Two taps on four inputs."""
    dense = dense_equivalent(nn.Conv1d(1, 1, 2), (1, 4))
    assert dense.index.tolist() == [[0, 1, -1, -1], [-1, 0, 1, -1], [-1, -1, 0, 1]]
    assert dense.uses.tolist() == [3, 3]
    assert dense_equivalent(nn.Linear(3, 2), (3,)).index.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_what_has_no_such_matrix_is_refused():
    with pytest.raises(TypeError, match=r"a convolution or nn\.Linear, not ReLU"):
        dense_equivalent(nn.ReLU(), (3,))
    with pytest.raises(ValueError, match="through several parameters"):
        dense_equivalent(nn.Conv1d(1, 1, 3, padding=1, padding_mode="replicate"), (1, 5))
    with pytest.raises(ValueError, match=r"50,176 × 12,544: take smaller inputs"):
        dense_equivalent(nn.Conv2d(1, 4, 3, padding=1), (1, 112, 112))
    with pytest.raises(ValueError, match="channels"):
        dense_equivalent(nn.Conv2d(3, 4, 3), (1, 6, 6))
