"""The C kernels that move, convert and select elements, classification losses and random masks, against NumPy's."""

import numpy as np
import pytest
from arrays import arranged, reals

from pyconv import kernels
from pyconv.kernels.plain import elementwise as plain_binary
from pyconv.kernels.plain import loss as plain_loss
from pyconv.kernels.plain import random as plain_random
from pyconv.kernels.plain import shape as plain_shape

if (reason := kernels.available("native")) is not None:
    pytest.skip(reason, allow_module_level=True)

from pyconv.kernels.native import copies, elementwise, library, losses, random

ORDERS = ["C", "channels_last", "F", "reversed", "sliced"]
TYPES = [np.bool_, np.uint8, np.int32, np.int64, np.float32, np.float64]


@pytest.fixture(params=library.isas())
def isa(request):
    before = library.get_isa()
    library.set_isa(request.param)
    yield request.param
    library.set_isa(before)


both_types = pytest.mark.parametrize("dtype", [np.float32, np.float64])
pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # of the references


def unwritten(shape, dtype, order="C"):
    return arranged(np.full(shape, 77, dtype), order)


def check(function, reference, out, *arguments, **tolerance):
    """The C kernel fills `out` as NumPy's does."""
    assert getattr(MODULES[function], f"refuse_{function}")(out, *arguments) is None
    expected = np.empty(out.shape, out.dtype)
    reference(expected, *arguments)
    getattr(MODULES[function], function)(out, *arguments)
    np.testing.assert_allclose(out, expected, **{"rtol": 0, **tolerance})


MODULES = {
    **dict.fromkeys(("copy", "concat", "slice_backward", "pad", "pad_backward"), copies),
    **dict.fromkeys(("mixed", "where"), elementwise),
    **dict.fromkeys(("cross_entropy", "cross_entropy_backward", "label_weights", "nll", "nll_backward"), losses),
    "dropout_mask": random,
}


@pytest.mark.parametrize("y_order", ORDERS)
@pytest.mark.parametrize("x_order", ORDERS)
def test_copies_between_memory_orders(isa, x_order, y_order):
    rng = np.random.default_rng(0)
    for shape in ((2, 3, 5, 7), (3, 70, 9, 33)):
        for dtype in (np.float32, np.int64, bool):
            x = arranged(rng.integers(0, 100, shape).astype(dtype), x_order)
            check("copy", plain_shape.copy, unwritten(shape, dtype, y_order), x)


def test_copies_broadcast(isa):
    rng = np.random.default_rng(1)
    for order in ORDERS:
        for shape in ((), (1,), (7,), (5, 1), (18, 1, 1), (3, 1, 1, 1), (18, 5, 7), (3, 1, 5, 1)):
            for dtype in (np.float32, np.float64, np.uint8):
                x = rng.integers(0, 100, shape).astype(dtype)
                check("copy", plain_shape.copy, unwritten((3, 18, 5, 7), dtype, order), x)


@pytest.mark.parametrize("to", TYPES)
@pytest.mark.parametrize("source", TYPES)
def test_casts(source, to):
    rng = np.random.default_rng(2)
    x = rng.integers(-3, 4, (3, 5, 600)).astype(source)
    for order in ("C", "channels_last", "sliced"):
        y = unwritten(x.shape, to, order)
        if np.dtype(source).kind == "f" and np.dtype(to).kind in "iu":
            assert "no integers of floats" in copies.refuse_copy(y, x)
        else:
            check("copy", plain_shape.copy, y, x)


def test_large_integers_are_rounded_once():
    x = np.array([2**53 + 1, 2**62 + 2**38 + 1, -(2**63), 2**24 + 1])
    for dtype in (np.float32, np.float64):
        check("copy", plain_shape.copy, unwritten(4, dtype), x)


def test_parts_and_borders():
    rng = np.random.default_rng(3)
    shape, index = (2, 6, 5, 7), (slice(None), slice(1, None, 2), slice(None, None, -1), slice(2, 5))
    pads = ((0, 1), (2, 0), (-1, 2), (-3, -2))
    padded = tuple(n + begin + end for n, (begin, end) in zip(shape, pads, strict=True))
    for dtype in (np.float32, np.float64):
        for order in ORDERS:
            x, dy = reals(rng, shape, dtype, order), reals(rng, padded, dtype)
            joined, part = (2, 18, 5, 7), reals(rng, (2, 3, 5, 3), dtype)
            check("concat", plain_shape.concat, unwritten(joined, dtype, order), x, reals(rng, shape, dtype), x, 1)
            check("slice_backward", plain_shape.slice_backward, unwritten(shape, dtype, order), part, index)
            check("pad", plain_shape.pad, unwritten(padded, dtype, order), x, pads, "constant", 2.5)
            check("pad_backward", plain_shape.pad_backward, unwritten(shape, dtype, order), dy, pads, "constant")
    assert "reflect" in copies.refuse_pad(dy, x, pads, "reflect", 0.0)
    assert "float32 and float64" in copies.refuse_pad(dy.astype(int), x.astype(int), pads, "constant", 0.0)
    assert "does not take complex" in copies.refuse_copy(np.empty(3, complex), np.empty(3, complex))


@pytest.mark.parametrize("name", elementwise.MIXED)
def test_functions_of_two_types(name):
    rng = np.random.default_rng(4)
    for a_type in TYPES:
        for b_type in TYPES:
            a, b = rng.integers(0, 5, (3, 700)).astype(a_type), rng.integers(1, 5, (700,)).astype(b_type)
            dtype = plain_binary.UFUNCS[name](a[:1, :1], b[:1]).dtype if name != "sub" or a_type != np.bool_ else None
            if dtype not in TYPES:
                continue  # no such function of these (a difference of flags), or in half precision
            for order in ("C", "F", "sliced"):
                y = unwritten(a.shape, dtype, order)
                if name == "pow" and np.dtype(dtype).kind in "biu":
                    assert "of integers" in elementwise.refuse_mixed(y, a, b, name)
                else:
                    check("mixed", plain_binary.binary, y, a, b, name, rtol=1e-6 if name == "pow" else 0)


def test_counters_wrap_around():
    state = np.array([2**64 - 1, 5], np.uint64)
    check("mixed", plain_binary.binary, unwritten(2, np.uint64), state, np.array([1, 1], np.uint64), "add")
    assert "of uint64" in elementwise.refuse_mixed(np.empty(2, bool), state, state, "less")


def test_comparison_of_nan_and_infinities():
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0])
    a, b = special[:, None] + np.zeros(6), special + np.zeros((6, 1))
    for name in ("less", "less_equal", "equal", "not_equal"):
        check("mixed", plain_binary.binary, unwritten(a.shape, bool), a, b, name)
    for name in ("maximum", "minimum"):
        check("mixed", plain_binary.binary, unwritten(a.shape, np.float64), a, b, name)


def test_where():
    rng = np.random.default_rng(5)
    shape = (3, 18, 5, 7)
    for order in ORDERS:
        x = reals(rng, shape, np.float32, order)
        for condition in (x > 0, np.array(True), rng.integers(0, 2, (18, 1, 1)), rng.standard_normal(7).round()):
            for a, b in ((x, np.zeros((), np.float32)), (rng.standard_normal((5, 1)), x)):
                dtype = np.result_type(a, b)
                check("where", plain_binary.where, unwritten(shape, dtype, order), condition, a, b)
    large = np.array([2**62 + 1, 3])
    check("where", plain_binary.where, unwritten(2, np.int64), np.array([True, False]), large, -large)


@pytest.mark.parametrize("order", ["C", "channels_last", "F"])
@both_types
def test_classification_losses(isa, dtype, order):
    rng = np.random.default_rng(6)
    eps = np.finfo(dtype).eps
    tolerance = {"rtol": 32 * eps, "atol": 32 * eps}
    for shape in ((6, 10), (1, 1), (3, 7, 20) if order == "F" else (3, 7, 4, 5), (2, 300, 37), (2, 5000, 3)):
        x = reals(rng, shape, dtype, order)
        labels = rng.integers(0, shape[1], (shape[0], *shape[2:]))
        labels.flat[0] = 200 if shape[1] > 200 else 100  # outside of the classes where it is ignored
        ignored = int(labels.flat[0])
        dloss, loss, dx = reals(rng, labels.shape, dtype), unwritten(labels.shape, dtype), np.empty_like(x)
        for weight in (None, rng.random(shape[1]).astype(dtype)):
            for kind in (np.int64, np.int32, np.uint8):
                given = labels.astype(kind) if shape[1] < 256 or kind != np.uint8 else labels
                for smoothing in (0.0, 0.1):
                    rest = (weight, smoothing, ignored)
                    check("cross_entropy", in_double(plain_loss.cross_entropy), loss, x, given, *rest, **tolerance)
                    for d in (dloss, np.broadcast_to(dloss.flat[0], dloss.shape)):
                        reference = in_double(plain_loss.cross_entropy_backward)
                        check("cross_entropy_backward", reference, dx, d, x, given, *rest, **tolerance)
                    rest = (weight, shape[1], smoothing, ignored)
                    check("label_weights", in_double(plain_loss.label_weights), loss, given, *rest, **tolerance)
                check("nll", in_double(plain_loss.nll), loss, x, given, weight, ignored, **tolerance)
                check(
                    "nll_backward", in_double(plain_loss.nll_backward), dx, dloss, given, weight, ignored, **tolerance
                )


def in_double(function):
    """The NumPy kernel on float64 arrays."""

    def run(out, *arguments):
        exact = np.empty(out.shape)
        reals = (a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in arguments)
        function(exact, *reals)
        out[...] = exact

    return run


def test_a_label_that_is_no_class_gives_nan():
    """And nothing is read past an array; `F` refuses such labels, a plan's caller may bring them."""
    x, weight = np.ones((4, 3), np.float32), np.ones(3, np.float32)
    labels, loss, dx = np.array([0, 3, -1, 10**15]), np.empty(4, np.float32), np.empty_like(x)
    for weights in (None, weight):
        losses.cross_entropy(loss, x, labels, weights, 0.1, -100)
        assert np.isnan(loss).tolist() == [False, True, True, True]
        losses.cross_entropy_backward(dx, np.ones(4, np.float32), x, labels, weights, 0.1, -100)
        assert np.isnan(dx).any(1).tolist() == [False, True, True, True]
        losses.nll(loss, x, labels, weights, -100)
        assert np.isnan(loss).tolist() == [False, True, True, True]
        losses.nll_backward(dx, np.ones(4, np.float32), labels, weights, -100)
        assert np.isnan(dx).any(1).tolist() == [False, True, True, True]
        losses.label_weights(loss, labels, weights, 3, 0.0, -100)
        assert np.isnan(loss).tolist() == [False, True, True, True]


def test_losses_that_are_refused():
    x, labels = np.ones((2, 3, 4, 5), np.float32), np.zeros((2, 4, 5), np.int64)
    loss = np.empty(labels.shape, np.float32)
    assert "labels must be" in losses.refuse_nll(loss, x, labels.astype(np.int16), None, -1)
    assert "weight is not contiguous" in losses.refuse_nll(loss, x, labels, np.ones(6, np.float32)[::2], -1)
    assert "spatial axes" in losses.refuse_nll(loss, arranged(x, "sliced"), labels, None, -1)
    assert "empty" in losses.refuse_nll(loss[:0], x[:0], labels[:0], None, -1)


@both_types
def test_dropout_masks_are_numpys_bits(dtype):
    for size in (1, 7, 8, 9, 100_003):
        for p in (0.0, 0.3, 0.5, 1.0):
            for state in ((1, 0), (2**64 - 1, 5), (123456789, 2**40)):
                check("dropout_mask", plain_random.dropout_mask, unwritten(size, dtype), np.array(state, np.uint64), p)
    assert "not contiguous" in random.refuse_dropout_mask(np.empty((3, 4)).T, np.array([1, 2], np.uint64), 0.5)
