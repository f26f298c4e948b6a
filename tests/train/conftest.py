"""Training tests run on one thread: they are small, and many run at once."""

import pytest
from training_helpers import make_data

from pyconv import num_threads


@pytest.fixture(autouse=True)
def _one_thread():
    with num_threads(1):
        yield


@pytest.fixture
def data():
    return make_data()
