"""Summaries: the lecture's figures, counts against the matrix that a layer is, receptive fields against gradients."""

import json

import numpy as np
import pytest

import pyconv.functional as F
from pyconv import models, nn
from pyconv.graph.transforms import grad


def test_the_lectures_layer():
    summary = nn.Conv2d(3, 6, 5).summary((3, 32, 32))
    (row,) = summary.rows
    assert row.output_shape == (6, 28, 28)
    assert (row.parameters, row.inputs_per_output, row.dense_weights) == (456, 75, 14_450_688)
    assert row.connections == row.macs == 28 * 28 * 6 * 75
    for figure in ("14,450,688", "456", "75", "6×28×28", "5×5", "352,800"):
        assert figure in str(summary)


def matrix(layer, shape):
    """The dense matrix (outputs, inputs) that a layer without bias is, in a pattern of non-zeros."""
    for parameter in layer.parameters():
        parameter[...] = 1
    size = int(np.prod(shape))
    y = layer(np.eye(size).reshape(size, *shape))
    return y.reshape(size, -1).T != 0


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(2, 4, 3, padding=1, groups=2, bias=False), (2, 5, 4)),
        (nn.Conv2d(2, 3, (3, 2), stride=2, dilation=(1, 2), padding=(2, 1), bias=False), (2, 6, 7)),
        (nn.Conv2d(1, 1, 3, padding=2, padding_mode="circular", bias=False), (1, 3, 4)),
        (nn.Conv1d(2, 3, 3, padding=2, padding_mode="reflect", bias=False), (2, 5)),
        (nn.Conv1d(2, 3, 3, padding="same", padding_mode="replicate", bias=False), (2, 5)),
        (nn.Conv3d(1, 2, 2, bias=False), (1, 3, 3, 2)),
        (nn.ConvTranspose2d(2, 4, 3, stride=2, padding=1, groups=2, bias=False), (2, 4, 3)),
        (nn.ConvTranspose1d(2, 3, 4, stride=3, output_padding=1, bias=False), (2, 4)),
        (nn.AvgPool2d(3, stride=2, padding=1), (2, 6, 5)),
        (nn.AdaptiveAvgPool2d((2, 3)), (2, 5, 4)),
        (nn.GlobalAvgPool(), (2, 4, 4)),
        (nn.Linear(5, 3, bias=False), (5,)),
    ],
    ids=lambda value: repr(value) if isinstance(value, nn.Module) else None,
)
def test_connections_are_the_nonzeros_of_the_dense_matrix(layer, shape):
    (row,) = layer.astype(np.float64).summary(shape).rows
    pattern = matrix(layer.astype(np.float64), shape)
    assert row.connections == pattern.sum()
    assert row.inputs_per_output == pattern.sum(1).max()
    assert row.dense_weights == pattern.size
    assert row.macs >= row.connections or not row.macs


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3, stride=2), nn.Conv2d(1, 1, 3, dilation=2)),
        nn.Sequential(nn.Conv2d(1, 2, 5, stride=2), nn.AvgPool2d(2), nn.Conv2d(2, 1, (1, 3))),
        nn.Sequential(nn.AvgPool2d(3), nn.ConvTranspose2d(1, 1, 4, stride=2)),
    ],
    ids=["dilated", "pooled", "transposed"],
)
def test_receptive_fields_are_what_gradients_reach(model):
    model = model.astype(np.float64)
    for parameter in model.parameters():
        parameter[...] = 1
    size = 33

    def middle(x):
        y = model(x)
        keep = np.zeros(y.shape)
        keep[..., y.shape[2] // 2, y.shape[3] // 2] = 1
        return F.sum(y * keep)

    reached = grad(middle)(np.ones((1, 1, size, size)))[0, 0] != 0
    measured = tuple(int(np.ptp(np.nonzero(reached.any(1 - axis))[0])) + 1 for axis in (0, 1))
    assert model.summary((1, size, size)).rows[-1].receptive_field == measured


class Residual(nn.Module):
    def __init__(self):
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.scale = nn.Parameter(np.ones((1, 4, 1, 1), np.float32))
        self.weight = nn.Parameter(np.ones((4, 4, 1, 1), np.float32))

    def forward(self, x):
        y = F.relu(self.conv(x)) * self.scale
        y = self.conv(y)
        return F.conv2d(y, self.weight) + x


def test_own_parameters_shared_layers_and_branches():
    summary = nn.Sequential({"block": Residual(), "pool": nn.GlobalAvgPool()}).summary((4, 9, 9))
    assert [(row.name, row.layer, row.parameters) for row in summary.rows] == [
        ("block.conv", "Conv2d", 148),
        ("block.conv", "Conv2d", 0),
        ("block", "Residual", 20),
        ("pool", "GlobalAvgPool", 0),
    ]
    assert [row.receptive_field for row in summary.rows] == [(3, 3), (5, 5), (5, 5), (9, 9)]
    assert summary.rows[2].macs == 4 * 4 * 81
    assert summary.parameters == 168


def test_macs_of_lenet5():
    summary = models.create("lenet5", in_channels=1).summary((1, 28, 28))
    assert summary.parameters == 61_706
    assert summary.macs == 6 * 25 * 28**2 + 16 * 150 * 100 + 400 * 120 + 120 * 84 + 84 * 10
    assert summary.rows[-1].receptive_field == (28, 28)


def test_a_summary_changes_nothing_and_computes_nothing():
    model = models.create("catnet")
    before = model.clone()
    model.summary((3, 4096, 4096))
    for (name, array), other in zip(model.named_buffers(), before.buffers(), strict=True):
        np.testing.assert_array_equal(array, other, err_msg=name)
    assert model.training


def test_a_program_can_read_it():
    table = json.loads(json.dumps(nn.Linear(3, 2).summary((3,)).to_dict()))
    assert table["rows"][0]["parameters"] == table["parameters"] == 8
    assert table["input_shapes"] == [[3]]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="at least one shape"):
        nn.ReLU().summary()
    with pytest.raises(ValueError, match="weight must have"):
        nn.Conv2d(3, 6, 5).summary((1, 32, 32))
