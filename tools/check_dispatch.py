"""Check that no x86-64 CPU meets an instruction that it lacks in the compiled kernels of the fastnn that is installed.

    python tools/check_dispatch.py               # disassemble, and train under emulated CPUs where QEMU is here
    python tools/check_dispatch.py --scan        # disassemble only

Disassembled (objdump, of binutils), only the functions of the levels v3 and v4 may hold instructions of AVX and newer,
and those of v3 none of AVX-512. Emulated (qemu-x86_64, Debian's package qemu-user), a CPU without AVX and one without
AVX-512 train a network on each dtype and batch size, and have to agree with the NumPy reference.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

# VEX and EVEX encodings begin with v, but for the mask and the bit instructions; verr, verw and vmcall are older.
WIDE = re.compile(
    r"v(?!err|erw|mcall)|k(mov|or|and|not|xor|unpck|shift|add|test)|(andn|bextr|bls(i|r|msk)|bzhi|mulx|pdep|pext|rorx"
    r"|s[ahr][lr]x)[lq]?$"
)
# SSE3 to SSE4.2 and popcnt: x86-64 itself has SSE2. (tzcnt runs as bsf on an older CPU.)
NOT_BASELINE = re.compile(
    r"(addsub|hadd|hsub|blend|dp|round|insert|extract)p[sd]|round[sp]|lddqu|mov(d|sh|sl)dup|mpsadbw|p(abs|shufb|hadd|hsub"
    r"|alignr|maddubs|mulhrs|sign|blend|mulld|mov[sz]x|test|cmp[ei]str|cmpgtq|cmpeqq|ackusdw|extr[bdq]|insr[bdq])"
    r"|pm(ax|in)([sud]d|sb|uw)|popcnt|crc32|lzcnt"
)
EVEX = re.compile(r"%zmm|%k[0-7]|%[xy]mm(1[6-9]|2\d|3[01])")

CPUS = {"Nehalem": "baseline", "Haswell": "avx2"}
PROGRAM = """
import numpy as np, fastnn
rng = np.random.default_rng(0)
X, y = rng.normal(size=(203, 20)), rng.integers(0, 3, 203)
for dtype, tolerance in (("float32", 1e-3), ("float64", 1e-9)):
    for batch_size in (1, 50):
        found = []
        for backend in ("cython", "numpy"):
            fastnn.set_backend(backend)
            net = fastnn.Network((20, 17, 3), "tanh", dtype=dtype, rng=0)
            net.fit(X, y, batch_size=batch_size, epochs=2, learning_rate=0.05)
            found.append(net.parameters)
        np.testing.assert_allclose(*found, rtol=0, atol=tolerance)
from fastnn._kernels.cython import simd_level
print(simd_level())
"""


def level_of(function: str) -> str:
    """Return the SIMD level in the name of one of its functions; all others have to run anywhere."""
    found = re.search(r"_(v3|v4)_(float|double)", function)
    return found[1] if found else "baseline"


def problems(disassembly: Iterable[str]) -> list[str]:
    """Return the instructions that are wider than their function's level, a line each."""
    found, function, levels = [], "", set()
    for line in disassembly:
        if header := re.match(r"[0-9a-f]+ <(.*)>:", line):
            function = header[1]
            levels.add(level_of(function))
        elif match := re.match(r"\s+[0-9a-f]+:\s+(\S+)(.*)", line):
            name, operands, level = match[1], match[2], level_of(function)
            too_wide = level == "baseline" and (WIDE.match(name) or NOT_BASELINE.match(name))
            if too_wide or (level != "v4" and EVEX.search(operands)):
                found.append(f"{function}: {name}{operands}")
    if levels != {"baseline", "v3", "v4"}:
        found.append(f"the functions of {sorted(levels)} alone were found: has the extension no symbols?")
    return found


def scan(extension: Path) -> list[str]:
    """Disassemble the extension and return the instructions that are too wide."""
    command = ["objdump", "--disassemble", "--no-show-raw-insn", str(extension)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        return problems(process.stdout)


def emulate() -> list[str]:
    """Train under each emulated CPU (-P: not the fastnn of the current folder); return what went wrong."""
    found = []
    for cpu, level in CPUS.items():
        command = ["qemu-x86_64", "-cpu", cpu, sys.executable, "-P", "-c", PROGRAM]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if result.returncode or result.stdout.split() != [level]:
            found.append(f"{cpu}: exit code {result.returncode}, level {result.stdout.strip()}\n{result.stderr}")
        else:
            print(f"{cpu}: trains at level {level}")
    return found


def main() -> int | str:
    """Print what was found; return 0 where all is well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scan", action="store_true", help="do not emulate")
    options = parser.parse_args()
    if platform.machine() not in {"x86_64", "AMD64"}:
        print("nothing to check: this is no x86-64 machine")
        return 0
    spec = importlib.util.find_spec("fastnn._kernels.cython.kernels")
    if spec is None or spec.origin is None:
        return "the compiled kernels are not installed"
    found = scan(Path(spec.origin))
    print(f"{spec.origin}: {len(found)} instructions are too wide for their level")
    if not options.scan and shutil.which("qemu-x86_64"):
        found += emulate()
    elif not options.scan:
        print("qemu-x86_64 is not here: no CPU emulated")
    print(*found, sep="\n", end="")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
