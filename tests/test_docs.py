"""Every example runs: docstrings of the library, Python blocks and commands of README and docs."""

import doctest
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import pyconv

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("PYCONV_DATA", ROOT.parent / "shared" / "data"))
PAGES = ["README.md", "CONTRIBUTING.md", *(str(p.relative_to(ROOT)) for p in sorted(ROOT.glob("docs/**/*.md")))]
IN_CI_ALONE = ("pip ", "pytest", "ruff ", "mypy")  # they install or run what runs this test
MODULES = sorted(
    m.name
    for m in pkgutil.walk_packages(pyconv.__path__, "pyconv.")
    if ".kernels.numba" not in m.name and not m.name.endswith(("__main__", "_lib", "_lib.abi3"))
)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.S | re.M)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")])
def test_python_blocks(page, tmp_path, monkeypatch):
    """The blocks of a page run one after the other, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), names)


def commands(page):
    for block in blocks(page, "console"):
        for line in block.splitlines():
            for command in line.split("#")[0].split("&&"):
                if command.strip():
                    yield command.strip()


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "console")])
def test_commands(page, tmp_path):
    """Installs and checks stand in CI word for word; the rest runs here, cut to one epoch, or one small layer."""
    ci = (ROOT / ".ci" / "run").read_text()
    for command in commands(page):
        if command.startswith(IN_CI_ALONE):
            missing = [word for word in command.split() if word.strip(".") not in ci]
            assert not missing, f"{command!r} is not in .ci/run"
            continue
        words = shlex.split(command.replace("DATA", str(DATA)))
        assert words[0] == "pyconv", f"{command!r}: what is it?"
        if "--data-dir" in words and not DATA.is_dir():
            continue  # the page's own data are not on this machine
        if words[1] == "train":
            words += ["--epochs", "1"]
        if words[1] == "bench":
            words += ["--problems", "lecture/conv", "--seconds", "0.05"]
        done = subprocess.run([sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{command!r}:\n{done.stdout}\n{done.stderr}"


def test_api_page_is_up_to_date(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    make_api = import_module("make_api")
    assert make_api.PAGE.read_text(encoding="utf-8") == make_api.page(), "run python docs/make_api.py"
