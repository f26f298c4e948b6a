"""Calls, variants and plans without number leave memory flat; what is closed or forgotten is released."""

import subprocess
import sys

import pytest

from pyconv import kernels

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

# In processes of their own: what other tests leave behind would be counted too.
START = """
import gc, sys
import numpy as np
import pyconv as pc
from pyconv import nn

pc.set_backend(sys.argv[1])
pc.set_num_threads(1)

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
"""
FLAT = """
model = nn.Sequential(
    nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
)
plan = pc.compile(model, (1, 3, 16, 16))

def calls(count):
    x = np.ones((1, 3, 16, 16), np.float32)
    y = plan(x)
    for _ in range(count):
        plan(x, out=y)

def shape(i):
    return 1 + i % 3, 3, 6 + i % 19, 6 + i * 7 % 23

def plans(count):
    for i in range(count):
        pc.compile(model, shape(i))(np.ones(shape(i), np.float32))

def variants(count):
    for i in range(count):
        plan(np.ones(shape(i), np.float32))

calls(1000), plans(300), variants(150)  # bounded caches fill, and the heap finds its size
for many in (lambda: calls(10_000), lambda: plans(1000), lambda: variants(150)):
    before = resident()
    many()
    print(resident() - before)
assert len(plan._variants) == 8
"""
RELEASED = """
def large():
    layers = nn.Conv2d(64, 1024, 1), nn.BatchNorm2d(1024), nn.Flatten(), nn.Linear(1024, 16384)  # 64 MB
    return pc.compile(nn.Sequential(*layers), (16, 64, 1, 1))

x = np.ones((16, 64, 1, 1), np.float32)
pc.compile(nn.Linear(64, 8), (16, 64))(x.reshape(16, 64))
before = resident()
plan = large()
plan(x)
print(resident() - before)
plan.close()
print(resident() - before)
plan = large()
plan(x)
del plan
print(resident() - before)
"""


def numbers(code, backend):
    """What such a process prints."""
    if (reason := kernels.available(backend)) is not None:
        pytest.skip(reason)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", START + code, backend], capture_output=True, check=True
    )
    return [int(n) for n in done.stdout.split()]


def test_memory_stays_flat():
    calls, plans, variants = numbers(FLAT, "native")
    assert calls < 100 << 10  # ten bytes a call
    assert plans < 2 << 20  # a plan of this network takes 200 KB
    assert variants < 2 << 20


@pytest.mark.parametrize("backend", ["native", "im2col"])
def test_what_is_closed_or_forgotten_is_released(backend):
    held, closed, forgotten = numbers(RELEASED, backend)
    assert held > 64 << 20
    assert closed < 4 << 20
    assert forgotten < 4 << 20
