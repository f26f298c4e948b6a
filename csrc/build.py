"""How cffi builds the library: pyconv.h is its interface, every .c file beside it a source.

OpenMP is asked for its limits where the compiler has it. PYCONV_CFLAGS adds flags (warnings as errors, sanitizers).
"""

import os
import re
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def compiles_with(flag, header="stddef.h"):
    """Whether the C compiler takes a flag, finds a header under it and links."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "try.c")
        source.write_text(f"#include <{header}>\nint main(void) {{ return 0; }}\n")
        try:
            done = subprocess.run([*compiler, flag, str(source), "-o", str(Path(folder, "try"))], capture_output=True)
        except OSError:
            return False
        return done.returncode == 0


flags = [
    "-std=gnu11",
    "-O3",
    "-g0",
    "-fvisibility=hidden",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
]
flags += [f for f in ("-fno-predictive-commoning",) if compiles_with(f)]  # it spills sliding windows
threads = [f for f in ("-pthread",) if compiles_with(f, "pthread.h")]
openmp = [f for f in ("-fopenmp",) if compiles_with(f, "omp.h")]
extra = os.environ.get("PYCONV_CFLAGS", "").split()

ffibuilder = FFI()
ffibuilder.cdef(re.search(r"/\* begin cffi \*/(.*)/\* end cffi \*/", (HERE / "pyconv.h").read_text(), re.S)[1])
ffibuilder.set_source(
    "pyconv.kernels.native._lib",
    '#include "pyconv.h"',
    sources=[os.path.relpath(path, ROOT) for path in [*sorted(HERE.glob("isa/*.c")), *sorted(HERE.glob("*.c"))]],
    include_dirs=["csrc"],
    depends=[os.path.relpath(path, ROOT) for path in sorted(HERE.rglob("*.h"))],
    extra_compile_args=flags + threads + openmp + extra,
    extra_link_args=threads + openmp + [f for f in extra if f.startswith("-fsanitize")],
    libraries=["m"] if os.name == "posix" else [],
    py_limited_api=True,
)
