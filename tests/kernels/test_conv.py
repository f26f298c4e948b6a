"""Every row of every backend's convolution kernels against the naive backend in float64."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from arrays import (
    arranged,
    assert_exact,
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
from pyconv.kernels.spec import PADDING_MODES, ConvSpec


@dataclass(frozen=True)
class Case:
    """A convolution's shapes and options."""

    spec: ConvSpec
    x: tuple[int, ...]
    w: tuple[int, ...]

    @property
    def y(self):
        return (self.x[0], self.w[0], *self.spec.output_size(self.x[2:], self.w[2:]))

    @property
    def ones(self):
        return (1,) * len(self.spec.stride)


@st.composite
def cases(draw, modes=PADDING_MODES):
    n = draw(st.integers(1, 3))
    mode = draw(st.sampled_from(modes))
    groups, c, k = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    if draw(st.booleans()):  # sizes beyond a register tile or a vector, now and then
        c, k = draw(st.sampled_from([(1, 1), (1, 2), (7, 18), (17, 33)]))
    size, kernel, stride, padding, dilation = [], [], [], [], []
    for _ in range(n):
        i = draw(st.integers(1, 12 if n < 3 else 5))
        most = {"zeros": 3, "replicate": 3, "circular": min(i, 3), "reflect": min(i - 1, 3)}[mode]
        begin, end = draw(st.integers(0, most)), draw(st.integers(0, most))
        d = draw(st.integers(1, 3))
        size.append(i)
        padding.append((begin, end))
        dilation.append(d)
        kernel.append(draw(st.integers(1, min(5, (i + begin + end - 1) // d + 1))))
        stride.append(draw(st.integers(1, 3)))
    spec = ConvSpec(tuple(stride), tuple(padding), tuple(dilation), groups, mode)
    return Case(spec, (draw(st.integers(0, 3)), groups * c, *size), (groups * k, c, *kernel))


seeds = st.integers(0, 2**32 - 1)
values = st.sampled_from([integers, reals])


@given(cases(), seeds, values, dtypes, st.booleans(), orders, orders, writeable_orders)
def test_forward(backend, case, seed, draw, dtype, with_bias, x_order, w_order, y_order):
    rng = np.random.default_rng(seed)
    x, w = draw(rng, case.x, dtype, x_order), draw(rng, case.w, dtype, w_order)
    b = draw(rng, case.w[:1], dtype) if with_bias else None
    expected = reference("conv", case.y, x, w, b, case.spec)
    magnitude = reference("conv", case.y, abs(x), abs(w), b if b is None else abs(b), case.spec)
    for algorithm, y in results(backend, "conv", case.y, dtype, y_order, x, w, b, case.spec):
        if draw is integers:
            assert_exact(y, expected, algorithm)
        assert_within(y, expected, magnitude, math.prod(case.w[1:]) + with_bias, algorithm)


@given(cases(), seeds, values, dtypes, st.booleans(), orders, orders, writeable_orders)
def test_backward_data(backend, case, seed, draw, dtype, with_bias, dy_order, w_order, dx_order):
    rng = np.random.default_rng(seed)
    dy, w = draw(rng, case.y, dtype, dy_order), draw(rng, case.w, dtype, w_order)
    b = draw(rng, case.x[1:2], dtype) if with_bias else None
    expected = reference("conv_backward_data", case.x, dy, w, b, case.spec)
    magnitude = reference("conv_backward_data", case.x, abs(dy), abs(w), b if b is None else abs(b), case.spec)
    repeats = 4 ** len(case.w[2:]) if case.spec.padding_mode != "zeros" else 1  # places of a pixel: up to 4 an axis
    terms = math.prod(case.w[2:]) * case.w[0] // case.spec.groups * repeats + with_bias
    for algorithm, dx in results(backend, "conv_backward_data", case.x, dtype, dx_order, dy, w, b, case.spec):
        if draw is integers:
            assert_exact(dx, expected, algorithm)
        assert_within(dx, expected, magnitude, terms, algorithm)


@given(cases(), seeds, values, dtypes, orders, orders, writeable_orders)
def test_backward_weights(backend, case, seed, draw, dtype, dy_order, x_order, dw_order):
    rng = np.random.default_rng(seed)
    dy, x = draw(rng, case.y, dtype, dy_order), draw(rng, case.x, dtype, x_order)
    expected = reference("conv_backward_weights", case.w, dy, x, case.spec)
    magnitude = reference("conv_backward_weights", case.w, abs(dy), abs(x), case.spec)
    terms = case.y[0] * math.prod(case.y[2:])
    for algorithm, dw in results(backend, "conv_backward_weights", case.w, dtype, dw_order, dy, x, case.spec):
        if draw is integers:
            assert_exact(dw, expected, algorithm)
        assert_within(dw, expected, magnitude, terms, algorithm)


@given(cases(), seeds)
def test_the_three_kernels_are_adjoint(backend, case, seed):
    """<dy, x ∗ w> = <backward_data(dy, w), x> = <backward_weights(dy, x), w>, exactly on integers."""
    rng = np.random.default_rng(seed)
    x, w, dy = (integers(rng, shape, np.float64) for shape in (case.x, case.w, case.y))
    y, dx, dw = np.empty(case.y), np.empty(case.x), np.empty(case.w)
    with kernels.backend(backend):
        kernels.run("conv", y, x, w, None, case.spec)
        kernels.run("conv_backward_data", dx, dy, w, None, case.spec)
        kernels.run("conv_backward_weights", dw, dy, x, case.spec)
    assert np.vdot(dy, y) == np.vdot(dx, x) == np.vdot(dw, w)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "channels_last"])
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case(ConvSpec((1, 1), ((1, 1), (1, 1)), (1, 1)), (2, 35, 29, 31), (70, 35, 3, 3)), id="3x3"),
        pytest.param(Case(ConvSpec((2, 2), ((3, 3), (3, 3)), (1, 1)), (1, 3, 61, 67), (64, 3, 7, 7)), id="first"),
        pytest.param(Case(ConvSpec((1, 1), ((0, 0), (0, 0)), (1, 1)), (3, 130, 9, 9), (100, 130, 1, 1)), id="1x1"),
        pytest.param(
            Case(ConvSpec((1, 1), ((2, 2), (2, 2)), (1, 1), 37), (2, 37, 15, 17), (37, 1, 5, 5)), id="depthwise"
        ),
        pytest.param(
            Case(ConvSpec((2, 1), ((1, 0), (0, 2)), (1, 2), 2), (2, 34, 40, 17), (66, 17, 3, 3)), id="grouped"
        ),
        pytest.param(Case(ConvSpec((1,), ((4, 4),), (2,)), (2, 20, 900), (40, 20, 5)), id="1d"),
        pytest.param(Case(ConvSpec((1,) * 3, ((1, 1),) * 3, (1,) * 3), (1, 9, 11, 13, 12), (20, 9, 3, 3, 3)), id="3d"),
    ],
)
def test_sizes_beyond_one_tile(backend, case, dtype, order):
    """Rows, channels and images enough that every blocking loop turns more than once and leaves a rest."""
    rng = np.random.default_rng(0)
    x, w, dy = (integers(rng, shape, dtype, order) for shape in (case.x, case.w, case.y))
    b = integers(rng, case.w[:1], dtype)
    for kernel, shape, arguments in (
        ("conv", case.y, (x, w, b)),
        ("conv_backward_data", case.x, (dy, w, None)),
        ("conv_backward_weights", case.w, (dy, x)),
    ):
        expected = reference(kernel, shape, *arguments, case.spec)
        for algorithm, out in results(backend, kernel, shape, dtype, order, *arguments, case.spec):
            assert_exact(out, expected, f"{kernel} {algorithm}")


@given(seeds, st.sampled_from([(-1, 2), (2, -1), (-2, -1), (0, -2)]), dtypes)
def test_negative_padding_crops(backend, seed, pads, dtype):
    rng = np.random.default_rng(seed)
    case = Case(ConvSpec((2, 1), (pads, (1, 1)), (1, 2)), (2, 3, 9, 8), (4, 3, 2, 3))
    x, w, dy = (integers(rng, shape, dtype) for shape in (case.x, case.w, case.y))
    for kernel, shape, arguments in (
        ("conv", case.y, (x, w, None)),
        ("conv_backward_data", case.x, (dy, w, None)),
        ("conv_backward_weights", case.w, (dy, x)),
    ):
        expected = reference(kernel, shape, *arguments, case.spec)
        for algorithm, out in results(backend, kernel, shape, dtype, "C", *arguments, case.spec):
            assert_exact(out, expected, f"{kernel} {algorithm}")


def test_inf_and_nan_reach_only_the_outputs_that_see_them(backend):
    case = Case(ConvSpec((1, 1), ((1, 1), (1, 1)), (1, 1)), (1, 2, 9, 20), (17, 2, 3, 3))
    x, w = np.ones(case.x, np.float32), np.ones(case.w, np.float32)
    x[0, 0, 4, 4], x[0, 1, 0, 15] = np.nan, np.inf
    for algorithm, y in results(backend, "conv", case.y, np.float32, "C", x, w, None, case.spec):
        if algorithm.startswith("winograd"):
            continue  # its transforms mix the pixels of a tile
        nan, inf = np.zeros(case.y[2:], bool), np.zeros(case.y[2:], bool)
        nan[3:6, 3:6], inf[:2, 14:17] = True, True
        np.testing.assert_array_equal(np.isnan(y[0, 0]), nan, err_msg=algorithm)
        np.testing.assert_array_equal(np.isinf(y[0, 0]), inf, err_msg=algorithm)


def test_every_backend_serves_every_option(backend):
    """No combination is left to another backend: at least one row takes each."""
    for mode in PADDING_MODES:
        for groups in (1, 2, 4):
            for n in (1, 2, 3):
                spec = ConvSpec((2,) * n, ((1, 2),) * n, (2,) * n, groups, mode)
                case = Case(spec, (2, 4, *(7,) * n), (4, 4 // groups, *(3,) * n))
                x, w, y = (np.ones(shape, np.float64) for shape in (case.x, case.w, case.y))
                assert rows_for(backend, "conv", y, x, w, None, spec)
                assert rows_for(backend, "conv_backward_data", x, y, w, None, spec)
                assert rows_for(backend, "conv_backward_weights", w, y, x, spec)


def test_inputs_are_left_as_they_were(backend):
    rng = np.random.default_rng(0)
    case = Case(ConvSpec((1, 1), ((1, 1), (1, 1)), (1, 1)), (2, 4, 6, 6), (8, 4, 3, 3))
    x, w, dy = (arranged(reals(rng, shape, np.float32), "C") for shape in (case.x, case.w, case.y))
    before = x.copy(), w.copy(), dy.copy()
    with kernels.backend(backend):
        kernels.run("conv", np.empty_like(dy), x, w, None, case.spec)
        kernels.run("conv_backward_data", np.empty_like(x), dy, w, None, case.spec)
        kernels.run("conv_backward_weights", np.empty_like(w), dy, x, case.spec)
    for now, then in zip((x, w, dy), before, strict=True):
        np.testing.assert_array_equal(now, then)
