"""Register tiles, that of outer products too, keep their sums in registers: their inner loops never touch the stack."""

import platform
import re
import shutil
import subprocess
import sys

import pytest

from pyconv import kernels

if (reason := kernels.available("native")) is not None:
    pytest.skip(reason, allow_module_level=True)

from pyconv.kernels.native import _lib

KERNELS = [
    f"pyconv_{isa}_f{bits}_{kernel}"
    for isa in ("avx2", "avx512")
    for bits in (32, 64)
    for kernel in ("tile", "outer", "planar")
]


@pytest.fixture(scope="module")
def listing():
    """The library's machine code, as one text."""
    if shutil.which("objdump") is None:
        pytest.skip("objdump (binutils) is not installed")
    command = ["objdump", "--disassemble", "--no-show-raw-insn", _lib.__file__]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def innermost_loops(code):
    """The instructions of each loop without another inside, from the target of a jump back to the jump."""
    lines = re.findall(r"^ *([0-9a-f]+):\t(\S+)[ \t]*(.*)$", code, re.M)
    place = {int(address, 16): i for i, (address, _, _) in enumerate(lines)}
    jumps = []
    for i, (_, operation, operands) in enumerate(lines):
        target = re.match(r"[0-9a-f]+", operands) if operation.startswith("j") else None
        begin = place.get(int(target[0], 16)) if target else None
        if begin is not None and begin <= i:
            jumps.append((begin, i))
    for begin, end in jumps:
        if not any(begin <= b and e < end for b, e in jumps):
            yield [f"{operation} {operands}" for _, operation, operands in lines[begin : end + 1]]


@pytest.mark.parametrize("kernel", KERNELS)
def test_innermost_loops_do_not_touch_the_stack(listing, kernel):
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("it knows the assembly of x86-64 under Linux")
    if "<pyconv_" not in listing:
        pytest.skip("the library's symbols were stripped")
    code = re.search(rf"<{kernel}>:\n(.*?)(?:\n\n|\Z)", listing, re.S)[1]
    loops = [loop for loop in innermost_loops(code) if sum("vfmadd" in line for line in loop) > 1]
    assert loops
    for loop in loops:
        assert not [line for line in loop if re.search(r"\(%r[sb]p", line)], "\n".join(loop)
