"""The equations as C, for the build: a header of inline functions and loops, and one of the tables' codes.

The header is written in the terms of ``simd.h`` and compiled once for each SIMD level and type, as the primitives
around it are. A type's constants and a level's instructions make equations differ: there is a section for each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from fastnn._equations import functions, losses
from fastnn._equations.activations import DERIVATIVES, EQUATIONS, Activation
from fastnn._equations.algebra import Equation, Value, signature, trace
from fastnn._equations.formula import FIRST_ADDRESS
from fastnn._equations.losses import VALUES_AND_DELTAS, Loss
from fastnn._equations.operations import OPERATIONS as FORMULA_OPERATIONS
from fastnn._equations.operations import Operation
from fastnn._equations.updates import NUMBERS, Rule

RULES = {row: row.equation for row in Rule}
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


def _expression(value: Value, names: dict[Value, str]) -> str:
    """Return how C says an operand or a result."""
    if value.operation != "constant":
        return names[value]
    if value.kind == "integer":
        return f"(INTEGER){value.number}"
    special = {math.inf: "INFINITY", -math.inf: "-INFINITY"}
    return f"CONSTANT({'NAN' if math.isnan(value.number) else special.get(value.number, repr(value.number))})"


def _function(equation: Equation, bits: int, instructions: frozenset[str]) -> Iterator[str]:
    """Yield the lines of an equation's function of vectors; several results go where pointers say."""
    steps, given = trace(equation, bits, instructions), signature(equation)
    names = dict(zip(steps.inputs, given.inputs, strict=True))
    arguments, result = [f"vec {name}" for name in given.inputs], "vec"
    if given.results > 1:
        arguments, result = [*arguments, *(f"vec *to{i}" for i in range(given.results))], "void"
    yield from (f"INLINE {result} {equation.__name__}_vec({', '.join(arguments)})", "{")
    for step in steps.steps:
        expression = OPERATIONS[step.operation].format(*(_expression(value, names) for value in step.operands))
        if step.kind == "condition":  # of a type of its own: it stands where it is used
            names[step] = expression
        else:
            names[step] = f"t{len(names)}"
            yield f"    const {'vec' if step.kind == 'real' else 'bits'} {names[step]} = {expression};"
    results = [_expression(value, names) for value in steps.results]
    if given.results > 1:
        yield from (f"    *to{i} = {value};" for i, value in enumerate(results))
    else:
        yield f"    return {results[0]};"
    yield "}"


def _loop(equation: Equation) -> Iterator[str]:
    """Yield the lines of a function of arrays: the results of every element, which may go where an input is."""
    given, results = signature(equation), range(signature(equation).results)
    pointers = [*(f"const REAL *{name}" for name in given.elements), *(f"REAL *to{i}" for i in results)]
    arguments = [*pointers, *(f"REAL {name}" for name in given.numbers), "ptrdiff_t n"]
    yield from (f"INLINE void {equation.__name__}_map({', '.join(arguments)})", "{")
    yield from (f"    const vec {name}_vec = broadcast({name});" for name in given.numbers)
    yield "    ptrdiff_t i = 0;"
    for head, part, rest in (("for (; i + LANES <= n; i += LANES)", "", ""), ("if (i < n)", "_part", ", n - i")):
        values = [*(f"load{part}({name} + i{rest})" for name in given.elements), *(f"{x}_vec" for x in given.numbers)]
        yield f"    {head} {{"
        if len(results) > 1:
            yield f"        vec {', '.join(f'x{i}' for i in results)};"
            yield f"        {equation.__name__}_vec({', '.join([*values, *(f'&x{i}' for i in results)])});"
        else:
            yield f"        const vec x0 = {equation.__name__}_vec({', '.join(values)});"
        yield from (f"        store{part}(to{i} + i, x{i}{rest});" for i in results)
        yield "    }"
    yield "}"


Row = Activation | Loss | Rule | Operation


def _code(row: Row) -> str:
    """Return the name of a code in C."""
    return f"FASTNN_{'OPERATION_' if isinstance(row, Operation) else ''}{row.name}"


def _choice(
    head: str,
    code: str,
    table: Mapping[Any, Equation],
    inputs: Sequence[str],
    outputs: Sequence[str] = (),
) -> Iterator[str]:
    """Yield the lines of a function that computes what a code's equation says: of arrays, if there are outputs.

    An equation takes the first of the inputs, and the numbers that it names; without a code nothing changes.
    """
    yield from (head, "{", f"    switch ({code}) {{")
    for row, equation in table.items():
        elements, numbers, results = signature(equation)
        arguments = [*inputs[: len(elements)], *outputs[:results], *numbers]
        if outputs:
            yield f"    case {_code(row)}: {equation.__name__}_map({', '.join(arguments)}, n); break;"
        else:
            yield f"    case {_code(row)}: return {equation.__name__}_vec({', '.join(arguments)});"
    yield from ("    default: break;" if outputs else f"    default: return {inputs[-1]};", "    }", "}")


def _choices() -> Iterator[str]:
    """Yield the functions that choose from the tables."""
    vectors = "INLINE vec {}(const ptrdiff_t activation, vec {}, vec slope)"
    arrays = "static void {}(ptrdiff_t activation, double slope, {}, ptrdiff_t n)"
    outputs, derivatives = (  # kernels that hold vectors take derivatives from outputs
        {row: equation for row, equation in table.items() if not row.saves} for table in (EQUATIONS, DERIVATIVES)
    )
    yield from _choice(vectors.format("activated", "z"), "activation", outputs, ["z"])
    yield from _choice(vectors.format("times_derivative", "a, vec delta"), "activation", derivatives, ["a", "delta"])
    units = {loss.output: EQUATIONS[loss.output] for loss in Loss if loss.is_canonical and loss.output in EQUATIONS}
    yield from _choice("INLINE vec output_value(const ptrdiff_t activation, vec z)", "activation", units, ["z"])
    head = arrays.format("activate_by_code", "REAL *z, REAL *saved")
    yield from _choice(head, "activation", EQUATIONS, ["z"], ["z", "saved"])
    head = arrays.format("multiply_by_derivative", "const REAL *a, REAL *delta")
    yield from _choice(head, "activation", DERIVATIVES, ["a", "delta"], ["delta"])
    arguments = "REAL *z, const REAL *y, const REAL *numbers, REAL *value, ptrdiff_t n"
    head = f"static void loss_and_delta_by_code(ptrdiff_t loss, {arguments})"
    yield from _choice(head, "loss", VALUES_AND_DELTAS, ["z", "y", "numbers"], ["value", "z"])
    head = (
        "static void operate(ptrdiff_t operation, const REAL *a, const REAL *b, const REAL *c, REAL *to, ptrdiff_t n)"
    )
    yield from _choice(head, "operation", FORMULA_OPERATIONS, ["a", "b", "c"], ["to"])
    state, numbers = ("theta", "m1", "m2"), ", ".join(f"REAL {name}" for name in NUMBERS)
    arguments = f"int rule, const REAL *sums, {', '.join(f'REAL *{name}' for name in state)}, {numbers}, ptrdiff_t n"
    yield from _choice(f"INLINE void take_step({arguments})", "rule", RULES, ["sums", *state], state)


def header(others: Sequence[Equation] = ()) -> str:
    """Return equations.h: what the primitives call, and other equations."""
    chosen = (EQUATIONS, DERIVATIVES, VALUES_AND_DELTAS, FORMULA_OPERATIONS, RULES)
    tables = [equation for table in chosen for equation in table.values()]
    equations = dict.fromkeys([*FUNCTIONS, *tables, *others])  # each once
    names = [f"{equation.__name__}_{ending}" for equation in equations for ending in ("vec", "map")]
    names += ["activated", "times_derivative", "output_value", "activate_by_code", "multiply_by_derivative"]
    names += ["loss_and_delta_by_code", "operate", "take_step"]
    lines = ["/* Made of fastnn/_equations by its c.py: the equations of one level and type. */"]
    lines += [f"#define {name} NAME({name})" for name in names]
    for bits, (condition, instructions) in product((32, 64), LEVELS):
        lines += ["", f"#if BITS == {bits} && {condition}"]
        for equation in equations:
            lines += ["", *_function(equation, bits, instructions)]
        lines += ["", "#endif"]
    for equation in equations:
        lines += ["", *_loop(equation)]
    return "\n".join([*lines, "", *_choices(), ""])


def codes() -> str:
    """Return codes.h."""
    tables: tuple[type[Row], ...] = (Activation, Loss, Rule, Operation)
    lists = [[f"{_code(row)} = {int(row)}" for row in table] for table in tables]
    lists.append([f"FASTNN_FIRST_ADDRESS = {FIRST_ADDRESS}"])
    enums = "".join(f"enum {{ {', '.join(rows)} }};\n" for rows in lists)
    return f"/* Made of fastnn/_equations by its c.py: the codes of all tables. */\n{enums}"


def write(folder: Path) -> None:
    """Write both headers, each only where it changes: what was built from it stays as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("equations.h", header()), ("codes.h", codes())):
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != text:
            (folder / name).write_text(text, encoding="utf-8")
