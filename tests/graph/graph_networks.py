"""Small networks in float64 that together have whatever a graph must hold, with random running statistics."""

import numpy as np

import pyconv.functional as F
from pyconv import models, nn


class Residual(nn.Module):
    """y = relu(branch(x) + shortcut(x)), as in ResNets."""

    def __init__(self, channels, out_channels, stride=1):
        self.branch = nn.Sequential(
            nn.Conv2d(channels, out_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut = nn.Sequential()
        if stride > 1 or channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x):
        return F.relu(self.branch(x) + self.shortcut(x))


class SqueezeExcite(nn.Module):
    def __init__(self, channels):
        self.squeeze, self.excite = nn.Conv2d(channels, 2, 1), nn.Conv2d(2, channels, 1)

    def forward(self, x):
        return x * F.sigmoid(self.excite(F.silu(self.squeeze(F.global_avg_pool(x)))))


class Branches(nn.Module):
    """Split, concatenation, a channel shuffle, resizing, a transposed convolution and a group norm."""

    def __init__(self):
        self.left, self.right = nn.Conv2d(4, 6, 1), nn.Conv2d(4, 6, 3, padding=1, groups=2)
        self.norm, self.up = nn.GroupNorm(3, 12), nn.ConvTranspose2d(12, 4, 2, 2, groups=2)
        self.up_norm = nn.BatchNorm2d(4)

    def forward(self, x):
        a, b = F.split(x, 4, 1)
        y = F.concat([self.left(a), self.right(b)], 1)
        n, c, h, w = y.shape
        y = F.reshape(F.transpose(F.reshape(y, (n, 2, c // 2, h, w)), 1, 2), (n, c, h, w))
        y = F.leaky_relu(self.norm(y))
        return F.add(self.up_norm(self.up(y)), F.interpolate(a, scale_factor=2, mode="bilinear"))


class Shared(nn.Module):
    """One linear layer used twice; several outputs."""

    def __init__(self):
        self.linear = nn.Linear(6, 6)

    def forward(self, x, y):
        return {"both": [self.linear(x), self.linear(y)], "sum": F.sum(x * y), "same": x}


def float64(model):
    """The model in evaluation mode, in float64, with running statistics drawn at random."""
    rng = np.random.default_rng(7)
    model.load_state_dict(
        {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in model.state_dict().items()}, assign=True
    )
    for module in model.modules():
        if "running_var" in module._buffers:
            module.running_mean = rng.standard_normal(module.running_mean.shape)
            module.running_var = rng.uniform(0.5, 1.5, module.running_var.shape)
    return model.eval()


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


# name -> a function that makes the network, and the shapes of its inputs
NETWORKS = {
    "lenet5": (lambda: models.create("lenet5", in_channels=1), [(2, 1, 28, 28)]),
    "resnet": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
            Residual(8, 8), Residual(8, 16, 2), nn.GlobalAvgPool(), nn.Flatten(), nn.Linear(16, 10),
        ),
        [(2, 3, 16, 16)],
    ),
    "squeeze_excite": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), SqueezeExcite(8)), [(2, 3, 7, 6)]),
    "branches": (Branches, [(2, 8, 6, 4)]),
    "shared": (Shared, [(3, 6), (3, 6)]),
    "dense_head": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.Dropout(0.5), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5), nn.Softmax(1)
        ),
        [(3, 2, 8, 8)],
    ),
    "volumes": (lambda: nn.Sequential(nn.Conv3d(1, 3, 3), nn.BatchNorm3d(3), nn.ReLU()), [(1, 1, 5, 5, 5)]),
}  # fmt: skip


def network(name):
    """(the network, inputs for it)"""
    nn.init.manual_seed(1)
    make, shapes = NETWORKS[name]
    return float64(make()), [normal(*shape, seed=i) for i, shape in enumerate(shapes)]
