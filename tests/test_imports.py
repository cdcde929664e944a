"""The modules of fastnn import each other in one direction, also in functions and for type checkers."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import fastnn

FOLDER = Path(fastnn.__file__).parent


def modules():
    """Return the path of each module by its name."""
    paths = {path.relative_to(FOLDER.parent).with_suffix(""): path for path in FOLDER.rglob("*.py")}
    return {".".join(name.parts).removesuffix(".__init__"): path for name, path in paths.items()}


def imported(tree, known):
    """Yield the modules that a module names in import statements, wherever they stand."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            parts = {f"{node.module}.{alias.name}" for alias in node.names} & known.keys()
            yield from parts
            if len(parts) < len(node.names) and node.module in known:
                yield node.module


def graph(sources):
    return {name: set(imported(ast.parse(source), sources)) for name, source in sources.items()}


def test_there_is_no_circle_of_imports():
    sources = {name: path.read_text(encoding="utf-8") for name, path in modules().items()}
    imports = graph(sources)
    assert "fastnn.state" in imports["fastnn.network"], "the modules are found"
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the modules
