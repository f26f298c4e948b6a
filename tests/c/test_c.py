"""Builds the C library with its own test program and runs it, with every compiler that is installed here.

What is compiled: all of csrc/ but dispatch.c, whose place test_kernels.c takes; warnings are errors. For AArch64 it is
gcc's cross compiler, and QEMU runs it. PYCONV_CFLAGS adds flags to the others, as in setup.py (sanitizers: a minute):

    PYCONV_CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined" pytest tests/c
"""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CSRC = HERE.parent.parent / "csrc"
FLAGS = ["-std=gnu11", "-O0", "-Wall", "-Wextra", "-Werror", "-Wno-psabi", f"-I{CSRC}"]
EXTRA = os.environ.get("PYCONV_CFLAGS", "").split()
BUILDS = {
    "gcc": (["gcc", *EXTRA], []),
    "clang": (["clang", *EXTRA], []),
    "aarch64": (["aarch64-linux-gnu-gcc", "-static"], ["qemu-aarch64"]),
}


@pytest.mark.parametrize("build", BUILDS)
def test_kernels_against_plain_loops(build, tmp_path):
    compiler, emulator = BUILDS[build]
    missing = [tool for tool in (compiler[0], *emulator) if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed")
    sources = [*CSRC.glob("*.c"), *CSRC.glob("isa/*.c"), *HERE.glob("*.c")]
    sources.remove(CSRC / "dispatch.c")
    objects = [tmp_path / f"{i}.o" for i in range(len(sources))]

    def compile_one(source, to):
        fast = ["-O2"] if source.name == "test_kernels.c" else []  # its plain loops are most of the time of a run
        return subprocess.run([*compiler, *FLAGS, *fast, "-c", source, "-o", to], capture_output=True, text=True)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in pool.map(compile_one, sources, objects):
            assert done.returncode == 0, done.stderr
    program = tmp_path / "test_kernels"
    subprocess.run([*compiler, *objects, "-lm", "-o", program], check=True)
    done = subprocess.run([*emulator, program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "wide: passed" in done.stdout


@pytest.mark.parametrize(("flags", "arguments"), [(["-fsanitize=thread", "-O1"], []), (["-fopenmp", "-O2"], ["forks"])])
def test_parallel_loops(flags, arguments, tmp_path):
    """Races are looked for by gcc's thread sanitizer, which cannot follow forks."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc not installed")
    program = tmp_path / "test_threads"
    sources = [HERE / "threads" / "test_threads.c", CSRC / "threads.c"]
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", f"-I{CSRC}", "-pthread", *flags]
    subprocess.run(["gcc", *flags, *sources, "-o", program], check=True)
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120)
    assert done.stdout == "passed\n", done.stderr
    assert done.returncode == 0
