"""What the tests of the networks share."""

import pytest

from pyconv import nn


@pytest.fixture
def one_torch_thread():
    """PyTorch's threads spin while they wait for each other, which takes seconds where others use the cores too."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def undrawn(monkeypatch):
    """Networks are made without drawing their weights, for tests that look at shapes and names alone."""
    for name in ("uniform_", "normal_"):
        monkeypatch.setattr(nn.init, name, lambda array, *arguments, **options: array)
