"""Layers that PyTorch itself does not have (torchvision does): layer norm of images, permutation, stochastic depth."""

import numpy as np
import pytest

from pyconv import nn


def test_layer_norm_2d_is_layer_norm_over_channels():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 5, 3, 4))
    layer = nn.LayerNorm2d(5, dtype=np.float64)
    layer.load_state_dict({"weight": rng.uniform(0.5, 1.5, 5), "bias": rng.standard_normal(5)})
    affine = torch.tensor(layer.weight), torch.tensor(layer.bias)
    last = torch.tensor(x).permute(0, 2, 3, 1)
    expected = torch.nn.functional.layer_norm(last, (5,), *affine, 1e-6).permute(0, 3, 1, 2)
    np.testing.assert_allclose(layer(x), expected.numpy(), rtol=1e-10, atol=1e-10)
    assert (repr(layer), layer.config()) == ("LayerNorm2d(5)", {"num_channels": 5, "eps": 1e-6})


def test_permute():
    layer = nn.Permute((0, 2, 3, 1))
    assert layer(np.zeros((2, 3, 4, 5))).shape == (2, 4, 5, 3)
    assert nn.Permute(**layer.config()).dims == layer.dims


def test_stochastic_depth_in_training_alone():
    layer = nn.StochasticDepth(0.5, generator=np.random.default_rng(0))
    x = np.ones((64, 2, 2), np.float32)
    first, second = layer(x), layer(x)
    assert set(np.unique(first)) == {0, 2}
    assert (first != second).any()
    assert (first == first[:, :1, :1]).all()
    assert layer.eval()(x) is x
    assert layer.config() == {"p": 0.5}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.ChannelShuffle(0), ValueError, "groups must be at least 1, not 0"),
        (lambda: nn.PixelShuffle(1.5), TypeError, "upscale_factor must be an int"),
        (lambda: nn.PixelUnshuffle(0), ValueError, "downscale_factor must be at least 1"),
        (lambda: nn.Upsample(), ValueError, "Upsample needs either size or scale_factor"),
        (lambda: nn.LayerNorm2d(0), ValueError, "must be at least 1, not 0"),
        (lambda: nn.StochasticDepth(2), ValueError, "p must be a probability"),
    ],
)
def test_bad_arguments_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
