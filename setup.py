"""Builds the one compiled module; everything else about the package is declared in pyproject.toml.

Without a working C compiler the package still installs, and fastnn runs on Numba or NumPy. Where that would be a
mistake - in a wheel build, or with FASTNN_REQUIRE_EXTENSION=1 - the build fails instead.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from importlib import import_module
from pathlib import Path
from types import ModuleType

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

REPOSITORY = "https://github.com/fastnn-cpu/fastnn"
SOURCES = Path("fastnn/_kernels/cython")
GENERATED = Path("build/generated")  # what is made for the compiled module, in the build folder alone
REQUIRED = "CIBUILDWHEEL" in os.environ or os.environ.get("FASTNN_REQUIRE_EXTENSION", "0") not in {"", "0"}

# One wheel a platform serves every Python from 3.11 on: the kernels take addresses and are called once an epoch, so the
# limited API costs them nothing that can be measured. Free-threaded Pythons have no limited API yet.
LIMITED_API = not sysconfig.get_config_var("Py_GIL_DISABLED")

# MSVC has no vector extensions and compiles plain loops; CC=clang-cl compiles the SIMD levels on Windows too.
CLANG_CL = "clang-cl" in os.environ.get("CC", "")
CLANG_CL_TARGETS = {"win-amd64": "x86_64-pc-windows-msvc", "win-arm64": "aarch64-pc-windows-msvc"}

WARNING = """
********************************************************************************
WARNING: fastnn's compiled kernels were not built ({reason}).
fastnn is installed and runs on Numba where that is installed, else on NumPy,
slowly. To get the compiled kernels, install a C compiler, then run
    pip install --force-reinstall --no-cache-dir fastnn-cpu
********************************************************************************
"""


class OptionalBuild(build_ext):
    """build_ext that turns a failed compilation into one warning, unless the compiled kernels are required."""

    def build_extension(self, ext: Extension) -> None:
        """Compile one extension module, with the flags of the compiler in use."""
        msvc = self.compiler.compiler_type == "msvc"
        # The SIMD levels are chosen inside the C source, at run time: no -march here.
        ext.extra_compile_args = ["/O2"] if msvc else ["-O3", "-g0", "-fno-math-errno", "-fno-trapping-math"]
        try:
            if msvc and CLANG_CL:
                self.use_clang_cl(ext)
            super().build_extension(ext)
        except (BaseError, CCompilerError, OSError) as error:
            if REQUIRED:
                raise
            print(WARNING.format(reason=f"{type(error).__name__}: {error}"), file=sys.stderr, flush=True)

    def use_clang_cl(self, ext: Extension) -> None:
        """Compile with clang-cl in place of MSVC's cl, of which it takes the options."""
        if not self.compiler.initialized:
            self.compiler.initialize(self.plat_name)
        self.compiler.cc = os.environ["CC"]
        target = CLANG_CL_TARGETS[self.plat_name]
        ext.extra_compile_args = ["/O2", f"--target={target}", "-Wno-unused-command-line-argument"]


def description() -> str:
    """README.md with absolute addresses: relative ones lead nowhere on PyPI."""
    text = Path("README.md").read_text(encoding="utf-8")
    text = re.sub(r"(!\[[^]]*\]\()(?!https?:|#)", rf"\g<1>{REPOSITORY}/raw/main/", text)
    return re.sub(r"(\]\()(?!https?:|#)", rf"\g<1>{REPOSITORY}/blob/main/", text)


def import_bare(name: str) -> ModuleType:
    """Import a module of fastnn that needs the standard library alone, without the package: that needs NumPy."""
    for package in ("fastnn", "fastnn._kernels", "fastnn._kernels.drivers"):
        if package not in sys.modules:
            sys.modules[package] = ModuleType(package)
            sys.modules[package].__path__ = [package.replace(".", "/")]
    return import_module(name)


def generate() -> None:
    """Write what the compiled module is made of besides its sources: the struct, the drivers and the equations."""
    GENERATED.mkdir(parents=True, exist_ok=True)
    job, text = GENERATED / "job.pxi", import_bare("fastnn._kernels.schema").as_cython()
    if not job.exists() or job.read_text() != text:  # or all that includes it would be built again
        job.write_text(text)
    import_bare("fastnn._kernels.drivers.generate").generate(GENERATED)
    import_bare("fastnn._equations.c").write(GENERATED)


def files(pattern: str) -> list[Path]:
    """Return what the compiled module is made of, as it lies in the tree and as it was generated."""
    return sorted([*SOURCES.glob(pattern), *GENERATED.glob(pattern)])


def extensions() -> list[Extension]:
    """The compiled module, translated from Cython to C in the build folder."""
    if not (SOURCES / "kernels.pyx").exists():
        return []
    from Cython.Build import cythonize

    generate()
    kernels = Extension(
        "fastnn._kernels.cython.kernels",
        sources=[f"{SOURCES}/kernels.pyx", f"{SOURCES}/primitives.c"],
        include_dirs=[str(SOURCES), str(GENERATED)],
        define_macros=[("Py_LIMITED_API", "0x030B0000")] if LIMITED_API else [],
        py_limited_api=LIMITED_API,
        depends=[str(path) for pattern in ("*.h", "*.c", "*.pxi") for path in files(pattern)],
    )
    directives = {
        "language_level": 3,
        "boundscheck": False,
        "wraparound": False,
        "cdivision": True,
        "initializedcheck": False,
        "freethreading_compatible": True,
    }
    modules: list[Extension] = cythonize(
        [kernels], compiler_directives=directives, build_dir="build/cython", include_path=[str(GENERATED)]
    )
    for module in modules:
        module.optional = not REQUIRED  # an editable install asks this before it copies what was built
    return modules


setup(
    long_description=description(),
    long_description_content_type="text/markdown",
    ext_modules=extensions(),
    cmdclass={"build_ext": OptionalBuild},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if LIMITED_API else {},
)
