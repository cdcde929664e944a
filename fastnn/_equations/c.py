"""The equations as C, for the build: a header of inline functions and loops, and one of the tables' codes.

The header is written in the terms of ``simd.h`` and compiled once for each SIMD level and type, as the primitives
around it are. A type's constants and a level's instructions make equations differ: there is a section for each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from enum import IntEnum
from itertools import product
from pathlib import Path

from . import functions, losses
from .activations import Activation
from .algebra import Equation, Value, parameters, trace
from .losses import Loss
from .updates import NUMBERS, Rule

Table = dict[IntEnum, Equation]
ACTIVATIONS: Table = {row: row.equation for row in Activation if row.equation}
DERIVATIVES: Table = {row: row.derivative for row in Activation if row.derivative}
FUNCTIONS: tuple[Equation, ...] = (functions.exp, functions.log, functions.log_of_1_plus, losses.sigmoid_cross_entropy)
# What the preprocessor asks for, and the instructions that are there.
LEVELS = (
    ("VECTOR_BYTES == 64", frozenset({"fma", "scalef", "rsqrt14", "rcp14"})),
    ("VECTOR_BYTES < 64 && defined(FUSED)", frozenset({"fma"})),
    ("!defined(FUSED)", frozenset[str]()),
)
OPERATIONS = {
    "add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "div": "{} / {}", "and": "{} & {}", "or": "{} | {}",
    "shl": "{} << {}", "ashr": "shifted_right({}, {})", "lt": "{} < {}", "gt": "{} > {}", "ge": "{} >= {}",
    "eq": "{} == {}", "select": "SELECT({}, {}, {})", "at_least": "maximum({1}, {0})", "at_most": "minimum({1}, {0})",
    "fma": "fused({}, {}, {})", "sqrt": "square_root({})", "as_integer": "as_bits({})", "as_real": "as_real({})",
    "to_real": "to_real({})", "scalef": "INTRINSIC(scalef)({}, {})", "rsqrt14": "INTRINSIC(rsqrt14)({})",
    "rcp14": "INTRINSIC(rcp14)({})",
}  # fmt: skip


def equations() -> list[Equation]:
    """Return every equation that the primitives call, each once."""
    rules = (row.equation for row in Rule)
    return list(dict.fromkeys([*FUNCTIONS, *ACTIVATIONS.values(), *DERIVATIVES.values(), *rules]))


def numbers_of(equation: Equation) -> list[str]:
    """Return those of an equation's inputs that are the same for every element."""
    return [name for name in parameters(equation) if name in (*NUMBERS, "slope")]


def results_of(equation: Equation) -> int:
    """Return the number of an equation's results."""
    return len(trace(equation, 32, frozenset()).results)


def _expression(value: Value, names: dict[Value, str]) -> str:
    if value.operation == "constant":
        special = {math.inf: "INFINITY", -math.inf: "-INFINITY"}
        number = "NAN" if math.isnan(value.number) else special.get(value.number, repr(value.number))
        return f"CONSTANT({number})" if value.kind == "real" else f"(INTEGER){number}"
    return names[value]


def _function(equation: Equation, bits: int, instructions: frozenset[str]) -> Iterator[str]:
    """Yield the lines of an equation's function; several results go where pointers say."""
    found = trace(equation, bits, instructions)
    arguments = parameters(equation)
    names = dict(zip(found.inputs, arguments, strict=True))
    several = len(found.results) > 1
    outputs = [f"vec *result{i}" for i in range(len(found.results))] if several else []
    signature = ", ".join([*(f"vec {name}" for name in arguments), *outputs])
    yield f"INLINE {'void' if several else 'vec'} {equation.__name__}_vec({signature})"
    yield "{"
    for step in found.steps:
        expression = OPERATIONS[step.operation].format(*(_expression(value, names) for value in step.operands))
        if step.kind == "condition":  # of a type of its own: it stands where it is used
            names[step] = expression
        else:
            names[step] = f"t{len(names)}"
            yield f"    const {'vec' if step.kind == 'real' else 'bits'} {names[step]} = {expression};"
    results = [_expression(result, names) for result in found.results]
    if several:
        yield from (f"    *result{i} = {result};" for i, result in enumerate(results))
    else:
        yield f"    return {results[0]};"
    yield "}"


def _loop(equation: Equation) -> Iterator[str]:
    """Yield the lines of a function of arrays: the results of every element, which may go where an input is."""
    given, outputs = parameters(equation), range(results_of(equation))
    numbers = numbers_of(equation)
    arrays = [name for name in given if name not in numbers]
    pointers = [*(f"const REAL *{name}" for name in arrays), *(f"REAL *to{i}" for i in outputs)]
    signature = ", ".join([*pointers, *(f"REAL {name}" for name in numbers), "ptrdiff_t n"])
    results = ", ".join(f"x{i}" for i in outputs)
    yield from (f"INLINE void {equation.__name__}_map({signature})", "{")
    yield from (f"    const vec {name}_vec = broadcast({name});" for name in numbers)
    yield "    ptrdiff_t i = 0;"
    for head, part, rest in (("for (; i + LANES <= n; i += LANES)", "", ""), ("if (i < n)", "_part", ", n - i")):
        values = [*(f"load{part}({name} + i{rest})" for name in arrays), *(f"{name}_vec" for name in numbers)]
        yield f"    {head} {{"
        if len(outputs) == 1:
            yield f"        const vec x0 = {equation.__name__}_vec({', '.join(values)});"
        else:
            yield f"        vec {results};"
            yield f"        {equation.__name__}_vec({', '.join([*values, *(f'&x{i}' for i in outputs)])});"
        yield from (f"        store{part}(to{i} + i, x{i}{rest});" for i in outputs)
        yield "    }"
    yield "}"


def _choice(head: str, code: str, table: Table, inputs: Sequence[str], outputs: Sequence[str] = ()) -> Iterator[str]:
    """Yield the lines of a function that computes what a code's equation says, of arrays if there are outputs.

    Each equation takes as many of the inputs as it has, and the numbers that it names; without a code nothing changes.
    """
    yield from (head, "{", f"    switch ({code}) {{")
    for row, equation in table.items():
        numbers = numbers_of(equation)
        arrays = len(parameters(equation)) - len(numbers)
        if outputs:
            arguments = [*inputs[:arrays], *outputs[: results_of(equation)], *numbers, "n"]
            yield f"    case FASTNN_{row.name}: {equation.__name__}_map({', '.join(arguments)}); break;"
        else:
            arguments = [*inputs[:arrays], *numbers]
            yield f"    case FASTNN_{row.name}: return {equation.__name__}_vec({', '.join(arguments)});"
    yield from ("    default: break;" if outputs else f"    default: return {inputs[-1]};", "    }", "}")


def _choices() -> Iterator[str]:
    """Yield the functions that choose from the tables."""
    vectors = "INLINE vec {}(const int activation, vec {}, vec slope)"
    arrays = "static void {}(int activation, REAL slope, {}, ptrdiff_t n)"
    yield from _choice(vectors.format("activated", "z"), "activation", ACTIVATIONS, ["z"])
    yield from _choice(vectors.format("times_derivative", "a, vec delta"), "activation", DERIVATIVES, ["a", "delta"])
    yield from _choice(arrays.format("activate", "REAL *z"), "activation", ACTIVATIONS, ["z"], ["z"])
    yield from _choice(
        arrays.format("multiply_by_derivative", "const REAL *a, REAL *delta"),
        "activation", DERIVATIVES, ["a", "delta"], ["delta"],
    )  # fmt: skip
    numbers = ", ".join(f"REAL {name}" for name in NUMBERS)
    yield from _choice(
        f"INLINE void take_step(int rule, const REAL *sums, REAL *theta, REAL *m1, REAL *m2, {numbers}, ptrdiff_t n)",
        "rule", {row: row.equation for row in Rule}, ["sums", "theta", "m1", "m2"], ["theta", "m1", "m2"],
    )  # fmt: skip


def header(others: Sequence[Equation] = ()) -> str:
    """Return equations.h: what the primitives call, and other equations."""
    wanted = list(dict.fromkeys([*equations(), *others]))
    lines = ["/* Made of fastnn/_equations by its c.py: the equations of one level and type. */"]
    endings = [f"{equation.__name__}_{ending}" for equation in wanted for ending in ("vec", "map")]
    names = [*endings, "activated", "times_derivative", "activate", "multiply_by_derivative", "take_step"]
    lines += [f"#define {name} NAME({name})" for name in names]
    for bits, (condition, instructions) in product((32, 64), LEVELS):
        lines += ["", f"#if BITS == {bits} && {condition}"]
        for equation in wanted:
            lines += ["", *_function(equation, bits, instructions)]
        lines += ["#endif"]
    lines += [""]
    for equation in wanted:
        lines += [*_loop(equation), ""]
    return "\n".join([*lines, *_choices(), ""])


def codes() -> str:
    """Return codes.h."""
    tables = (", ".join(f"FASTNN_{row.name} = {int(row)}" for row in table) for table in (Activation, Loss, Rule))
    enums = "".join(f"enum {{ {table} }};\n" for table in tables)
    return f"/* Made of fastnn/_equations by its c.py: the codes of activations, losses and update rules. */\n{enums}"


def write(folder: Path) -> None:
    """Write both headers, each only where it changes: what was built from it stays as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("equations.h", header()), ("codes.h", codes())):
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != text:
            (folder / name).write_text(text, encoding="utf-8")
