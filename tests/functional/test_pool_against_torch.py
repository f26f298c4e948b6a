"""Pooling and its gradients against PyTorch in float64, through every backend, NaN, ties and infinities included."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import pyconv as pc
import pyconv.functional as F

torch = pytest.importorskip("torch")

seeds = st.integers(0, 2**32 - 1)
dims = st.integers(1, 3)


@st.composite
def windows(draw, dilated=True):
    n = draw(dims)
    size = [draw(st.integers(1, 9 if n < 3 else 6)) for _ in range(n)]
    dilation = [draw(st.integers(1, 2)) if dilated else 1 for _ in range(n)]
    kernel = [draw(st.integers(1, 4)) for _ in range(n)]
    options = {
        "stride": draw(st.one_of(st.none(), st.tuples(*[st.integers(1, 3)] * n))),
        "padding": tuple(
            draw(st.integers(0, min(k, d * (k - 1) + 1) // 2)) for k, d in zip(kernel, dilation, strict=True)
        ),
        "ceil_mode": draw(st.booleans()),
    }
    if dilated:
        options["dilation"] = tuple(dilation)
    fits = zip(size, kernel, dilation, options["padding"], strict=True)
    assume(all(i + 2 * p >= d * (k - 1) + 1 for i, k, d, p in fits))
    return (draw(st.integers(1, 3)), draw(st.integers(1, 3)), *size), tuple(kernel), options


def values(rng, shape):
    """Few values, so that there are ties, with NaN and infinities among them."""
    a = rng.integers(-2, 3, shape).astype(float)
    special = rng.random(shape) < rng.choice([0, 0.2])
    a[special] = rng.choice([np.nan, np.inf, -np.inf], special.sum())
    return a


def both(name, n):
    return getattr(F, f"{name}{n}d"), getattr(torch.nn.functional, f"{name}{n}d")


def gradient(ty, tx, dy):
    return torch.autograd.grad(ty, tx, torch.tensor(dy))[0].numpy()


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)


@given(windows(), seeds)
def test_max_pool(backend, case, seed):
    shape, kernel, options = case
    n, rng = len(shape) - 2, np.random.default_rng(seed)
    x = values(rng, shape)
    tx = torch.tensor(x, requires_grad=True)
    function, peer = both("max_pool", n)
    try:
        ty, t_indices = peer(tx, kernel, return_indices=True, **options)
    except RuntimeError:  # a window that lies in the padding alone: PyTorch has no answer
        assume(False)
    dy = rng.integers(-4, 5, ty.shape).astype(float)
    with pc.backend(backend):
        y, indices = function(x, kernel, return_indices=True, **options)
        dx = getattr(F, f"max_pool{n}d_backward")(dy, x, kernel, **options)
    np.testing.assert_array_equal(y, ty.detach().numpy())
    met = indices >= 0  # PyTorch names a place outside of the input where a dilated window meets no element
    np.testing.assert_array_equal(indices[met], t_indices.numpy()[met])
    if met.all():
        np.testing.assert_array_equal(dx, gradient(ty, tx, dy))


@given(windows(dilated=False), st.booleans(), seeds)
def test_avg_pool(backend, case, count_include_pad, seed):
    shape, kernel, options = case
    n, rng = len(shape) - 2, np.random.default_rng(seed)
    x, options = rng.standard_normal(shape), {**options, "count_include_pad": count_include_pad}
    tx = torch.tensor(x, requires_grad=True)
    function, peer = both("avg_pool", n)
    try:
        ty = peer(tx, kernel, **options)
    except RuntimeError:  # PyTorch's avg_pool3d wants images as large as the kernel, whatever the padding
        assume(False)
    dy = rng.standard_normal(ty.shape)
    with pc.backend(backend):
        close(function(x, kernel, **options), ty.detach().numpy())
        dx = getattr(F, f"avg_pool{n}d_backward")(dy, x.shape, kernel, **options)
    close(dx, gradient(ty, tx, dy))


@given(windows(dilated=False), st.sampled_from([1, 1.5, 2, 3.0, 4]), seeds)
def test_lp_pool(backend, case, norm_type, seed):
    """On x ≥ 0, where PyTorch's Σ x^p is the norm's Σ |x|^p."""
    shape, kernel, options = case
    n, rng = len(shape) - 2, np.random.default_rng(seed)
    del options["padding"]
    assume(all(k <= i for k, i in zip(kernel, shape[2:], strict=True)))
    x = rng.random(shape) * rng.integers(0, 2, shape)  # some windows all 0
    tx = torch.tensor(x, requires_grad=True)
    function, peer = both("lp_pool", n)
    ty = peer(tx, norm_type, kernel[0] if n == 1 else kernel, **options)  # PyTorch's lp_pool1d takes no tuple
    dy = rng.standard_normal(ty.shape)
    with pc.backend(backend):
        close(function(x, norm_type, kernel, **options), ty.detach().numpy())
        dx = getattr(F, f"lp_pool{n}d_backward")(dy, x, norm_type, kernel, **options)
        _, taped = pc.value_and_grad(lambda v: F.sum(F.mul(function(v, norm_type, kernel, **options), dy)))(x)
    expected = gradient(ty, tx, dy)
    positive = x > 0  # at 0, PyTorch's slope of x¹ is 1 and that of |x| is 0
    close(dx[positive], expected[positive])
    close(taped, dx)
    assert np.isfinite(dx).all()


def test_lp_pool_is_a_norm_of_negative_numbers_too():
    x = np.array([[[3.0, -4.0, 0.0, 0.0]]])
    np.testing.assert_allclose(F.lp_pool1d(x, 2, 2), [[[5, 0]]])
    np.testing.assert_allclose(F.lp_pool1d(x, 1, 2), [[[7, 0]]])
    np.testing.assert_allclose(F.lp_pool1d_backward(np.ones((1, 1, 2)), x, 2, 2), [[[0.6, -0.8, 0, 0]]])
    half = F.lp_pool1d_backward(np.ones((1, 1, 2)), x, 0.5, 2)
    np.testing.assert_allclose(half, [[[1 + np.sqrt(4 / 3), -1 - np.sqrt(3 / 4), 0, 0]]])


@given(dims, st.data(), seeds)
def test_adaptive(backend, n, data, seed):
    rng = np.random.default_rng(seed)
    shape = (2, 3, *(data.draw(st.integers(1, 9)) for _ in range(n)))
    size = tuple(data.draw(st.one_of(st.none(), st.integers(1, 11))) for _ in range(n))
    x = values(rng, shape)
    tx = torch.tensor(x, requires_grad=True)
    asked = size[0] or shape[2] if n == 1 else size  # PyTorch's 1-D functions take no None
    function, peer = both("adaptive_max_pool", n)
    ty, t_indices = peer(tx, asked, return_indices=True)
    dy = rng.integers(-4, 5, ty.shape).astype(float)
    with pc.backend(backend):
        y, indices = function(x, size, return_indices=True)
        dx = getattr(F, f"adaptive_max_pool{n}d_backward")(dy, x)
    np.testing.assert_array_equal(y, ty.detach().numpy())
    np.testing.assert_array_equal(indices, t_indices.numpy())
    np.testing.assert_array_equal(dx, gradient(ty, tx, dy))
    x = rng.standard_normal(shape)
    tx = torch.tensor(x, requires_grad=True)
    function, peer = both("adaptive_avg_pool", n)
    ty = peer(tx, asked)
    with pc.backend(backend):
        close(function(x, size), ty.detach().numpy())
        dx = getattr(F, f"adaptive_avg_pool{n}d_backward")(dy, x.shape)
    close(dx, gradient(ty, tx, dy))


@given(dims, st.data(), seeds)
def test_max_unpool(backend, n, data, seed):
    rng = np.random.default_rng(seed)
    kernel = tuple(data.draw(st.integers(1, 3)) for _ in range(n))
    shape = (2, 3, *(k * data.draw(st.integers(1, 3)) + data.draw(st.integers(0, k - 1)) for k in kernel))
    x = rng.permutation(np.arange(float(np.prod(shape)))).reshape(shape)
    ty, t_indices = both("max_pool", n)[1](torch.tensor(x), kernel, return_indices=True)
    ty.requires_grad_()
    function, peer = both("max_unpool", n)
    tx = peer(ty, t_indices, kernel, output_size=shape)
    dx = rng.standard_normal(shape)
    with pc.backend(backend):
        y, indices = getattr(F, f"max_pool{n}d")(x, kernel, return_indices=True)
        np.testing.assert_array_equal(function(y, indices, kernel, output_size=shape), tx.detach().numpy())
        np.testing.assert_array_equal(getattr(F, f"max_unpool{n}d_backward")(dx, indices), gradient(tx, ty, dx))


def test_global_pooling(backend):
    x = np.random.default_rng(0).random((2, 3, 5, 4))
    with pc.backend(backend):
        close(F.global_avg_pool(x), x.mean((2, 3), keepdims=True))
        close(F.global_max_pool(x), x.max((2, 3), keepdims=True))
        dy = np.random.default_rng(1).random((2, 3, 1, 1))
        close(F.global_avg_pool_backward(dy, x.shape), np.broadcast_to(dy / 20, x.shape))
        close(F.global_max_pool_backward(dy, x), dy * (x == x.max((2, 3), keepdims=True)))
