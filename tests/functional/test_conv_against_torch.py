"""Convolution, its gradients and transposed convolution against PyTorch in float64, through every backend."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import pyconv as pc
import pyconv.functional as F

torch = pytest.importorskip("torch")

PAD_MODE = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


@st.composite
def convolutions(draw):
    n = draw(st.integers(1, 3))
    groups, mode = draw(st.integers(1, 3)), draw(st.sampled_from(list(PAD_MODE)))
    size = [draw(st.integers(4, 8)) for _ in range(n)]
    options = {
        "stride": tuple(draw(st.integers(1, 3)) for _ in range(n)),
        "padding": tuple((draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in range(n)),
        "dilation": tuple(draw(st.integers(1, 2)) for _ in range(n)),
        "groups": groups,
        "padding_mode": mode,
    }
    kernel = [draw(st.integers(1, 3 if d == 1 else 2)) for d in options["dilation"]]
    x = (draw(st.integers(1, 3)), groups * draw(st.integers(1, 3)), *size)
    return x, (groups * draw(st.integers(1, 3)), x[1] // groups, *kernel), options


def close(actual, tensor):
    np.testing.assert_allclose(actual, tensor.detach().numpy(), rtol=1e-12, atol=1e-12)


@given(convolutions(), st.integers(0, 2**32 - 1))
def test_convolution(backend, case, seed):
    x_shape, w_shape, options = case
    n, rng = len(x_shape) - 2, np.random.default_rng(seed)
    x, w, b = rng.standard_normal(x_shape), rng.standard_normal(w_shape), rng.standard_normal(w_shape[0])
    tx, tw = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
    flat = [p for pair in reversed(options["padding"]) for p in pair]
    padded = torch.nn.functional.pad(tx, flat, PAD_MODE[options["padding_mode"]])
    conv = getattr(torch.nn.functional, f"conv{n}d")
    ty = conv(padded, tw, torch.tensor(b), options["stride"], 0, options["dilation"], options["groups"])
    dy = rng.standard_normal(ty.shape)
    ty.backward(torch.tensor(dy))
    with pc.backend(backend):
        close(getattr(F, f"conv{n}d")(x, w, b, **options), ty)
        close(getattr(F, f"conv{n}d_backward_data")(dy, w, x.shape, **options), tx.grad)
        close(getattr(F, f"conv{n}d_backward_weights")(dy, x, w.shape, **options), tw.grad)


@st.composite
def transposed(draw):
    n, groups = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    options = {"groups": groups}
    for name, least in (("stride", 1), ("padding", 0), ("dilation", 1)):
        options[name] = tuple(draw(st.integers(least, 2 if name != "stride" else 3)) for _ in range(n))
    options["output_padding"] = tuple(
        draw(st.integers(0, max(s, d) - 1)) for s, d in zip(options["stride"], options["dilation"], strict=True)
    )
    kernel = [draw(st.integers(1, 3)) for _ in range(n)]
    size = [draw(st.integers(4, 6)) for _ in range(n)]
    assume(
        all(
            k > 2 * p - (i - 1) * s
            for i, k, s, p in zip(size, kernel, options["stride"], options["padding"], strict=True)
        )
    )
    c = groups * draw(st.integers(1, 2))
    return (draw(st.integers(1, 2)), c, *size), (c, draw(st.integers(1, 2)), *kernel), options


@given(transposed(), st.integers(0, 2**32 - 1))
def test_transposed_convolution(backend, case, seed):
    x_shape, w_shape, options = case
    n, rng = len(x_shape) - 2, np.random.default_rng(seed)
    x, w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
    b = rng.standard_normal(w_shape[1] * options["groups"])
    expected = getattr(torch.nn.functional, f"conv_transpose{n}d")(*map(torch.tensor, (x, w, b)), **options)
    with pc.backend(backend):
        close(getattr(F, f"conv_transpose{n}d")(x, w, b, **options), expected)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_same_padding(n, backend):
    rng = np.random.default_rng(n)
    x, w = rng.random((2, 3, *(7,) * n)), rng.random((4, 3, *(4, 2, 3)[:n]))
    for dilation in (1, 2):
        expected = getattr(torch.nn.functional, f"conv{n}d")(
            torch.tensor(x), torch.tensor(w), padding="same", dilation=dilation
        )
        with pc.backend(backend):
            close(getattr(F, f"conv{n}d")(x, w, padding="same", dilation=dilation), expected)


def test_gradients_of_the_transposed_convolution():
    """Also where output_padding reaches a whole stride, which no forward convolution gives back by itself."""
    rng = np.random.default_rng(0)
    x, w, b = rng.random((2, 3, 5)), rng.random((3, 2, 3)), rng.random(2)
    options = {"stride": 2, "padding": 1, "output_padding": 3, "dilation": 4}
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
    ty = torch.nn.functional.conv_transpose1d(*tensors, **options)
    dy = rng.random(ty.shape)
    ty.backward(torch.tensor(dy))
    loss = lambda x, w, b: F.sum(F.mul(F.conv_transpose1d(x, w, b, **options), dy))  # noqa: E731
    for number, (a, tensor) in enumerate(zip((x, w, b), tensors, strict=True)):
        _, gradient = pc.value_and_grad(loss, argnums=number)(x, w, b)
        assert a.shape == gradient.shape
        close(gradient, tensor.grad)
