"""Compile a kernel together with all that it calls, once.

On the way to a function, Numba optimises each of the functions that it calls, with all that those call in turn, and
makes machine code of it that Python could call: what lies eight calls deep is optimised nine times. A `Piece` stops at
LLVM's code. Whatever is called from outside links its pieces in, each once, and the whole is optimised once: half the
time, and code of the same speed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.registry import CPUDispatcher
from numba.core.typed_passes import NativeLowering


class Piece(CPUDispatcher):
    """A function for compiled code to call."""

    def __init__(self, python_function: Callable[..., Any], options: dict[str, Any]) -> None:
        super().__init__(python_function, {}, {**options, "nopython": True}, pipeline_class=_PieceCompiler)

    def __call__(self, *args: Any) -> Any:
        """Refuse: there is no machine code."""
        raise TypeError(f"only compiled code can call {self.py_func.__name__}")

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """Compile for the arguments' types: Numba would do it anew for each plain number."""
        return super().get_call_template(tuple(map(types.unliteral, args)), kws)

    def add_overload(self, cres: Any) -> None:
        """Keep the code of a signature."""
        self.overloads[tuple(cres.signature.args)] = cres


class _Library(JITCodeLibrary):
    """The LLVM code of one function, and the libraries of all that it calls, to be linked into a whole."""

    def _optimize_functions(self, ll_module):
        ll_module.data_layout = self._codegen._data_layout  # and no more: the whole is optimised

    def finalize(self):
        self._finalized = True

    def with_callees(self):
        """Return the libraries that whoever calls the function needs."""
        return list(dict.fromkeys([self, *self._linking_libraries]))


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerPiece(NativeLowering):
    """Numba's lowering without wrappers, optimisation and machine code."""

    _name = "lower_piece"

    def run_pass(self, state):
        state.library = library = _Library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_cpython_wrapper = state.flags.no_cfunc_wrapper = state.flags.no_compile = True
        super().run_pass(state)
        # Numba finds the code of a call by the callee's entry point, whatever object that is.
        state.cr = state.cr._replace(cfunc=library)
        state.targetctx.insert_user_function(library, state.cr.fndesc, library.with_callees())
        return True


class _PieceCompiler(CompilerBase):
    def define_pipelines(self):
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.passes = [(_LowerPiece if step is NativeLowering else step, why) for step, why in manager.passes]
        manager.finalize()
        return [manager]
