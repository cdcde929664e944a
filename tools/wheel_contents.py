"""Check what is in a wheel: compiled kernels, types and data; no sources; small; links; NumPy its only requirement.

Usage: python tools/wheel_contents.py dist/*.whl
"""

from __future__ import annotations

import re
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

# Half of it are the digits, 850 KB, a quarter the compiled kernels, 480 KB: whatever else grows is looked at here.
LARGEST = 1_900_000
SOURCES = {".c", ".cpp", ".h", ".pxd", ".pxi", ".pyx"}
EXTENSIONS = {".so", ".pyd"}
REQUIRED = {
    "fastnn/__init__.py",
    "fastnn/py.typed",
    "fastnn/datasets/digits.npz",
    "fastnn/_kernels/drivers/training.py",  # Numba compiles the drivers where the wheel is installed
}


def problems(wheel: Path) -> list[str]:
    """Return what is wrong with the wheel, a line each."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        fields = HeaderParser().parsestr(archive.read(metadata).decode())
    links = re.findall(r"\]\(([^)]*)\)", fields.get_payload())
    found = []
    size = wheel.stat().st_size
    if size > LARGEST:
        found.append(f"{size:,} bytes, more than {LARGEST:,}")
    found += [f"{name} is missing" for name in sorted(REQUIRED - set(names))]
    found += [f"{name} is source code" for name in names if PurePosixPath(name).suffix in SOURCES]
    found += [f"{name} is not part of fastnn" for name in names if not name.startswith(("fastnn/", "fastnn_cpu"))]
    if not any(PurePosixPath(name).suffix in EXTENSIONS for name in names):
        found.append("the compiled kernels are missing")
    if not links:
        found.append("the description is missing")
    found += [f"{link} leads nowhere on PyPI" for link in links if not link.startswith(("https://", "#"))]
    needed = [line for line in fields.get_all("Requires-Dist", []) if "extra ==" not in line]
    if not (len(needed) == 1 and needed[0].startswith("numpy")):
        found.append(f"requires {needed}, not NumPy alone")
    return found


def main() -> int:
    """Print each wheel's size and problems; return 1 where there are any."""
    wheels = [Path(argument) for argument in sys.argv[1:]]
    if not wheels:
        print(__doc__)
        return 2
    failed = False
    for wheel in wheels:
        found = problems(wheel)
        failed |= bool(found)
        print(f"{wheel.name}: {wheel.stat().st_size:,} bytes, {'; '.join(found) or 'good'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
