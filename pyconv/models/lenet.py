"""LeNet-5, the first convolutional network in wide use."""

from __future__ import annotations

from pyconv import nn
from pyconv.models.network import chain


def lenet5(num_classes: int = 10, in_channels: int = 1, features: bool = False) -> nn.Module:
    """LeNet-5 for 28×28 images (padded to the paper's 32×32), with today's ReLU and maximum pooling.

    The paper has trained average pooling, tanh, a partial table of connections in its second convolution and Gaussian
    outputs; this is the form in which it is used since.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition, 1998.
    """
    return chain(
        nn.Conv2d(in_channels, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, num_classes),
        features=features,
    )
