"""The networks of `pyconv.models` as the tests of export and import use them: small inputs, statistics that matter."""

import numpy as np

from pyconv import models, nn

SIZES = {"lenet5": 28, "digitsnet": 8, "mnistnet": 28, "alexnet": 64}
HEADLESS = "vgg"  # their heads hold 500 MB each, and are made of what alexnet's is


def network(name, headless=HEADLESS):
    """A network with drawn weights and running statistics, and images for it; some without their heads."""
    nn.init.manual_seed(0)
    model = models.create(name, num_classes=4, **({"features": True} if name.startswith(headless) else {}))
    rng = np.random.default_rng(0)
    for key, buffer in model.named_buffers():
        if key.endswith("running_var"):
            buffer[...] = rng.uniform(0.5, 1.5, buffer.shape)
        elif key.endswith("running_mean"):
            buffer[...] = rng.normal(0, 0.1, buffer.shape)
    size = SIZES.get(name, 32)
    return model, rng.standard_normal((2, 3, size, size)).astype(np.float32)


def as_list(outputs):
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
