"""The package as it is installed, and how it builds with and without a C compiler."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.resources
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from conftest import need
from test_simd_levels import PARITY

import fastnn

ROOT = Path(__file__).resolve().parent.parent

in_source_tree = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="the tests are not in the source tree")


def run(*arguments: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_version_is_the_installed_one():
    assert fastnn.__version__ == importlib.metadata.version("fastnn-cpu")


def test_numpy_is_the_only_requirement():
    required = [line for line in importlib.metadata.requires("fastnn-cpu") if "extra ==" not in line]
    assert len(required) == 1
    assert re.match(r"numpy\b", required[0])


def test_typed_marker_and_licence_are_installed():
    assert (importlib.resources.files("fastnn") / "py.typed").is_file()
    assert any(path.name == "LICENSE" for path in importlib.metadata.files("fastnn-cpu") or [])


def test_command_line_entry_points():
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="fastnn")
    assert callable(script.load())
    result = run("-m", "fastnn", "--help")
    assert result.returncode == 0, result.stderr
    assert "demo" in result.stdout


@pytest.mark.skipif(
    os.environ.get("FASTNN_REQUIRE_EXTENSION", "0") in {"", "0"}, reason="the compiled kernels may be missing here"
)
def test_compiled_kernels_are_installed():
    module = importlib.import_module("fastnn._kernels.cython.kernels")
    assert Path(module.__file__).suffix in {".so", ".pyd"}


dispatch = pytest.mark.skipif(
    platform.machine() not in {"x86_64", "AMD64"} or shutil.which("objdump") is None, reason="no x86-64, or no objdump"
)


@in_source_tree
@dispatch
def test_no_instruction_is_wider_than_its_level():
    need("cython")
    result = run(str(ROOT / "tools" / "check_dispatch.py"), "--scan")
    assert result.returncode == 0, result.stdout + result.stderr


@in_source_tree
def test_wider_instructions_are_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    problems = importlib.import_module("check_dispatch").problems
    good = {
        "dots_baseline_float": ["mulps  %xmm1,%xmm0", "andnps %xmm0,%xmm1", "pextrw $1,%xmm0,%eax"],
        "dots_v3_float": ["vmulps %ymm1,%ymm0,%ymm0", "shlx   %rax,%rbx,%rcx"],
        "dots_v4_float": ["vmulps %zmm1,%zmm0,%zmm0", "kmovw  %eax,%k1"],
    }
    bad = {
        "main": ["vmulss %xmm1,%xmm0,%xmm0", "shlx   %rax,%rbx,%rcx", "popcnt %rax,%rbx", "kmovw  %eax,%k1"],
        "dots_baseline_double": ["movddup %xmm1,%xmm0", "pextrd $1,%xmm0,%eax", "haddps %xmm1,%xmm0"],
        "dots_v3_double": ["vmulpd %zmm1,%zmm0,%zmm0", "vmovaps %ymm17,%ymm1", "kmovw  %eax,%k1"],
    }

    def listing(functions: dict[str, list[str]]) -> list[str]:
        blocks = ([f"0000 <{name}>:", *(f"    1a2b:\t{line}" for line in lines)] for name, lines in functions.items())
        return [line for block in blocks for line in block]

    assert problems(listing(good)) == []
    assert len(problems(listing(good | bad))) == sum(map(len, bad.values()))
    assert problems(listing({"main": ["ret"]})) != []


@in_source_tree
def test_one_version_everywhere():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {fastnn.__version__}\n" in citation
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in changelog


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack an sdist of what a build needs, made without anything built before."""
    pytest.importorskip("setuptools", minversion="77")
    pytest.importorskip("Cython")
    folder = tmp_path_factory.mktemp("source")
    unwanted = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", "kernels.c")
    shutil.copytree(ROOT / "fastnn", folder / "fastnn", ignore=unwanted)
    for name in ("LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, folder)
    result = run("setup.py", "--quiet", "sdist", folder=folder)
    assert result.returncode == 0, result.stderr
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    return folder / "unpacked" / sdist.name.removesuffix(".tar.gz")


@in_source_tree
def test_the_sdist_holds_the_drivers_and_nothing_that_is_made_of_them(source: Path):
    names = {path.name for path in source.rglob("*.*")}
    assert {"kernels.pyx", "primitives.c", "generate.py", "training.py", "primitives.py", "schema.py"} <= names
    assert names & {"job.pxi", "drivers.pxi", "table.pxi", "table.h", "equations.h", "kernels.c"} == set()


no_compiler = pytest.mark.skipif(sys.platform == "win32", reason="the variable CC does not choose MSVC")


@in_source_tree
@no_compiler
def test_without_a_compiler_the_build_warns_once_and_succeeds(source: Path):
    result = run(
        "setup.py", "--quiet", "bdist_wheel", folder=source, CC="/nonexistent/cc", FASTNN_REQUIRE_EXTENSION="0"
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("fastnn's compiled kernels were not built") == 1
    (wheel,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"fastnn/py.typed", "fastnn/datasets/digits.npz", "fastnn/_kernels/drivers/training.py"} <= set(names)
    assert [name for name in names if Path(name).suffix in {".c", ".h", ".pyx", ".pxi", ".pxd", ".so"}] == []


@in_source_tree
@no_compiler
@pytest.mark.parametrize("variable", ["FASTNN_REQUIRE_EXTENSION", "CIBUILDWHEEL"])
def test_a_required_extension_that_does_not_compile_fails_the_build(source: Path, variable: str):
    result = run("setup.py", "--quiet", "build_ext", folder=source, CC="/nonexistent/cc", **{variable: "1"})
    assert result.returncode != 0
    assert "/nonexistent/cc" in result.stderr


@in_source_tree
@no_compiler
def test_a_compiler_without_vectors_builds_plain_loops_that_compute_the_same(source: Path):
    need("cython")
    options = {"CFLAGS": "-DFASTNN_NO_VECTORS", "FASTNN_REQUIRE_EXTENSION": "1"}
    result = run("setup.py", "--quiet", "build", "--build-lib", "plain", folder=source, **options)
    assert result.returncode == 0, result.stderr
    plain = source / "plain"
    options = {"PYTHONPATH": str(plain), "FASTNN_SIMD": "", "FASTNN_TEST_BACKENDS": "cython"}
    code = "import fastnn._kernels.cython.kernels as k; print(k.__file__, k.lanes(4), k.lanes(8))"
    found = run("-c", code, folder=plain, **options)
    assert found.stdout.split()[1:] == ["1", "1"], found.stdout + found.stderr
    assert Path(found.stdout.split()[0]).is_relative_to(plain)
    parity = [test for test in PARITY if "level" not in test.partition("::")[2]]
    command = ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "cython", "--rootdir", str(ROOT), *parity)
    result = run(*command, folder=Path(__file__).parent, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "passed" in result.stdout.splitlines()[-1]
