"""Every row of every backend's pooling kernels against the naive backend in float64."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from arrays import (
    arranged,
    assert_within,
    dtypes,
    integers,
    orders,
    reals,
    reference,
    results,
    rows_for,
    writeable_orders,
)
from hypothesis import given
from hypothesis import strategies as st

from pyconv import kernels
from pyconv.kernels.spec import AdaptivePoolSpec, PoolSpec


@dataclass(frozen=True)
class Case:
    """A pooling and the shape it is applied to."""

    spec: PoolSpec | AdaptivePoolSpec
    x: tuple[int, ...]

    @property
    def y(self):
        return (*self.x[:2], *self.spec.output_size(self.x[2:]))

    @property
    def windows(self):
        return self.spec.windows(self.x[2:])

    @property
    def largest_window(self):
        return math.prod(int(window.count.max()) for window in self.windows)


@st.composite
def shapes(draw):
    n = draw(st.integers(1, 3))
    channels = draw(st.sampled_from([1, 3, 18]))
    return (draw(st.integers(0, 3)), channels, *(draw(st.integers(1, 12 if n < 3 else 6)) for _ in range(n)))


@st.composite
def fixed(draw, dilations=(1, 2, 3)):
    """Fixed windows, also such as no public function would make: with padding as large as the window or a tap less."""
    x = draw(shapes())
    kernel, stride, padding, dilation = [], [], [], []
    for i in x[2:]:
        d = draw(st.sampled_from(dilations))
        k = draw(st.integers(1, 5))
        reach = d * (k - 1)
        lack = max(0, reach + 1 - i)  # padding that the window needs to fit at all
        begin = draw(st.integers(lack // 2, max(lack // 2, reach // 2)))
        end = draw(st.integers(max(0, lack - begin), max(0, lack - begin, reach)))
        kernel.append(k)
        dilation.append(d)
        padding.append((begin, end))
        stride.append(draw(st.integers(1, 4)))
    flags = draw(st.booleans()), draw(st.booleans())
    return Case(PoolSpec(tuple(kernel), tuple(stride), tuple(padding), tuple(dilation), *flags), x)


@st.composite
def adaptive(draw):
    x = draw(shapes())
    return Case(AdaptivePoolSpec(tuple(draw(st.integers(1, 9 if len(x) < 5 else 5)) for _ in x[2:])), x)


cases = st.one_of(fixed(), adaptive())
seeds = st.integers(0, 2**32 - 1)


def with_specials(rng, shape, dtype, order):
    """Few values, so that there are ties, with zeros of both signs, infinities and NaN among them."""
    a = rng.choice([-2.0, -0.0, 0.0, 1.0, 3.0], shape)
    special = rng.random(shape) < rng.choice([0, 0.1, 0.5])
    a[special] = rng.choice([np.nan, np.inf, -np.inf], special.sum())
    return arranged(a.astype(dtype), order)


@given(cases, seeds, dtypes, orders, writeable_orders)
def test_max_pool(backend, case, seed, dtype, x_order, y_order):
    x = with_specials(np.random.default_rng(seed), case.x, dtype, x_order)
    expected = reference("max_pool", case.y, x, case.windows)
    for algorithm, y in results(backend, "max_pool", case.y, dtype, y_order, x, case.windows):
        np.testing.assert_array_equal(y, expected, err_msg=algorithm)


@given(cases, seeds, dtypes, orders, writeable_orders)
def test_max_pool_indices(backend, case, seed, dtype, x_order, y_order):
    x = with_specials(np.random.default_rng(seed), case.x, dtype, x_order)
    expected = reference("max_pool_indices", case.y, x, case.windows, dtype=np.int64)
    for algorithm, indices in results(backend, "max_pool_indices", case.y, np.int64, y_order, x, case.windows):
        np.testing.assert_array_equal(indices, expected, err_msg=algorithm)


@given(cases, seeds, dtypes, orders, orders, writeable_orders)
def test_max_pool_backward(backend, case, seed, dtype, dy_order, x_order, dx_order):
    rng = np.random.default_rng(seed)
    x = with_specials(rng, case.x, dtype, x_order)
    dy = integers(rng, case.y, dtype, dy_order)
    expected = reference("max_pool_backward", case.x, dy, x, case.windows)
    for algorithm, dx in results(backend, "max_pool_backward", case.x, dtype, dx_order, dy, x, case.windows):
        np.testing.assert_array_equal(dx, expected, err_msg=algorithm)


average_cases = st.one_of(fixed(dilations=(1,)), adaptive())
values = st.sampled_from([integers, reals])


@given(average_cases, seeds, values, dtypes, orders, writeable_orders)
def test_avg_pool(backend, case, seed, draw, dtype, x_order, y_order):
    x = draw(np.random.default_rng(seed), case.x, dtype, x_order)
    expected = reference("avg_pool", case.y, x, case.windows)
    magnitude = reference("avg_pool", case.y, abs(x), case.windows)
    for algorithm, y in results(backend, "avg_pool", case.y, dtype, y_order, x, case.windows):
        assert_within(y, expected, magnitude, case.largest_window, algorithm)


@given(average_cases, seeds, values, dtypes, orders, writeable_orders)
def test_avg_pool_backward(backend, case, seed, draw, dtype, dy_order, dx_order):
    dy = draw(np.random.default_rng(seed), case.y, dtype, dy_order)
    expected = reference("avg_pool_backward", case.x, dy, case.windows)
    magnitude = reference("avg_pool_backward", case.x, abs(dy), case.windows)
    for algorithm, dx in results(backend, "avg_pool_backward", case.x, dtype, dx_order, dy, case.windows):
        assert_within(dx, expected, magnitude, math.prod(case.y[2:]), algorithm)


@given(average_cases, seeds)
def test_avg_pool_and_its_backward_are_adjoint(backend, case, seed):
    """<dy, A x> = <Aᵀ dy, x>, exactly: dy holds multiples of the divisors, so that no quotient is rounded."""
    rng = np.random.default_rng(seed)
    divisor = math.lcm(*(int(d) for window in case.windows for d in window.divisor)) ** len(case.windows)
    x, dy = integers(rng, case.x, np.float64), integers(rng, case.y, np.float64)
    y, dx = np.empty(case.y), np.empty(case.x)
    with kernels.backend(backend):
        kernels.run("avg_pool", y, x * divisor, case.windows)
        kernels.run("avg_pool_backward", dx, dy * divisor, case.windows)
    assert np.vdot(dy * divisor, y) == np.vdot(dx, x * divisor)


@given(shapes(), shapes(), seeds, dtypes, st.booleans(), orders, orders, writeable_orders)
def test_unpool_and_gather(backend, small, large, seed, dtype, add, x_order, i_order, out_order):
    rng = np.random.default_rng(seed)
    small, large = (*large[:2], *small[2 : len(large)]), large
    small += (1,) * (len(large) - len(small))
    indices = arranged(rng.integers(-1, math.prod(large[2:]), small), i_order)
    x = integers(rng, small, dtype, x_order)
    expected = reference("unpool", large, x, indices, add)
    for algorithm, y in results(backend, "unpool", large, dtype, out_order, x, indices, add):
        np.testing.assert_array_equal(y, expected, err_msg=algorithm)
    dy = integers(rng, large, dtype, x_order)
    expected = reference("gather", small, dy, indices)
    for algorithm, dx in results(backend, "gather", small, dtype, out_order, dy, indices):
        np.testing.assert_array_equal(dx, expected, err_msg=algorithm)


@pytest.mark.parametrize("order", ["C", "channels_last"])
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case(PoolSpec((2, 2), (2, 2), ((0, 0),) * 2, (1, 1)), (3, 67, 30, 34)), id="2x2"),
        pytest.param(Case(PoolSpec((3, 3), (2, 2), ((1, 1),) * 2, (1, 1)), (2, 35, 37, 41)), id="3x3"),
        pytest.param(Case(PoolSpec((3, 3), (1, 1), ((1, 1),) * 2, (1, 1)), (2, 291, 9, 11)), id="3x3 side by side"),
        pytest.param(Case(PoolSpec((11, 11), (1, 1), ((5, 5),) * 2, (1, 1)), (1, 37, 14, 15)), id="11x11"),
        pytest.param(Case(PoolSpec((4, 34), (2, 2), ((0, 0),) * 2, (1, 1)), (1, 5, 5, 36)), id="pairs of one output"),
        pytest.param(Case(AdaptivePoolSpec((1, 1)), (3, 130, 17, 19)), id="global"),
        pytest.param(Case(AdaptivePoolSpec((1, 1)), (1, 611, 7, 7)), id="global, one image"),
        pytest.param(Case(AdaptivePoolSpec((7, 7)), (2, 33, 24, 25)), id="adaptive"),
        pytest.param(Case(PoolSpec((5,), (3,), ((2, 1),), (1,)), (2, 20, 1500)), id="1d"),
        pytest.param(Case(PoolSpec((2,) * 3, (2,) * 3, ((0, 1),) * 3, (1,) * 3), (1, 19, 9, 14, 15)), id="3d"),
    ],
)
def test_sizes_beyond_one_vector(backend, case, order):
    """Rows and channels enough that every loop over vectors turns more than once and leaves a rest."""
    rng = np.random.default_rng(0)
    x, dy = integers(rng, case.x, np.float32, order), integers(rng, case.y, np.float32, order)
    for kernel, shape, arguments in (
        ("max_pool", case.y, (x,)),
        ("max_pool_indices", case.y, (x,)),
        ("max_pool_backward", case.x, (dy, x)),
        ("avg_pool", case.y, (x,)),
        ("avg_pool_backward", case.x, (dy,)),
    ):
        dtype = np.int64 if kernel == "max_pool_indices" else np.float32
        expected = reference(kernel, shape, *arguments, case.windows, dtype=np.promote_types(dtype, np.float64))
        for algorithm, out in results(backend, kernel, shape, dtype, order, *arguments, case.windows):
            np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-6, err_msg=f"{kernel} {algorithm}")


@pytest.mark.parametrize("stride", [1, 2])
def test_nan_among_many_channels(backend, stride):
    """A maximum first taken without regard to NaN is taken again where there is one."""
    rng = np.random.default_rng(0)
    case = Case(PoolSpec((3, 3), (stride, stride), ((1, 1),) * 2, (1, 1)), (1, 37, 9, 11))
    x, dy = (integers(rng, shape, np.float32, "channels_last") for shape in (case.x, case.y))
    x[0, ::5, 2, 3] = np.nan
    for kernel, shape, arguments in (("max_pool", case.y, (x,)), ("max_pool_backward", case.x, (dy, x))):
        expected = reference(kernel, shape, *arguments, case.windows)
        for algorithm, out in results(backend, kernel, shape, np.float32, "channels_last", *arguments, case.windows):
            np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-6, err_msg=f"{kernel} {algorithm}")


def test_every_backend_serves_every_pooling(backend):
    for n in (1, 2, 3):
        spec = PoolSpec((3,) * n, (2,) * n, ((1, 0),) * n, (2,) * n, True, False)
        for case in (Case(spec, (2, 3, *(9,) * n)), Case(AdaptivePoolSpec((4,) * n), (2, 3, *(9,) * n))):
            x, y, indices = np.ones(case.x), np.ones(case.y), np.zeros(case.y, np.int64)
            assert rows_for(backend, "max_pool", y, x, case.windows)
            assert rows_for(backend, "max_pool_indices", indices, x, case.windows)
            assert rows_for(backend, "max_pool_backward", x, y, x, case.windows)
            assert rows_for(backend, "avg_pool", y, x, case.windows)
            assert rows_for(backend, "avg_pool_backward", x, y, case.windows)
            assert rows_for(backend, "unpool", x, y, indices, False)
            assert rows_for(backend, "gather", y, x, indices)
