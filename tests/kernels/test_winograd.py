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
from pyconv.kernels.native import library
from pyconv.kernels.native.winograd import LARGE, SMALL


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
OTHERS = [  # the same, the kernel, dilation
    ((2, 19, 9, 11), 37, 1, ((2, 2), (2, 1)), (5, 5), (1, 1)),
    ((1, 48, 7, 6), 63, 3, ((2, 0), (1, 3)), (5, 5), (1, 1)),
    ((2, 19, 21), 37, 1, ((1, 1),), (3,), (1,)),
    ((1, 600, 3), 200, 1, ((1, 0),), (3,), (1,)),
    ((3, 32, 13), 24, 2, ((2, 1),), (5,), (1,)),
    ((2, 19, 6, 11), 37, 1, ((1, 1), (0, 1)), (3, 1), (1, 1)),
    ((2, 19, 9, 6), 37, 1, ((1, 0), (1, 2)), (1, 3), (1, 1)),
    ((2, 16, 7, 4, 5), 20, 1, ((1, 1), (0, 0), (0, 0)), (3, 1, 1), (1, 1, 1)),
    ((2, 16, 5, 6, 7), 24, 1, ((1, 1), (1, 1), (1, 0)), (3, 3, 3), (1, 1, 1)),
    ((1, 24, 6, 2, 3), 100, 1, ((2, 1), (1, 1), (1, 1)), (2, 3, 3), (2, 1, 1)),  # few tiles; gaps along the depth
]


def arrays_of(problem, dtype, order):
    (n, c, *size), k, groups, padding, *kernel = problem
    kernel, dilation = kernel or ((3, 3), (1, 1))
    rng = np.random.default_rng(3)
    spec = ConvSpec((1,) * len(size), padding, dilation, groups)
    x = arranged(rng.standard_normal((n, c, *size)), order).astype(dtype)
    w = rng.standard_normal((k, c // groups, *kernel)).astype(dtype)
    y = arranged(np.full((n, k, *spec.output_size(tuple(size), kernel)), np.nan), order).astype(dtype)
    return x, w, rng.standard_normal(k).astype(dtype), y, spec


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "channels_last", "F"])
@pytest.mark.parametrize("problem", PROBLEMS + OTHERS, ids=str)
def test_forward_and_backward_data(problem, order, dtype):
    x, w, b, y, spec = arrays_of(problem, dtype, order)
    dy = arranged(np.random.default_rng(4).standard_normal(y.shape), order).astype(dtype)
    dx, bias = np.full_like(x, np.nan), np.ones(x.shape[1], dtype)
    exact_y, exact_dx = np.empty(y.shape), np.empty(x.shape)
    naive.conv(exact_y, *(a.astype(float) for a in (x, w, b)), spec)
    naive.conv_backward_data(exact_dx, *(a.astype(float) for a in (dy, w, bias)), spec)
    tolerance = 16 * np.finfo(dtype).eps
    for winograd in (LARGE, SMALL):
        y[...] = dx[...] = np.nan
        if winograd.refuse(y, x, w, b, spec) is None:
            winograd.conv(y, x, w, b, spec)
            np.testing.assert_allclose(y, exact_y, rtol=0, atol=tolerance * abs(exact_y).max(initial=1))
        if winograd.refuse_backward_data(dx, dy, w, bias, spec) is None:
            winograd.conv_backward_data(dx, dy, w, bias, spec)
            np.testing.assert_allclose(dx, exact_dx, rtol=0, atol=tolerance * abs(exact_dx).max(initial=1))


@pytest.mark.parametrize("problem", OTHERS, ids=str)
def test_takes_few_taps_along_one_axis_two_or_three(problem):
    x, w, b, y, spec = arrays_of(problem, np.float32, "channels_last")
    assert LARGE.refuse(y, x, w, b, spec) is None
    assert (SMALL.refuse(y, x, w, b, spec) is None) == (w.shape[-1] != 5)


WEIGHT_PROBLEMS = [*PROBLEMS, ((40, 16, 9, 9), 16, 1, SAME), ((3, 40, 70, 6), 24, 1, SAME)]  # several pieces and chunks


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "channels_last", "F"])
@pytest.mark.parametrize("problem", WEIGHT_PROBLEMS, ids=str)
def test_backward_weights(problem, order, dtype):
    x, w, _, y, spec = arrays_of(problem, dtype, order)
    dy = arranged(np.random.default_rng(4).standard_normal(y.shape), order).astype(dtype)
    for layout in ("C", "channels_last"):
        dw = arranged(np.full(w.shape, np.nan), layout).astype(dtype)
        if LARGE.refuse_backward_weights(dw, dy, x, spec) is None:
            expected = np.empty(w.shape)
            naive.conv_backward_weights(expected, dy.astype(float), x.astype(float), spec)
            LARGE.conv_backward_weights(dw, dy, x, spec)
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
            LARGE.conv_backward_weights(dw, dy, x, spec)
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
    for backward_weights in (direct.conv_backward_weights, LARGE.conv_backward_weights):
        backward_weights(dw, dy, x, spec)
        assert abs(dw - exact).max() < 2e-5 * abs(exact).max()


@pytest.mark.parametrize("channels", [64, 512, 2048])
@pytest.mark.parametrize("size", [1, 4, 8])  # of the image: other engines, and blocks of the sums
def test_error_is_within_the_documented_bounds(channels, size):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((1, channels, size, size), dtype=np.float32)
    w = rng.standard_normal((32, channels, 3, 3), dtype=np.float32)
    exact = F.conv2d(x.astype(float), w.astype(float), padding=1)
    for algorithm, bound in (("direct", 2e-6), ("winograd", 2e-5), ("winograd-small", 4e-6)):
        y = F.conv2d(x, w, padding=1, algorithm=algorithm)
        assert abs(y - exact).max() < bound * abs(exact).max()


@pytest.mark.parametrize("channels", [64, 2048])
@pytest.mark.parametrize("kernel", [(5, 5), (3,), (5,), (3, 3, 3)])
def test_error_of_other_kernels_is_within_the_documented_bounds(kernel, channels):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((1, channels, *(4,) * len(kernel)), dtype=np.float32)
    w = rng.standard_normal((16, channels, *kernel), dtype=np.float32)
    conv = (F.conv1d, F.conv2d, F.conv3d)[len(kernel) - 1]
    exact = conv(x.astype(float), w.astype(float), padding="same")
    y = conv(x, w, padding="same", algorithm="winograd")
    assert abs(y - exact).max() < 2e-5 * abs(exact).max()


THREADED = [
    ((2, 64, 30, 30), 64, 1, SAME),
    ((1, 300, 6, 5), 70, 1, SAME),
    ((2, 40, 50), 40, 1, ((1, 1),), (3,), (1,)),
    OTHERS[-2],
]


@pytest.mark.parametrize("problem", THREADED, ids=str)
@pytest.mark.parametrize("winograd", [LARGE, SMALL], ids=["large", "small"])
def test_result_does_not_depend_on_threads(problem, winograd):
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
    [{"stride": 2}, {"dilation": 2}, {"padding": 1, "padding_mode": "reflect"}, {"kernel": 7}, {"groups": 64}],
    ids=str,
)
def test_refuses_what_it_cannot_do(change):
    kernel = change.get("kernel", 3)
    change = {name: value for name, value in change.items() if name != "kernel"}
    groups = change.get("groups", 1)
    x, w = np.ones((1, 64, 12, 12), np.float32), np.ones((64, 64 // groups, kernel, kernel), np.float32)
    assert F.algorithms(x, w, **change) == ["direct"]
    with pytest.raises(ValueError, match="winograd: it is for 3×3 and 5×5 kernels"):
        F.conv2d(x, w, algorithm="winograd", **change)


def test_is_chosen_where_it_pays_and_may():
    large, small = np.ones((1, 64, 56, 56), np.float32), np.ones((1, 16, 2, 2), np.float32)
    of_large, of_small = np.ones((64, 64, 3, 3), np.float32), np.ones((16, 16, 3, 3), np.float32)
    assert F.algorithms(large, of_large, padding=1) == ["winograd", "direct", "winograd-small"]
    assert F.algorithms(small, of_small, padding=1) == ["direct", "winograd", "winograd-small"]
    assert F.algorithms(large.astype(float), of_large.astype(float), padding=1) == [
        "direct",
        "winograd",
        "winograd-small",
    ]
    with pc.precision("strict"):
        assert F.algorithms(large, of_large, padding=1) == ["direct", "winograd", "winograd-small"]
        strict = F.conv2d(large, of_large, padding=1)
    expected = np.empty_like(strict)
    direct.conv(expected, large, of_large, None, ConvSpec((1, 1), SAME, (1, 1), 1))
    assert np.array_equal(strict, expected)


@pytest.mark.parametrize(
    ("channels", "size", "kernel", "chosen"),
    [
        (256, (6, 6), (3, 3), "winograd-small"),  # 6 = 4 + 2
        (64, (28, 28), (5, 5), "winograd"),
        (128, (4000,), (3,), "winograd"),
        (256, (8, 28, 28), (3, 1, 1), "winograd"),
        (64, (8, 28, 28), (3, 3, 3), "winograd"),
        (64, (3,), (3,), "direct"),
    ],
)
def test_the_algorithm_of_fewest_cycles_is_chosen(channels, size, kernel, chosen):
    x, w = np.ones((1, channels, *size), np.float32), np.ones((channels, channels, *kernel), np.float32)
    assert F.algorithms(x, w, padding="same")[0] == chosen
    with pc.precision("strict"):
        assert F.algorithms(x, w, padding="same")[0] == "direct"


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
