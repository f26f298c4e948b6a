"""Training follows the same loss curve as PyTorch's, as far as float32 rounds."""

import numpy as np
import pytest

from pyconv.bench.curves import Curves, batches, curves
from pyconv.bench.networks import Network


@pytest.mark.usefixtures("one_torch_thread")
@pytest.mark.parametrize(("model", "size", "exact_steps"), [("resnet20", 16, 3), ("mobilenet_v2", 32, 1)])
def test_as_far_from_float64_as_pytorch(model, size, exact_steps):
    """Rounding grows with each step; before it has, a wrong gradient shows, which moves the next loss by percents.

    MobileNetV2 normalizes eight values a channel here, so that its second loss is PyTorch's to two digits only.
    """
    found = curves(Network(model, 8, 3, size, 10, ("training",)), 20)
    np.testing.assert_allclose(found.ours[:exact_steps], found.exact[:exact_steps], rtol=1e-4)
    for end in (4, 20):
        ours, theirs = found.errors(0, end)
        assert ours <= 10 * theirs


def test_errors_are_root_mean_squares_over_a_part():
    exact = np.zeros(4)
    found = Curves(np.array([9.0, 3, 4, 9]), np.array([9.0, 1, 1, 9]), exact)
    assert found.errors(1, 3) == pytest.approx((np.sqrt(12.5), 1))


def test_batches_repeat():
    network = Network("lenet5", 4, 1, 28, 10, ("training",))
    for (x, labels), (again, same) in zip(batches(network, 3), batches(network, 3), strict=True):
        np.testing.assert_array_equal(x, again)
        np.testing.assert_array_equal(labels, same)
        assert (x.shape, x.dtype, labels.shape) == (network.input_shape, np.float32, (4,))
