"""What a function of a user's own is called with: it takes NumPy's functions, and notes them as a formula."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any, NoReturn

import numpy as np

from fastnn._equations.formula import INPUTS, MAX_STEPS, Builder, Formula
from fastnn._equations.operations import Operation

_CONDITIONS = (Operation.LESS, Operation.LESS_EQUAL, Operation.EQUAL)
MAX_POWER = 64


class UntraceableError(TypeError):
    """A function of one's own uses what is not noted; the message names it."""


class Tracer(np.lib.mixins.NDArrayOperatorsMixin):
    """A value of the formula: z, y or what was computed of them."""

    def __init__(self, builder: Builder, number: int, condition: bool = False) -> None:
        self._builder, self._number, self._condition = builder, number, condition

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Tracer:
        """Note a function of NumPy, or an operator."""
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        if options:
            raise UntraceableError(f"np.{name} with {', '.join(options)}")
        if name not in _FUNCTIONS:
            raise UntraceableError(_unknown(name))
        return _FUNCTIONS[name](*(self._taken(x) for x in inputs))

    def __array_function__(
        self, function: Callable[..., Any], types: Any, inputs: tuple[Any, ...], options: dict[str, Any]
    ) -> Tracer:
        """Note np.where or np.clip, which are no ufuncs."""
        name = function.__name__
        if name not in _NOT_UFUNCS:
            raise UntraceableError(_unknown(name))
        given = [self._taken(x) for x in inputs]
        try:
            return _NOT_UFUNCS[name](*given, **{key: self._taken(x) for key, x in options.items()})
        except UntraceableError:
            raise
        except TypeError as error:
            raise UntraceableError(f"np.{name}: {error}") from None

    def _taken(self, x: Any) -> Tracer:
        """Return an operand: a value of this formula, or a number as a constant."""
        if isinstance(x, Tracer):
            if x._builder is not self._builder:
                raise UntraceableError("a value of another function")
            return x
        if isinstance(x, np.ndarray) and x.ndim == 0:
            x = x[()]
        if isinstance(x, np.ndarray | list | tuple):
            raise UntraceableError(f"an array of shape {np.shape(x)}: constants must be single numbers")
        if not isinstance(x, Real | np.bool_):
            raise UntraceableError(f"{x!r}: constants must be real numbers")
        return Tracer(self._builder, self._builder.constant(float(x)), isinstance(x, bool | np.bool_))

    def _step(self, operation: Operation, *others: Tracer | float) -> Tracer:
        operands = [self._number, *(self._taken(x)._number for x in others)]
        if len(self._builder.steps) >= MAX_STEPS // 4:
            raise UntraceableError(f"more than {MAX_STEPS // 4} operations")
        return Tracer(self._builder, self._builder.apply(operation, *operands), operation in _CONDITIONS)

    def __bool__(self) -> bool:
        """Refuse a branch."""
        raise UntraceableError("a branch on its argument (if, and, or, not, while, min, max): np.where chooses")

    def __float__(self) -> float:
        """Refuse to be a single number."""
        raise UntraceableError("float(), or a function of the module math: NumPy's have the same names")

    __int__ = __index__ = __complex__ = __float__

    def __array__(self, *args: Any, **options: Any) -> NoReturn:
        """Refuse to be an array."""
        raise UntraceableError("np.asarray, or a function that makes an array of its argument")

    def __len__(self) -> int:
        """Refuse to have a length."""
        raise UntraceableError("len(): it must compute each element by itself")

    def __iter__(self) -> NoReturn:
        """Refuse to be gone through."""
        raise UntraceableError("a loop over its argument: it must compute each element by itself")

    def __getitem__(self, key: Any) -> NoReturn:
        """Refuse an index."""
        raise UntraceableError(f"an index, [{key!r}]: it must compute each element by itself")

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        """Refuse to be changed."""
        raise UntraceableError(f"an assignment to [{key!r}]: np.where chooses")

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse an array's attributes; NumPy asks for some that begin with underscores."""
        if name.startswith("_"):
            raise AttributeError(name)
        raise UntraceableError(f".{name}: it must compute each element by itself")


def _unknown(name: str) -> str:
    known = sorted({*_FUNCTIONS, *_NOT_UFUNCS})
    return f"{name}, which is none of NumPy's functions that it may use: {', '.join(known)}"


def _plain(operation: Operation) -> Callable[..., Tracer]:
    return lambda x, *others: x._step(operation, *others)


def _constant_last(operation: Operation) -> Callable[[Tracer, Tracer], Tracer]:
    """Note maximum or minimum, whose derivative is the second operand's where both are alike."""

    def note(x: Tracer, y: Tracer) -> Tracer:
        x, y = (y, x) if x._builder.known(x._number) is not None else (x, y)
        return x._step(operation, y)

    return note


def _power(x: Tracer, exponent: Tracer) -> Tracer:
    """Note a power by a whole number as products, by 1/2 as the root."""
    n = x._builder.known(exponent._number)
    if n == 0.5:
        return x._step(Operation.SQRT)
    if n is None or n != int(n) or abs(n) > MAX_POWER:
        given = "a power by what is computed" if n is None else f"a power by {n:g}"
        raise UntraceableError(f"{given}: exponents are whole numbers up to {MAX_POWER}, or 0.5")
    if n < 0:
        return x._taken(1.0)._step(Operation.DIVIDE, _power(x, x._taken(-n)))
    result: Tracer | None = None
    square, rest = x, int(n)
    while rest:
        if rest & 1:
            result = square if result is None else result._step(Operation.MULTIPLY, square)
        rest >>= 1
        square = square._step(Operation.MULTIPLY, square) if rest else square
    return x._taken(1.0) if result is None else result


def _where(condition: Tracer, x: Tracer | None = None, y: Tracer | None = None) -> Tracer:
    if x is None or y is None:
        raise UntraceableError("np.where of a condition alone: it takes two values to choose from as well")
    return _condition(condition)._step(Operation.WHERE, x, y)


def _clip(x: Tracer, low: Tracer | None = None, high: Tracer | None = None, **names: Tracer) -> Tracer:
    low, high = names.get("min", names.get("a_min", low)), names.get("max", names.get("a_max", high))
    x = x if low is None else x._step(Operation.MAXIMUM, low)
    return x if high is None else x._step(Operation.MINIMUM, high)


def _condition(x: Tracer) -> Tracer:
    """Return a condition: a number holds where it is not 0."""
    return x if x._condition else _not(x._step(Operation.EQUAL, 0.0))


def _logical(operation: Operation) -> Callable[[Tracer, Tracer], Tracer]:
    def note(x: Tracer, y: Tracer) -> Tracer:
        found = _condition(x)._step(operation, _condition(y))
        return Tracer(found._builder, found._number, condition=True)

    return note


def _bitwise(operation: Operation, name: str) -> Callable[[Tracer, Tracer], Tracer]:
    def note(x: Tracer, y: Tracer) -> Tracer:
        if not (x._condition and y._condition):
            raise UntraceableError(f"{name} of numbers: it takes conditions")
        return _logical(operation)(x, y)

    return note


def _not(x: Tracer) -> Tracer:
    if not x._condition:
        raise UntraceableError("np.invert (~) of numbers: it takes conditions")
    found = x._taken(1.0)._step(Operation.SUBTRACT, x)
    return Tracer(found._builder, found._number, condition=True)


def _sign(x: Tracer) -> Tracer:
    zero = x._taken(0.0)
    return zero._step(Operation.LESS, x)._step(Operation.SUBTRACT, x._step(Operation.LESS, zero))


_FUNCTIONS: dict[str, Callable[..., Tracer]] = {
    **{
        row.name.lower(): _plain(row)
        for row in Operation
        if row not in (Operation.CONSTANT, Operation.FINITE, Operation.WHERE)
    },
    "maximum": _constant_last(Operation.MAXIMUM),
    "minimum": _constant_last(Operation.MINIMUM),
    "fabs": _plain(Operation.ABSOLUTE),
    "negative": lambda x: x._step(Operation.MULTIPLY, -1.0),
    "positive": lambda x: x,
    "square": lambda x: x._step(Operation.MULTIPLY, x),
    "reciprocal": lambda x: x._taken(1.0)._step(Operation.DIVIDE, x),
    "power": _power,
    "sign": _sign,
    "greater": lambda x, y: y._step(Operation.LESS, x),
    "greater_equal": lambda x, y: y._step(Operation.LESS_EQUAL, x),
    "not_equal": lambda x, y: _not(x._step(Operation.EQUAL, y)),
    "logical_and": _logical(Operation.MULTIPLY),
    "logical_or": _logical(Operation.MAXIMUM),
    "logical_not": lambda x: _not(_condition(x)),
    "bitwise_and": _bitwise(Operation.MULTIPLY, "np.bitwise_and (&)"),
    "bitwise_or": _bitwise(Operation.MAXIMUM, "np.bitwise_or (|)"),
    "invert": _not,
    "clip": _clip,
}
_NOT_UFUNCS: dict[str, Callable[..., Tracer]] = {"where": _where, "clip": _clip}


def trace(maker: str, function: Callable[..., Any], inputs: int) -> Formula:
    """Return the formula of a function of one or two arrays.

    Parameters
    ----------
    maker : str
        Who asks, for error messages.
    function : callable
        Written with NumPy's functions of single elements.
    inputs : int
        1, z, or 2, z and y.

    Raises
    ------
    TypeError
        If it uses anything else; the message names it.
    """
    what = f"{maker}: the function of {' and '.join(INPUTS[:inputs])}"
    if not callable(function):
        raise TypeError(f"{maker} takes a function of {' and '.join(INPUTS[:inputs])}; got {function!r}")
    builder = Builder(inputs)
    try:
        result = function(*(Tracer(builder, i) for i in range(inputs)))
    except UntraceableError as error:
        raise UntraceableError(f"{what} uses {error}") from None
    if not isinstance(result, Tracer):
        raise UntraceableError(f"{what} must return what it computed of z; got {result!r}")
    formula = builder.formula(result._number)
    if not formula.depends_on(0):
        raise UntraceableError(f"{what} must return what it computed of z; got {formula.texts()[0]}")
    return formula
