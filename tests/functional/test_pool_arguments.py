"""What the pooling functions take and give back, and what they refuse."""

import numpy as np
import pytest

import pyconv as pc
import pyconv.functional as F
from pyconv.ops.node import Node

X = np.ones((2, 3, 9, 8))
Y = np.ones((2, 3, 4, 4))
INDICES = np.zeros((2, 3, 4, 4), np.int64)

BAD = {
    "x a list": (TypeError, "x", lambda: F.max_pool2d(X.tolist(), 2)),
    "x integers": (TypeError, "x", lambda: F.avg_pool2d(X.astype(int), 2)),
    "x of rank 2": (ValueError, "x", lambda: F.max_pool2d(X[0, 0], 2)),
    "x of rank 5": (ValueError, "x", lambda: F.max_pool2d(X[None], 2)),
    "x without pixels": (ValueError, "x", lambda: F.max_pool2d(X[:, :, :0], 2)),
    "x without channels": (ValueError, "x", lambda: F.adaptive_avg_pool2d(X[:, :0], 2)),
    "x of rank 6 globally": (ValueError, "x", lambda: F.global_avg_pool(X[None, None])),
    "x of rank 2 globally": (ValueError, "x", lambda: F.global_max_pool(X[0, 0])),
    "kernel_size 0": (ValueError, "kernel_size", lambda: F.max_pool2d(X, 0)),
    "kernel_size too large": (ValueError, "kernel_size", lambda: F.max_pool2d(X, 10)),
    "kernel_size too large dilated": (ValueError, "kernel_size", lambda: F.max_pool2d(X, 3, dilation=5)),
    "kernel_size of three": (ValueError, "kernel_size", lambda: F.avg_pool2d(X, (2, 2, 2))),
    "kernel_size a float": (TypeError, "kernel_size", lambda: F.avg_pool2d(X, 2.0)),
    "kernel_size None": (TypeError, "kernel_size", lambda: F.avg_pool2d(X, None)),
    "stride 0": (ValueError, "stride", lambda: F.max_pool2d(X, 2, 0)),
    "stride a float": (TypeError, "stride", lambda: F.max_pool2d(X, 2, (1, 0.5))),
    "padding over half": (ValueError, "padding", lambda: F.max_pool2d(X, 3, padding=2)),
    "padding negative": (ValueError, "padding", lambda: F.avg_pool2d(X, 3, padding=-1)),
    "padding same": (TypeError, "padding", lambda: F.avg_pool2d(X, 3, padding="same")),
    "dilation 0": (ValueError, "dilation", lambda: F.max_pool2d(X, 2, dilation=0)),
    "norm_type 0": (ValueError, "norm_type", lambda: F.lp_pool2d(X, 0, 2)),
    "norm_type infinite": (ValueError, "norm_type", lambda: F.lp_pool2d(X, np.inf, 2)),
    "norm_type NaN": (ValueError, "norm_type", lambda: F.lp_pool2d(X, np.nan, 2)),
    "norm_type a string": (TypeError, "norm_type", lambda: F.lp_pool2d(X, "2", 2)),
    "output_size 0": (ValueError, "output_size", lambda: F.adaptive_max_pool2d(X, 0)),
    "output_size negative": (ValueError, "output_size", lambda: F.adaptive_avg_pool2d(X, (1, -1))),
    "output_size of three": (ValueError, "output_size", lambda: F.adaptive_avg_pool2d(X, (1, 1, 1))),
    "output_size a float": (TypeError, "output_size", lambda: F.adaptive_avg_pool2d(X, 1.0)),
    "dy of another size": (ValueError, "dy", lambda: F.max_pool2d_backward(Y, X, 3)),
    "dy of another batch": (ValueError, "dy", lambda: F.max_pool2d_backward(Y[:1], X, 2)),
    "dy of another dtype": (TypeError, "dy", lambda: F.max_pool2d_backward(Y.astype(np.float32), X, 2)),
    "dy of rank 2": (ValueError, "dy", lambda: F.max_pool2d_backward(Y[0, 0], X, 2)),
    "average: dy of another size": (ValueError, "dy", lambda: F.avg_pool2d_backward(Y, X.shape, 3)),
    "average: dy without pixels": (ValueError, "dy", lambda: F.adaptive_avg_pool2d_backward(Y[:, :, :0], X.shape)),
    "input_size of other channels": (ValueError, "input_size", lambda: F.avg_pool2d_backward(Y, (2, 4, 9, 8), 2)),
    "input_size of one": (ValueError, "input_size", lambda: F.avg_pool2d_backward(Y, (9,), 2)),
    "input_size 0": (ValueError, "input_size", lambda: F.avg_pool2d_backward(Y, (0, 8), 2)),
    "indices floats": (TypeError, "indices", lambda: F.max_unpool2d(Y, INDICES.astype(float), 2)),
    "indices of another shape": (ValueError, "indices", lambda: F.max_unpool2d(Y, INDICES[:, :, 1:], 2)),
    "indices too large": (ValueError, "indices", lambda: F.max_unpool2d(Y, INDICES + 64, 2)),
    "indices negative": (ValueError, "indices", lambda: F.max_unpool2d(Y, INDICES - 2, 2)),
    "indices beyond dy": (ValueError, "indices", lambda: F.max_unpool2d_backward(X, INDICES + 72)),
    "indices of another batch": (ValueError, "indices", lambda: F.max_unpool2d_backward(X, INDICES[:1])),
    "output_size too far": (ValueError, "output_size", lambda: F.max_unpool2d(Y, INDICES, 2, output_size=(10, 8))),
    "unpooled padding leaves nothing": (ValueError, "padding", lambda: F.max_unpool2d(Y, INDICES, 1, padding=2)),
}


@pytest.mark.parametrize(("error", "name", "call"), [pytest.param(*row, id=case) for case, row in BAD.items()])
def test_bad_input_is_refused_by_name(error, name, call):
    with pytest.raises(error, match=rf"^{name}\b") as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_input_without_batch(n):
    x = np.random.default_rng(n).random((3, *(6,) * n))
    for name, arguments in (
        ("max_pool", (2,)),
        ("avg_pool", (2,)),
        ("lp_pool", (2, 2)),
        ("adaptive_avg_pool", (4,)),
        ("adaptive_max_pool", (4,)),
    ):
        function = getattr(F, f"{name}{n}d")
        np.testing.assert_array_equal(function(x, *arguments), function(x[None], *arguments)[0])
    y, indices = getattr(F, f"max_pool{n}d")(x, 2, return_indices=True)
    assert getattr(F, f"max_unpool{n}d")(y, indices, 2).shape == x.shape
    assert getattr(F, f"max_pool{n}d_backward")(y, x, 2).shape == x.shape
    assert getattr(F, f"avg_pool{n}d_backward")(y, x.shape[1:], 2).shape == x.shape
    assert getattr(F, f"max_unpool{n}d_backward")(x, indices).shape == y.shape


def test_ceil_mode_keeps_the_last_window_only_if_it_starts_inside():
    x = np.arange(1.0, 6.0).reshape(1, 1, 5)
    np.testing.assert_array_equal(F.max_pool1d(x, 2, ceil_mode=True)[0, 0], [2, 4, 5])
    np.testing.assert_array_equal(F.avg_pool1d(x, 2, ceil_mode=True)[0, 0], [1.5, 3.5, 5])
    np.testing.assert_array_equal(F.max_pool1d(x, 1, 3, ceil_mode=True)[0, 0], [1, 4])
    np.testing.assert_array_equal(F.avg_pool1d(x, 2, 2, 1, True, True)[0, 0], [0.5, 2.5, 4.5])
    np.testing.assert_array_equal(F.avg_pool1d(x, 2, 2, 1, True, False)[0, 0], [1, 2.5, 4.5])


def test_a_dilated_window_without_elements_is_minus_infinity_from_nowhere(backend):
    x = np.array([[[7.0]]])
    with pc.backend(backend):
        y, indices = F.max_pool1d(x, 2, padding=2, dilation=4, return_indices=True)
        assert (y, indices) == (-np.inf, -1)
        assert F.max_pool1d_backward(np.ones_like(y), x, 2, padding=2, dilation=4) == 0
        assert F.max_unpool1d(y, indices, 2) @ np.ones(2) == 0


def test_asymmetric_padding():
    x = np.arange(1.0, 5.0).reshape(1, 1, 4)
    np.testing.assert_array_equal(F.max_pool1d(x, 2, 1, ((1, 0),))[0, 0], [1, 2, 3, 4])
    np.testing.assert_array_equal(F.avg_pool1d(x, 2, 1, ((0, 1),), count_include_pad=False)[0, 0], [1.5, 2.5, 3.5, 4])


def test_results_have_the_memory_order_of_the_input(backend):
    x = np.moveaxis(np.random.default_rng(0).random((2, 9, 8, 3)), -1, 1)  # channels-last
    with pc.backend(backend):
        for y in (F.max_pool2d(x, 2), F.avg_pool2d(x, 2), F.adaptive_max_pool2d(x, 3), F.lp_pool2d(x, 2, 2)):
            assert np.moveaxis(y, 1, -1).flags.c_contiguous
        assert np.moveaxis(F.avg_pool2d_backward(F.avg_pool2d(x, 2), x.shape, 2), 1, -1).flags.c_contiguous


def test_an_empty_batch(backend):
    with pc.backend(backend):
        y, indices = F.max_pool2d(X[:0], 2, return_indices=True)
        assert y.shape == indices.shape == (0, 3, 4, 4)
        assert F.avg_pool2d(X[:0], 2).shape == (0, 3, 4, 4)
        assert F.max_pool2d_backward(y, X[:0], 2).shape == X[:0].shape
        assert F.avg_pool2d_backward(y, X.shape[2:], 2).shape == X[:0].shape
        assert F.max_unpool2d(y, indices, 2).shape == (0, 3, 8, 8)
        assert F.global_avg_pool(X[:0]).shape == (0, 3, 1, 1)


def test_indices_of_any_integer_type():
    y, indices = F.max_pool2d(X, 2, return_indices=True)
    expected = F.max_unpool2d(y, indices, 2)
    for dtype in (np.int32, np.uint8, ">i8"):
        np.testing.assert_array_equal(F.max_unpool2d(y, indices.astype(dtype), 2), expected)


def test_recorded_and_computed_alike():
    x = Node.leaf(np.random.default_rng(0).random((2, 3, 9, 8)))
    y, indices = F.max_pool2d(x, 3, 2, 1, return_indices=True)
    expected, places = F.max_pool2d(x.value, 3, 2, 1, return_indices=True)
    np.testing.assert_array_equal(y.value, expected)
    np.testing.assert_array_equal(indices.value, places)
    unpooled = F.max_unpool2d(y, indices, 3, 2, 1, output_size=(9, 8))
    np.testing.assert_array_equal(unpooled.value, F.max_unpool2d(expected, places, 3, 2, 1, output_size=(9, 8)))
    symbolic = F.lp_pool2d(Node.placeholder((2, 3, 9, 8), np.float32), 2, 3)
    assert (symbolic.shape, symbolic.dtype, symbolic.value) == ((2, 3, 3, 2), np.float32, None)
