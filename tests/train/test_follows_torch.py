"""Training from the same weights on the same batches stays with PyTorch's as long as float32's rounding lets it.

The network is smooth: at a kink, such as that of ReLU, an element that rounding puts on the other side of it sends the
course another way at once.
"""

import numpy as np
import pytest

import pyconv.functional as F
from pyconv import nn, optim
from pyconv.train.compiled import compile_training_step

torch = pytest.importorskip("torch")

STEPS, BATCH, CLASSES = 40, 16, 4
SGD = {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}


class Block(nn.Module):
    def __init__(self, before, after, stride):
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.shortcut = nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x):
        return F.gelu(self.bn2(self.conv2(F.gelu(self.bn1(self.conv1(x))))) + self.shortcut(x))


class TorchBlock(torch.nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(after)
        self.conv2 = torch.nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(after)
        self.shortcut = torch.nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x):
        gelu = torch.nn.functional.gelu
        return gelu(self.bn2(self.conv2(gelu(self.bn1(self.conv1(x))))) + self.shortcut(x))


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """PyTorch's threads wait for each other by spinning, which takes the time of others where cores are few."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_ours():
    nn.init.manual_seed(0)
    stem = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.GELU()]
    return nn.Sequential(
        *stem, Block(16, 16, 1), Block(16, 32, 2), nn.GlobalAvgPool(), nn.Flatten(), nn.Linear(32, CLASSES)
    )


def make_theirs(weights, dtype):
    stem = [torch.nn.Conv2d(3, 16, 3, padding=1, bias=False), torch.nn.BatchNorm2d(16), torch.nn.GELU()]
    head = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(32, CLASSES)]
    model = torch.nn.Sequential(*stem, TorchBlock(16, 16, 1), TorchBlock(16, 32, 2), *head)
    model.load_state_dict({name: torch.tensor(array) for name, array in weights.items()}, strict=False)
    return model.to(dtype)


def batches():
    rng = np.random.default_rng(1)
    prototypes = rng.standard_normal((CLASSES, 3, 16, 16))
    for _ in range(STEPS):
        y = rng.integers(0, CLASSES, BATCH)
        yield (prototypes[y] + 2 * rng.standard_normal((BATCH, 3, 16, 16))).astype(np.float32), y


def losses_of_torch(weights, dtype):
    model = make_theirs(weights, dtype)
    optimizer = torch.optim.SGD(model.parameters(), **SGD)
    losses = []
    for x, y in batches():
        loss = torch.nn.functional.cross_entropy(model(torch.tensor(x, dtype=dtype)), torch.tensor(y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)


@pytest.fixture(scope="module")
def of_torch():
    """PyTorch's losses in float64 and float32."""
    weights = make_ours().state_dict()
    return tuple(losses_of_torch(weights, dtype) for dtype in (torch.float64, torch.float32))


@pytest.mark.parametrize("recompute", [False, True])
def test_losses_follow_pytorch_s(of_torch, recompute):
    """Rounding grows from step to step: ours may lead as far away from float64 as PyTorch's own, within a factor."""
    model, (exact, theirs) = make_ours(), of_torch
    shapes = (BATCH, 3, 16, 16), ((BATCH,), "int64")
    with compile_training_step(model, "cross_entropy", optim.SGD(**SGD), *shapes, recompute=recompute) as step:
        ours = np.array([step(x, y)[0] for x, y in batches()])
    assert exact[-5:].mean() < exact[:5].mean() / 2
    np.testing.assert_allclose(ours[:3], exact[:3], rtol=2e-6)
    drift = np.maximum.accumulate(abs(theirs - exact))
    assert (abs(ours - exact) <= 10 * drift + 1e-6).all()
