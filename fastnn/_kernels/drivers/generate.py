"""Translate the drivers into Cython, once for float32 and once for float64, and the table of primitives into C.

`setup.py` calls `generate` before Cython, in a build that has the standard library alone: it reads the drivers, and
imports none. What is not in their language, which the package's docstring describes, is refused with its place.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fastnn._equations.activations import Activation
from fastnn._equations.losses import Loss
from fastnn._equations.updates import Rule
from fastnn._kernels.schema import COLUMNS, NUMBERS, WORDS

CODES = {"Activation": Activation, "Loss": Loss, "Rule": Rule}
KERNELS = Path(__file__).parent.parent
NOT_DRIVERS, PRIMITIVES = {"__init__.py", "generate.py", "language.py"}, "primitives.py"
Kind = str | tuple[str, ...]
CYTHON = {  # the types that annotations name
    "Job": "Job *", "Reals": "{real} *", "Given": "const {real} *", "Numbers": "double *", "Integers": "int64_t *",
    "Real": "{real}", "int": "int64_t", "float": "double", "bool": "bint", "None": "void",
}  # fmt: skip
IN_TABLE = {**CYTHON, "int": "ptrdiff_t", "Numbers": "const double *"}  # primitives read float64 numbers, no more
REALS = (("float", "f32", "F32"), ("double", "f64", "F64"))
ELEMENTS = {"Reals": "Real", "Numbers": "float", "Integers": "int"}
FITS = {"Given": {"Reals"}, "pointer": set(ELEMENTS)}  # what may be passed beside the kind itself
# What each side has inline: the kinds of its arguments and of its result, "pointer" being any; and its Cython.
INLINE: dict[str, tuple[tuple[str, ...], str, str]] = {
    "advance": (("pointer", "int"), "pointer", "({0} + {1})"),
    "reals": (("Reals", "int"), "Reals", "(<{real} *>{1})"),
    "numbers": (("int",), "Numbers", "(<double *>{0})"),
    "integers": (("int",), "Integers", "(<int64_t *>{0})"),
    "job_at": (("int",), "Job", "(<Job *>{0})"),
    "field": (("Job", "int", "int"), "int", "(<int64_t *>{0}.table)[{1} * COLUMNS + {2}]"),
    "real": (("Reals", "float"), "Real", "(<{real}>{1})"),
    "lanes": (("Reals",), "int", "{table}.lanes"),
    "square": (("Reals",), "int", "SQUARE"),
    "element_bytes": (("Reals",), "int", "(<int64_t>sizeof({real}))"),
    "copy": (("Reals", "Reals", "int"), "None", "memcpy({0}, {1}, {2} * sizeof({real}))"),
    "move": (("Reals", "Reals", "int"), "None", "memmove({0}, {1}, {2} * sizeof({real}))"),
    "prefetch": (("Reals", "int"), "None", "fastnn_prefetch({0}, {1} * sizeof({real}))"),
    "total_of_numbers": (("Numbers", "int"), "float", "F64.total_of({0}, {1})"),
    "update": (("Job", "Reals", "Reals", "Reals", "Reals", "int", "float", "float", "float", "float"), "None",
               "update({0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {9})"),
    "sqrt": (("float",), "float", "sqrt({0})"),
    "log": (("float",), "float", "log({0})"),
    "atomic_load": (("Integers",), "int", "fastnn_load({0})"),
    "atomic_store": (("Integers", "int"), "None", "fastnn_store({0}, {1})"),
    "atomic_add": (("Integers", "int"), "int", "fastnn_fetch_add({0}, {1})"),
    "compare_exchange": (("Integers", "int", "int"), "int", "fastnn_compare_exchange({0}, {1}, {2})"),
    "pause": ((), "None", "fastnn_pause()"),
    "rest": ((), "None", "fastnn_rest()"),
    "float_control": ((), "int", "fastnn_float_control()"),
    "set_float_control": (("int",), "None", "fastnn_set_float_control({0})"),
}  # fmt: skip
IN_C = {"FLUSH": "FASTNN_FLUSH"}  # constants of the C headers
OPERATORS = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.LShift: "<<", ast.RShift: ">>", ast.BitAnd: "&", ast.BitOr: "|", ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<",
    ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.And: "and", ast.Or: "or",
}  # fmt: skip


class LanguageError(Exception):
    """Something that is not in the language, with its place."""

    def __init__(self, path: Path, node: ast.AST, reason: str) -> None:
        super().__init__(f"{path}:{getattr(node, 'lineno', 1)}: {reason}")


class Function(NamedTuple):
    """A driver or a primitive: its place, the kinds of its arguments by name, and of its result."""

    path: Path
    node: ast.FunctionDef
    arguments: dict[str, str]
    result: Kind

    @property
    def is_primitive(self) -> bool:
        """Whether it is one of the table's."""
        return self.path.name == PRIMITIVES


def _kind(path: Path, node: ast.AST, what: str, annotation: ast.expr | None) -> str:
    found = ast.unparse(annotation) if annotation else "nothing"
    if found not in CYTHON:
        raise LanguageError(path, node, f"{what} is annotated with {found}")
    return found


def _function(path: Path, node: ast.FunctionDef) -> Function:
    given, result = node.args, node.returns
    if given.vararg or given.kwarg or given.kwonlyargs or given.posonlyargs or given.defaults:
        raise LanguageError(path, node, f"{node.name} takes more than plain arguments")
    decorators = [] if path.name == PRIMITIVES else ["kernel"]
    if [ast.unparse(decorator) for decorator in node.decorator_list] != decorators:
        raise LanguageError(path, node, f"{node.name} is not a plain @kernel")
    arguments = {each.arg: _kind(path, each, each.arg, each.annotation) for each in given.args}
    what = f"what {node.name} returns"
    match result:
        case ast.Subscript(ast.Name("tuple"), ast.Tuple(elements)):
            return Function(path, node, arguments, tuple(_kind(path, node, what, each) for each in elements))
    return Function(path, node, arguments, _kind(path, node, what, result))


class Program:
    """All drivers and primitives, their constants, and the names of the job's fields and columns."""

    def __init__(self, kernels: Path) -> None:
        self.functions: dict[str, Function] = {}
        self.constants: dict[str, int] = {}
        self.modes: dict[str, int] = {}  # the constants of the primitives
        self.fields = {field: "float" if field in NUMBERS else "int" for field in WORDS}
        self.columns = {name.upper() for name in COLUMNS}
        for path in sorted((kernels / "drivers").glob("*.py")):
            if path.name not in NOT_DRIVERS:
                self._read(path)

    def is_taken(self, name: str) -> bool:
        """Tell whether a name is that of a function or a constant."""
        names = (self.functions, self.constants, self.columns, INLINE, IN_C)
        return any(name in each for each in names)

    def _read(self, path: Path) -> None:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            match node:
                case ast.Expr(ast.Constant(str())):
                    pass
                case ast.Import(names) | ast.ImportFrom(names=names):
                    if any(name.asname for name in names):
                        raise LanguageError(path, node, "a name is imported as another")
                case ast.Assign([ast.Name(name)], value):
                    self._define(path, node, [name], value)
                case ast.Assign([ast.Tuple(elements)], value):
                    self._define(path, node, [ast.unparse(element) for element in elements], value)
                case ast.FunctionDef(name):
                    self._claim(path, node, name)
                    self.functions[name] = _function(path, node)
                case _:
                    raise LanguageError(path, node, f"a module has no {type(node).__name__}")

    def _define(self, path: Path, node: ast.AST, names: list[str], value: ast.expr) -> None:
        scope = {"__builtins__": {"int": int, "range": range}, **CODES}
        try:
            found = eval(compile(ast.Expression(value), str(path), "eval"), scope)
            numbers = [number.__index__() for number in (found if len(names) > 1 else [found])]
            constants = dict(zip(names, numbers, strict=True))
        except Exception as error:
            raise LanguageError(path, node, f"a constant is a whole number or a code ({error})") from None
        for name, number in constants.items():
            self._claim(path, node, name)
            self.constants[name] = number
        if path.name == PRIMITIVES:
            self.modes |= constants

    def _claim(self, path: Path, node: ast.AST, name: str) -> None:
        if self.is_taken(name):
            raise LanguageError(path, node, f"{name} is the name of something else")


class Translator:
    """Translates a function for one type; ``kinds`` says what its variables hold."""

    def __init__(self, program: Program, function: Function, real: tuple[str, str, str]) -> None:
        self.program, self.function, self.kinds = program, function, dict(function.arguments)
        self.real, self.suffix, self.table = real
        self.loops: list[str] = []  # what the loops around count

    def refusal(self, node: ast.AST, reason: str) -> LanguageError:
        """Return the error that refuses a construct."""
        return LanguageError(self.function.path, node, reason)

    def type_of(self, kind: Kind) -> str:
        """Return the Cython type of a kind."""
        if isinstance(kind, tuple):
            return f"({', '.join(map(self.type_of, kind))})"
        return CYTHON[kind].format(real=self.real)

    def text(self) -> str:
        """Return the function in Cython."""
        _, node, arguments, result = self.function
        statements = node.body[1:] if ast.get_docstring(node) else node.body
        if not statements:
            raise self.refusal(node, f"{node.name} does nothing")
        if result != "None" and not isinstance(statements[-1], ast.Return):
            raise self.refusal(node, f"{node.name} may end without a result")
        body = self.block(statements)
        given = ", ".join(f"{self.type_of(kind)} {name}" for name, kind in arguments.items())
        head = f"cdef inline {self.type_of(result)} {node.name}_{self.suffix}({given}) noexcept nogil:"
        own = {name: kind for name, kind in self.kinds.items() if name not in arguments}
        variables = [f"    cdef {self.type_of(kind)} {name}" for name, kind in own.items()]
        return "\n".join([f"# {self.function.path.name}:{node.lineno}", head, *variables, *body, ""])

    def block(self, nodes: Sequence[ast.stmt]) -> list[str]:
        """Return the lines of some statements, which belong to the line above."""
        lines: list[str] = []
        for node in nodes:
            match node:
                case ast.If(test, body, orelse):
                    lines += [f"if {self.whole(test)}:", *self.block(body)]
                    lines += ["else:", *self.block(orelse)] if orelse else []
                case ast.While(test, body, []):
                    lines += [f"while {self.whole(test)}:", *self.block(body)]
                case ast.For(ast.Name(name), ast.Call(ast.Name("range"), bounds, []), body, []):
                    lines.append(self.loop(node, name, [self.whole(bound) for bound in bounds]))
                    self.loops.append(name)
                    lines += self.block(body)
                    self.loops.pop()
                case _:
                    lines.append(self.statement(node))
        return [f"    {line}" for line in lines]

    def loop(self, node: ast.For, name: str, bounds: list[str]) -> str:
        """Return the head of a loop: up by a step, or down by one."""
        self.bind(node, name, "int")
        match bounds:
            case [end]:
                return f"for {name} from 0 <= {name} < {end}:"
            case [begin, end]:
                return f"for {name} from {begin} <= {name} < {end}:"
            case [begin, end, "(-1)"]:
                return f"for {name} from {begin} >= {name} > {end}:"
            case [begin, end, step] if not step.startswith("(-"):
                return f"for {name} from {begin} <= {name} < {end} by {step}:"
        raise self.refusal(node, "a range goes up, or down by one")

    def statement(self, node: ast.stmt) -> str:
        """Return the line of a simple statement."""
        match node:
            case ast.Continue():
                return "continue"
            case ast.Expr(ast.Call() as call):
                return self.call(call)[0]
            case ast.Assign(targets, value):
                text, kind = self.values(value)
                return " = ".join([*(self.targets(target, kind) for target in targets), text])
            case ast.AugAssign(target, operation, value):
                (old, kind), (new, other) = self.expression(target), self.expression(value)
                self.target(target, self.arithmetic(node, operation, kind, other))
                return f"{old} {OPERATORS[type(operation)]}= {new}"
            case ast.Return(value):
                text, result = self.values(value) if value else ("", "None")
                if result != self.function.result:
                    raise self.refusal(node, f"{result} is returned, not {self.function.result}")
                return f"return {text}"
        raise self.refusal(node, f"{type(node).__name__} is not in the language")

    def values(self, node: ast.expr) -> tuple[str, Kind]:
        """Return an expression, or several in a tuple, and what they are."""
        if isinstance(node, ast.Tuple):
            texts, kinds = zip(*map(self.expression, node.elts), strict=True)
            return ", ".join(texts), kinds
        return self.call(node) if isinstance(node, ast.Call) else self.expression(node)

    def targets(self, node: ast.expr, kind: Kind) -> str:
        """Return what is assigned to, one place or as many as there are values."""
        places = node.elts if isinstance(node, ast.Tuple) else [node]
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if len(places) != len(kinds):
            raise self.refusal(node, f"{len(kinds)} values are assigned to {ast.unparse(node)}")
        return ", ".join(map(self.target, places, kinds))

    def target(self, node: ast.expr, kind: str) -> str:
        """Return a place for a value of some kind; a number is converted where it is stored among others."""
        if isinstance(node, ast.Name):
            self.bind(node, node.id, kind)
            return node.id
        text, place = self.expression(node)
        converted = isinstance(node, ast.Subscript) and place in ("Real", "float")
        if kind not in ({place, "Real", "float", "int", "bool"} if converted else {place}):
            raise self.refusal(node, f"{ast.unparse(node)} is {place}, not {kind}")
        return text

    def bind(self, node: ast.AST, name: str, kind: str) -> None:
        """Note what a variable holds."""
        if name in self.loops:
            raise self.refusal(node, f"{name} is what a loop counts")
        if self.program.is_taken(name):
            raise self.refusal(node, f"{name} is the name of something else")
        if kind == "None":
            raise self.refusal(node, f"{name} gets no value")
        if self.kinds.setdefault(name, kind) != kind:
            raise self.refusal(node, f"{name} is {self.kinds.get(name)}, not {kind}")

    def whole(self, node: ast.expr) -> str:
        """Return an expression that is a whole number, of which true and false are two."""
        text, kind = self.expression(node)
        if kind not in ("int", "bool"):
            raise self.refusal(node, f"{ast.unparse(node)} is {kind}, not int or bool")
        return text

    def expression(self, node: ast.expr) -> tuple[str, str]:
        """Return an expression in Cython, and what it is."""
        match node:
            case ast.Constant(bool() | int() | float() as value):
                return repr(value), type(value).__name__
            case ast.Name(name) if name in self.kinds:
                return name, self.kinds[name]
            case ast.Name(name) if name in self.program.constants or name in self.program.columns or name in IN_C:
                return IN_C.get(name, name), "int"
            case ast.Attribute(ast.Name(job), name) if self.kinds.get(job) == "Job" and name in self.program.fields:
                return f"{job}.{name}", self.program.fields[name]
            case ast.Subscript(pointer, index):
                text, kind = self.expression(pointer)
                if kind in ELEMENTS:
                    return f"{text}[{self.whole(index)}]", ELEMENTS[kind]
            case ast.UnaryOp(ast.Not(), operand):
                return f"(not {self.whole(operand)})", "bool"
            case ast.UnaryOp(ast.USub(), operand):
                text, kind = self.expression(operand)
                return f"(-{text})", self.arithmetic(node, ast.Sub(), kind, kind)
            case ast.BinOp(left, operation, right) if type(operation) in OPERATORS:
                (a, one), (b, other) = self.expression(left), self.expression(right)
                return f"({a} {OPERATORS[type(operation)]} {b})", self.arithmetic(node, operation, one, other)
            case ast.BoolOp(operation, operands):
                return f"({f' {OPERATORS[type(operation)]} '.join(map(self.whole, operands))})", "bool"
            case ast.Compare(left, operations, others) if all(type(each) in OPERATORS for each in operations):
                texts, kinds = zip(*map(self.expression, (left, *others)), strict=True)
                for one, other in zip(kinds, kinds[1:], strict=False):
                    self.arithmetic(node, ast.Sub(), one, other)
                signs = [f" {OPERATORS[type(operation)]} " for operation in operations]
                return f"({texts[0]}{''.join(map(''.join, zip(signs, texts[1:], strict=True)))})", "bool"
            case ast.IfExp(test, body, orelse):
                (a, kind), (b, other) = self.expression(body), self.expression(orelse)
                if kind == other:
                    return f"({a} if {self.whole(test)} else {b})", kind
            case ast.Call():
                text, result = self.call(node)
                if isinstance(result, str):
                    return text, result
        raise self.refusal(node, f"{ast.unparse(node)} is not in the language")

    def arithmetic(self, node: ast.AST, operation: ast.operator, one: str, other: str) -> str:
        """Return what comes of two kinds."""
        kinds = {one, other} - {"bool"} | {"int"} if "bool" in (one, other) else {one, other}
        if kinds == {"int"} and not isinstance(operation, ast.Div | ast.Pow):
            return "int"
        if kinds == {"float", "int"} and isinstance(operation, ast.Pow) and one == "float":
            return "float"
        if isinstance(operation, ast.Add | ast.Sub | ast.Mult | ast.Div):
            if kinds == {"Real"}:
                return "Real"
            if "float" in kinds and kinds <= {"float", "int", "Real"}:
                return "float"
        raise self.refusal(node, f"{type(operation).__name__} of {one} and {other} is not in the language")

    def call(self, node: ast.Call) -> tuple[str, Kind]:
        """Return a call, and what comes of it."""
        match node:
            case ast.Call(ast.Name("call"), [ast.Attribute(ast.Name(job), name), ast.Tuple(given)], []):
                if self.kinds.get(job) != "Job" or name not in self.program.functions:
                    raise self.refusal(node, f"{job}.{name} is no primitive, and no driver")
            case ast.Call(ast.Name(name), given, []):
                pass
            case _:
                raise self.refusal(node, f"{ast.unparse(node)} is no plain call")
        texts, kinds = [*zip(*map(self.expression, given), strict=True)] or [(), ()]
        if name in ("min", "max"):
            self.check(node, name, (kinds[0], kinds[0]), kinds)
            self.arithmetic(node, ast.Sub(), *kinds)
            return f"{name}({', '.join(texts)})", kinds[0]
        if name in INLINE:
            wanted, result, form = INLINE[name]
            self.check(node, name, wanted, kinds)
            text = form.format(*texts, real=self.real, table=self.table)
            return text, kinds[0] if result == "pointer" else result
        if name not in self.program.functions:
            raise self.refusal(node, f"{name} is unknown")
        function = self.program.functions[name]
        self.check(node, name, tuple(function.arguments.values()), kinds)
        place = f"{self.table}.{name}" if function.is_primitive else f"{name}_{self.suffix}"
        return f"{place}({', '.join(texts)})", function.result

    def check(self, node: ast.AST, name: str, wanted: Sequence[str], kinds: Sequence[str]) -> None:
        """Refuse arguments that are not just what a function takes: one that is called by its address converts none."""
        if len(wanted) != len(kinds):
            raise self.refusal(node, f"{name} takes {len(wanted)} arguments, not {len(kinds)}")
        for number, (want, kind) in enumerate(zip(wanted, kinds, strict=True), 1):
            if kind != want and kind not in FITS.get(want, ()):
                raise self.refusal(node, f"argument {number} of {name} is {kind}, not {want}")


def cython_of_drivers(program: Program) -> str:
    """Return all drivers in Cython, for both types."""
    constants = [f"    {name} = {number}" for name, number in program.constants.items()]
    drivers = [function for function in program.functions.values() if not function.is_primitive]
    texts = [Translator(program, function, real).text() for real in REALS for function in drivers]
    return "\n".join(["cdef enum:", *constants, "", "", "\n\n".join(texts)])


def _member(function: Function, real: str) -> str:
    """Return the declaration of a primitive's place in the table."""
    types = {kind: text.format(real=real) for kind, text in IN_TABLE.items()}
    arguments = ", ".join(f"{types[kind]} {name}" for name, kind in function.arguments.items())
    return f"{types[str(function.result)]} (*{function.node.name})({arguments})"


def tables(program: Program) -> tuple[str, str]:
    """Return the table of primitives in C and in Cython."""
    primitives = [function for function in program.functions.values() if function.is_primitive]
    names = [function.node.name for function in primitives]
    modes = ", ".join(f"FASTNN_{name} = {number}" for name, number in program.modes.items())
    sizes = ["const char *level", "int lanes, tile_rows, tile_vectors"]
    step = "void (*update)(const fastnn_step *step, const {0} *sums, {0} *theta, {0} *m1, {0} *m2, ptrdiff_t n)"
    c = [f"enum {{ {modes} }};", f"#define FASTNN_PRIMITIVES {', '.join(names)}"]
    cython = ['cdef extern from "primitives.h" nogil:']
    for real, suffix, _ in REALS:
        members = [step.format(real), *(_member(function, real) for function in primitives)]
        c.append(f"typedef struct {{ {'; '.join([*sizes, *members])}; }} fastnn_primitives_{suffix}_t;")
        cython += [f"    ctypedef struct fastnn_primitives_{suffix}_t:", *(f"        {member}" for member in sizes)]
        cython += [f"        {member.replace('ptrdiff_t', 'Py_ssize_t')} noexcept nogil" for member in members]
    cython += [f"cdef fastnn_primitives_{suffix}_t {table}" for _, suffix, table in REALS]
    cython += ["def places(int itemsize):", '    """Return where the address of each primitive is kept, by name."""']
    for head, (*_, table) in zip(("if itemsize == sizeof(float): return", "return"), REALS, strict=True):
        entries = ", ".join(f"{name!r}: <size_t>&{table}.{name}" for name in names)
        cython.append(f"    {head} {{{entries}}}")
    return "\n".join(c) + "\n", "\n".join(cython) + "\n"


def generate(folder: Path, kernels: Path = KERNELS) -> None:
    """Write what kernels.pyx and primitives.h include; a file that stays as it was keeps its time."""
    program = Program(kernels)
    c, cython = tables(program)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("drivers.pxi", cython_of_drivers(program)), ("table.h", c), ("table.pxi", cython)):
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
