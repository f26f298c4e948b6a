"""Padding and its adjoint against NumPy's, in every mode, with crops."""

import numpy as np
import pytest
from arrays import arranged, integers, orders
from hypothesis import assume, given
from hypothesis import strategies as st

from pyconv.kernels.padding import fold, fold_constant, pad, pad_constant, padded_shape, source_positions
from pyconv.kernels.spec import PADDING_MODES

NUMPY_MODE = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@st.composite
def cases(draw, least=0):
    """A shape, pads for some of its last axes, and a mode."""
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    padded = draw(st.integers(1, len(shape)))
    pads = tuple((draw(st.integers(least, 6)), draw(st.integers(least, 6))) for _ in range(padded))
    return shape, pads, draw(st.sampled_from(PADDING_MODES))


@given(cases(), st.integers(0, 99), orders)
def test_as_numpy_pads(case, seed, order):
    """Also further than once around or across, which the public functions do not allow."""
    shape, pads, mode = case
    x = integers(np.random.default_rng(seed), shape, np.float64, order)
    whole = ((0, 0),) * (len(shape) - len(pads)) + pads
    np.testing.assert_array_equal(pad(x, pads, mode), np.pad(x, whole, NUMPY_MODE[mode]))


@given(cases(least=-2), st.integers(0, 99))
def test_fold_is_the_adjoint(case, seed):
    """<pad(x), dy> = <x, fold(dy)>, with crops that may leave nothing."""
    shape, pads, mode = case
    assume(min(padded_shape(shape, pads)) >= 0)
    rng = np.random.default_rng(seed)
    x, dy = integers(rng, shape, np.float64), integers(rng, padded_shape(shape, pads), np.float64)
    dx = np.full(shape, np.nan)
    fold(dx, dy, pads, mode)
    assert np.vdot(pad(x, pads, mode), dy) == np.vdot(x, dx)


def test_a_constant_and_its_adjoint():
    x, y, dx = np.ones((1, 3)), np.empty((1, 4)), np.empty((1, 3))
    pad_constant(y, x, ((2, -1),), 7)
    np.testing.assert_array_equal(y, [[7, 7, 1, 1]])
    fold_constant(dx, np.arange(4.0)[None], ((2, -1),))
    np.testing.assert_array_equal(dx, [[2, 3, 0]])


@pytest.mark.parametrize("mode", PADDING_MODES)
def test_memory_order_is_kept(mode):
    x = arranged(np.ones((2, 3, 4, 5)), "channels_last")
    assert np.moveaxis(pad(x, ((1, 1), (2, 0)), mode), 1, -1).flags.c_contiguous
    assert pad(x, ((0, 0), (0, 0)), mode) is x


def test_unknown_mode():
    with pytest.raises(ValueError, match="mode"):
        source_positions(4, 1, 1, "mirror")
