"""Many calls on changing shapes leave memory flat."""

import subprocess
import sys

import pytest

from pyconv import kernels

# In a process of its own: what other tests leave behind (threads, garbage) would be counted too.
CODE = """
import sys, tracemalloc
import numpy as np
import pyconv as pc
import pyconv.functional as F

pc.set_backend(sys.argv[1])
pc.set_num_threads(1)
rng = np.random.default_rng(12)
weight, gain = np.ones((3, 2, 3, 3), np.float32), np.ones(3, np.float32)

def calls(n):
    for _ in range(n // 5):
        x = np.ones((rng.integers(1, 4), 2, *rng.integers(3, 40, 2)), np.float32)
        y = F.conv2d(x, weight, padding=1)
        F.conv2d_backward_data(y, weight, x.shape, padding=1)
        F.max_pool2d(F.relu(y), 2, padding=1)
        F.batch_norm(y, None, None, gain, gain, training=True)

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

tracemalloc.start()
calls(10_000)  # fills the bounded caches: more shapes than any of them holds
traced, held = tracemalloc.get_traced_memory()[0], resident()
calls(10_000)
print(tracemalloc.get_traced_memory()[0] - traced, resident() - held)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("name", ["native", "im2col"])
def test_ten_thousand_calls_leave_memory_flat(name):
    if (reason := kernels.available(name)) is not None:
        pytest.skip(reason)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", CODE, name], capture_output=True, check=True)
    traced, resident = map(int, done.stdout.split())
    assert traced < 10_000 * 20  # bytes: less than any one object a call
    assert resident < 10_000 * 200  # pages come in steps; the smallest array of a call is 216 bytes
