"""Convolution and maximum pooling as one kernel: what the two give in turn, exactly where sums are exact."""

import numpy as np
import pytest

import pyconv as pc
import pyconv.functional as F
from pyconv import kernels, nn
from pyconv.kernels.spec import SQUARES, ConvSpec, PoolSpec

native = pytest.mark.skipif(kernels.available("native") is not None, reason="the C library is not built")

CASES = {
    "lenet5": ((1, 1, 28, 28), (6, 1, 5, 5), {"padding": ((2, 2), (2, 2))}),
    "odd size, a batch": ((3, 2, 12, 17), (4, 2, 3, 3), {}),
    "one row, one column": ((2, 3, 4, 4), (2, 3, 3, 3), {}),
    "nothing": ((2, 3, 3, 4), (2, 3, 3, 3), {}),
    "no images": ((0, 3, 8, 8), (2, 3, 3, 3), {}),
    "blocks of channels": ((1, 32, 21, 22), (5, 32, 3, 3), {"padding": ((1, 1), (1, 1))}),
    "groups": ((2, 6, 10, 10), (9, 2, 3, 3), {"groups": 3}),
    "strided, dilated": ((1, 2, 40, 41), (3, 2, 3, 3), {"stride": (2, 3), "dilation": (2, 1)}),
    "asymmetric reflection": (
        (1, 2, 9, 9),
        (3, 2, 2, 2),
        {"padding": ((1, 0), (0, 2)), "padding_mode": "reflect"},
    ),
    "panels": ((1, 3, 10, 50), (17, 3, 1, 1), {}),
    "wide": ((1, 1, 20, 300), (1, 1, 7, 7), {}),
    "many tiles": ((1, 8, 50, 100), (3, 8, 3, 3), {}),
}


def problem(name, dtype, order):
    """Arrays of small integers, so that sums are exact in whatever order, and the spec."""
    x_shape, w_shape, options = CASES[name]
    random = np.random.default_rng(0)
    x, w, b = (random.integers(-3, 4, shape).astype(dtype) for shape in (x_shape, w_shape, w_shape[:1]))
    plain = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}
    if order == "channels_last":
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return x, w, b, ConvSpec(**{**plain, **options})


def expected(x, w, b, spec, activation):
    with pc.backend("naive"):
        size = spec.output_size(x.shape[2:], w.shape[2:])
        y = np.empty((x.shape[0], w.shape[0], *size), x.dtype)
        kernels.run("fused_conv", y, x, w, b, None, spec, activation)
        pooled = np.empty((*y.shape[:2], *SQUARES.output_size(size)), x.dtype)
        kernels.run("max_pool", pooled, y, SQUARES.windows(size))
    return pooled


@native
@pytest.mark.parametrize("order", ["contiguous", "channels_last"])
@pytest.mark.parametrize("name", CASES)
def test_equals_its_parts(isa, name, order):
    for dtype in (np.float32, np.float64):
        x, w, b, spec = problem(name, dtype, order)
        for activation, bias in (("relu", b), ("", None)):
            y = expected(x, w, bias, spec, activation)
            if y.size < 10_000:  # and where NaN wins
                x[..., x.shape[2] // 2, x.shape[3] // 2] = np.nan
                y = expected(x, w, bias, spec, activation)
            out = np.full_like(x, 7, shape=(y.shape[0], *y.shape[2:], y.shape[1])).transpose(0, 3, 1, 2)
            for target in (out, np.full_like(y, 7)):
                with pc.num_threads(2):
                    kernels.run("pooled_conv", target, x, w, bias, spec, SQUARES, activation)
                np.testing.assert_array_equal(target, y)


@native
def test_what_c_cannot_pool_runs_in_parts():
    x, w, b, spec = problem("lenet5", np.float32, "contiguous")
    y = expected(x, w, b, spec, "relu")
    arguments = y, x, w, b, spec
    row = kernels.choose("pooled_conv", *arguments, SQUARES, "relu")
    assert row.algorithm == "direct"
    assert "gelu" in row.refuse(*arguments, SQUARES, "gelu")
    assert "2×2" in row.refuse(*arguments, PoolSpec((3, 3), (2, 2), ((0, 0),) * 2, (1, 1)), "relu")
    y = np.empty((1, 6, 13, 13), np.float32)
    kernels.run("pooled_conv", y, x, w, b, spec, PoolSpec((3, 3), (2, 2), ((0, 0),) * 2, (1, 1)), "relu")
    np.testing.assert_array_equal(y, F.max_pool2d(F.relu(F.conv2d(x, w, b, padding=2)), 3, 2))


@native
def test_a_plan_of_lenet5_pools_in_its_first_convolution(isa):
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)
    ).eval()
    x = np.random.default_rng(1).standard_normal((2, 1, 28, 28), np.float32)
    plan = pc.compile(model, x.shape)
    assert plan.explain().count("PooledConv") == 1
    y = plan(x)
    np.testing.assert_allclose(y, model(x), rtol=1e-5, atol=1e-5)
    for threads in (1, 2):
        with pc.num_threads(threads):
            np.testing.assert_array_equal(pc.compile(model, x.shape)(x), y)
