"""The mutants of a module: changes of one operator, number, keyword, decorator or exception.

Cosmic Ray makes the changes. What can be neither right nor wrong is left out, see `OPERATORS` and
`_is_about_types`.
"""

import ast
import itertools
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.exception_replacer import ExceptionReplacer
from cosmic_ray.plugins import get_operator
from parso.python.tree import Name
from parso.tree import NodeOrLeaf

# Line from 1, column from 0 in bytes, as `ast` counts.
Position = tuple[int, int]

# Of the eleven ways to replace a binary operator and the seven to replace a comparison only those
# that a test can miss: the rest fail with the first value, all for the same reason, and would only
# raise the score. Identity in place of equality is no fault for None, enum members and short texts.
_REPLACED = {
    "Comparison": (
        "Eq_NotEq NotEq_Eq Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt"
        " Is_IsNot IsNot_Is"
    ),
    "Binary": (
        "Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Div Mod_Mul Pow_Mul LShift_RShift RShift_LShift"
        " BitOr_BitAnd BitAnd_BitOr BitXor_BitAnd"
    ),
    "Unary": "Delete_Not Delete_USub Delete_Invert",
}
OPERATORS = (
    *(
        f"Replace{kind}Operator_{pair}"
        for kind, pairs in _REPLACED.items()
        for pair in pairs.split()
    ),
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "AddNot",
    "NumberReplacer",
    "ExceptionReplacer",
    "ZeroIterationForLoop",
    "RemoveDecorator",
)


@dataclass(frozen=True)
class Unit:
    """The outermost function around a change: its code can be exchanged after the import.

    Attributes:
        qualname: Name within the module, such as `Store.save`.
        first_line: Line of the first decorator or of `def`, as code objects count.
        lines: Lines of the body.
    """

    qualname: str
    first_line: int
    lines: range


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Attributes:
        module: File of the module.
        operator: Name of Cosmic Ray's operator.
        occurrence: Number of the change among those of this operator in the module, from 0.
        line: Line of the change, from 1.
        lines: Lines of the innermost statement around it.
        unit: The function whose body is changed; None if the change works at import.
        header_of: The function whose decorators, defaults or name line are changed.
        before: The changed line, without indentation.
        after: The first line that differs in the mutant; empty for a removed decorator.
        source: Source code of the mutated module.
    """

    module: Path
    operator: str
    occurrence: int
    line: int
    lines: range
    unit: Unit | None
    header_of: Unit | None
    before: str
    after: str
    source: str = field(repr=False)

    @property
    def key(self) -> str:
        """Identifies the mutant among those of the same source."""
        return f"{self.operator}#{self.occurrence}"


def mutants_of(module: Path) -> list[Mutant]:
    """Every mutant of `module`, by line."""
    return sorted(_generate(module), key=lambda mutant: (mutant.line, mutant.key))


def _generate(module: Path) -> Iterator[Mutant]:
    source = module.read_text("utf-8")
    lines = source.splitlines(keepends=True)
    numbers: Counter[str] = Counter()
    # One statement of the module at a time, since each change parses it again.
    for statement in ast.parse(source).body:
        first, end = _first_line(statement), statement.end_lineno
        piece = "".join(lines[first - 1 : end])
        nodes = list(ast_nodes(get_ast(piece)))
        seen = {_shape(piece), None}
        for name in OPERATORS:
            for (row, column), mutated in _changes(piece, nodes, name):
                numbers[name] += 1
                line = row + first - 1
                start = (line, len(lines[line - 1][:column].encode()))
                path = _nodes_at(statement, start)
                if (
                    _is_about_types(path)
                    or (name == "AddNot" and _has_opposite(path, start))
                    or (name.startswith("ReplaceBinary") and _is_parameter_mark(path[-1]))
                ):
                    continue
                shape = _shape(mutated)
                if shape in seen:
                    continue
                seen.add(shape)
                unit, header_of = _function_around(path, start)
                yield Mutant(
                    module=module,
                    operator=name,
                    occurrence=numbers[name] - 1,
                    line=line,
                    lines=_statement_lines(path, line),
                    unit=unit,
                    header_of=header_of,
                    before=lines[line - 1].strip(),
                    after="" if name == "RemoveDecorator" else _first_change(piece, mutated),
                    source="".join([*lines[: first - 1], mutated, *lines[end:]]),
                )


class _ExceptionReplacer(ExceptionReplacer):  # type: ignore[misc]
    """Cosmic Ray's operator, for exceptions with a dotted name too."""

    @staticmethod
    def _name_nodes(node: Any) -> Any:
        caught = node.children[1]
        if caught.type != "atom":
            return (caught,)
        inner = caught.children[1]
        return inner.children[::2] if inner.type == "testlist_comp" else (inner,)

    def mutate(self, node: Any, index: int) -> Any:
        target = self._name_nodes(node)[index]
        siblings = target.parent.children
        name = Name("CosmicRayTestingException", target.start_pos, target.get_first_leaf().prefix)
        siblings[siblings.index(target)] = name
        return node


def _changes(piece: str, nodes: list[NodeOrLeaf], name: str) -> Iterator[tuple[Position, str]]:
    """Every change that an operator makes: its position and the whole changed piece."""
    operator = (
        _ExceptionReplacer() if name == "ExceptionReplacer" else get_operator(f"core/{name}")()
    )
    positions = [start for node in nodes for start, _ in operator.mutation_positions(node)]
    for occurrence, position in enumerate(positions):
        yield position, mutate_code(piece, operator, occurrence)


def _first_change(before: str, after: str) -> str:
    """The first line of `after` that differs, without the blanks that Cosmic Ray leaves."""
    pairs = zip(before.splitlines(), after.splitlines(), strict=False)
    return next((" ".join(new.split()) for old, new in pairs if old != new), "")


def _shape(source: str) -> str | None:
    """The program without its layout; None if it cannot be compiled without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            compile(source, "<mutant>", "exec", dont_inherit=True)
            return ast.dump(ast.parse(source))
        except (SyntaxError, SyntaxWarning):
            return None


def _nodes_at(tree: ast.AST, position: Position) -> list[ast.AST]:
    """The nodes around a position, outermost first."""
    path = [tree]
    while True:
        inner = [node for node in _parts(path[-1]) if _contains(node, position)]
        if not inner:
            return path
        path.append(inner[0])


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """Child nodes that have a position of their own."""
    for child in ast.iter_child_nodes(node):
        if hasattr(child, "end_lineno"):
            yield child
        else:
            yield from _parts(child)


def _contains(node: Any, position: Position) -> bool:
    first = _first_line(node)
    start = (first, 0) if first < node.lineno else (node.lineno, node.col_offset)
    return start <= position < (node.end_lineno, node.end_col_offset)


def _first_line(node: Any) -> int:
    """The first line of a node, its decorators included."""
    lines: list[int] = [part.lineno for part in [node, *getattr(node, "decorator_list", [])]]
    return min(lines)


def _is_about_types(path: list[ast.AST]) -> bool:
    """Whether a change concerns only what type checkers read."""
    for outer, inner in itertools.pairwise(path):
        annotations = (getattr(outer, "annotation", None), getattr(outer, "returns", None))
        is_cast = isinstance(outer, ast.Call) and ast.unparse(outer.func) in ("cast", "typing.cast")
        if inner in annotations or (is_cast and inner is cast("ast.Call", outer).args[0]):
            return True
    return any(
        isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" for node in path
    )


def _is_parameter_mark(node: ast.AST) -> bool:
    """Whether an operator directly in `node` is the `*` or `/` between parameters."""
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def _has_opposite(path: list[ast.AST], start: Position) -> bool:
    """Whether another operator turns the condition at `start` into its opposite."""
    tests = [node.test for node in path if isinstance(node, ast.If | ast.While | ast.IfExp)]
    for condition in tests:
        test = condition
        # Without parentheses `not` belongs to the first operand.
        while isinstance(test, ast.BoolOp):
            test = test.values[0]
        if (test.lineno, test.col_offset) != start:
            continue
        if isinstance(test, ast.UnaryOp):
            return isinstance(test.op, ast.Not)
        if isinstance(test, ast.Compare):
            return len(test.ops) == 1 and not isinstance(test.ops[0], ast.In | ast.NotIn)
    return False


def _function_around(path: list[ast.AST], start: Position) -> tuple[Unit | None, Unit | None]:
    """The outermost function with the change in its body, or else in its header."""
    names: list[str] = []
    for node in path:
        if isinstance(node, ast.ClassDef):
            names.append(node.name)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[0]
            assert node.end_lineno is not None
            unit = Unit(
                ".".join([*names, node.name]),
                _first_line(node),
                range(body.lineno, node.end_lineno + 1),
            )
            return (unit, None) if start >= (body.lineno, body.col_offset) else (None, unit)
    return None, None


def _statement_lines(path: list[ast.AST], line: int) -> range:
    """Lines of the innermost statement; of one that has a body only those before the body."""
    statements = [node for node in path if isinstance(node, ast.stmt | ast.excepthandler)]
    if not statements:
        return range(line, line + 1)
    node = statements[-1]
    body = getattr(node, "body", None)
    assert node.end_lineno is not None
    end = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno
    lines = range(_first_line(node), end + 1)
    return lines if line in lines else range(line, line + 1)
