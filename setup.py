"""Builds csrc/ into pyconv.kernels.native._lib. Metadata and tool settings are in pyproject.toml.

Without a working C compiler the install still succeeds: pyconv then runs on Numba or NumPy.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

from setuptools import setup
from setuptools.command.build_ext import build_ext


class OptionalBuildExt(build_ext):
    """Builds the C library where it can, and says what is missing where it cannot."""

    def run(self):
        try:
            super().run()
        except Exception as error:  # compilers fail in as many ways as there are compilers
            if os.environ.get("PYCONV_REQUIRE_NATIVE"):
                raise
            print(f"pyconv: the C kernels were not built ({error}); Numba or NumPy will serve.", file=sys.stderr)

    def build_extensions(self):
        compile_sources = self.compiler.compile

        def compile_at_once(sources, **options):
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                return [o for [o] in pool.map(lambda source: compile_sources([source], **options), sources)]

        self.compiler.compile = compile_at_once
        super().build_extensions()


setup(
    cffi_modules=["csrc/build.py:ffibuilder"],
    cmdclass={"build_ext": OptionalBuildExt},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
