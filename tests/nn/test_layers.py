"""Every layer against PyTorch's of the same name, and the layers' own arguments."""

import numpy as np
import pytest

import pyconv.functional as F
from pyconv import nn
from pyconv.graph.transforms import value_and_grad
from pyconv.nn.layer import Layer

# (class, arguments, shape of x); the first axis of x is the batch
CASES = [
    (
        "Conv1d",
        {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "stride": 2, "padding": 1, "groups": 2},
        (2, 4, 9),
    ),
    (
        "Conv2d",
        {"in_channels": 3, "out_channels": 4, "kernel_size": (3, 2), "padding": (1, 0), "dilation": 2},
        (2, 3, 8, 7),
    ),
    ("Conv2d", {"in_channels": 2, "out_channels": 2, "kernel_size": 3, "padding": "same", "bias": False}, (2, 2, 5, 5)),
    (
        "Conv2d",
        {"in_channels": 2, "out_channels": 3, "kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
        (2, 2, 5, 5),
    ),
    ("Conv3d", {"in_channels": 2, "out_channels": 3, "kernel_size": 2}, (2, 2, 4, 4, 3)),
    (
        "ConvTranspose1d",
        {"in_channels": 3, "out_channels": 2, "kernel_size": 3, "stride": 2, "output_padding": 1},
        (2, 3, 5),
    ),
    (
        "ConvTranspose2d",
        {"in_channels": 4, "out_channels": 2, "kernel_size": 3, "padding": 1, "groups": 2},
        (2, 4, 5, 4),
    ),
    ("ConvTranspose3d", {"in_channels": 2, "out_channels": 3, "kernel_size": 2, "bias": False}, (1, 2, 3, 2, 2)),
    ("MaxPool1d", {"kernel_size": 3, "stride": 2, "padding": 1}, (2, 3, 9)),
    ("MaxPool2d", {"kernel_size": 2, "dilation": 2, "ceil_mode": True}, (2, 3, 8, 7)),
    ("MaxPool3d", {"kernel_size": 2}, (1, 2, 4, 4, 4)),
    ("AvgPool1d", {"kernel_size": 3, "padding": 1}, (2, 3, 9)),
    ("AvgPool2d", {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}, (2, 3, 8, 7)),
    ("AvgPool3d", {"kernel_size": 2, "ceil_mode": True}, (1, 2, 4, 5, 4)),
    ("LPPool1d", {"norm_type": 2, "kernel_size": 3}, (2, 3, 9)),
    ("LPPool2d", {"norm_type": 2, "kernel_size": 2, "stride": 1}, (2, 3, 5, 5)),
    ("AdaptiveAvgPool1d", {"output_size": 4}, (2, 3, 9)),
    ("AdaptiveAvgPool2d", {"output_size": (3, 2)}, (2, 3, 8, 7)),
    ("AdaptiveAvgPool3d", {"output_size": 2}, (1, 2, 5, 4, 3)),
    ("AdaptiveMaxPool1d", {"output_size": 4}, (2, 3, 9)),
    ("AdaptiveMaxPool2d", {"output_size": 3}, (2, 3, 8, 7)),
    ("AdaptiveMaxPool3d", {"output_size": 2}, (1, 2, 5, 4, 3)),
    ("Linear", {"in_features": 5, "out_features": 3}, (4, 5)),
    ("Linear", {"in_features": 5, "out_features": 3, "bias": False}, (2, 3, 5)),
    ("Flatten", {}, (2, 3, 4, 5)),
    ("Flatten", {"start_dim": 2}, (2, 3, 4, 5)),
    ("Identity", {}, (2, 3)),
    ("BatchNorm1d", {"num_features": 3}, (5, 3)),
    ("BatchNorm1d", {"num_features": 3, "momentum": None}, (5, 3, 4)),
    ("BatchNorm2d", {"num_features": 3, "momentum": 0.3, "eps": 1e-3}, (4, 3, 5, 4)),
    ("BatchNorm2d", {"num_features": 3, "affine": False, "track_running_stats": False}, (4, 3, 5, 4)),
    ("BatchNorm3d", {"num_features": 2}, (3, 2, 3, 3, 2)),
    ("LayerNorm", {"normalized_shape": (3, 4)}, (5, 3, 4)),
    ("LayerNorm", {"normalized_shape": 4, "bias": False}, (5, 3, 4)),
    ("LayerNorm", {"normalized_shape": 4, "elementwise_affine": False}, (5, 3, 4)),
    ("GroupNorm", {"num_groups": 2, "num_channels": 4}, (3, 4, 5, 2)),
    ("InstanceNorm1d", {"num_features": 3, "affine": True}, (2, 3, 6)),
    ("InstanceNorm2d", {"num_features": 3}, (2, 3, 4, 5)),
    ("InstanceNorm3d", {"num_features": 2}, (2, 2, 3, 4, 2)),
    ("LocalResponseNorm", {"size": 3, "alpha": 0.1, "beta": 0.5, "k": 2.0}, (2, 5, 3, 3)),
    ("ReLU", {}, (3, 4)),
    ("ReLU6", {}, (3, 4)),
    ("LeakyReLU", {"negative_slope": 0.2}, (3, 4)),
    ("PReLU", {"num_parameters": 4}, (3, 4, 2)),
    ("ELU", {"alpha": 0.5}, (3, 4)),
    ("SELU", {}, (3, 4)),
    ("GELU", {}, (3, 4)),
    ("GELU", {"approximate": "tanh"}, (3, 4)),
    ("SiLU", {}, (3, 4)),
    ("Mish", {}, (3, 4)),
    ("Hardswish", {}, (3, 4)),
    ("Hardsigmoid", {}, (3, 4)),
    ("Hardtanh", {"min_val": -0.5, "max_val": 0.7}, (3, 4)),
    ("Sigmoid", {}, (3, 4)),
    ("Tanh", {}, (3, 4)),
    ("Softplus", {"beta": 2.0, "threshold": 3.0}, (3, 4)),
    ("Softmax", {"dim": 1}, (3, 4, 2)),
    ("LogSoftmax", {"dim": 1}, (3, 4, 2)),
    ("Dropout", {"p": 0.0}, (3, 4)),
    ("ChannelShuffle", {"groups": 3}, (2, 6, 3, 4)),
    ("PixelShuffle", {"upscale_factor": 2}, (2, 8, 3, 4)),
    ("PixelUnshuffle", {"downscale_factor": 2}, (2, 3, 4, 6)),
    ("Upsample", {"scale_factor": 1.5, "mode": "bilinear"}, (2, 3, 4, 6)),
    ("Upsample", {"size": (5, 7)}, (2, 3, 4, 6)),
]


def named(case):
    return f"{case[0]}-{'-'.join(f'{key}={value}' for key, value in case[1].items())}"


@pytest.mark.parametrize("case", CASES, ids=named)
def test_layers_agree_with_pytorch(case):
    """Same names, shapes and dtypes in the state; same outputs and gradients, in training and after it."""
    torch = pytest.importorskip("torch")
    name, arguments, shape = case
    theirs = getattr(torch.nn, name)(**arguments).double()
    ours = getattr(nn, name)(**arguments).astype(np.float64)
    state = {key: value.numpy() for key, value in theirs.state_dict().items()}
    assert {key: (a.shape, a.dtype) for key, a in ours.state_dict().items()} == {
        key: (a.shape, a.dtype) for key, a in state.items()
    }
    rng = np.random.default_rng(0)
    for array in state.values():
        if array.dtype.kind == "f":
            array[...] = rng.uniform(0.5, 1.5, array.shape)  # shares memory with PyTorch's
    ours.load_state_dict(state)
    for _ in range(2):
        x = rng.standard_normal(shape)
        expected_input = torch.tensor(x, requires_grad=True)
        expected = theirs(expected_input)
        weights = rng.standard_normal(tuple(expected.shape))
        theirs.zero_grad()
        (expected * torch.tensor(weights)).sum().backward()

        def loss(params, x, weights=weights):
            y, updates = nn.functional_call(ours, params, x)
            return F.sum(y * weights), (y, updates)

        (_, (y, updates)), (grads, dx) = value_and_grad(loss, argnums=(0, 1), has_aux=True)(
            dict(ours.named_parameters()), x
        )
        ours.load_state_dict(updates, strict=False)
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-10, atol=1e-10)
        slope_tolerance = 1e-7 if name == "Hardsigmoid" else 1e-9  # PyTorch's slope there is 1/6 in float32
        np.testing.assert_allclose(dx, expected_input.grad.numpy(), rtol=slope_tolerance, atol=1e-9)
        for key, parameter in theirs.named_parameters():
            np.testing.assert_allclose(grads[key], parameter.grad.numpy(), rtol=1e-9, atol=1e-9)
        for key, buffer in theirs.named_buffers():
            np.testing.assert_allclose(ours.state_dict()[key], buffer.numpy(), rtol=1e-12)
    theirs.eval()
    ours.eval()
    expected = theirs(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ours(x), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_layer_is_described_by_its_arguments(case):
    layer = getattr(nn, case[0])(**case[1])
    twin = type(layer)(**layer.config())
    assert twin.config() == layer.config()
    assert repr(twin) == repr(layer)
    assert {k: a.shape for k, a in twin.state_dict().items()} == {k: a.shape for k, a in layer.state_dict().items()}
    assert twin.config().items() >= {k: v for k, v in case[1].items() if not isinstance(v, (int, tuple))}.items()


def test_every_layer_is_among_the_cases():
    layers = {
        name for name in nn.__all__ if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), Layer)
    }
    elsewhere = {"GlobalAvgPool", "GlobalMaxPool", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d", "LPPool3d", "Permute"}
    elsewhere |= {"LayerNorm2d", "StochasticDepth"}
    assert layers - elsewhere - {"Dropout1d", "Dropout2d", "Dropout3d", "Standardize"} == {name for name, _, _ in CASES}


def test_global_pooling_keeps_the_axes():
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    np.testing.assert_allclose(nn.GlobalAvgPool()(x), x.mean((2, 3), keepdims=True), rtol=1e-12)
    np.testing.assert_array_equal(nn.GlobalMaxPool()(x), x.max((2, 3), keepdims=True))


def test_lp_pooling_in_three_dimensions():
    x = np.random.default_rng(0).random((1, 2, 2, 2, 2))
    expected = np.sqrt((x**2).sum((2, 3, 4), keepdims=True))
    np.testing.assert_allclose(nn.LPPool3d(2, 2)(x), expected, rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_unpooling_puts_maxima_back(n):
    x = np.random.default_rng(n).random((2, 3, *[6] * n))
    pool, unpool = getattr(nn, f"MaxPool{n}d")(2, return_indices=True), getattr(nn, f"MaxUnpool{n}d")(2)
    maxima, indices = pool(x)
    back = unpool(maxima, indices)
    assert back.shape == x.shape
    np.testing.assert_array_equal(back[back != 0], x[back != 0])
    assert (back != 0).sum() == maxima.size
    assert unpool(maxima, indices, output_size=(7,) * n).shape[2:] == (7,) * n


# --- dropout


def test_dropout_drops_its_share_and_keeps_the_mean():
    x = np.ones((100, 100), np.float32)
    y = nn.Dropout(0.25, generator=np.random.default_rng(0))(x)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.02  # five standard deviations
    assert y.dtype == np.float32


def test_dropout_draws_anew_each_time_and_repeats_from_its_state():
    layer, x = nn.Dropout(0.5, generator=np.random.default_rng(0)), np.ones(64)
    state = layer.rng_state.copy()
    first, second = layer(x), layer(x)
    assert (first != second).any()
    layer.rng_state = state
    np.testing.assert_array_equal(layer(x), first)
    y, updates = nn.functional_call(layer, {"rng_state": state}, x)
    np.testing.assert_array_equal(y, first)
    np.testing.assert_array_equal(updates["rng_state"], state + np.array([0, 1], np.uint64))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_channel_dropout_drops_whole_channels(n):
    y = getattr(nn, f"Dropout{n}d")(0.5, generator=np.random.default_rng(0))(np.ones((8, 8, *[3] * n)))
    rows = y.reshape(64, -1)
    assert (rows == rows[:, :1]).all()
    assert set(np.unique(rows)) == {0, 2}


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_dropout_wants_a_probability(p):
    with pytest.raises(ValueError, match="p must be a probability"):
        nn.Dropout(p)


# --- bad arguments


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Conv2d(0, 1, 1), ValueError, "in_channels must be at least 1, not 0"),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "in_channels must be a multiple of groups = 2, not 3"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), ValueError, "out_channels must be a multiple of groups = 2, not 3"),
        (lambda: nn.Conv2d(1, 1, 0), ValueError, "kernel_size must be at least 1"),
        (lambda: nn.Conv2d(1, 1, 3, padding="full"), ValueError, "padding must be one of same, valid"),
        (lambda: nn.Conv2d(1, 1, 3, padding_mode="mirror"), ValueError, "padding_mode must be one of zeros"),
        (lambda: nn.Conv2d(1.5, 1, 3), TypeError, "in_channels must be an int"),
        (lambda: nn.Conv2d(1, 1, 3, dtype=np.int32), TypeError, "dtype must be float32 or float64, not int32"),
        (lambda: nn.Linear(0, 1), ValueError, "in_features must be at least 1, not 0"),
        (lambda: nn.BatchNorm2d(0), ValueError, "num_features must be at least 1, not 0"),
        (lambda: nn.GroupNorm(3, 4), ValueError, "num_groups must divide num_channels = 4, not be 3"),
        (lambda: nn.Hardtanh(1, 1), ValueError, "min_val must be less than max_val"),
        (lambda: nn.GELU("exact"), ValueError, "approximate must be one of none, tanh"),
        (lambda: nn.MSELoss(reduction="all"), ValueError, "reduction must be one of mean, sum, none"),
        (lambda: nn.BatchNorm2d(3)(np.zeros((2, 3))), ValueError, "x must have 4 axes for BatchNorm2d"),
        (lambda: nn.BatchNorm1d(3)(np.zeros((2, 3, 4, 4))), ValueError, "x must have 2 or 3 axes for BatchNorm1d"),
    ],
)
def test_bad_arguments_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


# --- losses


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("name", "arguments", "labels"),
    [
        ("CrossEntropyLoss", {"label_smoothing": 0.1}, True),
        ("CrossEntropyLoss", {"weight": [0.5, 1.0, 2.0], "ignore_index": 1}, True),
        ("NLLLoss", {"weight": [0.5, 1.0, 2.0]}, True),
        ("BCEWithLogitsLoss", {"pos_weight": [0.5, 1.0, 2.0]}, False),
        ("MSELoss", {}, False),
        ("L1Loss", {}, False),
    ],
)
def test_losses_agree_with_pytorch(name, arguments, labels, reduction):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 3))
    target = rng.integers(0, 3, 5) if labels else rng.random((5, 3))
    theirs = getattr(torch.nn, name)(
        **{k: torch.tensor(v, dtype=torch.float64) if isinstance(v, list) else v for k, v in arguments.items()},
        reduction=reduction,
    )
    ours = getattr(nn, name)(
        **{k: np.array(v) if isinstance(v, list) else v for k, v in arguments.items()}, reduction=reduction
    )
    expected = theirs(torch.tensor(x), torch.tensor(target)).numpy()
    np.testing.assert_allclose(ours(x, target), expected, rtol=1e-12)


def test_hinge_loss_counts_what_lacks_to_the_margin():
    x, target = np.array([0.5, -2.0, 3.0]), np.array([1.0, 1.0, 1.0])
    assert nn.HingeLoss(reduction="sum")(x, target) == 0.5 + 3.0
    assert nn.HingeLoss(margin=2.0)(x, target) == (1.5 + 4.0) / 3


def test_the_slopes_of_prelu_are_counted_like_any_parameters():
    layer = nn.PReLU(4)
    assert layer.num_parameters() == layer.config()["num_parameters"] == 4
    assert repr(layer) == "PReLU(num_parameters=4)"


def test_standardize_undoes_a_mean_and_a_deviation_without_training_them():
    layer = nn.Standardize([1.0, -2.0], [0.5, 4.0])
    x = np.random.default_rng(0).standard_normal((3, 2, 4, 4)).astype(np.float32)
    shifted = x * np.float32([0.5, 4]).reshape(2, 1, 1) + np.float32([1, -2]).reshape(2, 1, 1)
    np.testing.assert_allclose(layer(shifted), x, rtol=1e-5, atol=1e-6)  # float32 loses what 1 and -2 swallow
    assert layer.num_parameters() == 0
    assert list(layer.state_dict()) == ["mean", "std"]
    assert repr(nn.Standardize(**layer.config())) == repr(layer)
    with pytest.raises(ValueError, match="std must give a number above 0"):
        nn.Standardize([0.0], [0.0])
