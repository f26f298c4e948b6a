"""Every function against PyTorch: value and gradients, in both precisions."""

import numpy as np
import pytest

import pyconv.functional as F
from pyconv.graph.transforms import value_and_grad

torch = pytest.importorskip("torch")
T = torch.nn.functional


def normal(*size, seed=0):
    return np.random.default_rng(seed).standard_normal(size)


def agree(ours, theirs, *arrays, differentiated=None, rtol=1e-10):
    """ours(*arrays) and theirs(*tensors), and the gradients of Σ y · fixed random numbers, in float64 and float32."""
    count = len(arrays) if differentiated is None else differentiated
    for dtype, tolerance in ((np.float64, rtol), (np.float32, 2e-5)):
        given = [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]
        tensors = [torch.tensor(a, requires_grad=i < count) for i, a in enumerate(given)]
        theirs_y = theirs(*tensors)
        weights = np.asarray(normal(*theirs_y.shape, seed=9), dtype)

        def scalar(*a, weights=weights):
            y = ours(*a)
            return F.sum(F.mul(y, weights)), y

        (_, y), grads = value_and_grad(scalar, tuple(range(count)), has_aux=True)(*given)
        assert y.dtype == dtype
        assert tuple(y.shape) == tuple(theirs_y.shape)
        close(y, theirs_y.detach().numpy(), tolerance)
        if theirs_y.requires_grad:
            (theirs_y * torch.tensor(weights)).sum().backward()
        for gradient, tensor in zip(grads, tensors, strict=False):
            close(gradient, np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy(), tolerance)


def close(got, want, rtol):
    """Relative to the largest number: a sum of large and small terms has the precision of the large ones."""
    finite = np.abs(want[np.isfinite(want)])
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * max(finite.max(initial=0), 1e-30))


ACTIVATIONS = {
    **{
        n: (getattr(F, n), getattr(T, n))
        for n in ("relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "mish")
    },
    **{n: (getattr(F, n), getattr(T, n)) for n in ("hardswish", "softplus")},
    **{n: (getattr(F, n), getattr(torch, n)) for n in ("sigmoid", "tanh", "exp", "abs", "neg", "sin", "cos", "erf")},
    **{n: (getattr(F, n), getattr(torch, n)) for n in ("sign", "floor", "ceil", "round", "log", "log1p", "sqrt")},
    "gelu tanh": (lambda x: F.gelu(x, "tanh"), lambda x: T.gelu(x, approximate="tanh")),
    "leaky_relu 0.3": (lambda x: F.leaky_relu(x, 0.3), lambda x: T.leaky_relu(x, 0.3)),
    "elu 0.5": (lambda x: F.elu(x, 0.5), lambda x: T.elu(x, 0.5)),
    "softplus 2, 1": (lambda x: F.softplus(x, 2, 1), lambda x: T.softplus(x, 2, 1)),
    "clip": (lambda x: F.clip(x, -1, 0.5), lambda x: torch.clamp(x, -1, 0.5)),
    "clip below": (lambda x: F.clip(x, max=0.5), lambda x: torch.clamp(x, max=0.5)),
    "power 3": (lambda x: F.pow(x, 3), lambda x: x**3),
    "power -2": (lambda x: F.pow(x, -2), lambda x: x**-2),
    "2 to the power": (lambda x: F.pow(2, x), lambda x: 2**x),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_function_of_one_variable(name):
    x = normal(3, 5)
    if name in ("log", "log1p", "sqrt"):
        x = np.abs(x)
    agree(*ACTIVATIONS[name], x)


@pytest.mark.parametrize("name", [n for n in ACTIVATIONS if not n.startswith("2")])
def test_nan_infinities_and_kinks(name):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 3, -3, 6, -6, -1, 0.5, 20, -20, 21, 1e3, -1e3, 1e-30, -1e-30])
    ours, theirs = ACTIVATIONS[name]
    tensor = torch.tensor(x, requires_grad=True)
    expected = theirs(tensor)
    expected.sum().backward()
    _, gradient = value_and_grad(lambda v: F.sum(ours(v)))(x)
    atol = 1e-16 if name.startswith("gelu") else 0  # its tail has absolute accuracy alone in PyTorch; its slope x times
    np.testing.assert_allclose(ours(x), expected.detach().numpy(), rtol=1e-9, atol=atol)
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-9, atol=max(6 * atol, 1e-300))


def test_hardsigmoid():
    # PyTorch takes 1/6 in float32 for the gradient, whatever the precision
    x = np.array([np.nan, np.inf, -np.inf, 3.0, -3.0, 0.0, 2.9, -2.9])
    agree(F.hardsigmoid, T.hardsigmoid, x, rtol=1e-7)


@pytest.mark.parametrize("sizes", [((3, 4), (3, 4)), ((3, 4), (4,)), ((2, 1, 4), (3, 1)), ((), (2, 3))])
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "maximum", "minimum"])
def test_arithmetic(name, sizes):
    agree(getattr(F, name), getattr(torch, name), *(normal(*size, seed=i) for i, size in enumerate(sizes)))


def test_power_and_where():
    a, b = np.abs(normal(3, 4)), normal(4, seed=1)
    agree(F.pow, torch.pow, a, b)
    agree(F.pow, torch.pow, np.array([0.0, 0.0, 2.0]), np.array([0.0, 2.0, 0.0]))
    agree(lambda a, b: F.where(a > b, a, b), lambda a, b: torch.where(a > b, a, b), a, b)
    agree(F.prelu, T.prelu, normal(2, 3, 4), np.array([0.1, 0.2, 0.3]))
    agree(F.prelu, T.prelu, normal(2, 3, 4), np.array([0.1]))


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_nan_wins_a_comparison(name):
    a = np.array([np.nan, 1.0, 2.0, np.inf, 0.0])
    b = np.array([1.0, np.nan, 2.0, 3.0, -0.0])
    agree(getattr(F, name), getattr(torch, name), a, b)


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(name, dim):
    ours, theirs = getattr(F, name), getattr(T, name)
    agree(lambda x: ours(x, dim), lambda x: theirs(x, dim), normal(2, 3, 4) * 5)
    special = np.array([[1e4, 0, -1e4], [np.inf, 0, 1], [-np.inf] * 3, [np.nan, 0, 0], [-np.inf, 0, 0]])
    np.testing.assert_allclose(ours(special, dim), theirs(torch.tensor(special), dim).numpy(), rtol=1e-12)
    assert ours(np.ones((0, 3)), dim).shape == (0, 3)


@pytest.mark.parametrize("dim", [None, 0, (0, 2), (-1, 1)])
@pytest.mark.parametrize("keepdim", [False, True])
def test_reductions(dim, keepdim):
    x = normal(2, 3, 4)
    axes = tuple(range(3)) if dim is None else dim
    for ours, theirs in ((F.sum, torch.sum), (F.mean, torch.mean), (F.max, torch.amax), (F.min, torch.amin)):
        agree(lambda x, f=ours: f(x, dim, keepdim), lambda x, f=theirs: f(x, dim=axes, keepdim=keepdim), x)


def test_max_of_equals_and_nan():
    agree(lambda x: F.max(x, 1), lambda x: torch.amax(x, 1), np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 2.0]]))
    assert np.isnan(F.max(np.array([1.0, np.nan])))


def test_products():
    agree(F.linear, T.linear, normal(3, 4), normal(5, 4, seed=1), normal(5, seed=2))
    agree(F.linear, T.linear, normal(2, 3, 4), normal(5, 4, seed=1))
    agree(F.linear, T.linear, normal(4), normal(5, 4, seed=1), normal(5, seed=2))
    for a, b in (
        ((3, 4), (4, 2)),
        ((4,), (4, 2)),
        ((3, 4), (4,)),
        ((4,), (4,)),
        ((5, 1, 3, 4), (2, 4, 2)),
        ((2, 3, 4), (4,)),
        ((2, 3, 5, 4), (4, 2)),
    ):
        agree(F.matmul, torch.matmul, normal(*a), normal(*b, seed=1))
    agree(F.linear, T.linear, normal(0, 4), normal(5, 4, seed=1))
    agree(F.matmul, torch.matmul, normal(3, 0), normal(0, 2, seed=1))


@pytest.mark.parametrize("size", [(5, 3), (4, 3, 5), (2, 3, 4, 5), (2, 3, 2, 3, 4)])
def test_batch_norm(size):
    x, weight, bias = normal(*size) * 3 + 7, normal(3, seed=1), normal(3, seed=2)
    train = {"training": True}
    agree(
        lambda *a: F.batch_norm(a[0], None, None, *a[1:], **train),
        lambda *a: T.batch_norm(a[0], None, None, *a[1:], **train),
        x,
        weight,
        bias,
    )
    agree(lambda a: F.batch_norm(a, None, None, **train), lambda a: T.batch_norm(a, None, None, **train), x)
    mean, var = normal(3, seed=3), np.abs(normal(3, seed=4))
    agree(
        lambda a, w, b, m, v: F.batch_norm(a, m, v, w, b),
        lambda a, w, b, m, v: T.batch_norm(a, m, v, w, b),
        x,
        weight,
        bias,
        mean,
        var,
        differentiated=3,
    )

    ours, theirs = (mean.copy(), var.copy()), (torch.tensor(mean), torch.tensor(var))
    F.batch_norm(x, *ours, weight, bias, training=True, momentum=0.3)
    T.batch_norm(torch.tensor(x), *theirs, torch.tensor(weight), torch.tensor(bias), training=True, momentum=0.3)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-12)
    _, *pure = F.batch_norm_train(x, mean, var, momentum=0.3)
    np.testing.assert_array_equal(pure, ours)


def test_other_normalizations():
    x = normal(3, 4, 5, 6) * 2 + 5
    weight, bias = normal(4, seed=1), normal(4, seed=2)
    agree(
        lambda *a: F.layer_norm(a[0], (5, 6), *a[1:]),
        lambda *a: T.layer_norm(a[0], (5, 6), *a[1:]),
        x,
        normal(5, 6, seed=1),
        normal(5, 6, seed=2),
    )
    agree(lambda a: F.layer_norm(a, 6, eps=0.1), lambda a: T.layer_norm(a, (6,), eps=0.1), x)
    agree(lambda *a: F.group_norm(a[0], 2, *a[1:]), lambda *a: T.group_norm(a[0], 2, *a[1:]), x, weight, bias)
    agree(lambda a: F.group_norm(a, 2), lambda a: T.group_norm(a, 2), normal(3, 8))
    agree(
        lambda *a: F.instance_norm(a[0], None, None, *a[1:]),
        lambda *a: T.instance_norm(a[0], None, None, *a[1:]),
        x,
        weight,
        bias,
    )
    agree(lambda a: F.instance_norm(a), lambda a: T.instance_norm(a), normal(2, 3, 5))
    for size in (1, 2, 3, 5, 9):
        agree(
            lambda a, n=size: F.local_response_norm(a, n, 0.1, 0.7, 2),
            lambda a, n=size: T.local_response_norm(a, n, 0.1, 0.7, 2),
            x,
        )
    agree(lambda a: F.local_response_norm(a, 2), lambda a: T.local_response_norm(a, 2), normal(2, 3, 4))

    mean, var = normal(4, seed=3), np.abs(normal(4, seed=4))
    ours, theirs = (mean.copy(), var.copy()), (torch.tensor(mean), torch.tensor(var))
    F.instance_norm(x, *ours, momentum=0.3)
    T.instance_norm(torch.tensor(x), *theirs, momentum=0.3)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-12)
    np.testing.assert_allclose(
        F.instance_norm(x, mean, var, use_input_stats=False),
        T.instance_norm(torch.tensor(x), torch.tensor(mean), torch.tensor(var), use_input_stats=False).numpy(),
        rtol=1e-10,
    )


LABELS = np.array([[0, 1, -100], [4, 3, 0]])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy(reduction, smoothing, weighted):
    weight = np.abs(normal(5, seed=1)) if weighted else None
    options = {"reduction": reduction, "label_smoothing": smoothing}

    def both(x, target, differentiated=1, **more):
        def ours(x, *t):
            return F.cross_entropy(x, *t, None if weight is None else weight.astype(x.dtype), **options, **more)

        def theirs(x, *t):
            return T.cross_entropy(
                x, *t, None if weight is None else torch.tensor(weight, dtype=x.dtype), **options, **more
            )

        agree(ours, theirs, x, target, differentiated=differentiated)

    both(normal(4, 5), np.array([0, 4, 2, 2]))
    both(normal(4, 5) * 50, np.array([0, 4, 2, 2]))
    both(normal(2, 5, 3), LABELS)
    both(normal(2, 5, 3), np.where(LABELS < 0, 3, LABELS), ignore_index=3)
    both(normal(5), np.array(2))
    both(normal(4, 5), np.abs(normal(4, 5, seed=2)), differentiated=2)
    both(normal(2, 5, 3), np.abs(normal(2, 5, 3, seed=2)), differentiated=2)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_other_losses(reduction):
    options = {"reduction": reduction}
    x, target = normal(3, 4), normal(3, 4, seed=1)
    weight, labels = np.abs(normal(4, seed=2)), np.array([3, -100, 0])
    for name in ("mse_loss", "l1_loss"):
        agree(
            lambda a, b, n=name: getattr(F, n)(a, b, **options),
            lambda a, b, n=name: getattr(T, n)(a, b, **options),
            x,
            target,
        )
    agree(
        lambda a, w: F.nll_loss(a, labels, w, **options),
        lambda a, w: T.nll_loss(a, torch.tensor(labels), w, **options),
        x,
        weight,
        differentiated=1,
    )
    agree(lambda a: F.nll_loss(a, labels, **options), lambda a: T.nll_loss(a, torch.tensor(labels), **options), x)
    agree(
        lambda a, b, w, p: F.binary_cross_entropy_with_logits(a, b, w, pos_weight=p, **options),
        lambda a, b, w, p: T.binary_cross_entropy_with_logits(a, b, w, pos_weight=p, **options),
        *(x * 30, np.abs(target) % 1, weight, weight[::-1].copy()),
        differentiated=2,
    )
    agree(
        lambda a, b: F.binary_cross_entropy_with_logits(a, b, **options),
        lambda a, b: T.binary_cross_entropy_with_logits(a, b, **options),
        *(x, np.abs(target) % 1),
    )
    agree(
        lambda a: F.hinge_loss(a, np.array([3, 1, 0]), margin=0.5, **options),
        lambda a: T.multi_margin_loss(a, torch.tensor([3, 1, 0]), margin=0.5, **options),
        x,
    )


def test_losses_of_nothing():
    x, labels = np.ones((2, 3)), np.array([-100, -100])
    assert np.isnan(F.cross_entropy(x, labels))
    assert F.cross_entropy(x, labels, reduction="sum") == 0
    assert np.isnan(F.cross_entropy(x[:0], labels[:0]))
    assert np.isnan(F.mse_loss(x[:0], x[:0]))


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_pad(mode):
    for pad, x in (
        ((1, 2), normal(2, 3, 4)),
        ((1, 2, 2, 0), normal(2, 3, 4, 5)),
        ((0, 1, 2, 1, 1, 1), normal(1, 2, 3, 4, 5)),
    ):
        agree(lambda a, p=pad: F.pad(a, p, mode), lambda a, p=pad: T.pad(a, p, mode), x)
    if mode == "constant":
        agree(
            lambda a: F.pad(a, (-1, 2, 0, -2), value=3.5),
            lambda a: T.pad(a, (-1, 2, 0, -2), value=3.5),
            normal(2, 3, 4, 5),
        )
        agree(lambda a: F.pad(a, (-4, 3)), lambda a: T.pad(a, (-4, 3)), normal(2, 5))
    if mode == "circular":
        agree(lambda a: F.pad(a, (-1, 2), mode), lambda a: T.pad(a, (-1, 2), mode), normal(2, 3, 4))


@pytest.mark.parametrize(
    ("mode", "n", "corners"),
    [
        *((mode, n, None) for mode in ("nearest", "nearest-exact", "area") for n in (1, 2, 3)),
        *((mode, n, c) for n, mode in enumerate(("linear", "bilinear", "trilinear"), 1) for c in (False, True)),
        ("bicubic", 2, False),
        ("bicubic", 2, True),
    ],
)
def test_interpolate(mode, n, corners):
    options = {"mode": mode, "align_corners": corners}
    x = normal(2, 3, *(5, 6, 4)[:n])
    # PyTorch takes 1 / scale_factor in float32 in places, which moves coordinates by 1e-7
    for size in ((7, 3, 9), (1, 12, 4), (10, 12, 8)):
        agree(
            lambda a, s=size: F.interpolate(a, s[:n], **options),
            lambda a, s=size: T.interpolate(a, s[:n], **options),
            x,
        )
    for scale in (2, 0.5, 1.7):
        for recompute in (None, True):
            more = {"scale_factor": scale, "recompute_scale_factor": recompute, **options}
            agree(lambda a, m=more: F.interpolate(a, **m), lambda a, m=more: T.interpolate(a, **m), x)


def test_moving():
    x = normal(2, 3, 4)
    agree(lambda a: F.reshape(a, (4, -1)), lambda a: torch.reshape(a, (4, -1)), x)
    agree(lambda a: F.flatten(a, 1), lambda a: torch.flatten(a, 1), x)
    agree(lambda a: F.flatten(a, 0, 1), lambda a: torch.flatten(a, 0, 1), x)
    agree(F.flatten, torch.flatten, x)
    agree(F.flatten, torch.flatten, np.array(1.0))
    agree(lambda a: F.transpose(a, 0, -1), lambda a: torch.transpose(a, 0, -1), x)
    agree(lambda a: F.permute(a, (2, 0, 1)), lambda a: torch.permute(a, (2, 0, 1)), x)
    agree(lambda a: F.broadcast_to(a, (5, 2, 3, 4)), lambda a: torch.broadcast_to(a, (5, 2, 3, 4)), x)
    agree(lambda a: F.getitem(a, (1, ..., slice(3, 0, -1))), lambda a: torch.flip(a[1, ..., 1:], (-1,)), x)
    for dim in (0, 1, -1):
        agree(lambda a, b, d=dim: F.concat([a, b], d), lambda a, b, d=dim: torch.cat([a, b], d), x, x * 2)
        agree(lambda a, b, d=dim: F.stack([a, b], d), lambda a, b, d=dim: torch.stack([a, b], d), x, x * 2)
        agree(lambda a, d=dim: F.split(a, 2, d)[-1], lambda a, d=dim: torch.split(a, 2, d)[-1], x)
    agree(lambda a: F.split(a, [1, 0, 3], 2)[2], lambda a: torch.split(a, [1, 0, 3], 2)[2], x)
