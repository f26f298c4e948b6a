"""What all tests share: the backends that work here, and how hypothesis draws its examples."""

import os

import pytest
from hypothesis import HealthCheck, settings

from pyconv import kernels

settings.register_profile(
    "pyconv",
    deadline=None,  # the first call of a backend may compile or load it
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("pyconv")


@pytest.fixture(scope="session", params=kernels.BACKENDS)
def backend(request):
    """The name of each backend in turn; use it in `with pyconv.backend(backend):`."""
    reason = kernels.available(request.param)
    if reason is not None:
        pytest.skip(f"backend {request.param} is not available: {reason}")
    return request.param


@pytest.fixture
def one_torch_thread():
    """PyTorch's threads spin while they wait for each other, which takes seconds where others use the cores too."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
