"""Winograd against float64 on every instruction set; what it refuses, when it is chosen, and how far it may be off."""

import numpy as np
import pytest
from arrays import arranged

import pyconv as pc
import pyconv.functional as F
from pyconv import kernels
from pyconv.kernels.naive import conv as naive
from pyconv.kernels.spec import ConvSpec

if (reason := kernels.available("native")) is not None:
    pytest.skip(reason, allow_module_level=True)

from pyconv.kernels.native import conv as direct
from pyconv.kernels.native import library, winograd


@pytest.fixture(params=library.isas(), autouse=True)
def isa(request):
    before = library.get_isa()
    library.set_isa(request.param)
    yield
    library.set_isa(before)


SAME = ((1, 1), (1, 1))
PROBLEMS = [  # (N, C, H, W), K, groups, padding
    ((1, 16, 8, 8), 16, 1, SAME),
    ((2, 19, 9, 11), 37, 1, SAME),
    ((3, 32, 3, 3), 5, 1, ((0, 0), (0, 0))),
    ((1, 48, 7, 30), 63, 3, ((2, 0), (1, 3))),
    ((2, 16, 1, 5), 16, 1, ((1, 1), (1, 2))),
    ((1, 300, 6, 5), 70, 1, SAME),  # several blocks of channels; few tiles
    ((1, 67, 4, 4), 36, 1, SAME),
    ((0, 16, 4, 4), 16, 1, SAME),
]


def arrays_of(problem, dtype, order):
    (n, c, *size), k, groups, padding = problem
    rng = np.random.default_rng(3)
    spec = ConvSpec((1, 1), padding, (1, 1), groups)
    x = arranged(rng.standard_normal((n, c, *size)), order).astype(dtype)
    w = rng.standard_normal((k, c // groups, 3, 3)).astype(dtype)
    y = arranged(np.full((n, k, *spec.output_size(tuple(size), (3, 3))), np.nan), order).astype(dtype)
    return x, w, rng.standard_normal(k).astype(dtype), y, spec


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "channels_last", "F"])
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_forward_and_backward_data(problem, order, dtype):
    x, w, b, y, spec = arrays_of(problem, dtype, order)
    tolerance = 16 * np.finfo(dtype).eps
    if winograd.refuse(y, x, w, b, spec) is None:
        expected = np.empty(y.shape)
        naive.conv(expected, *(a.astype(float) for a in (x, w, b)), spec)
        winograd.conv(y, x, w, b, spec)
        np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance * abs(expected).max(initial=1))
    dy = arranged(np.random.default_rng(4).standard_normal(y.shape), order).astype(dtype)
    dx, bias = np.full_like(x, np.nan), np.ones(x.shape[1], dtype)
    if winograd.refuse_backward_data(dx, dy, w, bias, spec) is None:
        expected = np.empty(x.shape)
        naive.conv_backward_data(expected, *(a.astype(float) for a in (dy, w, bias)), spec)
        winograd.conv_backward_data(dx, dy, w, bias, spec)
        np.testing.assert_allclose(dx, expected, rtol=0, atol=tolerance * abs(expected).max(initial=1))


WEIGHT_PROBLEMS = [*PROBLEMS, ((40, 16, 9, 9), 16, 1, SAME), ((3, 40, 70, 6), 24, 1, SAME)]  # several pieces and chunks


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "channels_last", "F"])
@pytest.mark.parametrize("problem", WEIGHT_PROBLEMS, ids=str)
def test_backward_weights(problem, order, dtype):
    x, w, _, y, spec = arrays_of(problem, dtype, order)
    dy = arranged(np.random.default_rng(4).standard_normal(y.shape), order).astype(dtype)
    for layout in ("C", "channels_last"):
        dw = arranged(np.full(w.shape, np.nan), layout).astype(dtype)
        if winograd.refuse_backward_weights(dw, dy, x, spec) is None:
            expected = np.empty(w.shape)
            naive.conv_backward_weights(expected, dy.astype(float), x.astype(float), spec)
            winograd.conv_backward_weights(dw, dy, x, spec)
            tolerance = 32 * np.finfo(dtype).eps
            np.testing.assert_allclose(dw, expected, rtol=0, atol=tolerance * abs(expected).max(initial=1))


def test_chunks_of_a_weight_gradient_are_added():
    """More tiles than one chunk holds: 64 images of 30×30 are 4,096 tiles, of 12 MB of points some 2,000."""
    rng = np.random.default_rng(6)
    x, dy = (arranged(rng.integers(-2, 3, (64, 16, 30, 30)), "channels_last").astype(np.float32) for _ in range(2))
    spec, results = ConvSpec((1, 1), SAME, (1, 1), 1), []
    for n in (1, 2, 3):
        dw = np.full((16, 16, 3, 3), np.nan, np.float32)
        with pc.num_threads(n):
            winograd.conv_backward_weights(dw, dy, x, spec)
        results.append(dw)
    exact = np.empty(dw.shape)
    direct.conv_backward_weights(exact, dy.astype(float), x.astype(float), spec)
    # sums of 57,600 products of both signs; the bound is that of decision 5
    np.testing.assert_allclose(results[0], exact, rtol=0, atol=2e-5 * abs(exact).max())
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


@pytest.mark.parametrize("images", [1, 16, 128])
def test_error_of_weight_gradients_is_within_the_documented_bounds(images):
    rng = np.random.default_rng(5)
    x, dy = (arranged(rng.standard_normal((images, 32, 16, 16)), "channels_last").astype(np.float32) for _ in range(2))
    exact, dw = np.empty((32, 32, 3, 3)), np.empty((32, 32, 3, 3), np.float32)
    spec = ConvSpec((1, 1), SAME, (1, 1), 1)
    direct.conv_backward_weights(exact, dy.astype(float), x.astype(float), spec)
    for backward_weights in (direct.conv_backward_weights, winograd.conv_backward_weights):
        backward_weights(dw, dy, x, spec)
        assert abs(dw - exact).max() < 2e-5 * abs(exact).max()


@pytest.mark.parametrize("channels", [64, 512, 2048])
@pytest.mark.parametrize("size", [1, 4, 8])  # of the image: other engines, and blocks of the sums
def test_error_is_within_the_documented_bounds(channels, size):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((1, channels, size, size), dtype=np.float32)
    w = rng.standard_normal((32, channels, 3, 3), dtype=np.float32)
    exact = F.conv2d(x.astype(float), w.astype(float), padding=1)
    for algorithm, bound in (("direct", 2e-6), ("winograd", 2e-5)):
        y = F.conv2d(x, w, padding=1, algorithm=algorithm)
        assert abs(y - exact).max() < bound * abs(exact).max()


@pytest.mark.parametrize("problem", [((2, 64, 30, 30), 64, 1, SAME), ((1, 300, 6, 5), 70, 1, SAME)], ids=str)
def test_result_does_not_depend_on_threads(problem):
    x, w, b, y, spec = arrays_of(problem, np.float32, "channels_last")
    results = []
    for n in (1, 2, 3):
        with pc.num_threads(n):
            winograd.conv(y, x, w, b, spec)
        results.append(y.copy())
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


@pytest.mark.parametrize(
    "change",
    [{"stride": 2}, {"dilation": 2}, {"padding": 1, "padding_mode": "reflect"}, {"kernel": 5}, {"groups": 64}],
    ids=str,
)
def test_refuses_what_it_cannot_do(change):
    kernel = change.get("kernel", 3)
    change = {name: value for name, value in change.items() if name != "kernel"}
    groups = change.get("groups", 1)
    x, w = np.ones((1, 64, 12, 12), np.float32), np.ones((64, 64 // groups, kernel, kernel), np.float32)
    assert F.algorithms(x, w, **change) == ["direct"]
    with pytest.raises(ValueError, match="winograd: it is for 3×3 kernels"):
        F.conv2d(x, w, algorithm="winograd", **change)


def test_is_chosen_where_it_pays_and_may():
    large, small = np.ones((1, 64, 56, 56), np.float32), np.ones((1, 16, 4, 4), np.float32)
    of_large, of_small = np.ones((64, 64, 3, 3), np.float32), np.ones((16, 16, 3, 3), np.float32)
    assert F.algorithms(large, of_large, padding=1) == ["winograd", "direct"]
    assert F.algorithms(small, of_small, padding=1) == ["direct", "winograd"]
    assert F.algorithms(large.astype(float), of_large.astype(float), padding=1) == ["direct", "winograd"]
    with pc.precision("strict"):
        assert F.algorithms(large, of_large, padding=1) == ["direct", "winograd"]
        strict = F.conv2d(large, of_large, padding=1)
    expected = np.empty_like(strict)
    direct.conv(expected, large, of_large, None, ConvSpec((1, 1), SAME, (1, 1), 1))
    assert np.array_equal(strict, expected)


def test_weight_gradient_is_chosen_where_it_pays_and_may():
    spec, dw = ConvSpec((1, 1), SAME, (1, 1), 1), np.empty((64, 64, 3, 3), np.float32)
    large, small = (np.ones((n, 64, size, size), np.float32) for n, size in ((8, 32), (1, 4)))

    def chosen(x):
        return kernels.choose("conv_backward_weights", dw.astype(x.dtype), x, x, spec).algorithm

    assert chosen(large) == "winograd"
    assert chosen(small) == chosen(large.astype(float)) == "direct"
    with pc.precision("strict"):
        assert chosen(large) == "direct"


def test_precision_is_checked():
    with pytest.raises(ValueError, match="precision must be one of fast, strict, not 'exact'"):
        pc.set_precision("exact")
    assert pc.get_precision() == "fast"
