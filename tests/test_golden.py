"""The bits of trainings are those of golden.json, where it has the hashes of this machine's CPU and compilers."""

from __future__ import annotations

import json

import golden
import pytest
from conftest import COMPILED, need


@pytest.mark.parametrize("backend", COMPILED)
def test_bits(backend):
    need(backend)
    known = json.loads(golden.FILE.read_text()).get(golden.key(backend))
    if known is None:
        pytest.skip(f"golden.json has no hashes of {golden.key(backend)}; `python tests/golden.py write` adds them")
    found = golden.hashes(backend, dtypes=["float32"], threads=[2])
    assert {name: value for name, value in found.items() if known[name] != value} == {}
