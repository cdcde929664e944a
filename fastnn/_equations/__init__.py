"""Every elementwise equation of the compiled kernels, once.

An equation is a Python function of `algebra.Value`, without branches that depend on numbers. Traced, it is a list of
steps, from which come Numba's LLVM code (``fastnn/_kernels/numba/equations.py``) and, at build time, a C header
(``c.py``). `activations`, `losses` and `updates` hold the tables that both backends choose from. The NumPy reference
is written apart from all this: it is what they are tested against.

setup.py imports this package by its folder, where nothing else may be installed: the standard library has to do, and
imports within are relative.
"""
