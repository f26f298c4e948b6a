"""The examples run as they stand, and show what they say."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


def run(name, folder, *arguments):
    """What an example prints when it runs in a folder."""
    path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}  # small networks, many tests at once
    command = [sys.executable, str(ROOT / "examples" / name), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_lecture(tmp_path):
    pytest.importorskip("matplotlib")
    out = run("lecture.py", tmp_path, "--epochs", "1")
    for figure in ("14,450,688", "456", "156", "75", "each used 16 times", "9 of 36 inputs"):
        assert figure in out
    lines = {line.split("  ")[0]: line for line in out.splitlines()}
    for name in ("gradient descent", "momentum", "RMSProp", "Adam"):
        first, *_, last = (float(value) for value in lines[name].removeprefix(name).split())
        assert last < first / 2
    cnn, dense = (next(line for line in out.splitlines() if line.startswith(n)) for n in ("convolutional", "dense "))
    shifted = [float(line.split()[-1].rstrip("%")) for line in (cnn, dense)]
    assert shifted[0] > 2 * shifted[1]
    pictures = {p.name for p in (tmp_path / "lecture").glob("*.png")}
    assert pictures == {
        *("sharing-edges.png", "sharing-colour.png", "costs.png", "shifts.png", "filters.png", "features.png")
    }
    assert (tmp_path / "lecture" / "run" / "model.safetensors").exists()


def test_branches(tmp_path):
    out = run("branches.py", tmp_path)
    assert float(out.splitlines()[-1].split("%")[0]) > 95
    assert (tmp_path / "branches.npz").exists()


def test_backend(tmp_path):
    errors = [float(line.split()[-1]) for line in run("backend.py", tmp_path).splitlines() if line.startswith("step")]
    assert errors[-1] < errors[0] / 2


def test_airbench(tmp_path):
    rng = np.random.default_rng(0)
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"):  # CIFAR-10's own layout, of noise
        records = rng.integers(0, 256, (16, 1 + 3072), np.uint8)
        records[:, 0] = np.arange(16) % 10
        (tmp_path / f"{name}.bin").write_bytes(records.tobytes())
    out = run("airbench.py", tmp_path, str(tmp_path), "--epochs", "2", "--images", "64")
    assert "of the test images right, seen as they are" in out
    assert "of the test images right, seen mirrored and moved as well" in out
