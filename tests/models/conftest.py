"""What the tests of the networks share."""

import pytest

from pyconv import nn


@pytest.fixture
def undrawn(monkeypatch):
    """Networks are made without drawing their weights, for tests that look at shapes and names alone."""
    for name in ("uniform_", "normal_"):
        monkeypatch.setattr(nn.init, name, lambda array, *arguments, **options: array)
