"""The C kernels: every row on every instruction set of this machine against float64.

Convolution and pooling are held to the naive backend by test_conv.py and test_pool.py, on the best instruction set or
the one that PYCONV_ISA names.
"""

import itertools
import math
from itertools import combinations

import numpy as np
import pytest
from arrays import arranged, integers, reals

from pyconv import kernels
from pyconv.kernels.naive import pool as naive_pool
from pyconv.kernels.plain import elementwise as plain_binary
from pyconv.kernels.plain import linear as plain_linear
from pyconv.kernels.plain import normalization as plain_normalization
from pyconv.kernels.plain import softmax as plain_softmax
from pyconv.kernels.plain import unary as plain_unary
from pyconv.kernels.spec import AdaptivePoolSpec, PoolSpec

if (reason := kernels.available("native")) is not None:
    pytest.skip(reason, allow_module_level=True)

from pyconv.kernels.native import channels, elementwise, linear, softmax

SHAPES = [(1,), (7,), (33,), (4, 35), (2, 3, 5, 7), (2, 19, 4, 3)]
PARAMETERS = {
    "leaky_relu": (0.1,),
    "clip": (-1.0, 2.0),
    "hardtanh": (-1.0, 2.0),
    "elu": (1.5,),
    "softplus": (2.0, 20.0),
    "power": (-0.5,),
}
SPECIALS = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 3, -3, 1, -1, 2, 20, -20, 1e4, -1e4, 1e-15, -1e-15])

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # of the references
both_types = pytest.mark.parametrize("dtype", [np.float32, np.float64])
orders = pytest.mark.parametrize("order", ["C", "channels_last", "F"])


def parameters_of(name):
    return PARAMETERS.get(name, ())


def samples(name, rng, shape, dtype):
    x = rng.standard_normal(shape) * rng.choice([0.01, 1, 8], shape)
    return (np.abs(x) + 1e-3 if name in ("log", "sqrt", "power") else x).astype(dtype)


def wide(*arrays):
    return [a.astype(np.float64) for a in arrays]


@both_types
@pytest.mark.parametrize("name", elementwise.UNARY)
def test_unary_and_its_gradient(isa, name, dtype):
    rng = np.random.default_rng(0)
    eps, parameters = np.finfo(dtype).eps, parameters_of(name)
    f, slope = plain_unary.FUNCTIONS[name]
    for shape in SHAPES:
        for order in ("C", "channels_last", "F"):
            x = arranged(samples(name, rng, shape, dtype), order)
            y, dx, dy = np.empty_like(x), np.empty_like(x), np.empty_like(x)
            dy[...] = rng.standard_normal(shape)
            elementwise.unary(y, x, name, *parameters)
            expected, derivative = f(*wide(x), *parameters), slope(*wide(x), f(*wide(x), *parameters), *parameters)
            # as good as the result for an x that is off by rounding; tails are flushed, and the reference is rounded
            bound = 8 * eps * (abs(expected) + abs(x * derivative)) + abs(x) * (4 * np.finfo(dtype).tiny + 2.0**-52)
            assert (abs(y - expected) <= bound).all(), name
            elementwise.unary_backward(dx, dy, x, y, name, *parameters)
            bound = 16 * eps * abs(dy) * (1 + abs(x)) * (1 + abs(derivative))
            assert (abs(dx - dy * derivative) <= bound).all(), name


@both_types
@pytest.mark.parametrize("name", elementwise.UNARY)
def test_unary_of_nan_infinities_and_kinks(isa, name, dtype):
    x = SPECIALS.astype(dtype)
    y, dx, dy = np.empty_like(x), np.empty_like(x), np.full_like(x, 2)
    expected, gradient = np.empty_like(x), np.empty_like(x)
    elementwise.unary(y, x, name, *parameters_of(name))
    elementwise.unary_backward(dx, dy, x, y, name, *parameters_of(name))
    plain_unary.unary(expected, x, name, *parameters_of(name))
    plain_unary.unary_backward(gradient, dy, x, y, name, *parameters_of(name))
    tolerance = {"rtol": 8 * np.finfo(dtype).eps, "atol": 8 * np.finfo(dtype).eps}
    np.testing.assert_allclose(y, expected, **tolerance)
    np.testing.assert_allclose(dx, gradient, **tolerance)


@pytest.mark.parametrize(("dtype", "lowest", "rtol"), [(np.float32, -12.9, 1e-6), (np.float64, -37.4, 2e-13)])
def test_gelu_keeps_relative_accuracy_in_its_tail(isa, dtype, lowest, rtol):
    x = np.linspace(lowest, 4, 4001).astype(dtype)
    y = np.empty_like(x)
    elementwise.unary(y, x, "gelu")
    exact = [v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in x.astype(np.float64)]
    np.testing.assert_allclose(y, exact, rtol=rtol)


@both_types
@pytest.mark.parametrize("name", elementwise.BINARY)
def test_binary_is_exact(isa, name, dtype):
    rng = np.random.default_rng(1)
    special = SPECIALS.astype(dtype)
    for a, b in (
        *(rng.standard_normal((2, *shape)).astype(dtype) for shape in SHAPES),
        (special[:, None] + np.zeros_like(special), special + np.zeros_like(special)[:, None]),
    ):
        y, expected = np.empty_like(a), np.empty_like(a)
        elementwise.binary(y, a, b, name)
        plain_binary.binary(expected, a, b, name)
        np.testing.assert_array_equal(y, expected)


@orders
@pytest.mark.parametrize("name", elementwise.BINARY)
def test_binary_broadcasts(isa, name, order):
    rng = np.random.default_rng(2)
    a = reals(rng, (3, 18, 5, 7), np.float32, order)
    for shape in ((), (1,), (18, 1, 1), (1, 18, 1, 1), (7,), (5, 1), (3, 1, 1, 1), (3, 18, 5, 7)):
        b = arranged(reals(rng, shape, np.float32), order) if len(shape) == 4 else reals(rng, shape, np.float32)
        for operands in ((a, b), (b, a)):
            y, expected = np.empty_like(a), np.empty_like(a)
            elementwise.binary(y, *operands, name)
            plain_binary.binary(expected, *operands, name)
            np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("size", [1, 3, 10, 33, 1000])
@both_types
def test_softmax(isa, size, dtype):
    rng = np.random.default_rng(3)
    x = (rng.standard_normal((5, size)) * 10).astype(dtype)
    dy = reals(rng, x.shape, dtype)
    for name in ("softmax", "log_softmax"):
        y, dx, expected, gradient = np.empty_like(x), np.empty_like(x), np.empty(x.shape), np.empty(x.shape)
        getattr(softmax, name)(y, x, 1)
        getattr(plain_softmax, name)(expected, *wide(x), 1)
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(y, expected, rtol=1e2 * eps, atol=4 * eps if name == "log_softmax" else 1e-300)
        getattr(softmax, f"{name}_backward")(dx, dy, y, 1)
        getattr(plain_softmax, f"{name}_backward")(gradient, *wide(dy, y), 1)
        scale = abs(dy).sum(1, keepdims=True)
        assert (abs(dx - gradient) <= 1e2 * eps * scale).all()


def test_softmax_of_infinities():
    x = np.array([[0, np.inf, 1], [-np.inf, -np.inf, -np.inf], [np.nan, 0, 1], [-np.inf, 0, 0]], np.float32)
    for name in ("softmax", "log_softmax"):
        y, expected = np.empty_like(x), np.empty_like(x)
        getattr(softmax, name)(y, x, 1)
        getattr(plain_softmax, name)(expected, x, 1)
        np.testing.assert_allclose(y, expected, rtol=1e-6)


@both_types
@pytest.mark.parametrize("order", ["C", "channels_last"])
@pytest.mark.parametrize("shape", [(4, 35), (1, 3, 70, 80), (5, 19, 4, 3), (3, 2, 5000), (2, 260, 20, 11)])
def test_normalization(isa, shape, order, dtype):
    """The four passes of batch normalization, of data whose mean is far from 0."""
    rng = np.random.default_rng(4)
    x = arranged((rng.standard_normal(shape) + 100).astype(dtype), order)
    dy = reals(rng, shape, dtype, order)
    c, eps = shape[1], np.finfo(dtype).eps
    moments, precise = np.empty((2, c), dtype), x.astype(np.longdouble)
    axes = (0, *range(2, x.ndim))
    channels.moments(moments, x)
    # in float64 the means of parts, merged in float64, cost some bits of the variance: mean / deviation is 100
    rtol = (8 if dtype is np.float32 else 64) * eps
    np.testing.assert_allclose(moments, [precise.mean(axes), precise.var(axes)], rtol=rtol)

    w, b = (rng.standard_normal(c).astype(dtype) for _ in range(2))
    for scale, shift in ((w, b), (None, None)):
        y, reference = np.empty_like(x), np.empty(shape)
        channels.normalize(y, x, moments, scale, shift, 1e-5)
        plain_normalization.normalize(reference, *wide(x, moments), scale, shift, 1e-5)
        np.testing.assert_allclose(y, reference, rtol=0, atol=64 * eps)  # |x̂ w + b| < 20

    sums, expected = np.empty((2, c), dtype), np.empty((2, c))
    channels.normalize_sums(sums, dy, x, moments, 1e-5)
    plain_normalization.normalize_sums(expected, *wide(dy, x, moments), 1e-5)
    size = x.size // c
    np.testing.assert_allclose(sums, expected, rtol=0, atol=16 * eps * size)
    dx, reference = np.empty_like(x), np.empty(shape)
    channels.batch_norm_backward(dx, dy, x, moments, sums, w, 1e-5)
    plain_normalization.batch_norm_backward(reference, *wide(dy, x, moments, sums, w), 1e-5)
    np.testing.assert_allclose(dx, reference, rtol=0, atol=64 * eps)


@both_types
@pytest.mark.parametrize("name", channels.FROM_ARGUMENT)
@pytest.mark.parametrize("order", ["C", "channels_last"])
@pytest.mark.parametrize("shape", [(4, 35), (1, 3, 70, 80), (5, 19, 4, 3), (2, 260, 20, 11), (1, 2100, 3)])
def test_normalization_with_an_activation(isa, shape, order, name, dtype):
    """Forward with a residual; the two backward passes hold to those of a gradient that is an array."""
    rng = np.random.default_rng(4)
    x, dy, residual = (reals(rng, shape, dtype, order) for _ in range(3))
    c, eps = shape[1], np.finfo(dtype).eps
    moments = np.stack([rng.standard_normal(c) / 4, rng.uniform(0.5, 2, c)]).astype(dtype)
    w, b = (rng.standard_normal(c).astype(dtype) for _ in range(2))
    function = name, *parameters_of(name)
    z, y, expected = (np.empty_like(x) for _ in range(3))
    for affine in ((w, b), (None, b), (w, None), (None, None)):
        channels.normalize(z, x, moments, *affine, 1e-5)
        elementwise.unary(expected, z + residual, *function)
        channels.fused_normalize(y, x, moments, *affine, residual, 1e-5, *function)
        np.testing.assert_array_equal(y, expected)
        channels.fused_normalize(y, x, moments, *affine, None, 1e-5, *function)
        elementwise.unary(expected, z, *function)
        np.testing.assert_array_equal(y, expected)

        g, sums, reference = np.empty_like(x), np.empty((2, c), dtype), np.empty((2, c), dtype)
        elementwise.unary_backward(g, dy, z, y, *function)
        channels.fused_normalize_sums(sums, dy, x, moments, *affine, 1e-5, *function)
        channels.normalize_sums(reference, g, x, moments, 1e-5)
        np.testing.assert_allclose(sums, reference, rtol=0, atol=8 * eps * x.size / c)
        dx, gradient = np.empty_like(x), np.empty_like(x)
        channels.fused_batch_norm_backward(dx, dy, x, moments, sums, *affine, 1e-5, *function)
        channels.batch_norm_backward(gradient, g, x, moments, sums, affine[0], 1e-5)
        np.testing.assert_allclose(dx, gradient, rtol=0, atol=16 * eps)


@both_types
@pytest.mark.parametrize("power", elementwise.POWERS)
def test_powers(isa, power, dtype):
    rng = np.random.default_rng(12)
    eps = np.finfo(dtype).eps
    x = np.append(rng.random(99) * rng.choice([0.01, 1, 8], 99) + 1e-3, SPECIALS).astype(dtype)
    y, dx, dy = np.empty_like(x), np.empty_like(x), np.full_like(x, 2)
    expected, slope = (
        f(*wide(x), *y64, power) for f, y64 in zip(plain_unary.FUNCTIONS["power"], ((), (None,)), strict=True)
    )
    elementwise.unary(y, x, "power", power)
    elementwise.unary_backward(dx, dy, x, y, "power", power)
    largest = np.finfo(dtype).max  # beyond it, and below the smallest normal number, results are rounded off
    for result, reference in ((y, expected), (dx, 2 * slope)):
        inside = ~(abs(reference) > largest) & ~(abs(reference) < np.finfo(dtype).tiny)
        np.testing.assert_allclose(result[inside], reference[inside], rtol=8 * eps)
        np.testing.assert_allclose(result[~inside], reference.astype(dtype)[~inside], atol=np.finfo(dtype).tiny)


@pytest.mark.parametrize("y_order", ["C", "channels_last", "F", "reversed", "sliced"])
@pytest.mark.parametrize("x_order", ["C", "channels_last", "F", "reversed", "sliced"])
def test_arrays_in_different_memory_orders(isa, x_order, y_order):
    rng = np.random.default_rng(13)
    for shape, dtype in (((2, 3, 5, 7), np.float64), ((3, 70, 9, 33), np.float32)):
        x, b = reals(rng, shape, dtype, x_order), reals(rng, shape, dtype)
        y = arranged(np.empty(shape, dtype), y_order)
        elementwise.unary(y, x, "relu")
        np.testing.assert_array_equal(y, np.maximum(x, 0))
        elementwise.unary_backward(y, b, x, x, "neg")
        np.testing.assert_array_equal(y, -b)
        for a in (b, np.broadcast_to(b[:1], shape), np.broadcast_to(b[..., :1], shape)):
            elementwise.binary(y, x, a, "sub")
            np.testing.assert_array_equal(y, x - a)


@pytest.mark.parametrize("order", ["C", "channels_last", "F"])
@both_types
def test_sum(isa, dtype, order):
    rng = np.random.default_rng(5)
    for shape, axes in (
        ((6, 33), (0,)),
        ((6, 33), (1,)),
        ((3, 18, 5, 7), (0, 2, 3)),
        ((3, 18, 5, 7), (2, 3)),
        ((3, 18, 5, 7), (0, 1, 2, 3)),
        *(((3, 18, 5, 7), axes) for n in (0, 1, 2, 3) for axes in combinations(range(4), n)),
        ((2, 3, 9000), (2,)),
        ((70000, 3), (0,)),
        ((), ()),
    ):
        x = integers(rng, shape, dtype, order if shape else "C")
        for keepdims in (False, True):
            expected = x.sum(axes, keepdims=keepdims, dtype=np.float64)
            for y_order in ("C", "F", "sliced") if expected.ndim else ("C",):
                y = arranged(np.empty(expected.shape, dtype), y_order)
                assert channels.refuse_sum(y, x, axes, keepdims) is None
                channels.sum(y, x, axes, keepdims)
                np.testing.assert_array_equal(y, expected)  # integers: exact


@both_types
@pytest.mark.parametrize(
    ("m", "i", "o"), [(8, 1, 1), (1, 400, 120), (7, 33, 5), (3, 5, 90), (9, 17, 33), (64, 100, 10), (33, 129, 70)]
)
def test_linear_and_matmul_are_exact_on_integers(isa, m, i, o, dtype):
    rng = np.random.default_rng(6)
    x, w, b, y = *(integers(rng, s, dtype) for s in ((m, i), (o, i), (o,))), np.empty((m, o), dtype)
    for bias in (b, None):
        expected = np.empty((m, o))
        linear.linear(y, x, w, bias)
        plain_linear.linear(expected, *wide(x, w), bias)
        np.testing.assert_array_equal(y, expected)
    for ta in (False, True):
        for tb in (False, True):
            a, c = (x.T.copy() if ta else x), (w if tb else w.T.copy())
            linear.matmul(y, a, c, ta, tb)
            np.testing.assert_array_equal(y, x @ w.T)


def test_large_averages_are_accurate(isa):
    """A few units in the last place, for windows of 224² elements with a mean far from 0."""
    rng = np.random.default_rng(7)
    x = (rng.random((1, 16, 224, 224)) + 1).astype(np.float32)
    expected = x.mean((2, 3), keepdims=True, dtype=np.float64)
    for order in ("C", "channels_last", "sliced"):
        y = np.empty((1, 16, 1, 1), np.float32)
        with kernels.backend("native"):
            kernels.run("avg_pool", y, arranged(x, order), AdaptivePoolSpec((1, 1)).windows((224, 224)))
        np.testing.assert_allclose(y, expected, rtol=4 * np.finfo(np.float32).eps)


def test_pooling_on_every_instruction_set(isa):
    rng = np.random.default_rng(8)
    spec = PoolSpec((3, 2), (2, 1), ((1, 1), (0, 1)), (1, 2), True)
    for order in ("C", "channels_last", "sliced"):
        x = integers(rng, (2, 21, 9, 40), np.float32, order)
        windows = spec.windows(x.shape[2:])
        for name in ("max_pool", "max_pool_indices", "avg_pool"):
            dtype = np.int64 if name == "max_pool_indices" else np.float32
            y = np.empty((2, 21, *spec.output_size(x.shape[2:])), dtype)
            expected = np.empty_like(y)
            with kernels.backend("native"):
                kernels.run(name, y, x, windows)
            getattr(naive_pool, name)(expected, x, windows)
            np.testing.assert_array_equal(y, expected)


POOLINGS = {  # name: (shape, spec), such that every way through csrc/pool*.c is taken on every instruction set
    "pairs": ((2, 3, 12, 70), PoolSpec((2, 2), (2, 2), ((0, 0),) * 2, (1, 1))),
    "odd": ((2, 3, 13, 71), PoolSpec((3, 3), (2, 2), ((1, 1),) * 2, (1, 1), False, False)),
    "overlapping": ((1, 5, 9, 66), PoolSpec((3, 3), (1, 1), ((1, 1),) * 2, (1, 1))),
    "separable": ((1, 19, 14, 40), PoolSpec((9, 9), (1, 1), ((4, 4),) * 2, (1, 1))),
    "doubled rows": ((2, 5, 170), PoolSpec((37,), (1,), ((18, 18),), (1,))),
    "doubled columns": ((1, 3, 90, 33), PoolSpec((31, 3), (1, 1), ((15, 15), (1, 1)), (1, 1), False, False)),
    "doubled both": ((1, 18, 50, 60), PoolSpec((30, 25), (1, 1), ((3, 0), (0, 7)), (1, 1))),
    "planes": ((5, 40, 4, 4), PoolSpec((2, 2), (2, 2), ((0, 0),) * 2, (1, 1))),
    "few channels": ((2, 6, 10, 12), PoolSpec((2, 2), (2, 2), ((0, 0),) * 2, (1, 1))),
    "rest": ((2, 11, 9, 7), PoolSpec((2, 2), (2, 2), ((0, 0),) * 2, (1, 1))),
    "gaps": ((2, 20, 12, 23), PoolSpec((2, 3), (4, 4), ((1, 0),) * 2, (1, 1))),
    "pairs and gaps": ((2, 3, 12, 37), PoolSpec((1, 2), (3, 2), ((0, 0),) * 2, (1, 1))),
    "tiles": ((1, 33, 70, 90), PoolSpec((3, 3), (2, 2), ((1, 1),) * 2, (1, 1))),
    "wide stride": ((2, 3, 11, 80), PoolSpec((3, 3), (3, 3), ((1, 0),) * 2, (1, 1), True)),
    "volume": ((1, 3, 6, 7, 40), PoolSpec((2, 2, 2), (2, 2, 2), ((1, 0),) * 3, (1, 1, 1))),
    "adaptive": ((2, 3, 20, 50), AdaptivePoolSpec((3, 24))),
    "global": ((2, 20, 31, 17), AdaptivePoolSpec((1, 1))),
    "dilated": ((1, 3, 20, 60), PoolSpec((2, 3), (1, 2), ((1, 1), (2, 2)), (2, 2))),
    "dilated, mostly padding": ((1, 3, 5), PoolSpec((3,), (1,), ((2, 4),), (2,))),
}


@both_types
@pytest.mark.parametrize("name", POOLINGS)
def test_every_way_of_pooling(isa, name, dtype):
    """Against the naive backend, exactly, between all pairs of the memory orders that matter here."""
    rng = np.random.default_rng(8)
    shape, spec = POOLINGS[name]
    windows, small = spec.windows(shape[2:]), (*shape[:2], *spec.output_size(shape[2:]))
    x, dy = integers(rng, shape, np.float64), integers(rng, small, np.float64)
    if not isinstance(spec, AdaptivePoolSpec):
        dy *= math.prod(spec.kernel_size)  # an average's shares are integers too where all windows are whole
    x[rng.random(shape) < 0.02] = np.nan
    finite = np.nan_to_num(x, nan=3)
    calls = {
        "max_pool": (small, dtype, (x,)),
        "max_pool_indices": (small, np.int64, (x,)),
        "max_pool_backward": (shape, dtype, (dy, x)),
        "avg_pool": (small, dtype, (finite,)),
        "avg_pool_backward": (shape, dtype, (dy,)),
    }
    for kernel, (size, out_dtype, inputs) in calls.items():
        expected = np.empty(size, np.promote_types(out_dtype, np.float64) if out_dtype != np.int64 else np.int64)
        getattr(naive_pool, kernel)(expected, *inputs, windows)
        for order_in, order_out in itertools.product(("C", "channels_last", "sliced"), repeat=2):
            out = arranged(np.full(size, -7, out_dtype), order_out)
            with kernels.backend("native"):
                kernels.run(kernel, out, *(arranged(a.astype(dtype), order_in) for a in inputs), windows)
            rtol = 0 if kernel.startswith("max") else 4 * np.finfo(dtype).eps
            case = f"{kernel} {order_in} {order_out}"
            np.testing.assert_allclose(out, expected, rtol=rtol, atol=rtol * 64, err_msg=case)


def test_refusals():
    x = np.ones((4, 8), np.float32)
    y = np.empty_like(x)
    assert "has no cos" in elementwise.refuse_unary(y, x, "cos")
    assert "has no less" in elementwise.refuse_binary(y, x, x, "less")
    for wrong, reason in (
        (x.astype(np.float64), "dtype"),
        (arranged(x, "misaligned"), "misaligned"),
    ):
        assert reason in elementwise.refuse_unary(y, wrong, "relu")
        assert reason in softmax.refuse(y, wrong, 1)
    assert "not contiguous" in softmax.refuse(y, arranged(x, "sliced"), 1)
    assert "no power 1.5" in elementwise.refuse_unary(y, x, "power", 1.5)
    many = np.ones((2,) * 8, np.float32)
    assert "memory order" in elementwise.refuse_unary(
        many, many.T.copy().T[::-1].transpose(3, 1, 4, 0, 5, 2, 7, 6), "neg"
    )
    assert "float32 and float64" in elementwise.refuse_unary(np.ones(3, int), np.ones(3, int), "relu")
    assert "rows" in linear.refuse_linear(y[:1], x[:1], x.T, None)
    assert "rows" in linear.refuse_matmul(y[:1], x[:, :1], x, True, False)
    statistics = np.empty((2, 8), np.float32)
    assert "empty" in channels.refuse_moments(statistics, x[:0])
    assert "contiguous" in channels.refuse_moments(statistics, np.ones((4, 8, 6), np.float32)[:, :, ::2])
    assert "coefficients" in channels.refuse_moments(arranged(statistics, "F"), x)
    assert "dtype" in channels.refuse_moments(statistics.astype(np.float64), x)
