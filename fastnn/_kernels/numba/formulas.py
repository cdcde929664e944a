"""Formulas compiled: each is a loop over arrays like those of the built-in equations, in a module of its own.

LLVM is given that loop alone, without a Python function around it: some tens of milliseconds, once in a process.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from llvmlite import ir
from numba.core.compiler_lock import global_compiler_lock
from numba.core.cpu_options import FastMathOptions
from numba.core.fastmathpass import rewrite_module
from numba.core.registry import cpu_target

from fastnn._equations.formula import Formula, as_equation
from fastnn._kernels.numba.cache import OPTIONS
from fastnn._kernels.numba.equations import REALS
from fastnn._kernels.numba.maps import map_function


def address(formula: Formula, itemsize: int) -> int:
    """Return the address of a function (inputs..., results..., n) of arrays, results being stored where inputs may be.

    It stays there as long as the process: idle jobs know it.
    """
    with global_compiler_lock:  # around the look-up as well: names of functions are there once
        found: int = _compiled(formula, itemsize)[1]
    return found


@cache
def _compiled(formula: Formula, itemsize: int) -> tuple[Any, int]:
    """Return the library that keeps the code, and the address."""
    library = cpu_target.target_context.codegen().create_library("fastnn.formula")
    module = library.create_ir_module("fastnn.formula")
    function = _function(module, formula, REALS[8 * itemsize])
    rewrite_module(module, FastMathOptions(OPTIONS["fastmath"]))
    library.add_ir_module(module)
    library.finalize()
    return library, library.get_pointer_to_function(function.name)


def _function(module: ir.Module, formula: Formula, scalar: Any) -> ir.Function:
    """Emit the loop under a name that no other formula has."""
    function = map_function(module, as_equation(formula), scalar, formula.inputs, len(formula.results), 0)
    function.linkage = "external"
    return function
