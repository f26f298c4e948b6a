"""What `import pyconv` brings in: little, and no thread; and that every name it promises is there."""

import os
import subprocess
import sys

import pytest

import pyconv as pc

HEAVY = {"numba", "matplotlib", "PIL", "h5py", "scipy", "torch", "tqdm", "pooch", "safetensors", "tensorboardX"}
TASKS = "/proc/self/task"  # the process's threads, on Linux


def loaded(code):
    """Modules that are loaded, and threads that run, after some code in a new process."""
    report = f"import sys, os; print(len(os.listdir({TASKS!r})) if os.path.isdir({TASKS!r}) else 1, *sys.modules)"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    count, *modules = done.stdout.split()
    return int(count), set(modules)


def test_importing_loads_next_to_nothing():
    _, before = loaded("")
    count, after = loaded("import pyconv")
    assert {name for name in after - before if name.startswith("pyconv")} == {"pyconv", "pyconv._version"}
    assert len(after - before) <= 10
    assert "numpy" not in after
    assert count == 1


def test_layers_load_nothing_heavy_and_start_no_thread():
    code = "import pyconv as pc; pc.nn, pc.optim, pc.models, pc.functional, pc.load"
    numpy_threads, numpy_modules = loaded("import numpy")
    count, modules = loaded(code)
    assert not HEAVY & modules
    assert "numpy.random" not in modules  # half as dear as NumPy itself
    assert len(modules - numpy_modules) <= 130  # some 80 of ours, the rest the standard library's
    assert not {
        name for name in modules if name.startswith(("pyconv.train", "pyconv.data", "pyconv.cli", "pyconv.viz"))
    }
    assert count == numpy_threads


def test_a_forward_pass_needs_no_numba():
    code = """
import numpy as np, pyconv as pc
from pyconv import nn
pc.set_backend("im2col")
nn.Conv2d(1, 1, 3)(np.zeros((1, 1, 5, 5), np.float32))
"""
    _, modules = loaded(code)
    assert "numba" not in modules


@pytest.mark.parametrize("name", pc.__all__)
def test_every_name_is_there(name):
    assert getattr(pc, name) is getattr(pc, name)
    assert name in dir(pc)


def test_what_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'pyconv' has no attribute 'conv3'"):
        _ = pc.conv3


def test_the_version_is_a_version():
    assert [int(part) for part in pc.__version__.split(".")] >= [0, 1, 0]


def test_the_configuration_says_what_runs(capsys):
    config = pc.show_config("dict")
    assert config["backend"] == pc.get_backend()
    assert set(config["backends"]) == {"naive", "im2col", "numba", "native"}
    assert config["backends"]["naive"] == config["backends"]["im2col"] == "available"
    assert config["threads"]["in use"] == pc.get_num_threads()
    assert pc.show_config() is None
    text = capsys.readouterr().out
    for expected in (pc.__version__, config["backend"], config["blas"], "threads", "ISA", "[train]"):
        assert expected in text
    with pytest.raises(ValueError, match="mode must be print or dict, not 'json'"):
        pc.show_config("json")
